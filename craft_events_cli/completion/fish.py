"""The script for fish: one function for the whole command line, so that a TAB costs one call."""

from __future__ import annotations

from craft_events_cli.completion import (
    Command,
    Kind,
    Parameter,
    by_offer,
    choices_of,
    commands,
    first_words,
    flags_of,
    groups,
    kind_of,
)

_HEAD = r"""# fish completion for craft-events, generated: python -m craft_events_cli.completion

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
        printf '%s\t%s\n' @first@
        return
    end
@groups@
    switch $command
@commands@
    end
end

complete -c craft-events -e
complete -c craft-events -f -a '(__craft_events)'
"""


def script() -> str:
    """Return the script."""
    first = {**first_words(), "--help": "show the help page", "--version": "print the version"}
    blocks = {
        "@first@": _described(first),
        "@groups@": "\n".join(_group(name, members) for name, members in groups().items()),
        "@commands@": "\n".join(_command(one) for one in commands()),
    }
    text = _HEAD
    for mark, block in blocks.items():
        text = text.replace(mark, block)
    return text


def _group(name: str, members: dict[str, str]) -> str:
    return f"""    if test "$command" = {name}
        if test (count $words) -eq 2
            printf '%s\\t%s\\n' {_described(members)}
            return
        end
        set command "{name} $words[3]"
    end"""


def _command(command: Command) -> str:
    lines = [f"        case {_quoted(command.words)}"]
    if command.valued:
        lines += ["            switch $option"]
        for offer, names in by_offer(command.valued, _offer).items():
            lines += [f"                case {' '.join(names)}", *([f"                    {offer}"] if offer else [])]
            lines += ["                    return"]
        lines += ["            end"]
    flags = {flag: one.help or "" for one in command.options for flag in flags_of(one)} | {
        "--help": "show the help page"
    }
    offer = f"printf '%s\\t%s\\n' {_described(flags)}"
    if not command.arguments:
        return "\n".join([*lines, f"            {offer}"])
    lines += ["            if string match -q -- '-*' $token", f"                {offer}", "            else"]
    return "\n".join([*lines, f"                {_offer(command.arguments[0]) or 'true'}", "            end"])


def _offer(parameter: Parameter) -> str:
    kind = kind_of(parameter)
    if kind is Kind.NOTHING:
        return ""
    if kind is Kind.CHOICES:
        return f"printf '%s\\n' $prefix{{{','.join(choices_of(parameter))}}}"
    if kind in (Kind.FILES, Kind.DIRECTORIES):
        lister = "__fish_complete_path" if kind is Kind.FILES else "__fish_complete_directories"
        return f"printf '%s\\n' $prefix({lister} $value)"
    return f'__craft_events_values $words[1] {kind.value} "$prefix" "$value" "$line"'


def _described(texts: dict[str, str]) -> str:
    return " ".join(f"{_quoted(name)} {_quoted(text)}" for name, text in texts.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
