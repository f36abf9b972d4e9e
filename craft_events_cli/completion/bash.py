"""The script for bash, including 3.2 (macOS): no `mapfile`, no associative arrays, `compopt` only if it exists.

readline splits words after `:` and `=` and before `@`; the script therefore reads the line itself and offers only the
part that readline will insert. `LC_ALL=C` limits the ranges in its patterns to ASCII.
"""

from __future__ import annotations

from craft_events_cli.completion import (
    Command,
    Kind,
    Parameter,
    by_offer,
    choices_of,
    commands,
    first_words,
    groups,
    kind_of,
)

_HEAD = r"""# bash completion for craft-events, generated: python -m craft_events_cli.completion

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
        _craft_events_offer @first@
        return 0
    fi
@groups@
    case $command in
@commands@
    esac
    return 0
}

complete -F _craft_events craft-events
"""


def script() -> str:
    """Return the script."""
    blocks = {
        "@first@": " ".join([*first_words(), "--help", "--version"]),
        "@groups@": "\n".join(_group(name, list(members)) for name, members in groups().items()),
        "@commands@": "\n".join(_command(one) for one in commands()),
    }
    text = _HEAD
    for mark, block in blocks.items():
        text = text.replace(mark, block)
    return text


def _group(name: str, members: list[str]) -> str:
    return f"""    if [ "$command" = {name} ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            _craft_events_offer {" ".join([*members, "--help"])}
            return 0
        fi
        command="{name} ${{COMP_WORDS[2]}}"
    fi"""


def _command(command: Command) -> str:
    lines = [f"        '{command.words}')"]
    if command.valued:
        lines += ["            case $option in"]
        for offer, flags in by_offer(command.valued, _offer).items():
            lines += [f"                {' | '.join(flags)})", *([f"                    {offer}"] if offer else [])]
            lines += ["                    return 0", "                    ;;"]
        lines += ["            esac"]
    flags_offer = f"_craft_events_offer {' '.join(command.flags)}"
    if command.arguments:
        lines += ["            case $cur in", f"                -*) {flags_offer} ;;"]
        lines += [f"                *) {_offer(command.arguments[0]) or ':'} ;;", "            esac"]
    else:
        lines += [f"            {flags_offer}"]
    return "\n".join([*lines, "            ;;"])


def _offer(parameter: Parameter) -> str:
    kind = kind_of(parameter)
    if kind is Kind.NOTHING:
        return ""
    if kind is Kind.CHOICES:
        return f"_craft_events_offer {' '.join(choices_of(parameter))}"
    if kind in (Kind.FILES, Kind.DIRECTORIES):
        return "_craft_events_paths " + ("default -f" if kind is Kind.FILES else "dirnames -d")
    return f"_craft_events_values {kind.value}"
