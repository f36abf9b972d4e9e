"""The endpoints of metrics in processes of their own, read over HTTP as Prometheus and a probe do."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from typing import Any, Self
from urllib.error import HTTPError

from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import Run


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply over HTTP; status 0 stands for none."""

    status: int
    text: str


def get(address: str, path: str, seconds: float = 5) -> Reply:
    """Read a path of an endpoint, as `curl` does."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=seconds) as reply:
            return Reply(reply.status, reply.read().decode())
    except HTTPError as error:
        with error:
            return Reply(error.code, error.read().decode())
    except OSError as error:
        return Reply(0, str(error))


class Endpoint:
    """A run of a command that serves metrics, on a free port."""

    def __init__(self, *args: str, environ: dict[str, str] | None = None) -> None:
        self.run = Run(*args, environ=environ)
        while not (found := re.search(r"metrics on http://([\d.]+:\d+)/metrics", line := self.run.err.next())):
            assert "error" not in line, line
        self.address = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.run.__exit__(*error)

    def health(self) -> Reply:
        """Ask as a probe does."""
        return get(self.address, "/healthz")

    def samples(self) -> dict[str, float]:
        """Scrape; return the samples by name and labels, as `craft_events_workers{alive}`."""
        reply = get(self.address, "/metrics")
        assert reply.status == 200, reply
        return {
            f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
            for family in text_string_to_metric_families(reply.text)
            for sample in family.samples
        }

    def has(self, **wanted: float) -> bool:
        """Return whether a scrape has these values, each by its name without the prefix; `__` begins the labels."""
        found = self.samples()
        return all(found.get(name_of(key)) == value for key, value in wanted.items())


def name_of(key: str) -> str:
    """Return `craft_events_workers{alive}` for `workers__alive`, and `shop:mail` for `shop_mail` among labels."""
    name, _, labels = key.partition("__")
    return f"craft_events_{name}{{{','.join(labels.replace('shop_', 'shop:').split('__'))}}}"
