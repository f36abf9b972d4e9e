"""The names of the metrics, and the bound on the values of their labels.

The names are listed in `docs/howto/monitoring/metrics.md`, which a test compares with a scrape. No label has a tenant,
an event id or the text of an error: their number has no bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from craft_events_cli import __version__, terminal

PREFIX: Final = "craft_events_"
MAX_HANDLERS: Final = 200
"""The number of handlers that have a label of their own; all others share `OTHER`."""
OTHER: Final = "other"


class HandlerLabels:
    """The label of each handler: its id, for the first `limit` of them.

    A handler keeps its label, so that its series does not move to `OTHER` when others grow.
    """

    def __init__(self, limit: int = MAX_HANDLERS) -> None:
        self._limit = limit
        self._labels: dict[str, str] = {}

    def of(self, handler_id: str) -> str:
        """Return the label of a handler."""
        if handler_id not in self._labels:
            if len(self._labels) >= self._limit:
                return OTHER
            self._labels[handler_id] = terminal.safe(handler_id)
        return self._labels[handler_id]

    @property
    def known(self) -> Iterable[str]:
        """The labels that have been given."""
        return tuple(self._labels.values())


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def labelled(name: str, text: str, label: str, values: Mapping[Any, float]) -> Metric:
    """Return a gauge with one label."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family


def info(**labels: str) -> Metric:
    """Return the version, and what else never changes while the process runs."""
    family = InfoMetricFamily("craft_events", "The version of craft-events, and the log that it looks at.")
    family.add_metric([], {"version": __version__} | {name: terminal.safe(text) for name, text in labels.items()})
    return family
