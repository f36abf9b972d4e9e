"""The road of `dead list` and `pending`: deliveries or groups of them, and the flags that choose the same again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from craft_events_cli import params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.output.spans import times_are
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.dead import Choice
    from craft_easy.core.events.operations.unfinished_delivery import By as GroupKey
    from craft_easy.core.events.operations.unfinished_delivery import DeliveryGroup, UnfinishedDelivery
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore
    from craft_events_cli.output.unfinished import Listing


class By(StrEnum):
    """The key of a group."""

    ERROR = "error"
    HANDLER = "handler"
    TYPE = "type"
    TENANT = "tenant"


GroupBy = Annotated[By | None, typer.Option("--by", help="group by this")]


class Operation(Protocol):
    """The module of `operations` that finds the deliveries: `dead` or `pending`."""

    def deliveries(self, store: EventStore, choice: Choice) -> AsyncGenerator[UnfinishedDelivery, None]: ...
    async def groups(self, store: EventStore, choice: Choice, *, by: GroupKey) -> list[DeliveryGroup]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """The amount that was shown, an example, the option that chooses the first group, whether it is the only one."""

    amount: str
    event_id: str
    narrowed: Mapping[str, str | None] = field(default_factory=dict)
    is_all: bool = True


async def show(
    operation: Operation,
    listing: Listing,
    settings: Settings,
    where: params.Selecting,
    handlers: list[str],
    by: By | None,
    chosen: Output,
) -> Shown | None:
    """Write the deliveries or groups to stdout, and their amount to stderr; return None if there were none."""
    from craft_easy.core.events.operations.dead import EVERY, Choice
    from craft_easy.core.events.operations.handlers import require_in_log

    async with opened(settings) as store:
        await require_in_log(store, handlers)
        now = await store.now()
        choice = Choice(where.selection(now), tuple(handlers))
        if by is None:
            shown = await _write_each(listing, operation.deliveries(store, choice), chosen, now)
        else:
            groups = await operation.groups(store, choice, by=by.value)
            shown = _write_groups(listing, groups, by, chosen, now)
    if shown is None:
        terminal.note(f"no {listing.many}" + (" in this selection" if choice != EVERY else ""))
    else:
        terminal.note(f"{shown.amount} · {times_are()}" + (" · in groups: --by error" if by is None else ""))
    return shown


async def _write_each(
    listing: Listing, deliveries: AsyncGenerator[UnfinishedDelivery, None], chosen: Output, now: datetime
) -> Shown | None:
    from craft_events_cli.output.counts import counted
    from craft_events_cli.output.unfinished import UnfinishedWriter

    out = UnfinishedWriter(listing, chosen, now)
    out.begin()
    async with aclosing(deliveries) as found:
        async for one in found:
            out.write(one)
    out.close()
    if out.last_event_id is None:
        return None
    amount = counted(out.deliveries, listing.one, listing.many)
    return Shown(f"{amount} of {counted(out.events, 'event')}", out.last_event_id)


def _write_groups(listing: Listing, groups: list[DeliveryGroup], by: By, chosen: Output, now: datetime) -> Shown | None:
    from craft_events_cli.output import unfinished
    from craft_events_cli.output.counts import counted

    unfinished.write_groups(listing, groups, by, chosen, now)
    terminal.flush()
    if not groups:
        return None
    amount = counted(sum(one.deliveries for one in groups), listing.one, listing.many)
    first = groups[0]
    narrowed = {"handler": first.handler} if by is By.ERROR else {by.value: first.group}
    return Shown(f"{amount} in {counted(len(groups), 'group')}", first.event_id, narrowed, is_all=len(groups) == 1)


def flags(where: params.Selecting, handlers: list[str], narrowed: Mapping[str, str | None]) -> list[str]:
    """Return the flags that choose the same deliveries again, or only those of one group."""
    for name, value in narrowed.items():
        values = [] if value is None else [value]
        if name == "handler":
            handlers = values
        elif name == "type":
            where = replace(where, type=values)
        else:
            where = replace(where, tenant=values, no_tenant=value is None)
    values_of = {
        "--since": [where.since.text] if where.since else [],
        "--until": [where.until.text] if where.until else [],
        "--handler": handlers,
        "--limit": [str(where.limit)] if where.limit else [],
    }
    words = [word for flag, given in values_of.items() for value in given for word in (flag, value)]
    return [*where.flags(), *words, *(["--reverse"] if where.reverse else [])]
