"""From a function's signature to parsed arguments and a help page; the only module that knows Typer's inner parts.

A command is a plain function. Each parameter is an `Annotated[type, typer.Option("--flag", …)]` (or `typer.Argument`),
or a *group*: a frozen dataclass whose fields are such parameters, built when all are known; what its `__post_init__`
refuses is a usage error before any I/O. `options` holds the ones that commands share. The docstring is the help page:
its first paragraph, then the lines under `Examples:`.

Typer parses; types beyond text and flags are turned here, so that messages are one sentence in one style whatever
the version of Typer. Typer vendors Click since 0.26 and used the real one before: the classes of both are reached
from what `typer` itself exports.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from craft_events_cli import logs, terminal
from craft_events_cli.errors import UsageError

_ClickUsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]
_click_errors: Final = sys.modules[_ClickUsageError.__module__]

MAX_PATH_BYTES: Final = 4_095
MAX_NAME_BYTES: Final = 255
"""What Linux and macOS take as a path and as one name in it, limits.h(0p): PATH_MAX and NAME_MAX."""

_EXTRA: Final = re.compile(r"unexpected extra argument\S* \((.*)\)", re.DOTALL)

Command = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument of a command."""

    name: str
    info: OptionInfo | ArgumentInfo
    type: Any
    default: Any = inspect.Parameter.empty

    @property
    def is_option(self) -> bool:
        """Tell an option from an argument."""
        return isinstance(self.info, OptionInfo)

    @property
    def is_flag(self) -> bool:
        """Tell whether it takes no value."""
        return self.type is bool

    @property
    def is_repeatable(self) -> bool:
        """Tell whether it may be given more than once."""
        return get_origin(self.type) is list

    @property
    def value_type(self) -> Any:
        """The type of one value, without `| None` and `list[…]`."""
        found = self.type
        while get_origin(found) in (Union, types.UnionType, list):
            found = next(part for part in get_args(found) if part is not type(None))
        return found

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling, `--wait` and `--no-wait` apart."""
        return tuple(flag for text in self.declarations for flag in text.split("/"))

    @property
    def declarations(self) -> tuple[str, ...]:
        """The spellings as they were declared; Typer keeps the first of an `Annotated` one as its default."""
        if not self.is_option:
            return ()
        first = (self.info.default,) if isinstance(self.info.default, str) else ()
        return (*first, *(self.info.param_decls or ()))

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it takes, where they are few and known."""
        kind = self.value_type
        return tuple(str(one.value) for one in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()

    @property
    def label(self) -> str:
        """What an error calls it: its long flag, or an argument's name."""
        if not self.is_option:
            return self.metavar
        return next((flag for flag in self.flags if flag.startswith("--")), self.name)

    @property
    def metavar(self) -> str:
        """What stands for its value on a help page."""
        return self.info.metavar or "|".join(self.choices) or self.name.upper()

    def convert(self, value: Any) -> Any:
        """Turn what was typed into the parameter's type.

        Raises:
            UsageError: it cannot be one.
        """
        if value is None or self.is_flag:
            return value
        if self.is_repeatable:
            return [self._convert_one(one) for one in value]
        return self._convert_one(value) if isinstance(value, str) else value

    def _convert_one(self, text: str) -> Any:
        if issubclass(self.value_type, Path):
            self._check_path(text)
        else:
            self._check_encoding(text)
        if self.choices and text not in self.choices:
            raise UsageError(f'{self.label}: "{text}" is none of {", ".join(self.choices)}', hint=self._meant(text))
        convert = self.info.parser or self.value_type
        try:
            return convert(text)
        except ValueError as error:
            reason = str(error) if self.info.parser else f'"{text}" is no {self.metavar}'
            raise UsageError(f"{self.label}: {reason}") from None

    def _meant(self, text: str) -> str | None:
        close = _closest(text.lower(), self.choices)
        return f"did you mean {close}?" if close else None

    def _check_path(self, text: str) -> None:
        if not text or "\0" in text:
            raise UsageError(f"{self.label}: names no path")
        path = os.fsencode(text)
        if len(path) > MAX_PATH_BYTES or any(len(part) > MAX_NAME_BYTES for part in path.split(b"/")):
            raise UsageError(f'{self.label}: "{text[:40]}…" is too long for a path')

    def _check_encoding(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.not_utf_8() from None

    def not_utf_8(self) -> UsageError:
        """Return the error for bytes that are no text; a path may hold them, nothing else."""
        return UsageError(f"{self.label}: its value is no text in UTF-8")


@dataclass(frozen=True, slots=True)
class Signature:
    """A command's parameters, and how its groups are put together again."""

    parameters: tuple[Parameter, ...]
    groups: Mapping[str, tuple[type, tuple[str, ...]]] = field(default_factory=dict)

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the function, converted and grouped."""
        converted = {one.name: one.convert(values[one.name]) for one in self.parameters if one.name in values}
        for name, (group, names) in self.groups.items():
            converted[name] = group(**{member: converted.pop(member) for member in names})
        return {name: value for name, value in converted.items() if name not in COMMON_NAMES}


def _common(
    *,
    color: Annotated[
        terminal.Color,
        typer.Option("--color", help="colour the output; NO_COLOR turns auto off", rich_help_panel="Output"),
    ] = terminal.Color.AUTO,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error", rich_help_panel="Output")
    ] = False,
) -> None:
    """Declare what every command takes; `main` reads both before anything is parsed."""


COMMON_NAMES: Final = ("color", "debug")


def signature_of(function: Command) -> Signature:
    """Read the parameters of a command, those of its groups and the common ones included."""
    hints = get_type_hints(function, include_extras=True)
    parameters: list[Parameter] = []
    groups: dict[str, tuple[type, tuple[str, ...]]] = {}
    for name, declared in inspect.signature(function).parameters.items():
        if is_dataclass(hints[name]):
            group = hints[name]
            members = _members_of(group)
            groups[name] = (group, tuple(member.name for member in members))
            parameters += members
        else:
            parameters.append(_parameter(name, hints[name], declared.default))
    if function is not _common:
        parameters += signature_of(_common).parameters
    return Signature(tuple(parameters), groups)


def _members_of(group: type) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_parameter(one.name, hints[one.name], _default_of(one)) for one in fields(group)]


def _default_of(one: Any) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return inspect.Parameter.empty if one.default is MISSING else one.default


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    kind, info = get_args(annotation)[:2]
    return Parameter(name, info, kind, default)


def call(function: Command, words: str, args: Sequence[str]) -> int | None:
    """Parse the arguments and call the command; `--help` anywhere before `--` prints its page instead.

    Raises:
        UsageError: the arguments cannot be understood.
    """
    signature = signature_of(function)
    options = args[: args.index("--")] if "--" in args else args
    if "--help" in options or "-h" in options:
        terminal.stdout().write(help_page(function, words))
        return 0
    arguments = parse(signature, words, args)
    with logs.shown(is_debug=terminal.is_debug()):
        return function(**arguments)


def parse(signature: Signature, words: str, args: Sequence[str]) -> dict[str, Any]:
    """Parse a command's arguments into those of its function."""
    command = _typer_command(signature)
    try:
        with command.make_context(words, list(args)) as context:
            values: dict[str, Any] = command.invoke(context)
    except _ClickUsageError as error:
        raise _translated(error, signature, words) from None
    return signature.arguments(values)


def _typer_command(signature: Signature) -> Any:
    """Return a Typer command that gives back what was typed: texts, lists of texts and flags."""

    def typed(**values: Any) -> dict[str, Any]:
        return values

    declared = [_declared(one) for one in signature.parameters]
    typed.__signature__ = inspect.Signature(declared)  # type: ignore[attr-defined]
    typed.__annotations__ = {one.name: one.annotation for one in declared}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(add_help_option=False)(typed)
    return typer.main.get_command(app)


def _declared(one: Parameter) -> inspect.Parameter:
    """Return the parameter as Typer shall see it."""
    kind: Any = bool if one.is_flag else list[str] if one.is_repeatable else str
    default = one.default
    if default is None:
        kind = kind | None
    if isinstance(default, Enum):
        default = default.value
    elif default is not inspect.Parameter.empty and not isinstance(default, bool | list | None):
        default = str(default)
    info = typer.Option(*one.declarations) if one.is_option else typer.Argument()
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _translated(error: Exception, signature: Signature, words: str) -> UsageError:
    """Say what Click found in one sentence of our own."""
    see = f"see {words} --help"
    option = str(getattr(error, "option_name", ""))
    parameter = _parameter_of(error, signature, option)
    if isinstance(error, _click_errors.NoSuchOption):
        close = _close_to(option, signature)
        return UsageError(
            f"no such option: {option}" + (f". Did you mean {close}?" if close else ""), hint=None if close else see
        )
    if isinstance(error, _click_errors.BadOptionUsage) and parameter is not None:
        needs = "takes no value" if parameter.is_flag else f"needs a value, {parameter.metavar}"
        return UsageError(f"{option} {needs}", hint=see)
    if isinstance(error, _click_errors.MissingParameter) and parameter is not None:
        return UsageError(f"{parameter.label} is missing", hint=see)
    if isinstance(error, typer.BadParameter) and parameter is not None:
        return parameter.not_utf_8()
    if extra := _EXTRA.search(str(error)):
        return UsageError(f"unexpected argument: {extra[1]}", hint=see)
    message = str(getattr(error, "message", error)).rstrip(".")
    return UsageError(message[:1].lower() + message[1:], hint=see)


def _parameter_of(error: Exception, signature: Signature, option: str) -> Parameter | None:
    name = getattr(getattr(error, "param", None), "name", None)
    return next((one for one in signature.parameters if one.name == name or option in one.flags), None)


def _close_to(option: str, signature: Signature) -> str | None:
    known = [flag for one in signature.parameters for flag in one.flags if not one.info.hidden] + ["--help"]
    return _closest(option, known)


def _closest(word: str, known: Sequence[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word[:200], known, n=1)), None)


def summary_of(function: Command) -> str:
    """Return the first paragraph of a command's docstring, as one line."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def details_of(function: Command) -> list[str]:
    """Return the paragraphs between the first and `Examples:`, each as one line."""
    text = (inspect.getdoc(function) or "").partition("Examples:\n")[0]
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")[1:] if paragraph.strip()]


def examples_of(function: Command) -> list[str]:
    """Return the lines under `Examples:` of a command's docstring."""
    _, _, block = (inspect.getdoc(function) or "").partition("Examples:\n")
    return [line.strip() for line in block.split("\n\n")[0].splitlines()]


def help_page(function: Command, words: str) -> str:
    """Return the help page of a command: what it does, examples, then its arguments and options by theme."""
    shown = [one for one in signature_of(function).parameters if not one.info.hidden]
    arguments = [one for one in shown if not one.is_option]
    lines = [summary_of(function), "", *(f"  {example}" for example in examples_of(function)), ""]
    usage = " ".join([words, *(usage_of(one) for one in arguments), "[OPTIONS]"])
    lines += [f"{terminal.heading('Usage')}  {usage}"]
    for paragraph in details_of(function):
        lines += ["", *wrap(paragraph, terminal.width())]
    indent = min(30, max(len(term_of(one)) for one in shown) + 4)
    for panel, members in _panels(shown).items():
        lines += ["", terminal.heading(panel), *_rows(members, indent)]
    lines += ["  --help".ljust(indent) + "show this page"]
    return "\n".join(lines) + "\n"


def usage_of(argument: Parameter) -> str:
    """Return how an argument is written: in brackets where it may be left out."""
    is_required = argument.default is inspect.Parameter.empty
    metavar = f"{argument.metavar}…" if argument.is_repeatable else argument.metavar
    return metavar if is_required else f"[{metavar}]"


def _panels(shown: Sequence[Parameter]) -> dict[str, list[Parameter]]:
    panels: dict[str, list[Parameter]] = {"Arguments": [], "Options": []}
    for one in shown:
        panel = one.info.rich_help_panel or ("Options" if one.is_option else "Arguments")
        panels.setdefault(str(panel), []).append(one)
    return {panel: members for panel, members in panels.items() if members}


def _rows(members: Sequence[Parameter], indent: int) -> list[str]:
    room = terminal.width() - indent
    rows: list[str] = []
    for one in members:
        term = term_of(one)
        text = wrap(help_of(one), max(room, 20)) or [""]
        if len(term) + 4 > indent:
            rows.append(f"  {term}")
            term = ""
        rows.append(f"  {term}".ljust(indent) + text[0])
        rows += [" " * indent + line for line in text[1:]]
    return rows


def term_of(one: Parameter) -> str:
    """Return an option's spellings and what stands for its value; an argument's name."""
    if not one.is_option:
        return one.metavar
    names = ", ".join(sorted(one.declarations, key=len))
    return names if one.is_flag else f"{names} {one.metavar}"


def help_of(one: Parameter) -> str:
    """Return what a parameter is for, whether it may be repeated, and its default."""
    extras = ["repeatable"] if one.is_repeatable else []
    if one.info.show_default and one.default not in (inspect.Parameter.empty, None, False) and one.default != []:
        default = one.default.value if isinstance(one.default, Enum) else one.default
        extras.append(f"default: {default if not one.is_flag else one.flags[0]}")
    return " ".join([one.info.help or "", f"({', '.join(extras)})" if extras else ""]).strip()
