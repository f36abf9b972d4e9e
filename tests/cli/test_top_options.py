"""The options of `top --serve`: what has no effect, or contradicts itself, is refused."""

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["9000"], "error: the address 127.0.0.1:9000 is for --serve"),
        (["--allow-actions"], "error: --allow-actions is for --serve"),
        (["--public-url", "https://ops.example"], "error: --public-url is for --serve"),
        (["--serve", "--allow-actions", "--read-only"], "error: --allow-actions and --read-only contradict each other"),
        (["--serve", "127.0.0.1:0"], 'error: HOST:PORT: "0" is not a port: 1 to 65535'),
        (["--serve", "--public-url", "ops.example"], 'error: --public-url: "ops.example" is not a valid address'),
        (["--serve", "--public-url", "http://u:secret@x"], "error: --public-url: "),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(cli: Cli, options: list[str], error: str) -> None:
    ended = cli("top", *options)
    assert ended.code == 2
    assert ended.err.startswith(error)
    assert "secret" not in ended.err
