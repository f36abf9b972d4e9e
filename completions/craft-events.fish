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
        printf '%s\t%s\n' 'replay' 'Print or re-run history.' 'tail' 'Follow the log live.' 'show' 'Show one event, its deliveries, attempts and errors.' 'trace' 'Show what caused an event and what it caused.' 'export' 'Write events as NDJSON.' 'top' 'Watch the log live, look at it, and act.' 'stats' 'Show the backlog, rates and failures over time.' 'dead' 'List, retry or discard deliveries that used up their attempts.' 'pending' 'Show what is open, why, and when it is next tried.' 'workers' 'Show the workers, the events they own, and which are silent.' 'handlers' 'List, show or check the handlers of a module.' 'schema' 'List, export or check the event classes of a module.' 'doctor' 'Check the connection, indexes, clock and handlers.' 'metrics' 'Serve the backlog as Prometheus metrics.' 'redispatch' 'Deliver what was never finished.' 'publish' 'Publish one event, or lines of them.' 'import' 'Read events from NDJSON into the log.' 'prune' 'Archive and remove old events that are done.' 'redact' 'Remove payloads on request, and keep the events.' 'serve' 'Run the embedded event log.' 'demo' 'Watch a half-minute story on an embedded log.' 'config' 'Show every setting and where it came from.' 'completion' 'Print the completions of a shell.' '--help' 'show the help page' '--version' 'print the version'
        return
    end
    if test "$command" = dead
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'list' 'Show the deliveries that used up their attempts, and their last errors.' 'retry' 'Give dead deliveries a fresh budget of attempts, due at once.' 'discard' 'Skip dead deliveries, with a reason.'
            return
        end
        set command "dead $words[3]"
    end
    if test "$command" = handlers
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'list' 'Show which handlers react to which events, in the order in which they run.' 'show' 'Show one handler: its patterns, its settings, and where its code is.' 'check' 'Check whether the loaded handlers fit the log.' 'pause' 'Let the deliveries of a handler wait, without using up attempts.' 'resume' 'End the pause of a handler.'
            return
        end
        set command "handlers $words[3]"
    end
    if test "$command" = schema
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'list' 'Show the event types that have a class, their fields, and who handles them.' 'show' 'Show one event type: its class, its fields and its handlers.' 'export' 'Write the catalogue as JSON Schema, AsyncAPI 3.0 or Markdown.' 'check' 'Check whether the event classes still fit a baseline, or the stored events.'
            return
        end
        set command "schema $words[3]"
    end
    if test "$command" = config
        if test (count $words) -eq 2
            printf '%s\t%s\n' 'show' 'Show the value of every setting, and where it came from.'
            return
        end
        set command "config $words[3]"
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
                case --actor --since --until --limit --uri --database --collection --time-zone --confirm-env -m --module --concurrency --rate --pace --timeout --grace
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--state' 'select events in this state: open, dead, done or untracked' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--handler' 'select this handler' '--all-handlers' 'run every loaded handler' '--cascade' 'store and dispatch what handlers publish' '--concurrency' 'run at most N tenants at once, each in order' '--rate' 'limit the rate: 50/s, 600/m' '--pace' 'keep the gaps between events: original, original*10' '--timeout' 'limit an attempt whose handler sets no limit' '--grace' 'wait this long for running handlers when stopped' '--fail-fast' 'stop at the first failure' '--checkpoint' 'keep the position here, and continue from it' '--failures-out' 'write failed deliveries here, for --ids-from' '--ids-from' 'read event ids from this file; - reads stdin' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'tail'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --limit --grep -n --last --wait-max --uri --database --collection --time-zone
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--limit' 'stop after N' '--exclude-type' 'leave out this event type' '--grep' 'show only events that contain this text' '-n' 'begin with the last N events; 10 without --since' '--last' 'begin with the last N events; 10 without --since' '--follow' 'keep showing new events' '--no-follow' 'keep showing new events' '--outcomes' 'show deliveries too, as they end' '--checkpoint' 'keep the position here, and continue from it' '--wait-max' 'stop after this long without an event: 30s, 5m' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'show'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--traceback' 'show the stored frames of each error' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'trace'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone --depth --limit
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--depth' 'show at most N levels below the first event' '--limit' 'read at most N events of the chain' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
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
                case --actor --since --until --limit --uri --database --collection --time-zone
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--json-format' 'choose the form; canonical keeps the types of numbers' '--force' 'overwrite an existing file' '--checkpoint' 'keep the position here, and continue from it' '--state' 'select events in this state: open, dead, done or untracked' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'top'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --since --public-url --uri --database --collection --time-zone -m --module
                    return
                case --theme
                    printf '%s\n' $prefix{auto,dark,light}
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--tenant' 'select this tenant' '--type' 'select event types; * matches any text, ? one character' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--theme' 'choose the colours; auto asks the terminal' '--serve' 'show the console in a browser' '--allow-actions' 'let the browser retry, discard and deliver' '--public-url' 'accept this address of a proxy, too' '--read-only' 'look only: no retry, discard or deliver' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
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
                case --actor --since --until --bar --watch --max-backlog --max-age --max-dead --uri --database --collection --time-zone -m --module
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--by' 'group by this' '--bar' 'set the width of a bar, such as 5m or 1h' '--watch' 'refresh after this long, such as 2s, until stopped' '--max-backlog' 'exit 3 if more than N events are open' '--max-age' 'exit 3 if the oldest open event is older' '--max-dead' 'exit 3 if more than N deliveries are dead' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'dead list'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --time-zone
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--handler' 'select this handler' '--by' 'group by this' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
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
                case --actor --since --until --limit --uri --database --collection --time-zone --confirm-env
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
                printf '%s\t%s\n' '--handler' 'select this handler' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'dead discard'
            switch $option
                case --handler
                    __craft_events_values $words[1] handler "$prefix" "$value" "$line"
                    return
                case --reason --actor --since --until --limit --uri --database --collection --time-zone --confirm-env
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
                printf '%s\t%s\n' '--handler' 'select this handler' '--reason' 'give the reason, which the record keeps' '--pending' 'include pending deliveries; needs --handler' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
            end
        case 'pending'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --time-zone
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--handler' 'select this handler' '--by' 'group by this' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'workers'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'handlers list'
            switch $option
                case -m --module
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
            printf '%s\t%s\n' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'handlers show'
            switch $option
                case -m --module --uri --database --collection --time-zone
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
                printf '%s\t%s\n' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                __craft_events_values $words[1] handler "$prefix" "$value" "$line"
            end
        case 'handlers check'
            switch $option
                case -m --module --uri --database --collection --time-zone
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
            printf '%s\t%s\n' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--strict' 'exit 3 on a warning too' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'handlers pause'
            switch $option
                case -m --module --uri --database --collection --time-zone --confirm-env --until --reason
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
                printf '%s\t%s\n' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '--until' 'end the pause by itself, in 2h or at a time' '--reason' 'give the reason, for those who see the pause' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                __craft_events_values $words[1] handler "$prefix" "$value" "$line"
            end
        case 'handlers resume'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone --confirm-env
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                __craft_events_values $words[1] handler "$prefix" "$value" "$line"
            end
        case 'schema list'
            switch $option
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case -m --module
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
            printf '%s\t%s\n' '--type' 'select event types; * matches any text, ? one character' '--exclude-type' 'leave out this event type' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'schema show'
            switch $option
                case -m --module
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
                printf '%s\t%s\n' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                __craft_events_values $words[1] type "$prefix" "$value" "$line"
            end
        case 'schema export'
            switch $option
                case --format
                    printf '%s\n' $prefix{json-schema,asyncapi,markdown}
                    return
                case --title --release -m --module
                    return
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--format' 'write this form: json-schema, asyncapi or markdown' '--force' 'overwrite an existing file' '--title' 'set the title of the document' '--release' 'set the version that an AsyncAPI document states' '--type' 'select event types; * matches any text, ? one character' '--exclude-type' 'leave out this event type' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'schema check'
            switch $option
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case -m --module --uri --database --collection --time-zone --sample
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
                printf '%s\t%s\n' '--type' 'select event types; * matches any text, ? one character' '--exclude-type' 'leave out this event type' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--log' 'read stored events through the loaded classes' '--sample' 'read the newest N of each type' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'doctor'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone --confirm-env -m --module --ttl --within
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
            printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--checkpoint' 'check this checkpoint too' '--fix' 'create missing indexes; drops none' '--ttl' 'check for a TTL index of this age; with --fix create it' '--strict' 'exit 3 on a warning too' '--within' 'limit the time of each check' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'metrics'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone --listen --interval
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--listen' 'listen on this address; port 0 chooses a free one' '--interval' 'ask the database at most this often' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'redispatch'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type --exclude-type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --time-zone --confirm-env -m --module --concurrency --rate --lease --metrics --timeout --grace
                    return
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --app-dir
                    printf '%s\n' $prefix(__fish_complete_directories $value)
                    return
                case --handler --exclude-handler
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
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--exclude-type' 'leave out this event type' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--handler' 'select this handler' '--exclude-handler' 'leave the deliveries of this handler open' '--concurrency' 'run the handlers of at most N events at once' '--rate' 'limit the rate: 50/s, 600/m' '--wait' 'wait for silent owners, and take over from them' '--no-wait' 'wait for silent owners, and take over from them' '--any-type' 'run the --handler on types that its patterns do not match' '--now' 'ignore back-off, and deliver what is not due yet' '--watch' 'keep delivering until stopped' '--lease' 'set how long this worker may be silent' '--metrics' 'serve this worker\'s /metrics and /healthz here' '--timeout' 'limit an attempt whose handler sets no limit' '--grace' 'wait this long for running handlers when stopped' '--include-untracked' 'include events without deliveries; needs --since' '--include-unhandled' 'include events that had no handler when published' '--dry-run' 'report what would be done, and write nothing' '--ids-from' 'read event ids from this file; - reads stdin' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                true
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
                case --actor --data --id --timestamp --uri --database --collection --time-zone --confirm-env -m --module
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
                printf '%s\t%s\n' '--rejects' 'write rejected lines here: {line, error, text}' '--type' 'set the type, such as order.placed' '--tenant' 'set the tenant' '--actor' 'set the actor' '--data' 'set the payload, an object; @FILE or - reads it' '--id' 'set the id, to make the command repeatable' '--timestamp' 'set when it happened: 2h, 2026-01-31T10:00Z' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '--dispatch' 'run the handlers now, in this process' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
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
                case --uri --database --collection --time-zone --confirm-env
                    return
                case -o --output
                    printf '%s\n' $prefix{table,ndjson,json,csv}
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--with-delivery' 'keep the deliveries of the events; owned ones become open' '--rejects' 'write rejected lines here: {line, error, text}' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix(__fish_complete_path $value)
            end
        case 'prune'
            switch $option
                case --older-than --actor --limit --uri --database --collection --time-zone --confirm-env
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
            printf '%s\t%s\n' '--older-than' 'select events published and done before: 90d, 26w, 36h' '--archive' 'append copies to a file or to collection:NAME' '--no-archive' 'remove without a copy' '--include-untracked' 'include events without deliveries' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--limit' 'stop after N' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'redact'
            switch $option
                case --tenant
                    __craft_events_values $words[1] tenant "$prefix" "$value" "$line"
                    return
                case --type
                    __craft_events_values $words[1] type "$prefix" "$value" "$line"
                    return
                case --actor --since --until --limit --uri --database --collection --time-zone --confirm-env --reason
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
            printf '%s\t%s\n' '--tenant' 'select this tenant' '--no-tenant' 'select events without a tenant' '--type' 'select event types; * matches any text, ? one character' '--actor' 'select this actor' '--since' 'select from this time on: 2h, 14:00, yesterday, 2026-01-31' '--until' 'select before this time' '--limit' 'stop after N' '--reverse' 'show the newest first' '--dry-run' 'report what would be done, and write nothing' '-y' 'do not ask before acting' '--yes' 'do not ask before acting' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '--confirm-env' 'confirm this protected environment without a question' '--reason' 'give the reason, which each record keeps' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'serve'
            switch $option
                case --port
                    return
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--port' 'listen on this port; default: the last one, or a free one' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
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
            printf '%s\t%s\n' '--dir' 'keep the log here, in a new or empty directory' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'config show'
            switch $option
                case --env
                    __craft_events_values $words[1] env "$prefix" "$value" "$line"
                    return
                case --uri --database --collection --time-zone -m --module
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
            printf '%s\t%s\n' '--env' 'use this environment of pyproject.toml (CRAFT_EVENTS_ENV)' '--uri' 'connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)' '--database' 'use this database (CRAFT_EVENTS_DATABASE)' '--collection' 'use this collection (CRAFT_EVENTS_COLLECTION)' '--time-zone' 'show and read times in UTC, local or Area/City' '-m' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--module' 'load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)' '--app-dir' 'find modules in this directory' '-o' 'choose the format' '--output' 'choose the format' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
        case 'completion'
            switch $option
                case --color
                    printf '%s\n' $prefix{auto,always,never}
                    return
            end
            if string match -q -- '-*' $token
                printf '%s\t%s\n' '--color' 'colour the output' '--debug' 'show the traceback of an error' '--help' 'show the help page'
            else
                printf '%s\n' $prefix{bash,zsh,fish}
            end
    end
end

complete -c craft-events -e
complete -c craft-events -f -a '(__craft_events)'
