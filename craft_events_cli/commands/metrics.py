"""`craft-events metrics`: the backlog for Prometheus."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import lifecycle, params, terminal, values
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.metrics.address import ListenAddress, listen_address

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

DEFAULT: Final = ListenAddress("127.0.0.1", 9464)
LEAST_INTERVAL: Final = 1.0
MOST_INTERVAL: Final = 3600.0


def interval_s(text: str) -> float:
    """Read how long to wait between two polls, in seconds."""
    seconds = values.seconds(text)
    if not LEAST_INTERVAL <= seconds <= MOST_INTERVAL:
        raise ValueError(f'"{text[:80]}" is not between 1s and 1h')
    return seconds


@app.command()
@expanded
def metrics(
    connection: params.Connecting,
    *,
    listen: Annotated[
        ListenAddress,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            parser=values.reads(listen_address),
            help="listen on this address; port 0 chooses a free one",
            show_default=str(DEFAULT),
        ),
    ] = DEFAULT,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            metavar="DURATION",
            parser=values.reads(interval_s),
            help="ask the database at most this often",
            show_default="10s",
        ),
    ] = 10,
) -> ExitCode:
    """Serve the backlog as Prometheus metrics until stopped.

    Examples:
        craft-events metrics
        craft-events metrics --listen :9464 --interval 30s

    /metrics has what is open, due, waiting, owned and dead by handler, the oldest age and the workers. A scrape asks
    the database nothing: it returns the last answer, with its age. /healthz is 503 while the log does not answer.
    There is no login. Metrics of one worker: craft-events redispatch --watch --metrics.
    """
    from craft_events_cli.metrics.server import require_client

    require_client()
    return lifecycle.run(_metrics(connection.settings(), listen, interval))


async def _metrics(settings: "Settings", listen: ListenAddress, interval: float) -> ExitCode:
    from prometheus_client import CollectorRegistry, ProcessCollector

    from craft_events_cli.metrics.polling import BacklogPoller
    from craft_events_cli.metrics.server import serving

    poller = BacklogPoller(interval, terminal.note, (settings.database.value, settings.collection.value))
    registry = CollectorRegistry()
    registry.register(poller)
    ProcessCollector(registry=registry)
    with serving(listen, registry, poller.health):
        # each poll checks that the log exists, so that a scrape says what is missing
        async with opened(settings, if_missing=IfMissing.BEGIN) as store:
            await poller.run(store)
    return ExitCode.DONE
