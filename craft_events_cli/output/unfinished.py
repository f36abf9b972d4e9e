"""Dead or pending deliveries: a line each, or in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.store.formats.event_json import text_of
from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING
from craft_events_cli.output.event_line import hue_of_cell
from craft_events_cli.output.rows import RowWriter, write_rows
from craft_events_cli.output.spans import minutes
from craft_events_cli.output.table import CYAN, DIM, RED, Column, Table
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.unfinished_delivery import DeliveryGroup, UnfinishedDelivery

FIRST_PAGE: Final = 200
"""The number of rows that are held back to find how wide the columns of a table are."""
LEAST_ID: Final = 20
"""The length at which an id is cut: its time and enough of its random part to be named by."""
_TIMES: Final = frozenset({"timestamp", "due_at", "finished_at", "oldest", "newest"})
_CRASHES: Final = {1: "once", 2: "twice"}


@dataclass(frozen=True, slots=True)
class Listing:
    """How deliveries of one state are listed.

    Args:
        one: a delivery of this state, in words.
        many: several.
        columns: the keys of a row in the machine formats.
        group_columns: the keys of a group's row.
        amount: the heading over the number of deliveries in a group.
        moment: the heading over the time of a delivery.
    """

    one: str
    many: str
    columns: tuple[str, ...]
    group_columns: tuple[str, ...]
    amount: str
    moment: str

    @property
    def is_pending(self) -> bool:
        """True if the deliveries are still to be tried."""
        return "due_at" in self.columns


_EVENT: Final = ("event_id", "event_type", "timestamp", "tenant_id", "handler", "attempts", "crashes")
_ERROR: Final = ("error_type", "error_message", "where")
DEAD: Final = Listing(
    "dead delivery",
    "dead deliveries",
    (*_EVENT, "finished_at", *_ERROR, "reason"),
    ("group", "deaths", "oldest", "newest", "event_id", "handler", "error"),
    "Deaths",
    "Died",
)
PENDING: Final = Listing(
    "pending delivery",
    "pending deliveries",
    (*_EVENT, "due_at", "owner", "paused", *_ERROR),
    ("group", "deliveries", "oldest", "newest", "due_at", "paused", "event_id", "handler", "error"),
    "Pending",
    "Next try",
)


class UnfinishedWriter:
    """Writes deliveries to stdout as they come, and remembers what the last lines say of them.

    Args:
        listing: which deliveries they are.
        output: the format of stdout.
        now: the database's time.
    """

    def __init__(self, listing: Listing, output: Output, now: datetime) -> None:
        self._listing = listing
        self._rows = None if output is Output.TABLE else RowWriter(listing.columns, output)
        self._table = Table(_columns(listing))
        self._now = now
        self._held: list[UnfinishedDelivery] = []
        self.deliveries = 0
        self.events = 0
        self.last_event_id: str | None = None

    def begin(self) -> None:
        """Write what stands before the first one."""
        if self._rows is not None:
            self._rows.begin()

    def write(self, one: UnfinishedDelivery) -> None:
        """Write one delivery."""
        self.deliveries += 1
        self.events += one.event_id != self.last_event_id
        self.last_event_id = one.event_id
        if self._rows is not None:
            self._rows.write(_row(one, self._listing.columns))
            return
        self._held.append(one)
        if len(self._held) == FIRST_PAGE:
            self._write_held()

    def close(self) -> None:
        """Write what is left."""
        if self._rows is not None:
            self._rows.close()
        self._write_held()
        terminal.flush()

    def _write_held(self) -> None:
        if self._listing.is_pending:
            times = next_tries(self._held, self._now)
        else:
            times = minutes(one.finished_at for one in self._held)
        self._table.write([self._cells(one, when) for one, when in zip(self._held, times, strict=True)])
        self._held.clear()

    def _cells(self, one: UnfinishedDelivery, when: str) -> dict[str, str]:
        return {
            "Event": one.event_id,
            self._listing.moment: when,
            "Type": one.event_type,
            "Tenant": one.tenant_id or NOTHING,
            "Handler": one.handler,
            "Attempts": f"{one.attempts:,}",
            "Error": error_text(one)[:200],
            "Where": one.where or NOTHING,
        }


def _columns(listing: Listing) -> list[Column]:
    return [
        Column("Event", rank=2, least=LEAST_ID),
        Column(listing.moment, rank=3, style=DIM),
        Column("Type", rank=6, least=8, good=24, style=CYAN),
        Column("Tenant", rank=4, least=6, good=16, style=hue_of_cell),
        Column("Handler", least=20, good=36),
        Column("Attempts", rank=7, is_right=True),
        Column("Error", rank=1, least=16, good=24, style=RED),
        Column("Where", rank=5, least=16, good=32, style=DIM),
    ]


def next_tries(some: Sequence[UnfinishedDelivery], now: datetime) -> list[str]:
    """Return when each is tried next: its time, or "due" where that has passed, "owned" by a worker, "paused"."""
    times = minutes(one.due_at for one in some)
    return [_next_try(one, now) or when for one, when in zip(some, times, strict=True)]


def _next_try(one: UnfinishedDelivery, now: datetime) -> str:
    if one.owner or one.paused:
        return "owned" if one.owner else "paused"
    return "due" if one.due_at is not None and one.due_at <= now else ""


def error_text(one: UnfinishedDelivery) -> str:
    """Return the last error, after the crashes that made no end of it yet."""
    error = one.error or one.cause
    if not one.crashes or one.reason == "crashed":
        return error
    crashes = f"ended its process {_CRASHES.get(one.crashes, f'{one.crashes:,} times')}"
    return crashes if one.error is None else f"{crashes} · {error}"


def _row(one: object, columns: Sequence[str]) -> dict[str, Any]:
    row = {column: getattr(one, column) for column in columns}
    return row | {name: _time(row[name]) for name in columns if name in _TIMES}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)


def write_groups(listing: Listing, groups: Sequence[DeliveryGroup], by: str, output: Output, now: datetime) -> None:
    """Write groups of deliveries, the largest first."""
    if output is not Output.TABLE:
        write_rows((_group_row(one, listing) for one in groups), listing.group_columns, output)
        return
    oldest, newest = minutes(one.oldest for one in groups), minutes(one.newest for one in groups)
    due = minutes(one.due_at for one in groups)
    columns = _group_columns(listing, by)
    rows = []
    for index, one in enumerate(groups):
        in_common = [one.handler, one.error] if by == "error" else [NOTHING if one.group is None else one.group]
        of_newest = [] if by == "error" else [one.error] if by == "handler" else [one.handler, one.error]
        is_due = one.due_at is not None and one.due_at <= now
        next_try = ["paused" if one.paused else "due" if is_due else due[index]] if listing.is_pending else []
        times = [oldest[index], newest[index], *next_try]
        cells = [f"{one.deliveries:,}", *in_common, *times, *of_newest, one.event_id]
        rows.append({column.name: cell for column, cell in zip(columns, cells, strict=True)})
    Table(columns).write(rows)


def _group_columns(listing: Listing, by: str) -> list[Column]:
    """Return the columns: what the deliveries of a group have in common, then what is of the newest alone."""
    handler, error = Column("Handler", least=12), Column("Error", least=12, style=RED)
    tenant = Column("Tenant", least=12, style=hue_of_cell)
    kinds = {
        "error": ([handler, error], []),
        "handler": ([handler], ["error"]),
        "type": ([Column("Type", least=12, style=CYAN)], ["handler", "error"]),
        "tenant": ([tenant], ["handler", "error"]),
    }
    in_common, of_newest = kinds[by]
    return [
        Column(listing.amount, is_right=True),
        *in_common,
        Column("Oldest", rank=5, style=DIM),
        Column("Newest", rank=4, style=DIM),
        *([Column(listing.moment, rank=3, style=DIM)] if listing.is_pending else []),
        *(Column(f"Last {name}", rank=3, least=12, good=24, style=RED * (name == "error")) for name in of_newest),
        Column("Example", rank=6, least=14, good=14),
    ]


def _group_row(one: DeliveryGroup, listing: Listing) -> dict[str, Any]:
    row = _row(one, [name for name in listing.group_columns if name != "deaths"])
    return {name: one.deliveries if name == "deaths" else row[name] for name in listing.group_columns}
