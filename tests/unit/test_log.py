"""The log's connection: its deadlines and cancellations."""

import asyncio

import pytest
from pymongo import AsyncMongoClient

from craft_easy.core.events.store.log import Log


async def test_a_cancellation_that_the_driver_lost_still_ends_the_call() -> None:
    async def call() -> None:
        async with Log(AsyncMongoClient(connect=False)["shop"]).call():
            try:
                task.cancel()
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass

    task = asyncio.create_task(call())
    with pytest.raises(asyncio.CancelledError):
        await task
