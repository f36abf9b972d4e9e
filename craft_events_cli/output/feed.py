"""The notes of `tail` on stderr."""

from __future__ import annotations

from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.history.tail import (
    ContinuesFrom,
    NothingCame,
    PollsInstead,
    SearchedEnough,
    TailNotice,
    TailObserver,
    WentLive,
)
from craft_events_cli import terminal
from craft_events_cli.output.spans import duration_text, elapsed_text, stamp, times_are


def notes(log: str) -> TailObserver:
    """Return a function that writes the notices of a tail to stderr; `log` is the name of the log."""

    def write(notice: TailNotice) -> None:
        if isinstance(notice, PollsInstead):
            terminal.warn(_text_of(notice, log))
        else:
            terminal.note(_text_of(notice, log))

    return write


def _text_of(notice: TailNotice, log: str) -> str:
    match notice:
        case ContinuesFrom(at):
            return f"continuing from {stamp(at)}, the end of the checkpoint"
        case SearchedEnough(events, matching):
            return f"{matching or 'none'} of the last {events:,} events match · for older events: --since"
        case WentLive():
            return f"following {log} · {times_are()} · Ctrl-C to stop"
        case PollsInstead(reach):
            return (
                "this server has no change streams: it is polled every second, and an event is shown only "
                f"if its time is within the last {int(reach.total_seconds() // 60)} minutes"
            )
        case ConnectionLost():
            return "connection lost, resuming …"
        case ConnectionResumed(seconds):
            return f"resumed after {elapsed_text(seconds)}, nothing missed"
        case NothingCame(seconds):
            return f"no events for {duration_text(seconds) if seconds >= 1 else f'{seconds:g} s'}"
