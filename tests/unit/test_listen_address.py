"""Addresses to listen on, as typed."""

import pytest

from craft_events_cli.metrics.address import ListenAddress, listen_address


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464, True),
        ("127.8.0.1:1", "127.8.0.1", 1, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:9464", "::1", 9464, True),
        (":9464", "", 9464, False),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("[::]:80", "::", 80, False),
        ("metrics.example:9464", "metrics.example", 9464, False),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int, is_loopback: bool) -> None:
    found = listen_address(text)
    assert (found, str(found), found.is_loopback) == (ListenAddress(host, port), text, is_loopback)


@pytest.mark.parametrize(
    "text",
    ["", "9464", "localhost", "localhost:", "::1:9464", "[::1]", "[::1:9464", "[x]:1", "[127.0.0.1]:1"],
)
def test_another_text_is_refused_with_what_to_try(text: str) -> None:
    with pytest.raises(ValueError, match=r"Try 127\.0\.0\.1:9464, :9464 or \[::1\]:9464"):
        listen_address(text)


@pytest.mark.parametrize("port", ["-1", "1e3", "٣", "65536", "999999999999", " 1"])
def test_another_port_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match=r"Try 127\.0\.0\.1:9464"):
        listen_address(f"localhost:{port}")
