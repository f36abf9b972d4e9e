# fish completion for craft-events, generated: python -m craft_events_cli.completion

# Offer what the log holds; only plain values, so that nothing in it can run at TAB.
function __craft_events_values -a program kind prefix value line
    for found in (command $program completion-values $kind "$value" "$line" 2>/dev/null </dev/null)
        string match -rq '^[A-Za-z0-9._:@/+-]+$' -- $found; and printf "%s\n" $prefix$found
    end
end

function __craft_events
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l option $words[-1]
    set -l prefix ''
    set -l value $token
    if string match -q -- '--*=*' $token
        set option (string split -m 1 = -- $token)[1]
        set prefix $option=
        set value (string split -m 1 = -- $token)[2]
    end
    set -l line (string join ' ' -- (string escape -- $words))
    set -l command $words[2]
    if test (count $words) -eq 1
        printf '%s\t%s\n' 'replay' 'print or re-run history' 'tail' 'follow the log live' 'redispatch' 'deliver what was never finished' 'show' 'one event, its deliveries, attempts and errors' 'trace' 'an event, what caused it, what it caused' 'stats' 'backlog, rates, failures, over time' 'dead' 'deliveries that used up their attempts' 'workers' 'who owns what, and who is silent' 'export' 'write events as NDJSON' 'publish' 'publish one event, or lines of them' 'import' 'take events in from NDJSON' 'prune' 'archive and remove what is done, or redact it' 'handlers' 'the handlers that a module registers' 'doctor' 'is all well, and what is to be done?' 'config' 'every setting, and where it came from' 'serve' 'run the embedded event log' 'demo' 'watch a two-minute story on an embedded log' 'completion' 'print the completions of a shell' 'help' 'show the page of a command, or about a topic' '--help' 'show the help page' '--version' 'print the version'
        return
    end
    if test "$command" = dead
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'list' 'show what used up its attempts' 'retry' 'give it a fresh budget of attempts' 'discard' 'give it up, with a reason'
            return
        end
        set command "dead $words[3]"
    end
    if test "$command" = prune
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'redact' 'remove payloads on request, keep the events'
        else if contains -- $words[3] redact
            set command "prune $words[3]"
        end
    end
    if test "$command" = handlers
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'list' 'show which handlers there are' 'show' 'one handler: what it reacts to, and how' 'check' 'do the handlers fit the log?'
            return
        end
        set command "handlers $words[3]"
    end
    if test "$command" = config
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'show' 'show every setting, and where it came from'
            return
        end
        set command "config $words[3]"
    end
    if test "$command" = help
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'replay' 'print or re-run history' 'tail' 'follow the log live' 'redispatch' 'deliver what was never finished' 'show' 'one event, its deliveries, attempts and errors' 'trace' 'an event, what caused it, what it caused' 'stats' 'backlog, rates, failures, over time' 'dead' 'deliveries that used up their attempts' 'workers' 'who owns what, and who is silent' 'export' 'write events as NDJSON' 'publish' 'publish one event, or lines of them' 'import' 'take events in from NDJSON' 'prune' 'archive and remove what is done, or redact it' 'handlers' 'the handlers that a module registers' 'doctor' 'is all well, and what is to be done?' 'config' 'every setting, and where it came from' 'serve' 'run the embedded event log' 'demo' 'watch a two-minute story on an embedded log' 'completion' 'print the completions of a shell'
            return
        end
        set command "help $words[3]"
    end
    switch $command
        case 'replay'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --confirm-env --handlers --concurrency --rate --pace --timeout --grace
                    return
                case --state
                    printf '%s\n' $prefix{open,dead,done,untracked}
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --checkpoint --failures-out --ids-from
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--state' 'open, dead, done or untracked' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--handler' 'only this handler, by its id' '--all-handlers' 'run every handler that is loaded' '--cascade' 'store and dispatch what handlers publish; else it is suppressed and counted' '--concurrency' 'tenants whose events run at the same time, each in order' '--rate' 'start no more events than that' '--pace' 'keep the gaps between events: original, or original*10 for ten times faster' '--timeout' 'how long a handler may take that names no limit, in seconds or as 15m' '--grace' 'how long a stop waits for what is running' '--fail-fast' 'stop at the first event that a handler fails on' '--checkpoint' 'keep there how far it came, and go on from there: also after kill -9' '--failures-out' 'write each delivery that fails there, for --ids-from' '--ids-from' 'only the events that FILE names, an id or a failed delivery a line; - is stdin' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'tail'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --grep -n --last --wait-max --uri --database --collection
                    return
                case --checkpoint
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--exclude-type' 'leave out events of this type' '--grep' 'show only events that contain this text' '-n' 'begin with the last N events, 10 unless --since is given; 0 for none' '--last' 'begin with the last N events, 10 unless --since is given; 0 for none' '--follow' 'go on with what is stored from now on' '--no-follow' 'go on with what is stored from now on' '--outcomes' 'also deliveries of these events, as they end' '--checkpoint' 'note here how far it came, and go on from there; then -n and --since are of no account' '--wait-max' 'end, with exit code 0, when nothing came for so long: 30s, 5m' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'redispatch'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --confirm-env --handlers --concurrency --lease --timeout --grace
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --ids-from
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--handler' 'only this handler, by its id' '--concurrency' 'events whose handlers run at the same time' '--wait' 'stay until each owner of a selected event has beaten, has let go or is taken over' '--no-wait' 'stay until each owner of a selected event has beaten, has let go or is taken over' '--any-type' 'with --handler: also types that its patterns do not match' '--now' 'ignore back-off: deliver what is not due yet, too' '--watch' 'go on until stopped' '--lease' 'how long this worker may be silent before others take over what it claimed' '--timeout' 'how long an attempt may take where its handler names no limit, in seconds or as 15m' '--grace' 'how long a stop waits for what is running' '--include-untracked' 'also events that were stored without deliveries; needs --since' '--include-unhandled' 'also events that had no handler when they were published' '--dry-run' 'say what would be done, and write nothing' '--ids-from' 'only the events that FILE names, an id or a failed delivery a line; - is stdin' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'show'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'trace'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --depth --limit
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--depth' 'show at most N levels below the first event' '--limit' 'read at most N events of the chain' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'stats'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --bar --watch --max-backlog --max-age --max-dead --uri --database --collection --handlers
                    return
                case --by
                    printf '%s\n' $prefix{handler,type,tenant,error}
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--by' 'in groups that have this in common' '--bar' 'how wide a bar is, as 5m or 1h; else as it fits' '--watch' 'look again after so long, as 2s, until stopped: a live screen, or an object for each look' '--max-backlog' 'so many events may be open' '--max-age' 'so old may the oldest open event be' '--max-dead' 'so many deliveries may be dead' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'dead list'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --by
                    printf '%s\n' $prefix{error,handler,type,tenant}
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--handler' 'only this handler, by its id' '--by' 'in groups that have this in common' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'dead retry'
            switch $option
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --confirm-env
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--handler' 'only this handler, by its id' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'dead discard'
            switch $option
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --reason --actor --since --until --limit --uri --database --collection --confirm-env
                    return
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--handler' 'only this handler, by its id' '--reason' 'why; it stands in the record' '--pending' 'also what is pending for the --handler that is gone for good' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'workers'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'export'
            switch $option
                case --json-format
                    printf '%s\n' $prefix{relaxed,canonical}
                    return
                case --checkpoint
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case --state
                    printf '%s\n' $prefix{open,dead,done,untracked}
                    return
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--json-format' 'relaxed has plain numbers and times; canonical keeps whether a number has 32 bits, 64 or a fraction' '--force' 'write over a file that is there already' '--checkpoint' 'note here how far it came; the next run adds to FILE what has been stored behind that' '--state' 'open, dead, done or untracked' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'publish'
            switch $option
                case --rejects
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --actor --data --id --timestamp --uri --database --collection --confirm-env --handlers
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--rejects' 'keep the lines that are not published: {line, error, text}' '--type' 'its type, as order.placed' '--tenant' 'its tenant' '--actor' 'whose doing it is' '--data' 'its payload, an object; @FILE reads a file, - standard input; else empty' '--id' 'its id, so that the same command may be run again; else a new one' '--timestamp' 'when it happened: 2026-01-31T10:00:00Z, 2h ago as 2h; else now' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--dispatch' 'run the handlers now, in this process' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'import'
            switch $option
                case --rejects
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --confirm-env
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--with-delivery' 'take over what became of the events; what was open or owned is open here, and owned by nobody' '--rejects' 'keep the lines that are not taken in: {line, error, text}' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'prune'
            switch $option
                case --older-than --actor --limit --uri --database --collection --confirm-env
                    return
                case --archive
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--older-than' 'events that were published, and done, longer ago than this: 90d, 26w, 36h' '--archive' 'where the copies go: a file, ./old.ndjson or old.ndjson.gz, which is appended to; or collection:NAME' '--no-archive' 'keep no copies: what is removed is gone for good' '--include-untracked' 'also records without deliveries: nobody knows if they were handled' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--limit' 'at most so many, the oldest first' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'prune redact'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --reason --uri --database --collection --confirm-env
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--tenant' 'events of this tenant' '--no-tenant' 'events without a tenant, or also those' '--type' 'events of this type; * is any run of characters, ? is one' '--actor' 'events of this actor' '--since' 'from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone' '--until' 'before this time' '--limit' 'at most so many, counted after all filters' '--reverse' 'newest first' '--reason' 'why; it stands in each record, so no personal data' '--dry-run' 'say what would be done, and write nothing' '--yes' 'do not ask' '-y' 'do not ask' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'handlers list'
            switch $option
                case --handlers
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'handlers show'
            switch $option
                case --handlers --uri --database --collection
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                __craft_events_values $words[1] handler "$prefix" "$value" "$line"
            end
        case 'handlers check'
            switch $option
                case --handlers --uri --database --collection
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--strict' 'a warning ends with 3 too' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'doctor'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --confirm-env --handlers --ttl --within
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --checkpoint
                    printf '%s\n' $prefix(__fish_complete_path $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--confirm-env' 'say that this protected environment is meant, where nobody can type its name' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '--checkpoint' 'look at this checkpoint too: whose it is, and how old' '--fix' 'create the indexes that are missing; none is ever dropped' '--ttl' 'is there an index by which done records are removed after so long? with --fix create it' '--strict' 'a warning ends with 3 too' '--within' 'so long each check may take' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'config show'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --handlers
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--env' 'an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV' '--uri' 'MongoDB\'s address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017' '--database' 'else CRAFT_EVENTS_DATABASE, else the address\'s, else craft_easy' '--collection' 'else CRAFT_EVENTS_COLLECTION, else event_log' '--handlers' 'load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas' '--app-dir' 'where modules are looked up after the installed ones; else the current directory' '-o' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--output' 'table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'serve'
            switch $option
                case --port
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--port' 'listen on this port; else on the last one, or a free one' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_directories $value)
            end
        case 'demo'
            switch $option
                case --dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--dir' 'put the log here and keep it; a directory that is new or empty' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'completion'
            switch $option
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--color' 'colour the output; NO_COLOR turns auto off' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix{bash,zsh,fish}
            end
    end
end

complete -c craft-events -e
complete -c craft-events -f -a '(__craft_events)'
