"""What `dead list` and `pending` have in common: a listing, or groups, and what may be typed next."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import params, terminal
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.unfinished_delivery import DeliveryGroup, UnfinishedDelivery
    from craft_events_cli.output.unfinished import Listing


class By(StrEnum):
    """What the deliveries of one group have in common."""

    ERROR = "error"
    HANDLER = "handler"
    TYPE = "type"
    TENANT = "tenant"


GroupBy = Annotated[By | None, typer.Option("--by", help="group by this")]


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown: how much, an example, and the value of an option that chooses what is to be moved next."""

    amount: str
    event_id: str
    narrowed: Mapping[str, str | None] = field(default_factory=dict)


async def write_each(
    listing: Listing, deliveries: AsyncGenerator[UnfinishedDelivery, None], chosen: Output, now: datetime
) -> Shown | None:
    """Write deliveries to stdout, a line each; None where there are none."""
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


def write_groups(listing: Listing, groups: list[DeliveryGroup], by: By, chosen: Output, now: datetime) -> Shown | None:
    """Write groups of deliveries to stdout; None where there are none."""
    from craft_events_cli.output import unfinished
    from craft_events_cli.output.counts import counted

    unfinished.write_groups(listing, groups, by, chosen, now)
    terminal.flush()
    if not groups:
        return None
    amount = counted(sum(one.deliveries for one in groups), listing.one, listing.many)
    first = groups[0]
    narrowed = {"handler": first.handler} if by is By.ERROR else {by.value: first.group}
    return Shown(f"{amount} in {counted(len(groups), 'group')}", first.event_id, narrowed)


def flags(where: params.Selecting, handlers: list[str], narrowed: Mapping[str, str | None]) -> list[str]:
    """Return the flags that choose the same deliveries again, those of one group where that is given."""
    values = {
        "--tenant": where.tenant,
        "--type": where.type,
        "--actor": where.actor,
        "--since": [where.since.text] if where.since else [],
        "--until": [where.until.text] if where.until else [],
        "--handler": handlers,
        "--limit": [str(where.limit)] if where.limit else [],
    }
    has_no_tenant = where.no_tenant
    for name, value in narrowed.items():
        values[f"--{name}"] = [] if value is None else [value]
        has_no_tenant = value is None if name == "tenant" else has_no_tenant
    words = [word for flag, given in values.items() for value in given for word in (flag, value)]
    return [*words, *(["--no-tenant"] if has_no_tenant else []), *(["--reverse"] if where.reverse else [])]
