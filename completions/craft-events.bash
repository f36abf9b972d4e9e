# bash completion for craft-events, generated: python -m craft_events_cli.completion

# Offer words that begin with what was typed, without what readline will not replace.
_craft_events_offer() {
    local word
    for word; do
        word=$lead$word
        case $word in "$cur"*) COMPREPLY+=("${word#"$kept"}") ;; esac
    done
}

# Offer what the log holds; only plain values, so that nothing in it can run at TAB.
_craft_events_values() {
    local value values
    values=$("$program" completion-values "$1" "${cur#"$lead"}" "$line" 2>/dev/null </dev/null)
    while IFS= read -r value; do
        case $value in '' | *[!A-Za-z0-9._:@/+-]*) ;; *) _craft_events_offer "$value" ;; esac
    done <<<"$values"
}

# Let readline offer paths; without compopt (bash 3.2) by hand.
_craft_events_paths() {
    compopt -o "$1" 2>/dev/null && return
    local path
    while IFS= read -r path; do
        [ -n "$path" ] && COMPREPLY+=("$(printf %q "$path")")
    done <<<"$(compgen "$2" -- "${cur#"$lead"}")"
}

_craft_events() {
    local LC_ALL=C
    local program=$1 line=${COMP_LINE:0:$COMP_POINT} cur before option lead='' breaks='' kept='' command
    COMPREPLY=()
    cur=${line##*[[:space:]]}
    case $cur in
        --*=*) option=${cur%%=*} lead=${cur%%=*}= ;;
        *)
            before=${line%"$cur"}
            before=${before%"${before##*[![:space:]]}"}
            option=${before##*[[:space:]]}
            ;;
    esac
    case ${COMP_WORDBREAKS-} in *:*) breaks=$breaks: ;; esac
    case ${COMP_WORDBREAKS-} in *=*) breaks=$breaks= ;; esac
    [ -n "$breaks" ] && kept=${cur%"${cur##*[$breaks]}"}
    case ${COMP_WORDBREAKS-}${cur#"$kept"} in *@*@*) kept=${cur%"@${cur##*@}"} ;; esac
    command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -le 1 ]; then
        _craft_events_offer replay tail show trace export top stats dead pending workers handlers schema doctor metrics redispatch publish import prune redact serve demo config completion --help --version
        return 0
    fi
    if [ "$command" = dead ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            _craft_events_offer list retry discard --help
            return 0
        fi
        command="dead ${COMP_WORDS[2]}"
    fi
    if [ "$command" = handlers ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            _craft_events_offer list show check pause resume --help
            return 0
        fi
        command="handlers ${COMP_WORDS[2]}"
    fi
    if [ "$command" = schema ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            _craft_events_offer list show export check --help
            return 0
        fi
        command="schema ${COMP_WORDS[2]}"
    fi
    if [ "$command" = config ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            _craft_events_offer show --help
            return 0
        fi
        command="config ${COMP_WORDS[2]}"
    fi
    case $command in
        'replay')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone | --confirm-env | -m | --module | --concurrency | --rate | --pace | --timeout | --grace)
                    return 0
                    ;;
                --state)
                    _craft_events_offer open dead done untracked
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --checkpoint | --failures-out | --ids-from)
                    _craft_events_paths default -f
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --until --limit --reverse --state --env --uri --database --collection --time-zone --confirm-env -m --module --app-dir --handler --all-handlers --cascade --concurrency --rate --pace --timeout --grace --fail-fast --checkpoint --failures-out --ids-from --dry-run -y --yes -o --output --color --debug --help
            ;;
        'tail')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type | --exclude-type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --limit | --grep | -n | --last | --wait-max | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --checkpoint)
                    _craft_events_paths default -f
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --limit --exclude-type --grep -n --last --follow --no-follow --outcomes --checkpoint --wait-max --env --uri --database --collection --time-zone -o --output --color --debug --help
            ;;
        'show')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --env --uri --database --collection --time-zone --traceback -o --output --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'trace')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | --depth | --limit)
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --env --uri --database --collection --time-zone --depth --limit -o --output --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'export')
            case $option in
                --json-format)
                    _craft_events_offer relaxed canonical
                    return 0
                    ;;
                --checkpoint)
                    _craft_events_paths default -f
                    return 0
                    ;;
                --state)
                    _craft_events_offer open dead done untracked
                    return 0
                    ;;
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --json-format --force --checkpoint --state --tenant --no-tenant --type --actor --since --until --limit --reverse --env --uri --database --collection --time-zone --color --debug --help ;;
                *) _craft_events_paths default -f ;;
            esac
            ;;
        'top')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --since | --public-url | --uri | --database | --collection | --time-zone | -m | --module)
                    return 0
                    ;;
                --theme)
                    _craft_events_offer auto dark light
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --tenant --type --since --theme --serve --allow-actions --public-url --read-only --env --uri --database --collection --time-zone -m --module --app-dir --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'stats')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --bar | --watch | --max-backlog | --max-age | --max-dead | --uri | --database | --collection | --time-zone | -m | --module)
                    return 0
                    ;;
                --by)
                    _craft_events_offer handler type tenant error
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --until --by --bar --watch --max-backlog --max-age --max-dead --env --uri --database --collection --time-zone -m --module --app-dir -o --output --color --debug --help
            ;;
        'dead list')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --by)
                    _craft_events_offer error handler type tenant
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --until --limit --reverse --env --uri --database --collection --time-zone --handler --by -o --output --color --debug --help
            ;;
        'dead retry')
            case $option in
                --handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone | --confirm-env)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --handler --tenant --no-tenant --type --actor --since --until --limit --reverse --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env -o --output --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'dead discard')
            case $option in
                --handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --reason | --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone | --confirm-env)
                    return 0
                    ;;
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --handler --reason --pending --tenant --no-tenant --type --actor --since --until --limit --reverse --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env -o --output --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'pending')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --by)
                    _craft_events_offer error handler type tenant
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --until --limit --reverse --env --uri --database --collection --time-zone --handler --by -o --output --color --debug --help
            ;;
        'workers')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --env --uri --database --collection --time-zone -o --output --color --debug --help
            ;;
        'handlers list')
            case $option in
                -m | --module)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer -m --module --app-dir --env -o --output --color --debug --help
            ;;
        'handlers show')
            case $option in
                -m | --module | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer -m --module --app-dir --env --uri --database --collection --time-zone -o --output --color --debug --help ;;
                *) _craft_events_values handler ;;
            esac
            ;;
        'handlers check')
            case $option in
                -m | --module | --uri | --database | --collection | --time-zone)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer -m --module --app-dir --env --uri --database --collection --time-zone --strict -o --output --color --debug --help
            ;;
        'handlers pause')
            case $option in
                -m | --module | --uri | --database | --collection | --time-zone | --confirm-env | --until | --reason)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --dry-run -y --yes -m --module --app-dir --env --uri --database --collection --time-zone --confirm-env --until --reason -o --output --color --debug --help ;;
                *) _craft_events_values handler ;;
            esac
            ;;
        'handlers resume')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | --confirm-env)
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env -o --output --color --debug --help ;;
                *) _craft_events_values handler ;;
            esac
            ;;
        'schema list')
            case $option in
                --type | --exclude-type)
                    _craft_events_values type
                    return 0
                    ;;
                -m | --module)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --type --exclude-type -m --module --app-dir --env -o --output --color --debug --help
            ;;
        'schema show')
            case $option in
                -m | --module)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer -m --module --app-dir --env -o --output --color --debug --help ;;
                *) _craft_events_values type ;;
            esac
            ;;
        'schema export')
            case $option in
                --format)
                    _craft_events_offer json-schema asyncapi markdown
                    return 0
                    ;;
                --title | --release | -m | --module)
                    return 0
                    ;;
                --type | --exclude-type)
                    _craft_events_values type
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --format --force --title --release --type --exclude-type -m --module --app-dir --env --color --debug --help ;;
                *) _craft_events_paths default -f ;;
            esac
            ;;
        'schema check')
            case $option in
                --type | --exclude-type)
                    _craft_events_values type
                    return 0
                    ;;
                -m | --module | --uri | --database | --collection | --time-zone | --sample)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --type --exclude-type -m --module --app-dir --env --uri --database --collection --time-zone --log --sample -o --output --color --debug --help ;;
                *) _craft_events_paths default -f ;;
            esac
            ;;
        'doctor')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | --confirm-env | -m | --module | --ttl | --within)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --checkpoint)
                    _craft_events_paths default -f
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --env --uri --database --collection --time-zone --confirm-env -m --module --app-dir --checkpoint --fix --ttl --strict --within -o --output --color --debug --help
            ;;
        'metrics')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | --listen | --interval)
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --env --uri --database --collection --time-zone --listen --interval --color --debug --help
            ;;
        'redispatch')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type | --exclude-type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone | --confirm-env | -m | --module | --concurrency | --rate | --lease | --metrics | --timeout | --grace)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --handler | --exclude-handler)
                    _craft_events_values handler
                    return 0
                    ;;
                --ids-from)
                    _craft_events_paths default -f
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --tenant --no-tenant --type --actor --since --until --limit --exclude-type --env --uri --database --collection --time-zone --confirm-env -m --module --app-dir --handler --exclude-handler --concurrency --rate --wait --no-wait --any-type --now --watch --lease --metrics --timeout --grace --include-untracked --include-unhandled --dry-run --ids-from -o --output --color --debug --help ;;
                *) : ;;
            esac
            ;;
        'publish')
            case $option in
                --rejects)
                    _craft_events_paths default -f
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --actor | --data | --id | --timestamp | --uri | --database | --collection | --time-zone | --confirm-env | -m | --module)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --rejects --type --tenant --actor --data --id --timestamp --env --uri --database --collection --time-zone --confirm-env -m --module --app-dir --dispatch -o --output --color --debug --help ;;
                *) _craft_events_paths default -f ;;
            esac
            ;;
        'import')
            case $option in
                --rejects)
                    _craft_events_paths default -f
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | --confirm-env)
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --with-delivery --rejects --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env -o --output --color --debug --help ;;
                *) _craft_events_paths default -f ;;
            esac
            ;;
        'prune')
            case $option in
                --older-than | --actor | --limit | --uri | --database | --collection | --time-zone | --confirm-env)
                    return 0
                    ;;
                --archive)
                    _craft_events_paths default -f
                    return 0
                    ;;
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --older-than --archive --no-archive --include-untracked --tenant --no-tenant --type --actor --limit --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env -o --output --color --debug --help
            ;;
        'redact')
            case $option in
                --tenant)
                    _craft_events_values tenant
                    return 0
                    ;;
                --type)
                    _craft_events_values type
                    return 0
                    ;;
                --actor | --since | --until | --limit | --uri | --database | --collection | --time-zone | --confirm-env | --reason)
                    return 0
                    ;;
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --tenant --no-tenant --type --actor --since --until --limit --reverse --dry-run -y --yes --env --uri --database --collection --time-zone --confirm-env --reason -o --output --color --debug --help
            ;;
        'serve')
            case $option in
                --port)
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --port --color --debug --help ;;
                *) _craft_events_paths dirnames -d ;;
            esac
            ;;
        'demo')
            case $option in
                --dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --dir --color --debug --help
            ;;
        'config show')
            case $option in
                --env)
                    _craft_events_values env
                    return 0
                    ;;
                --uri | --database | --collection | --time-zone | -m | --module)
                    return 0
                    ;;
                --app-dir)
                    _craft_events_paths dirnames -d
                    return 0
                    ;;
                -o | --output)
                    _craft_events_offer table ndjson json csv
                    return 0
                    ;;
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            _craft_events_offer --env --uri --database --collection --time-zone -m --module --app-dir -o --output --color --debug --help
            ;;
        'completion')
            case $option in
                --color)
                    _craft_events_offer auto always never
                    return 0
                    ;;
            esac
            case $cur in
                -*) _craft_events_offer --color --debug --help ;;
                *) _craft_events_offer bash zsh fish ;;
            esac
            ;;
    esac
    return 0
}

complete -F _craft_events craft-events
