"""Load handler modules: all of them, or the command does not run.

`M` is imported and registers on the process's bus; `M:bus` names an `EventBus` in it. The code of a module is the
user's: it may raise anything, call `sys.exit()` or print, and all of that is reported as the module's.
"""

from __future__ import annotations

import operator
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from craft_easy.core.events.errors import HandlerModuleError, HandlerNotFound
from craft_easy.core.events.settings import Modules, Value
from craft_easy.core.events.settings.values import invalid, quoted
from craft_events_cli import terminal
from craft_events_cli.errors import Terminated, UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus


def load_bus(modules: Modules, *, needs_handlers: bool = True) -> EventBus:
    """Import every named handler module and return the one bus on which they registered.

    Args:
        modules: the modules.
        needs_handlers: False if a module may register none, because its event classes are all that is needed.

    Raises:
        UsageError: no module was named.
        HandlerModuleError: a module cannot be imported, its bus does not exist or is not that of the others; or none of
            the modules registers a handler.
    """
    names = modules.handlers.value
    if not names:
        raise UsageError("no handler module is named", hint="name one: -m shop.handlers, or CRAFT_EVENTS_HANDLERS")
    app_dir = Path(modules.app_dir.value)
    _append_to_path(modules.app_dir)
    silent: list[str] = []
    buses = {name: _load(name, app_dir, silent) for name in names}
    bus = buses[names[0]]
    other = next((name for name in names if buses[name] is not bus), None)
    if other is not None:
        raise HandlerModuleError(other, f"registers on a different bus from {names[0]}", hint="name one bus, as M:bus")
    if not needs_handlers:
        return bus
    if not bus.subscriptions():
        raise HandlerModuleError(", ".join(names), "registers no handler", hint=_hint_for_silent(names, app_dir))
    for name in silent:
        other_file = _hint_for_shadowed(name, app_dir)
        terminal.warn(f"the handler module {name} registers no handler" + (f": {other_file}" if other_file else ""))
    return bus


def require_handlers(bus: EventBus, names: Sequence[str], *, flag: str = "--handler") -> None:
    """Check that each of these handler ids is loaded.

    Raises:
        HandlerNotFound: one is not; the error suggests a similar id.
    """
    from difflib import get_close_matches

    loaded = list(dict.fromkeys(one.handler.id for one in bus.subscriptions()))
    for name in names:
        if bus.registry.handler(name) is None:
            error = HandlerNotFound(name, loaded)
            close = get_close_matches(name, loaded, n=1)
            suggestion = f"did you mean {close[0]}? " if close else ""
            error.hint = f"{suggestion}{flag} takes a handler id; load a module with -m"
            raise error


def _append_to_path(app_dir: Value[str]) -> None:
    if not _is_directory(Path(app_dir.value)):
        raise invalid("app-dir", app_dir, f"{quoted(app_dir.value)} is not a directory")
    folder = str(Path(app_dir.value).resolve())
    if folder not in sys.path:
        sys.path.append(folder)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a loop of symbolic links
        return False


def _hint_for_silent(names: Sequence[str], app_dir: Path) -> str:
    from craft_easy.core.events.bus import EventBus

    for name in names:
        if other_file := _hint_for_shadowed(name, app_dir):
            return other_file
        for attribute, value in vars(sys.modules[name.partition(":")[0]]).items():
            if isinstance(value, EventBus) and value.subscriptions():
                return f"{name} has a bus of its own: -m {name}:{attribute}"
    return "register a handler with @event_handler(...) or bus.subscribe(...)"


def _hint_for_shadowed(name: str, app_dir: Path) -> str | None:
    """Name the file that was imported instead of the one of this name in the application's directory."""
    module_name = name.partition(":")[0]
    loaded = getattr(sys.modules[module_name], "__file__", None)
    wanted = app_dir.joinpath(*module_name.split("."))
    for file in (wanted.with_suffix(".py"), wanted / "__init__.py"):
        if loaded is not None and file.is_file() and file.resolve() != Path(loaded).resolve():
            return f"{_short(loaded)} was imported, which has the name of {_short(str(file))}: rename one of them"
    return None


def _load(name: str, app_dir: Path, silent: list[str]) -> EventBus:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.process_bus import get_event_bus

    module_name, colon, attribute = name.partition(":")
    before = None if module_name in sys.modules else get_event_bus().subscriptions()
    module = _import(module_name, app_dir)
    if not colon:
        is_silent = get_event_bus().subscriptions() == before
        if is_silent or (before is None and _hint_for_shadowed(name, app_dir)):
            silent.append(name)
        return get_event_bus()
    try:
        found = operator.attrgetter(attribute)(module)
    except AttributeError:
        found = None
    if isinstance(found, EventBus):
        return found
    hint = f"{name} is a handler: use --handler for it, and -m {module_name} for its module"
    raise HandlerModuleError(
        module_name,
        f"has no EventBus called {attribute}",
        hint=hint if callable(found) else "M:bus names an EventBus in M",
    )


def _import(name: str, app_dir: Path) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise HandlerModuleError(name or '""', "cannot be imported: not a valid module name", hint=_hint_for_path(name))
    try:
        with redirect_stdout(sys.stderr):
            return import_module(name)
    except (KeyboardInterrupt, Terminated):
        raise
    except SystemExit as error:
        raise HandlerModuleError(
            name, f"cannot be imported: it calls sys.exit({error.code!r})", hint=where(error, name)
        ) from error
    except BaseException as error:
        raise HandlerModuleError(
            name, f"cannot be imported: {_reason(error)}", hint=_hint_for(error, name, app_dir)
        ) from error


def _reason(error: BaseException) -> str:
    """Return the last line of a traceback; for a missing module only its message."""
    if isinstance(error, ModuleNotFoundError):
        return str(error)
    return " ".join(part.strip() for part in traceback.format_exception_only(error)[-1:])


def _hint_for(error: BaseException, name: str, app_dir: Path) -> str | None:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and f"{name}.".startswith(f"{missing}."):
        return _hint_for_missing(name, app_dir)
    if isinstance(error, SyntaxError):
        return f"{_short(error.filename or name)}:{error.lineno}: {(error.text or '').strip()}"
    shown = where(error, name)
    if missing is None:
        return shown
    return f"{shown}\nis {missing} installed in {sys.prefix}? modules are also looked up from {app_dir} (--app-dir)"


def _hint_for_missing(name: str, app_dir: Path) -> str:
    """Return the name of a similar module, if there is one, and where modules are looked up."""
    from difflib import get_close_matches

    parent, _, _ = name.rpartition(".")
    close = get_close_matches(name, _sibling_modules(parent, app_dir), n=1)
    looked_up = f"modules are looked up from {app_dir} (--app-dir)"
    return f"did you mean {close[0]}? {looked_up}" if close else looked_up


def _sibling_modules(parent: str, app_dir: Path) -> list[str]:
    from pkgutil import iter_modules

    package = sys.modules.get(parent)
    folders = list(getattr(package, "__path__", [])) if parent else [str(app_dir.resolve())]
    prefix = f"{parent}." if parent else ""
    return [f"{prefix}{found.name}" for found in iter_modules(folders)]


def _hint_for_path(name: str) -> str:
    if name.endswith(".py") or "/" in name:
        return f"a module is named as in an import: {name.removesuffix('.py').strip('./').replace('/', '.')}"
    return "a module is named as in an import: shop.handlers"


def where(error: BaseException, name: str) -> str | None:
    """Return the frames in the module's own files down to the one that raised, on one line; `--debug` shows all."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_foreign(frame.filename)]
    if not frames:
        return None
    steps = [f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in _ends(frames)]
    return f"{' → '.join(steps)}: {frames[-1].line}"


def _ends(frames: Sequence[traceback.FrameSummary], most: int = 4) -> Sequence[traceback.FrameSummary]:
    return frames if len(frames) <= most else [*frames[:1], *frames[1 - most :]]


def _is_foreign(filename: str) -> bool:
    """Return whether a file is this one or part of the import system, not of a module."""
    return filename == __file__ or filename.startswith("<frozen ") or "/importlib/" in filename


def _short(filename: str) -> str:
    path = Path(filename)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def announce(bus: EventBus, modules: Modules) -> None:
    """Write to stderr how many handlers were loaded, and from which modules."""
    terminal.note(announcement(bus, modules))


def announcement(bus: EventBus, modules: Modules) -> str:
    """Return how many handlers were loaded, and from which modules."""
    subscriptions = bus.subscriptions()
    handlers = len({one.handler.id for one in subscriptions})
    patterns = len({one.pattern for one in subscriptions})
    names = ", ".join(modules.handlers.value)
    return f"{_counted(handlers, 'handler')} under {_counted(patterns, 'pattern')}, from {names}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
