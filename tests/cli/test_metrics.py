"""`metrics` and `redispatch --metrics`: options and errors; `tests/acceptance/test_metrics.py` runs them."""

import socket
import sys

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["x"], "unexpected extra argument(s) (x)"),
        (["--listen", "9464"], '--listen: "9464" is not an address. Try 127.0.0.1:9464, :9464 or [::1]:9464'),
        (["--listen", "::1:9464"], '"::1:9464" is not an address'),
        (["--listen", ":70000"], '":70000" has a port above 65535'),
        (["--interval", "0.5"], '"0.5" is not between 1s and 1h'),
        (["--interval", "2h"], '"2h" is not between 1s and 1h'),
        (["--interval", "x"], '"x" is not a valid duration'),
        (["--tenant", "acme"], "no such option: --tenant"),
    ],
)
def test_an_impossible_request_is_a_usage_error(cli: Cli, arguments: list[str], text: str) -> None:
    ended = cli("metrics", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert text in ended.err


def test_a_port_that_is_in_use_is_a_usage_error(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli("metrics", "--listen", f"127.0.0.1:{port}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"error: 127.0.0.1:{port} cannot be listened on: Address already in use\n"
        "choose another port, or port 0 for a free one\n"
    )


def test_an_address_of_another_machine_is_a_usage_error(cli: Cli) -> None:
    ended = cli("metrics", "--listen", "192.0.2.1:9464")
    assert ended.code == 2
    assert "192.0.2.1:9464 cannot be listened on: " in ended.err


def test_without_the_client_of_prometheus_one_line_says_how_to_get_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    ended = cli("metrics")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: metrics need prometheus-client, which is not installed\npip install 'craft-events[metrics]'\n"
    )


def test_a_redispatch_that_ends_has_no_metrics(cli: Cli) -> None:
    ended = cli("redispatch", "--metrics", ":0", "-m", "shop")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: --metrics needs --watch: a run that ends is not scraped\nadd --watch\n"


@pytest.mark.usefixtures("log", "shop")
def test_a_redispatch_whose_port_is_in_use_delivers_nothing(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli("redispatch", "--watch", "--metrics", f"127.0.0.1:{port}", "-m", "shop")
    assert (ended.code, ended.out) == (2, "")
    assert f"127.0.0.1:{port} cannot be listened on: Address already in use" in ended.err
