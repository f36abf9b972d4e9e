"""A handler that never ends in the process that publishes, with telemetry; each process has a file of spans."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from craft_easy.core.events import DomainEvent, event_handler, get_event_bus
from craft_easy.core.events.telemetry import instrument
from tests.acceptance.traced import DIRECTORY, HANGS


def _line(span: ReadableSpan) -> str:
    text: str = span.to_json(indent=None)
    return f"{text}\n"


file = (Path(os.environ[DIRECTORY]) / f"{os.getpid()}.ndjson").open("w")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=_line)))
trace.set_tracer_provider(provider)
instrument(get_event_bus())


@event_handler("order.placed", background=True, id="shop:mail")
async def mail(_: DomainEvent) -> None:
    if HANGS in os.environ:
        print("running", flush=True)
        await asyncio.sleep(600)
    with trace.get_tracer("shop").start_as_current_span("smtp"):
        await get_event_bus().publish(DomainEvent(event_type="mail.sent"))
