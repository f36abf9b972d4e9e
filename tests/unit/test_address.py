"""Addresses that a service listens on."""

from __future__ import annotations

import pytest

from craft_events_cli.address import Address, address

DEFAULT = Address("127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9000", "127.0.0.1", 9000),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("0.0.0.0", "0.0.0.0", 8000),
        ("Ops-1.example", "ops-1.example", 8000),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 8000),
        ("::1", "::1", 8000),
    ],
)
def test_an_address_has_the_default_for_what_is_not_given(text: str, host: str, port: int) -> None:
    assert address(text, DEFAULT) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":80",
        "a:",
        "a:b",
        "a:0",
        "65536",
        "a:65536",
        "a b:80",
        "[::1",
        "[::1]80",
        "[x]:80",
        "::x",
        "-x:80",
        "é:80",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        address(text, DEFAULT)


def test_an_address_in_ipv6_is_written_with_brackets() -> None:
    assert Address("::1", 80).url == "http://[::1]:80/"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("ops", False)],
)
def test_a_loopback_address_is_reached_by_this_machine_alone(host: str, *, is_loopback: bool) -> None:
    assert Address(host, 80).is_loopback is is_loopback
