"""The bookshop of `examples/` runs as in its README: a real server, real requests, a real kill."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from typing import Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from pymongo import MongoClient

from craft_easy.core.events import embedded
from tests.support.conditions import until

pytestmark = pytest.mark.slow
ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
Document = dict[str, Any]


class Courier:
    """The server at COURIER_URL; while it is blocked, its callers wait."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._is_free = threading.Event()
        self._is_free.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._reply())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def hold(self) -> None:
        """Answer no call until `release`."""
        self._is_free.clear()

    def release(self) -> None:
        """Answer all calls."""
        self._is_free.set()

    def _reply(self) -> type[BaseHTTPRequestHandler]:
        courier = self

        class Reply(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                courier.calls.append((said["parcel"], self.headers["Idempotency-Key"]))
                courier._is_free.wait()
                with suppress(OSError):  # the caller was killed
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        return Reply


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the shop."""

    status: int
    body: Document


class Shop:
    """The application as a process that can be started, called, killed and restarted."""

    def __init__(self, uri: str, database: str, courier: Courier, output: Path, folder: Path = EXAMPLES) -> None:
        self._environment = {
            **os.environ,
            "CRAFT_EVENTS_URI": uri,
            "CRAFT_EVENTS_DATABASE": database,
            "COURIER_URL": courier.url,
        }
        self._folder = folder
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self) -> Self:
        """Start it as in its README and return when it listens."""
        with self._output.open("wb") as output:
            command = [str(Path(sys.executable).with_name("uvicorn")), "bookshop.app:app", "--port", "0"]
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=output, stderr=output
            )
        self._url = until(self._listening_at, seconds=60)
        return self

    def _listening_at(self) -> str:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        found = re.search(r"running on (http://\S+)", self.said())
        return found[1] if found else ""

    def said(self) -> str:
        """Return its output since its start."""
        return self._output.read_text()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Terminate it, as a deployment does, and return when it has ended."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Make a request."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=60) as response:
                return Answer(response.status, json.load(response))
        except HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read() or b"{}") if error.code < 500 else {})

    def stock(self, **copies: int) -> None:
        """Add copies of a book."""
        for isbn, number in copies.items():
            assert self.ask("PUT", f"/books/{isbn}", {"copies": number}).status == 200, self.said()

    def order(self, customer: str, **copies: int) -> Answer:
        """Order books."""
        lines = [{"isbn": isbn, "copies": number} for isbn, number in copies.items()]
        return self.ask("POST", "/orders", {"customer": customer, "lines": lines})

    def is_packed(self, order_id: str) -> bool:
        """Return whether the shop reports this."""
        return bool(self.ask("GET", f"/orders/{order_id}").body["is_packed"])


class Books:
    """The shop's database, read directly."""

    def __init__(self, uri: str, name: str) -> None:
        self._client: MongoClient[Document] = MongoClient(uri)
        self._database = self._client[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def all(self, name: str) -> dict[Any, Document]:
        """Return the documents of a collection by their id."""
        return {one["_id"]: one for one in self._database[name].find()}

    def events(self, event_type: str = "") -> list[Document]:
        """Return the log, or its records of one type."""
        return [one for one in self.all("event_log").values() if event_type in ("", one["event_type"])]

    def states(self) -> Counter[tuple[str, str]]:
        """Count the records by type and state."""
        return Counter((one["event_type"], one["delivery"]["state"]) for one in self.events())

    def is_all_done(self) -> bool:
        """Return whether every event is delivered."""
        return all(one["delivery"]["state"] == "done" for one in self.events())

    def pass_time(self) -> None:
        """Advance past the kill: transactions end, a second of silence is enough, pending deliveries are due."""
        self._client.admin.command("killAllSessions", [])
        self._database["event_log_workers"].update_many({}, {"$set": {"lease": 1}})
        for one in self._database["event_log"].find({"delivery.state": "open"}):
            due = {f"delivery.handlers.{n}.due_at": one["timestamp"] for n in range(len(one["delivery"]["handlers"]))}
            self._database["event_log"].update_one(
                {"_id": one["_id"]}, {"$set": {"delivery.due_at": one["timestamp"], **due}}
            )


@pytest.fixture
def courier() -> Iterator[Courier]:
    """A courier that answers."""
    with Courier() as courier:
        yield courier


@pytest.fixture
def books(embedded_uri: str, database_name: str) -> Iterator[Books]:
    """The database of the shop under test."""
    with Books(embedded_uri, database_name) as books:
        yield books


@pytest.fixture
def new_shop(embedded_uri: str, database_name: str, courier: Courier, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Create shops, each with a folder of examples, and close them."""
    with ExitStack() as stack:
        yield lambda folder=EXAMPLES: stack.enter_context(
            Shop(embedded_uri, database_name, courier, tmp_path / "output", folder)
        )


@pytest.fixture
def shop(new_shop: Callable[..., Shop]) -> Shop:
    """A shop that is open."""
    return new_shop().start()


def with_motor(folder: Path) -> Path:
    """Copy the examples and apply what their comments say about Motor."""
    copytree(EXAMPLES, folder, ignore=lambda *_: {"__pycache__"})
    for name, pymongo, motor in (
        ("database", "return AsyncMongoClient(uri)", "return AsyncIOMotorClient(uri)"),
        ("database", "from pymongo import AsyncMongoClient", "from motor.motor_asyncio import AsyncIOMotorClient"),
        ("database", "-> AsyncMongoClient[Document]", "-> Any"),
        ("app", "async with client(), EventStore", "async with EventStore"),
    ):
        file = folder / "bookshop" / f"{name}.py"
        text = file.read_text()
        assert pymongo in text
        file.write_text(text.replace(pymongo, motor))
    return folder


@pytest.mark.parametrize("driver", ["PyMongo", pytest.param("Motor", marks=pytest.mark.drivers)])
def test_an_order_is_handled_and_so_is_what_follows_from_it(
    driver: str, new_shop: Callable[..., Shop], books: Books, courier: Courier, tmp_path: Path
) -> None:
    shop = new_shop(EXAMPLES if driver == "PyMongo" else with_motor(tmp_path / "examples")).start()
    shop.stock(emma=3)

    placed = shop.order("ada", emma=2)

    assert placed.status == 201, shop.said()
    order_id = placed.body["order_id"]
    assert shop.ask("GET", "/customers/ada").body == {"points": 2}
    until(lambda: shop.is_packed(order_id))
    until(lambda: books.states() == {("order.placed", "done"): 1, ("parcel.packed", "done"): 1})
    [order], [parcel] = books.events("order.placed"), books.events("parcel.packed")
    assert parcel["causation_id"] == order["event_id"]
    assert courier.calls == [(order_id, f"{parcel['event_id']}:bookshop.handlers:call_courier")]
    assert books.all("books")["emma"]["copies"] == 1
    shop.stop()
    assert books.all("event_log_workers") == {}, "it is still registered"
    assert "Traceback" not in shop.said()


def test_the_documented_snippets_are_in_the_example() -> None:
    pages = [EXAMPLES / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    shown = [excerpt for page in pages for excerpt in excerpts(page.read_text())]
    assert shown
    for file, part in shown:
        assert part in (ROOT / file).read_text(), f"{file} does not have these lines:\n{part}"


def excerpts(text: str) -> Iterator[tuple[str, str]]:
    """Yield each excerpt of an example's file in a page: blocks that start with its name, split at blank lines."""
    for file, code in re.findall(r"^```python\n# (examples/\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"\n\n+", code.strip("\n")):
            yield file, part


def test_it_starts_with_one_command_on_a_log_of_its_own(courier: Courier, tmp_path: Path) -> None:
    with Shop(f"embedded:{tmp_path / 'events'}", "bookshop", courier, tmp_path / "output").start() as shop:
        shop.stock(emma=1)
        order_id = shop.order("ada", emma=1).body["order_id"]
        until(lambda: shop.is_packed(order_id))
        shop.stop()
        assert "Traceback" not in shop.said()
    # uvicorn ends by the signal that it got, and leaves the server running: the next user to leave stops it
    assert embedded.join(tmp_path / "events").leave()


def test_a_failed_request_stores_no_order_and_no_event_and_keeps_the_stock(shop: Shop, books: Books) -> None:
    shop.stock(emma=3, persuasion=1)

    refused = shop.order("ada", emma=3, persuasion=2)

    assert refused == Answer(409, {"detail": "fewer than 2 copies of persuasion are left"})
    assert books.all("orders") == {}
    assert books.events() == []
    assert shop.ask("GET", "/customers/ada").body == {"points": 0}
    assert shop.order("ada", emma=3, persuasion=1).status == 201


def test_the_last_copies_are_sold_once(shop: Shop, books: Books) -> None:
    shop.stock(emma=3)

    with ThreadPoolExecutor(4) as customers:
        answers = list(customers.map(lambda number: shop.order(f"customer_{number}", emma=1), range(8)))

    assert Counter(one.status for one in answers) == {201: 3, 409: 5}, shop.said()
    assert len(books.events("order.placed")) == 3
    assert books.all("books")["emma"]["copies"] == 0


def test_a_killed_shop_finishes_its_events_after_a_restart(
    new_shop: Callable[..., Shop], books: Books, courier: Courier
) -> None:
    shop = new_shop().start()
    shop.stock(emma=1_000)
    courier.hold()
    acknowledged = kill_in_the_middle(shop, orders=20)
    undone = books.states()
    assert undone["parcel.packed", "open"] > 0, undone
    books.pass_time()
    courier.release()

    shop.start()

    until(books.is_all_done, seconds=60)
    assert_that_nothing_is_lost_or_counted_twice(books, courier, acknowledged)


def kill_in_the_middle(shop: Shop, *, orders: int) -> set[str]:
    """Have four customers order one book after another, kill the shop, and return the answered orders."""
    answered: list[str] = []

    def keep_ordering(customer: str) -> None:
        with suppress(URLError, HTTPException, OSError):  # the shop was killed
            while True:
                answered.append(shop.order(customer, emma=1).body["order_id"])

    with ThreadPoolExecutor(4) as customers:
        for customer in ("ada", "ben", "cleo", "dan"):
            customers.submit(keep_ordering, customer)
        until(lambda: len(answered) >= orders)
        shop.kill()
    return set(answered)


def assert_that_nothing_is_lost_or_counted_twice(books: Books, courier: Courier, acknowledged: set[str]) -> None:
    """Compare orders, events, stock, points, parcels and calls."""
    orders = books.all("orders")
    assert acknowledged <= orders.keys()
    assert sorted(one["payload"]["order_id"] for one in books.events("order.placed")) == sorted(orders)
    assert sorted(one["payload"]["order_id"] for one in books.events("parcel.packed")) == sorted(orders)
    assert books.all("books")["emma"]["copies"] == 1_000 - len(orders)
    assert sum(one["points"] for one in books.all("customers").values()) == len(orders)
    assert books.all("parcels").keys() == orders.keys()
    assert {parcel for parcel, _ in courier.calls} == orders.keys()
    assert len({key for _, key in courier.calls}) == len(orders), "a second call had another key"
