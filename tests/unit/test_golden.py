"""Records of version 1: this version stores the same ids, contents and bytes.

Ids of events that handlers publish depend on the content, so a handler that started under version 1 and is run again
under this version finds the events that it has published. The values were recorded by running version 1.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import bson
import pytest

from craft_easy.core.events.store.documents import event_content, new_record
from craft_easy.core.events.store.encoding import CODEC
from tests.unit.golden_events import golden_events

VERSION_1: Final = {
    "created": ("68a5541b6d56c90966f348a2", "b6ceb8eabd9ff228631df538", "2b359125c924541575c41621"),
    "updated": ("68a5541b6d56c90966f348a2", "0acf3ab6ea5b73fd3d194609", "0fefc233cf2049f1be0a003c"),
    "deleted": ("68a5541b6d56c90966f348a2", "87eff9959d211789082e1167", "bc0fe324b46a76c32e2a51b1"),
    "paid": ("68a5541b6d56c90966f348a2", "61691cff46aeb94cc6b8fd0b", "0f3565256829e494b5273e27"),
    "paid in whole numbers": ("68a5541b6d56c90966f348a2", "18fe9cb42cd2e691cd5ec413", "15bd5a867fe3543866617b2d"),
    "registered": ("30d81ba1170675eb7e5f4137", "6a024cb74b05c648c6cc6959", "22199c8c17bbbbfd05df2e58"),
    "rich": ("68a5541b6d56c90966f348a2", "c3d71889351c7795a0272e1d", "37950ca622175e20208482a8"),
    "generic": ("68a5541b6d56c90966f348a2", "89ab29fde79546f2aa827828", "dcbe02e572596cd0c1003eb3"),
    "generic of a model": ("68a5541b6d56c90966f348a2", "8f603adb9328283cd654bff5", "03b20f1313e16ebb3a15559c"),
    "nothing": ("c1f4205247eae2290a8b32e2", "a7fb7a4b748ce7e5adda05b5", "307e54eecfd0e6181ca5700f"),
    "plain values": ("c1f4205247eae2290a8b32e2", "44559badb371339d0a142448", "b10d292ee51170164847c918"),
    "order of keys": ("c1f4205247eae2290a8b32e2", "9d1eb69a5b715bc2b46e758a", "548790d26e9bdf4b381cb568"),
    "values of a payload": ("c1f4205247eae2290a8b32e2", "27f15f4a59de1acf215c920c", "2537167facefa95d6e30a7e1"),
    "values of BSON": ("c1f4205247eae2290a8b32e2", "eb206ba30aee7b6fc9723377", "74d93020f64eb6e5957c01ed"),
}
"""For each event the `_id` of its record, and the digests of its content and of its record."""


def test_every_golden_event_is_tested() -> None:
    assert golden_events().keys() == VERSION_1.keys()


@pytest.mark.parametrize("name", VERSION_1)
def test_an_event_is_stored_as_version_1_stored_it(name: str) -> None:
    event = golden_events()[name]
    record = new_record(event)
    assert (str(record["_id"]), _digest(event_content(event)), _digest(_encode(record))) == VERSION_1[name]


def _encode(record: dict[str, object]) -> bytes:
    return bson.encode(record, codec_options=CODEC)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=12).hexdigest()
