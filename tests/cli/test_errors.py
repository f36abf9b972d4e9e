"""Each exit code, and the text of an error."""

import importlib

import pytest

from craft_easy.core.events import errors
from craft_events_cli.errors import ExitCode, exit_code_of
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("UsageError", 2),
        ("InvalidSetting", 2),
        ("InvalidEvent", 2),
        ("EventConflict", 3),
        ("HandlerNotFound", 3),
        ("StoreUnavailable", 4),
        ("StoreLoginRefused", 4),
        ("EmbeddedLogError", 4),
        ("HandlerModuleError", 5),
        ("CheckpointError", 6),
        ("ArchiveError", 1),
        ("StoreError", 1),
        ("RecordRefused", 1),
        ("TransactionsMissing", 1),
        ("WrongDeployment", 1),
        ("CommitUnknown", 4),
        ("DeliveryOver", 1),
        ("EventsError", 1),
        ("ValueError", 1),
        ("SystemExit", 1),
        ("GeneratorExit", 1),
        ("KeyboardInterrupt", 130),
        ("Terminated", 143),
    ],
)
def test_each_error_ends_with_its_code(cli: Cli, kind: str, code: int) -> None:
    ended = cli("fail", kind)
    assert ended.code == code
    assert ended.out == ""
    if code in (130, 143):
        assert ended.err == ""
    else:
        assert ended.err.startswith("error: ")
        assert "it broke" in ended.err
        assert 1 <= len(ended.err.splitlines()) <= 3
        assert "Traceback" not in ended.err


def test_every_error_of_the_library_has_a_code_of_its_own_or_is_unexpected() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EventsError)]
    codes = {kind: exit_code_of(kind.__new__(kind)) for kind in kinds}
    unexpected = {kind.__name__ for kind, code in codes.items() if code is ExitCode.UNEXPECTED}
    of_applications = {"TransactionsMissing", "WrongDeployment", "DeliveryOver", "NoDelivery"}
    assert unexpected == {"EventsError", "StoreError", "RecordRefused", "ArchiveError"} | of_applications


def test_every_exit_code_has_a_meaning() -> None:
    source = importlib.import_module("craft_events_cli.errors").__file__
    assert source is not None
    with open(source) as file:
        text = file.read()
    for code in ExitCode:
        assert f'    {code.name} = {code.value}\n    """' in text


def test_an_unexpected_error_names_its_kind_and_how_to_see_more(cli: Cli) -> None:
    ended = cli("fail", "ValueError", "odd\nvalue \x1b[31m")
    assert r"ValueError: odd\nvalue \x1b[31m" in ended.err
    assert "--debug" in ended.err


def test_debug_adds_the_traceback_with_its_causes(cli: Cli) -> None:
    ended = cli("fail", "ValueError", "odd \x1b[31m", "--debug")
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert "stub.py" in ended.err
    assert ended.err.endswith("error: unexpected ValueError: odd \\x1b[31m\n")
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_no_error_shows_a_password(cli: Cli, debug: list[str]) -> None:
    address = "mongodb://app:secret@db-9/?authMechanismProperties=AWS_SESSION_TOKEN:secret"
    for kind in ("StoreUnavailable", "ValueError", "UsageError"):
        ended = cli("fail", kind, f"cannot reach {address}", *debug)
        assert "secret" not in ended.err
        assert "mongodb://app:***@db-9/" in ended.err


def test_a_message_without_end_is_cut(cli: Cli) -> None:
    assert len(cli("fail", "ValueError", "x" * 100_000).err) < 1_200


def test_an_error_whose_text_cannot_be_read_is_still_named() -> None:
    from craft_events_cli.errors import report

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert report(Odd()) is ExitCode.UNEXPECTED
