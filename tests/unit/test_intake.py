"""Lines of input: numbers, line ends, gzip, invalid text, and flat memory."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.operations.intake import Line, Splitting, Unpacking, count_lines, lines


async def taken(*chunks: bytes) -> list[Line]:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for page in lines(source()) for line in page]


def bytewise(data: bytes) -> Iterable[bytes]:
    return (data[index : index + 1] for index in range(len(data)))


async def test_lines_are_numbered_as_an_editor_does_and_blank_ones_left_out() -> None:
    found = await taken(b"one\r\n\n  \t\nfour\n")
    assert [(line.number, line.data, line.is_last) for line in found] == [(1, b"one\r", False), (4, b"four", False)]


async def test_a_last_line_without_an_end_is_a_line_and_known_as_such() -> None:
    found = await taken(b"one\ntw", b"o")
    assert [(line.data, line.is_last) for line in found] == [(b"one", False), (b"two", True)]


async def test_chunks_can_be_cut_anywhere() -> None:
    data = b"\xef\xbb\xbf" + "öne\ntwo\n\nfour".encode()
    assert await taken(data) == await taken(*bytewise(data))
    assert (await taken(data))[0].text() == "öne"
    packed = gzip.compress(b"one\ntwo\n", mtime=0)
    assert await taken(packed) == await taken(*bytewise(packed)) == await taken(b"one\ntwo\n")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
async def test_an_empty_input_gives_no_lines(data: bytes) -> None:
    assert await taken(data) == []


async def test_several_gzip_members_are_one_file_and_padding_is_none() -> None:
    packed = gzip.compress(b"one\nt", mtime=0) + gzip.compress(b"wo\n", mtime=0) + bytes(512)
    for chunks in ([packed], bytewise(packed)):
        assert [line.data for line in await taken(*chunks)] == [b"one", b"two"]


async def test_a_gzip_file_that_was_cut_off_gives_its_lines_and_then_a_fault() -> None:
    text = b"".join(b"%d %d\n" % (number, zlib.crc32(b"%d" % number)) for number in range(10_000))
    found = await taken(gzip.compress(text, mtime=0)[:-5_000])
    assert len(found) > 1_000
    assert all(line.fault is None for line in found[:-1])
    assert found[-1].number == len(found)
    with pytest.raises(ValueError, match="end too early"):
        found[-1].text()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x1f\x8b\x08nonsense" * 10, "damaged"),
        (gzip.compress(b"one\n", mtime=0) + b"more", "other data follow"),
        (gzip.compress(b"one\n", mtime=0)[:-8] + bytes(8), "damaged"),
        (b"\x1f\x8b", "end too early"),
    ],
)
async def test_damaged_gzip_is_a_fault_of_one_line(data: bytes, fault: str) -> None:
    for chunks in ([data], bytewise(data)):
        found = await taken(*chunks)
        assert [line.fault for line in found if line.fault and fault in line.fault] == [found[-1].fault]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}\n'.encode("utf-16-le"), None),
        (b'{"a": "\xff"}', "not UTF-8: byte 8 of the line"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    ],
)
async def test_text_that_is_not_utf_8_is_reported_and_not_lost(data: bytes, reason: str | None) -> None:
    first = (await taken(data))[0]
    if reason is None:  # ASCII with NUL between: valid UTF-8, but not JSON
        assert "\0" in first.text()
        return
    with pytest.raises(ValueError, match=reason):
        first.text()
    assert first.raw_text().encode(errors="surrogateescape") == first.data


def test_a_line_that_is_too_long_is_never_held() -> None:
    splitting = Splitting(longest=100)
    found = [line for _ in range(1_000) for line in splitting.feed(b"x" * 90)]
    found += [*splitting.feed(b"y\nshort\n"), *splitting.end()]
    assert [(line.number, len(line.data)) for line in found] == [(1, 1_000), (2, 5)]
    assert found[0].fault == "a line of 90,001 bytes exceeds the limit of 100"


def test_a_bomb_is_unpacked_piece_by_piece() -> None:
    packed = gzip.compress(bytes(50_000_000))
    assert max(len(piece) for piece in Unpacking().feed(packed)) <= 1 << 20


async def test_files_and_pipes_are_read_alike(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"one\ntwo\n")
    assert [line.data async for page in lines(file) for line in page] == [b"one", b"two"]
    assert await count_lines(file) == 2
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    assert [line.data async for page in lines(f"/dev/fd/{reading}") for line in page] == [b"one", b"two"]
    assert await count_lines(f"/dev/fd/{reading}") is None
    os.close(reading)


async def test_a_pipe_gives_what_it_holds_without_waiting_for_more(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pages = lines(f"/dev/fd/{reading}")
    os.write(writing, b"one\ntw")
    assert [line.data for line in await anext(pages)] == [b"one"]
    os.write(writing, b"o\n")
    assert [line.data for line in await anext(pages)] == [b"two"]
    await pages.aclose()
    os.close(writing)
    os.close(reading)


@pytest.mark.parametrize("name", [".", "nothing", "nothing/here", "a\0b"])
async def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSetting):
        await anext(lines(str(tmp_path / name)))
    with pytest.raises(InvalidSetting):
        await count_lines(str(tmp_path / name))


async def test_an_empty_device_has_no_lines() -> None:
    assert [line async for page in lines("/dev/null") for line in page] == []
