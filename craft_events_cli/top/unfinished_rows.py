"""The rows of the tables of pending and of dead deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from craft_easy.core.events.operations.unfinished_delivery import By, DeliveryGroup, UnfinishedDelivery
from craft_events_cli.output.cells import NOTHING
from craft_events_cli.output.spans import minutes
from craft_events_cli.output.unfinished import Listing, error_text, next_tries
from craft_events_cli.terminal import safe
from craft_events_cli.top.safe import cell
from craft_events_cli.top.table import TableColumn, TableRow

WIDE: Final = 120
WIDER: Final = 180
MAX_TEXT: Final = 400
"""The maximum length of the text of a cell, before it is cut to its column."""
NAMES: Final = {"error": "Error", "handler": "Handler", "type": "Type", "tenant": "Tenant"}
GAP: Final = 2
_LONG: Final = {*NAMES.values(), "Last handler", "Last error"}
_SHORT: Final = 13
_EXAMPLE: Final = 40
"""The width of a time or a number, and of an id, with what is between columns."""
_STYLES: Final = {"Error": "red", "Last error": "red", "Type": "cyan", "Oldest": "dim", "Newest": "dim", "Died": "dim"}


def width_class(width: int) -> int:
    """Return a number that changes where the columns do."""
    return sum(width >= limit for limit in (WIDE, WIDER))


# ------------------------------------------------------------------ groups


def group_columns(listing: Listing, by: By, width: int) -> list[TableColumn]:
    """Return the columns of groups, the less important ones only where there is room."""
    in_common = ["Handler", "Error"] if by == "error" else [NAMES[by]]
    is_wide = width >= WIDE
    of_newest = {"error": [], "handler": ["Last error"]}.get(by, ["Last handler", "Last error"][not is_wide :])
    times = ["Oldest", "Newest"] if is_wide else ["Newest"][listing.is_pending :]
    next_try = [listing.moment] if listing.is_pending else []
    example = ["Example"] if width >= WIDER else []
    names = [*in_common, *times, *next_try, *of_newest, *example]
    return [TableColumn(listing.amount, is_number=True), *map(TableColumn, names)]


def group_rows(groups: Sequence[DeliveryGroup], listing: Listing, by: By, now: datetime, width: int) -> list[TableRow]:
    """Return the rows of groups; the key of a row is the number of its group."""
    oldest, newest = minutes(one.oldest for one in groups), minutes(one.newest for one in groups)
    due = minutes(one.due_at for one in groups)
    columns = group_columns(listing, by, width)
    room = _room([column.name for column in columns], width)
    rows = []
    for number, one in enumerate(groups):
        is_due = one.due_at is not None and one.due_at <= now
        texts = {
            "Handler": one.handler if by in ("error", "handler") else "",
            NAMES[by]: one.group,
            "Oldest": oldest[number],
            "Newest": newest[number],
            listing.moment: "due" if is_due else due[number],
            "Last handler": one.handler,
            "Last error": one.error,
            "Example": one.event_id,
        }
        values = {"Oldest": one.oldest, "Newest": one.newest, listing.moment: one.due_at}
        shown = [_cell(column.name, texts[column.name], room) for column in columns[1:]]
        sorted_by = [values.get(column.name, texts[column.name]) for column in columns[1:]]
        rows.append(
            TableRow(
                str(number),
                [cell(f"{one.deliveries:,}", "bold", is_right=True), *shown],
                [one.deliveries, *sorted_by],
            )
        )
    return rows


# ------------------------------------------------------------------ deliveries


def delivery_columns(listing: Listing, width: int) -> list[str]:
    """Return the names of the columns of deliveries, the less important ones only where there is room."""
    more = ["Type", "Tenant", "Attempts"] if width >= WIDE else []
    most = ["Where", "Event"] if width >= WIDER else []
    return [listing.moment, "Handler", "Error", *more, *most]


def delivery_widths(listing: Listing, width: int) -> dict[str, int]:
    """Return the width of each column; errors get what is left."""
    names = delivery_columns(listing, width)
    sizes = {"Handler": max(16, min(width // 4, 36)), "Type": 20, "Tenant": 14, "Attempts": 8, "Where": 28, "Event": 36}
    widths = {name: sizes.get(name, 16) for name in names}
    taken = sum(size for name, size in widths.items() if name != "Error") + 2 * len(names) + 1
    return widths | {"Error": max(width - taken, 12)}


def delivery_cells(
    some: Sequence[UnfinishedDelivery], listing: Listing, now: datetime
) -> list[dict[str, tuple[str, str]]]:
    """Return the cells of deliveries by the names of their columns: a safe text, and its style."""
    times = next_tries(some, now) if listing.is_pending else minutes(one.finished_at for one in some)
    rows = []
    for one, when in zip(some, times, strict=True):
        texts = {
            listing.moment: when,
            "Handler": one.handler,
            "Error": error_text(one),
            "Type": one.event_type,
            "Tenant": one.tenant_id,
            "Attempts": f"{one.attempts:,}",
            "Where": one.where,
            "Event": one.event_id,
        }
        rows.append(
            {
                name: (safe(NOTHING if text is None else text[:MAX_TEXT]), _STYLES.get(name, ""))
                for name, text in texts.items()
            }
        )
    return rows


def _text(text: str | None) -> str:
    return safe(NOTHING if text is None else text[:MAX_TEXT])


def _room(names: Sequence[str], width: int) -> int:
    """Return the width of each long cell: they share what the others leave."""
    long = [name for name in names if name in _LONG]
    taken = sum(_EXAMPLE if name == "Example" else _SHORT for name in names if name not in _LONG)
    return max(16, min(60, (width - taken) // max(len(long), 1) - GAP))


def _cell(name: str, text: str | None, room: int) -> Text:
    found = cell(text if text is None else text[: 4 * room], _STYLES.get(name, ""))
    found.truncate(room if name != "Example" else _EXAMPLE, overflow="ellipsis")
    return found
