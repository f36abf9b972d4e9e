"""The claimer of the backlog: page by page, the next batch while the last one runs, suspects set apart."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.owner import RecordOwner
from craft_easy.core.events.store.deliveries import Listed
from craft_easy.core.events.store.filters import ClaimFilter

SUSPECT_AFTER: Final = 2
"""A record that was taken over this often is a suspect and runs alone: a handler of it may kill its process."""
CLAIM_SIZE: Final = 100
"""Records in one claim at most: few enough for a server that is slow at long lists of ids."""
UNWRITTEN: Final = 2
"""Claims whose outcomes wait to be written at most before the next claim of that size waits for them."""
MAX_SUSPECTS: Final = 10_000
"""Suspects remembered in one listing at most; the others come in the next."""
MAX_SKIPPED_PAGES: Final = 64
"""Pages that a worker skips at most where another worker claims at the same place of the backlog."""

Start = Callable[[list[OwnedRecord]], Awaitable[bool]]
"""Starts claimed records, and returns whether the listing is to go on."""


class Claimer:
    """Claims the records of one run.

    Args:
        record_owner: the worker that claims.
        limit: events to claim at most; None for all.
        concurrency: events whose handlers run at the same time.
        take: called with each batch that was claimed, before it starts.
    """

    def __init__(
        self,
        record_owner: RecordOwner,
        limit: int | None,
        concurrency: int,
        take: Callable[[list[OwnedRecord]], None],
    ) -> None:
        self._record_owner = record_owner
        self._left = limit
        self._concurrency = concurrency
        self._take = take
        self._crowd = 0

    @property
    def has_room(self) -> bool:
        """True if the limit allows another claim."""
        return self._room > 0

    @property
    def _room(self) -> int:
        return CLAIM_SIZE if self._left is None else self._left

    async def claim_all(
        self, claim_filter: ClaimFilter, start: Start, *, size: int | None = None, ahead: bool = True
    ) -> list[Any]:
        """Claim the backlog; return the `_id`s of suspects.

        Args:
            claim_filter: the records.
            start: takes each batch that was claimed.
            size: the records in one batch at most; None for `CLAIM_SIZE`.
            ahead: claim the next batch while `start` takes the last one in.
        """
        suspects: deque[Any] = deque(maxlen=MAX_SUSPECTS)
        async with aclosing(self._batches(claim_filter, suspects, size or CLAIM_SIZE)) as batches:
            if not ahead:
                async for batch in batches:
                    if not await start(batch):
                        break
                return list(suspects)
            coming = asyncio.create_task(anext(batches, None))
            try:
                while (claimed := await coming) is not None:
                    coming = asyncio.create_task(anext(batches, None))
                    if not await start(claimed):
                        break
            finally:
                await self._give_back(coming)
        return list(suspects)

    async def claim(
        self, claim_filter: ClaimFilter, ids: Sequence[Any], *, size: int = CLAIM_SIZE
    ) -> list[OwnedRecord]:
        """Claim these records as far as the limit allows; return those that are owned now, in order.

        A claim loop with small claims leaves the others room in the writer of outcomes: a handler that fails quickly
        would fill it.
        """
        await self._record_owner.writer.wait_for_room(UNWRITTEN * size)
        claimed = await self._record_owner.claim(ids[: self._room], claim_filter.claimable())
        if self._left is not None:
            self._left -= len(claimed)
        self._take(claimed)
        return claimed

    async def _batches(
        self, claim_filter: ClaimFilter, suspects: deque[Any], size: int
    ) -> AsyncGenerator[list[OwnedRecord], None]:
        """Yield the records that could be claimed, and note the suspects.

        Where another worker was quicker, this one skips some pages, and more of them each time this happens. The rounds
        of a run end when nothing is left behind.
        """
        to_skip = 0
        async with aclosing(self._record_owner.deliveries.unowned(claim_filter, size=size)) as pages:
            async for page in pages:
                if not self.has_room:
                    break
                suspects.extend(record.id for record in page if record.takeovers >= SUSPECT_AFTER)
                if to_skip:
                    to_skip -= 1
                    continue
                listed = claimed = 0
                plain = [record for record in page if record.takeovers < SUSPECT_AFTER]
                for batch in _batches(plain[: self._room], self._concurrency):
                    records = await self.claim(claim_filter, [record.id for record in batch], size=size)
                    listed, claimed = listed + len(batch), claimed + len(records)
                    yield records
                to_skip = self._pages_to_skip(listed, claimed)

    def _pages_to_skip(self, listed: int, claimed: int) -> int:
        if self._left is not None or claimed * 2 >= listed:
            self._crowd = max(0, self._crowd - 1)
            return 0
        self._crowd = min(self._crowd + 1, MAX_SKIPPED_PAGES.bit_length() - 1)
        return random.randint(1, 2**self._crowd)

    async def _give_back(self, coming: asyncio.Task[list[OwnedRecord] | None]) -> None:
        """Give back a batch that was claimed ahead and is not started any more."""
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled() and coming.exception() is None:
            for owned in coming.result() or ():
                self._record_owner.writer.add(owned, is_finished=True)


def _batches(page: Sequence[Listed], concurrency: int) -> list[list[Listed]]:
    """Cut a page into claims; records that were taken over before come in claims that can run at once."""
    plain = [record for record in page if not record.takeovers]
    taken_over = [record for record in page if record.takeovers]
    some = [taken_over[first : first + concurrency] for first in range(0, len(taken_over), concurrency)]
    return [batch for batch in [plain, *some] if batch]
