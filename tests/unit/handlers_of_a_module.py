"""Module-level handlers for the tests of ids and of the registry."""

from typing import Any


async def charge(event: object) -> None: ...


def audit(event: object) -> None: ...


async def unused(event: object) -> None: ...


class Mailer:
    async def send(self, event: object) -> None: ...

    async def __call__(self, event: object) -> None: ...


async def yields(event: object) -> Any:
    yield event


class Streams:
    async def __call__(self, event: object) -> Any:
        yield event


async def takes_two(event: object, more: object) -> None: ...
