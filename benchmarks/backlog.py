"""Open deliveries in the memory of a canned server, to list, claim, read back and close; and a registry of workers.

A record is a number, and one byte for its owner; its document is built when it is requested, so that ten million
records take ten megabytes. The engine's writes are recognised by their bytes. Conditions on tenants, types and handlers
are assumed to match, and each write by `_id` to find the expected revision, because only one client writes.
"""

from __future__ import annotations

import re
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, Final

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from benchmarks import wire
from benchmarks.wire import Command, Reply

STEP_MS: Final = 337
"""Milliseconds from one record's timestamp to the next one's."""
_MARK: Final = b"\x69\x7d\xd0\x00"
"""The first four bytes of each `_id`; the other eight contain the record's number."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ANY: Final = b"\xff" * 12
_LISTED, _NEVER_TAKEN_OVER = bson.encode({"_id": ObjectId(_ANY), "delivery": {"takeovers": 0}}).split(_ANY)
"""The parts before and after the `_id` of a record in a listing with `_id` and `delivery.takeovers`."""
_BY_ID: Final = b"\x07_id\0"
_NOBODY: Final = b"\x0aowner\0"
_STATE: Final = re.compile(rb"\x02(?:delivery\.)?state\0.{4}(open|done|dead)\0", re.DOTALL)
_NO_OWNER: Final = re.compile(rb"\x0a(?:delivery\.)?owner\0")


class Template:
    """A record split at its number, its time and its owner."""

    def __init__(self, document: bytes) -> None:
        to_id = document.index(_BY_ID) + len(_BY_ID)
        event_id = document.index(b"\x02event_id\0") + 10
        number = event_id + 4 + 36 - 12
        time = document.index(b"\x09timestamp\0") + 11
        delivery = document.index(b"\x03delivery\0") + 10
        owner = document.index(_NOBODY, delivery)
        self._pieces = (
            document[4:to_id],
            document[to_id + 12 : number],
            document[number + 12 : time],
            document[time + 8 : delivery],
            document[delivery + 4 : owner],
            document[owner + len(_NOBODY) :],
        )
        self.began_ms = struct.unpack("<q", document[time : time + 8])[0]
        self._size = struct.unpack("<i", document[delivery : delivery + 4])[0] - len(_NOBODY)

    def document(self, number: int, ms: int, owner: bytes) -> bytes:
        """Return the record with this number, time and owner."""
        a, b, c, d, e, f = self._pieces
        of_delivery = struct.pack("<i", self._size + len(owner))
        body = b"".join((a, _id(number), b, b"%012x" % number, c, struct.pack("<q", ms), d, of_delivery, e, owner, f))
        return struct.pack("<i", 4 + len(body)) + body


class Backlog:
    """Answers the commands of a redispatch, and those of the plain scripts that it is compared with."""

    def __init__(self, documents: Sequence[bytes], records: int) -> None:
        self._templates = [Template(one) for one in documents]
        self._began_ms = self._templates[0].began_ms if documents else 0
        self._records = records
        self._is_free = bytearray(b"\1") * records
        self._holders: dict[int, str] = {}
        self._cursors: dict[int, Iterator[bytes]] = {}
        self._numbers = count(1)
        self._workers: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.answers: dict[str, Callable[[Command], Reply]] = {
            "find": self._find,
            "getMore": self._get_more,
            "update": self._update,
            "findAndModify": self._find_and_modify,
            "delete": self._delete,
            "aggregate": self._aggregate,
            "count": lambda _: wire.ok(n=self._is_free.count(1)),
        }

    # read

    def _find(self, command: Command) -> Reply:
        limit = abs(command.get("limit") or 0) or None
        found = islice(self._found(command), limit)
        number = 0 if command.get("singleBatch") else next(self._numbers)
        return self._page(number, "firstBatch", found, command.get("batchSize") or limit or 101)

    def _get_more(self, command: Command) -> Reply:
        number = int(command["getMore"])
        return self._page(number, "nextBatch", self._cursors.pop(number, iter(())), command.get("batchSize") or 1_000)

    def _page(self, number: int, name: str, found: Iterator[bytes], size: int) -> Reply:
        documents = list(islice(found, size))
        is_last = number == 0 or len(documents) < size
        if not is_last:
            self._cursors[number] = found
        return wire.cursor(0 if is_last else number, name, wire.array(documents))

    def _found(self, command: Command) -> Iterator[bytes]:
        if command["find"].endswith("_workers"):
            return iter([bson.encode(one) for one in list(self._workers.values())])
        numbers = self._matching(_flat(command.get("filter", {})), is_reverse=_is_reverse(command.get("sort")))
        if "_id" in command.get("projection", ()):
            return (_LISTED + _id(number) + _NEVER_TAKEN_OVER for number in numbers)
        return map(self._document, numbers)

    def _matching(self, condition: Mapping[str, Any], *, is_reverse: bool) -> Iterable[int]:
        if _is_for_taken_over(condition.get("delivery.takeovers")):
            return ()
        owner = condition.get("delivery.owner", "anyone")
        if "_id" in condition:
            named = self._named(condition["_id"])
            return named if owner == "anyone" else [one for one in named if self._holders.get(one) == owner]
        if owner == "anyone":
            return self._open()
        if owner is None or (isinstance(owner, dict) and None in owner.get("$in", ())):
            free = self._free_backwards if is_reverse else self._free
            return free(*self._between(condition.get("timestamp")))
        owners = owner.get("$in") if isinstance(owner, dict) else [owner]
        return sorted(one for one, holder in self._holders.copy().items() if owners is None or holder in owners)

    def _named(self, value: Any) -> list[int]:
        ids = value.get("$in", [value.get("$eq")]) if isinstance(value, dict) else [value]
        return sorted(number for one in ids if (number := self._number(one.binary)) is not None)

    def _number(self, data: bytes) -> int | None:
        number = int.from_bytes(data[4:], "big")
        return number if data[:4] == _MARK and number < self._records else None

    def _between(self, bounds: Any) -> tuple[int, int]:
        first, last = 0, self._records
        for operator, moment in bounds.items() if isinstance(bounds, dict) else ():
            past = self._ms(moment) - self._began_ms
            at = -(-past // STEP_MS) if operator in ("$gte", "$lt") else past // STEP_MS + 1
            if operator in ("$gte", "$gt"):
                first = max(first, at)
            else:
                last = min(last, at)
        return max(first, 0), max(last, 0)

    @staticmethod
    def _ms(moment: datetime) -> int:
        return int((moment.replace(tzinfo=UTC) - _EPOCH).total_seconds() * 1000)

    def _free(self, first: int, last: int) -> Iterator[int]:
        number = self._is_free.find(1, first, last)
        while number >= 0:
            yield number
            number = self._is_free.find(1, number + 1, last)

    def _free_backwards(self, first: int, last: int) -> Iterator[int]:
        number = self._is_free.rfind(1, first, last)
        while number >= 0:
            yield number
            number = self._is_free.rfind(1, first, number)

    def _open(self) -> Iterator[int]:
        return (number for number in range(self._records) if self._is_free[number] or number in self._holders)

    def _document(self, number: int) -> bytes:
        holder = self._holders.get(number)
        owner = _NOBODY if holder is None else b"\x02owner\0" + _text(holder)
        template = self._templates[number % len(self._templates)]
        return template.document(number, self._began_ms + STEP_MS * number, owner)

    def _aggregate(self, command: Command) -> Reply:
        group: dict[str, Any] = next((stage["$group"] for stage in command["pipeline"] if "$group" in stage), {})
        match group.get("_id"):
            case 1 | None:  # sent by count_documents
                rows: list[dict[str, Any]] = [{"_id": 1, "n": self._is_free.count(1)}]
            case "$delivery.owner":
                owned = Counter(self._holders.copy().values())
                rows = [{"_id": owner, "records": records} for owner, records in owned.items()]
            case _:
                rows = []
        return wire.cursor(0, "firstBatch", wire.array([bson.encode(row) for row in rows]))

    # write

    def _update(self, command: Command) -> Reply:
        if command["update"].endswith("_workers"):
            return wire.ok(n=1, nModified=1)
        matched = sum(map(self._write, command["updates"]))
        return wire.ok(n=matched, nModified=matched)

    def _write(self, update: bytes) -> int:
        """Apply one update of a batch and return the number of matched records."""
        end_of_condition = 7 + struct.unpack_from("<i", update, 7)[0]
        at = update.find(_BY_ID, 0, end_of_condition)
        if at < 0:
            return self._claim(bson.decode(update))
        number = self._number(update[at + 5 : at + 17])
        if number is not None:
            self._put(number, update, end_of_condition)
        return 1

    def _claim(self, update: Mapping[str, Any]) -> int:
        owner = update["u"]["$set"]["delivery.owner"]
        with self._lock:
            free = [number for number in self._named(update["q"]["_id"]) if self._is_free[number]]
            for number in free:
                self._is_free[number] = 0
                self._holders[number] = owner
        return len(free)

    def _put(self, number: int, update: bytes, start: int) -> None:
        state = _STATE.search(update, start)
        is_closed = state is not None and state[1] != b"open"
        if is_closed or _NO_OWNER.search(update, start):
            with self._lock:
                self._holders.pop(number, None)
                self._is_free[number] = not is_closed

    def _find_and_modify(self, command: Command) -> Reply:
        if command["findAndModify"].endswith("_workers"):
            return wire.ok(value=self._beat(command))
        with self._lock:
            number = self._is_free.find(1)
            if number < 0:
                return wire.ok(value=None)
            self._is_free[number] = 0
            self._holders[number] = command["update"]["$set"]["delivery.owner"]
        return wire.ok(value=RawBSONDocument(self._document(number)))

    def _beat(self, command: Command) -> dict[str, Any] | None:
        owner, now = command["query"]["_id"], datetime.now(UTC)
        if command.get("upsert") and owner not in self._workers:
            entry = command["update"].get("$setOnInsert", {}) | command["update"].get("$set", {})
            self._workers[owner] = {"_id": owner, **entry, "started_at": now}
        if owner in self._workers:
            self._workers[owner]["beat_at"] = now
        return self._workers.get(owner)

    def _delete(self, command: Command) -> Reply:
        owners = [bson.decode(one)["q"].get("_id") for one in command["deletes"]]
        return wire.ok(n=sum(self._workers.pop(owner, None) is not None for owner in owners))


def _id(number: int) -> bytes:
    return _MARK + number.to_bytes(8, "big")


def _text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<i", len(data)) + data


def _is_reverse(sort: Mapping[str, int] | None) -> bool:
    return sort is not None and next(iter(sort.values()), 1) < 0


def _is_for_taken_over(takeovers: Any) -> bool:
    """Return whether a condition selects records that were taken over; there are none."""
    if isinstance(takeovers, dict):
        return bool(takeovers.get("$gte", 0) > 0 or takeovers.get("$gt", -1) >= 0)
    return isinstance(takeovers, int) and takeovers > 0


def _flat(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition with its `$and` flattened and the bounds of a field merged."""
    flat: dict[str, Any] = {}
    for field, value in condition.items():
        for name, one in (
            [pair for each in value for pair in _flat(each).items()] if field == "$and" else [(field, value)]
        ):
            both = isinstance(one, dict) and isinstance(flat.get(name), dict)
            flat[name] = flat[name] | one if both else one
    return flat
