"""A file archive: appended to, read back, repaired after a run that was killed."""

import fcntl
import gzip
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from craft_easy.core.events.errors import ArchiveError
from craft_easy.core.events.operations import prune
from craft_easy.core.events.operations.prune import FileArchive
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.queries.prune import RAW, Copy, exact_line

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
NAMES = ("old.ndjson", "old.ndjson.gz")


def copy(number: int = 1, **fields: Any) -> Copy:
    record = {
        "_id": bson.ObjectId(f"{number:024x}"),
        "event_id": f"e{number}",
        "event_type": "order.placed",
        "tenant_id": "acme",
        "actor_id": None,
        "payload": {"n": number},
        "timestamp": AT,
    }
    return Copy(RawBSONDocument(bson.encode(record | fields, codec_options=CODEC), RAW))


def text_of(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


async def kept(path: Path, *copies: Copy) -> int:
    """Write copies to a file in a run of their own, and return the number of bytes that were cut off before."""
    async with FileArchive(path) as file:
        assert await file.keep(copies) == []
        return file.cut


# ------------------------------------------------------------------ lines


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"payload": {"int": 1, "long": bson.Int64(1), "double": 1.0, "minus": -0.0, "nan": float("nan")}},
        {
            "payload": {
                "uuid": UUID(int=1),
                "old": bson.Binary(bytes(16), 3),
                "raw": b"\0",
                "kind": bson.Binary(b"", 128),
            }
        },
        {"payload": {"at": AT, "far": bson.DatetimeMS(2**62), "money": bson.Decimal128("1.50"), "id": bson.ObjectId()}},
        {"payload": {"code": bson.Code("x"), "scoped": bson.Code("x", {"a": 1}), "pattern": bson.Regex("^a", "im")}},
        {
            "payload": {
                "max": bson.MaxKey(),
                "min": bson.MinKey(),
                "ts": bson.Timestamp(1, 2),
                "ref": bson.DBRef("c", 1),
            }
        },
        {"payload": [1, {"a": []}], "timestamp": "yesterday", "delivery": "x", "tenant_id": 7, "extra": {"": None}},
        {"payload": {"text": "\x1b[31m \u2028 \U0001f600 \x7f", "$price": 1, "a.b": 2}},
    ],
)
def test_a_line_gives_the_same_bytes_again(fields: dict[str, Any]) -> None:
    line = exact_line(copy(**fields))
    assert line is not None
    assert line.isascii()
    assert line.count(b"\n") == 1


def document(*elements: bytes) -> Copy:
    body = b"\x07_id\0" + bytes(12) + b"".join(elements) + b"\0"
    return Copy(RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body, RAW))


@pytest.mark.parametrize(
    "one",
    [
        copy(payload={"$oid": "0" * 24}),
        copy(payload={"$date": "x"}),
        document(b"\x08a\0\1", b"\x08a\0\0"),
        document(b"\x02a\0\2\0\0\0\xff\0"),
        document(b"\x06a\0"),
        document(b"\x0ea\0\2\0\0\0s\0"),
    ],
    ids=["like an ObjectId", "like a date", "a key twice", "no UTF-8", "undefined", "a symbol"],
)
def test_a_record_that_json_cannot_represent_has_no_line(one: Copy) -> None:
    assert exact_line(one) is None


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize("name", NAMES)
async def test_each_run_appends_and_every_reader_takes_it_for_one_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await kept(path, copy(1), copy(2))
    await kept(path, copy(3))
    assert [line.partition(",")[0] for line in text_of(path).splitlines()] == [
        f'{{"event_id":"e{number}"' for number in (1, 2, 3)
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", NAMES)
async def test_an_event_without_an_exact_line_is_returned_and_not_in_the_file(tmp_path: Path, name: str) -> None:
    path, odd = tmp_path / name, copy(2, payload={"$oid": "x"})
    async with FileArchive(path) as file:
        assert await file.keep([copy(1), odd, copy(3)]) == [odd]
        assert await file.keep([odd]) == [odd]
    assert len(text_of(path).splitlines()) == 2


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_that_keeps_nothing_leaves_no_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert await kept(path) == 0
    assert not path.exists()
    path.touch()
    assert await kept(path) == 0
    assert path.exists()


@pytest.mark.parametrize("name", NAMES)
async def test_the_next_run_continues_after_a_kill_during_any_write(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await kept(path, copy(1))
    first = path.stat().st_size
    await kept(path, copy(2))
    whole = path.read_bytes()
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        cut = await kept(path, copy(3))
        is_whole_line = name == "old.ndjson" and size == len(whole) - 1  # only its newline is missing
        assert cut == (0 if is_whole_line else size - first), size
        assert len(text_of(path).splitlines()) == (3 if is_whole_line else 2), size


@pytest.mark.parametrize("name", NAMES)
async def test_the_first_write_of_a_file_may_be_cut_off_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await kept(path, copy(1))
    half = path.read_bytes()[:20]
    path.write_bytes(half)
    assert await kept(path, copy(2)) == 20
    assert len(text_of(path).splitlines()) == 1


async def test_lines_that_another_program_wrote_stay(tmp_path: Path) -> None:
    path = tmp_path / "old.ndjson"
    path.write_text('{"a": 1}\n{"b": 2}')
    assert await kept(path, copy(1)) == 0
    assert text_of(path).startswith('{"a": 1}\n{"b": 2}\n{"event_id"')
    packed = tmp_path / "old.ndjson.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n' * 300_000))
    assert await kept(packed, copy(1)) == 0
    assert len(text_of(packed).splitlines()) == 300_001


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"dear diary"),
        ("old.ndjson", b'{"a": 1}\nnot a line of ours'),
        ("old.ndjson.gz", b'{"a": 1}\n'),
        ("old.ndjson.gz", gzip.compress(b"another program's" * 99, mtime=0)[:-9]),
        ("old.ndjson.gz", gzip.compress(b"{}\n", mtime=0) + b"rubbish"),
        ("old.ndjson.gz", gzip.compress(b"{}\n", mtime=0) + bytes(10)),
    ],
)
async def test_a_foreign_or_damaged_file_is_refused_and_not_changed(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=name):
        await kept(path, copy(1))
    assert path.read_bytes() == content


async def test_one_process_at_a_time_appends(tmp_path: Path) -> None:
    path = tmp_path / "old.ndjson"
    async with FileArchive(path):
        with pytest.raises(ArchiveError, match="in use"):
            await kept(path, copy(1))
    path.touch()
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ArchiveError, match="in use"):
        await kept(path, copy(1))
    os.close(other)


@pytest.mark.parametrize("place", ["missing/old.ndjson", ".", "pipe", "/dev/null", "/dev/full"])
async def test_a_value_that_cannot_be_read_back_is_refused(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError) as caught:
        await kept(tmp_path / place, copy(1))
    assert str(tmp_path / place) in str(caught.value)


async def test_a_full_disk_is_reported_and_leaves_no_partial_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.ndjson"
    await kept(path, copy(1))
    before, write = path.read_bytes(), os.write

    def full(descriptor: int, data: Any) -> int:
        if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return write(descriptor, data)
        if os.lseek(descriptor, 0, os.SEEK_CUR) > len(before):
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data)[:10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ArchiveError, match="No space left on device"):
        await kept(path, copy(2))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
async def test_a_disk_that_returns_other_data_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read = os.pread

    def rotten(descriptor: int, size: int, at: int) -> bytes:
        return read(descriptor, size, at)[:-1] + b"?"

    async with FileArchive(tmp_path / name) as file:
        monkeypatch.setattr(os, "pread", rotten)
        with pytest.raises(ArchiveError, match="reads back differently"):
            await file.keep([copy(1)])


def test_a_member_of_gzip_is_as_the_standard_has_it() -> None:
    member = prune._member(b"a" * 100)
    assert gzip.decompress(member) == zlib.decompress(member, wbits=31) == b"a" * 100
