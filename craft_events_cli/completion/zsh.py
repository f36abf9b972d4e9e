"""The script for zsh: `_craft-events`, for a directory of `$fpath`."""

from __future__ import annotations

from typer.core import TyperOption

from craft_events_cli.completion import (
    Command,
    Kind,
    Parameter,
    choices_of,
    commands,
    first_words,
    flags_of,
    groups,
    is_repeatable,
    kind_of,
    metavar_of,
)

_HEAD = r"""#compdef craft-events
# zsh completion for craft-events, generated: python -m craft_events_cli.completion

# Offer what the log holds; only plain values, so that nothing in it can run at TAB.
_craft_events_values() {
    local -x LC_ALL=C
    local -a values
    values=(${(f)"$(command -- ${(Q)program} completion-values $1 "${(Q)PREFIX}" "$line" 2>/dev/null </dev/null)"})
    values=(${values:#*[^A-Za-z0-9._:@/+-]*})
    (( $#values )) && compadd -a values
}

_craft-events() {
    local program=$words[1] line="${words[1,CURRENT]}" command=$words[2] curcontext=$curcontext state state_descr
    local -a names shown
    typeset -A opt_args
    if (( CURRENT == 2 )); then
@first@
        compadd -l -d shown -a names
        [[ $PREFIX == -* ]] && compadd -- --help --version
        return
    fi
    shift words; (( CURRENT-- ))
    case $command in
@groups@
    esac
    case $command in
@commands@
    esac
}

# From $fpath this file is the function's first call; sourced, it only makes it known.
if [[ $funcstack[1] == _craft-events ]]; then
    _craft-events "$@"
else
    compdef _craft-events craft-events
fi
"""


def script() -> str:
    """Return the script."""
    blocks = {
        "@first@": _described(first_words(), " " * 8),
        "@groups@": "\n".join(_group(name, members) for name, members in groups().items()),
        "@commands@": "\n".join(_command(one) for one in commands()),
    }
    text = _HEAD
    for mark, block in blocks.items():
        text = text.replace(mark, block)
    return text


def _group(name: str, members: dict[str, str]) -> str:
    return f"""        {name})
            if (( CURRENT == 2 )); then
{_described(members, " " * 16)}
                compadd -l -d shown -a names
                return
            fi
            command="{name} $words[2]"
            shift words; (( CURRENT-- ))
            ;;"""


def _described(texts: dict[str, str], margin: str) -> str:
    """Set the words to offer and their descriptions; `_describe` would take longer than everything else."""
    widest = max(map(len, texts))
    lines = ["names=(" + " ".join(texts) + ")", "shown=("]
    lines += [f"    {_quoted(f'{name:{widest}}  -- {text}')}" for name, text in texts.items()]
    return "\n".join(margin + line for line in [*lines, ")"])


def _command(command: Command) -> str:
    specs = [spec for one in command.options for spec in _specs(one)]
    specs += ["'(- *)--help[show the help page]'"]
    specs += [
        _quoted(f"{'*' if is_repeatable(one) else number}:{metavar_of(one)}:{_positional(one)}")
        for number, one in enumerate(command.arguments, 1)
    ]
    lines = " \\\n".join(f"                {spec}" for spec in specs)
    return f"        {_quoted(command.words)})\n            _arguments -S \\\n{lines}\n            ;;"


def _specs(option: TyperOption) -> list[str]:
    help_text = _escaped(option.help or "")
    if option.is_flag:
        others = f"({' '.join(flags_of(option))})" if len(flags_of(option)) > 1 else ""
        return [_quoted(f"{others}{flag}[{help_text}]") for flag in flags_of(option)]
    others = "*" if is_repeatable(option) else f"({' '.join(flags_of(option))})" if len(flags_of(option)) > 1 else ""
    value = f"[{help_text}]:{_escaped(metavar_of(option))}:{_action(option)}"
    return [_quoted(f"{others}{flag}{'=' if flag.startswith('--') else ''}{value}") for flag in flags_of(option)]


def _positional(argument: Parameter) -> str:
    """Return what is offered for an argument; a message here would keep zsh from inserting a flag."""
    return "()" if kind_of(argument) is Kind.NOTHING else _action(argument)


def _action(parameter: Parameter) -> str:
    kind = kind_of(parameter)
    if kind is Kind.NOTHING:
        return " "
    if kind is Kind.CHOICES:
        return f"({' '.join(choices_of(parameter))})"
    return {Kind.FILES: "_files", Kind.DIRECTORIES: "_files -/"}.get(kind, f"_craft_events_values {kind.value}")


def _escaped(text: str) -> str:
    """Escape the characters that have a meaning in a specification of `_arguments`."""
    for mark in "\\[]:":
        text = text.replace(mark, f"\\{mark}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
