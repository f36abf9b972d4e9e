"""Errors of the driver and ours."""

from __future__ import annotations

import errno
import inspect
from typing import Any

import bson.errors
import pytest
from pymongo import errors

from craft_easy.core.events.errors import RecordRefused, StoreError, StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.store import faults

WHERE = "db.example.com:27017"


@pytest.mark.parametrize("module", [errors, bson.errors])
def test_every_exception_of_the_driver_is_listed(module: Any) -> None:
    grown = {
        name
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == module.__name__ and each not in faults.KINDS
    }
    assert grown == set(), "the driver has new exceptions: map them in faults.KINDS"


def login(code: int) -> errors.OperationFailure:
    return errors.OperationFailure("no", code, {"errmsg": "not you", "code": code})


def bulk(**details: Any) -> errors.BulkWriteError:
    return errors.BulkWriteError(details)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ServerSelectionTimeoutError("x"), StoreUnavailable),
        (errors.NetworkTimeout("x"), StoreUnavailable),
        (errors.NotPrimaryError("x"), StoreUnavailable),
        (errors.CursorNotFound("x", 43), StoreUnavailable),
        (errors.ExecutionTimeout("x", 50), StoreUnavailable),
        (errors.WTimeoutError("x", 64), StoreUnavailable),
        (errors.OperationFailure("x", 11600), StoreUnavailable),
        (errors.OperationFailure("x", 1, {"errorLabels": ["RetryableWriteError"]}), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (login(18), StoreLoginRefused),
        (login(13), StoreLoginRefused),
        (login(8000), StoreLoginRefused),
        (errors.WriteError("x", 121), RecordRefused),
        (errors.DuplicateKeyError("x", 11000), RecordRefused),
        (errors.WriteError("x", 987_654), StoreError),
        (errors.WriteError("x", 112), StoreUnavailable),
        (bulk(writeErrors=[{"errmsg": "too odd"}]), StoreError),
        (bulk(writeErrors=[], writeConcernErrors=[{"errmsg": "waiting"}]), StoreUnavailable),
        (bson.errors.InvalidDocument("x"), RecordRefused),
        (errors.OperationFailure("x", 2), StoreError),
        (errors.InvalidOperation("x"), StoreError),
    ],
)
def test_an_error_distinguishes_an_outage_a_refused_login_and_a_refused_record(
    error: Exception, kind: type[StoreError]
) -> None:
    found = faults.translated(error, WHERE)
    assert type(found) is kind
    assert str(found).startswith(f"{WHERE}: ")
    assert "\n" not in str(found)
    assert (found.hint is not None) == (kind in (StoreUnavailable, StoreLoginRefused))


def test_the_text_is_that_of_the_server_or_the_network() -> None:
    selection = errors.ServerSelectionTimeoutError(
        f"db:1: [Errno {errno.ECONNREFUSED}] Connection refused (configured timeouts: socketTimeoutMS: 1), "
        "Timeout: 5s, Topology: <…>"
    )
    assert str(faults.translated(selection, WHERE)) == f"{WHERE}: db:1: connection refused"
    async_driver = errors.AutoReconnect(f"{WHERE}: [Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.1', 1)")
    assert str(faults.translated(async_driver, WHERE)) == f"{WHERE}: connection refused"
    assert str(faults.translated(login(18), WHERE)) == f"{WHERE}: not you"
    assert "no answer before the deadline" in str(faults.translated(TimeoutError(), WHERE))
    none = errors.ServerSelectionTimeoutError("No replica set members found yet, Timeout: 5s")
    assert str(faults.translated(none, WHERE)) == f"{WHERE}: no server answered before the deadline"
    assert "a write was refused" in str(faults.translated(bulk(), WHERE))
    assert "KeyError" not in str(faults.translated(errors.PyMongoError(), WHERE))


@pytest.mark.parametrize(
    "text", ["No primary available for writes", 'No replica set members match selector "Primary()"']
)
def test_an_election_is_told_from_a_wrong_address(text: str) -> None:
    error = errors.ServerSelectionTimeoutError(f"{text}, Timeout: 5s, Topology Description: <…>")
    assert "none of them is the primary" in str(faults.translated(error, WHERE))


def test_a_text_is_short_and_holds_no_password() -> None:
    error = errors.AutoReconnect("cannot reach mongodb://user:hunter2@db:1/x\n" + "very " * 200)
    text = str(faults.translated(error, WHERE))
    assert "hunter2" not in text
    assert len(text) < 400


def test_a_refused_address_is_not_quoted_if_it_has_a_password() -> None:
    secret = faults.invalid_uri(errors.InvalidURI("bad part: hunter2"), "mongodb://user:hunter2@db:1")
    assert "hunter2" not in str(secret)
    plain = faults.invalid_uri(errors.InvalidURI("bad port"), "mongodb://db:99999999", "CRAFT_EVENTS_URI")
    assert str(plain) == "uri: the driver cannot use it: bad port (from CRAFT_EVENTS_URI)"


def test_only_errors_of_the_driver_are_translated() -> None:
    with pytest.raises(StoreUnavailable) as caught, faults.translate_errors(WHERE):
        raise errors.AutoReconnect("gone")
    assert isinstance(caught.value.__cause__, errors.AutoReconnect)
    with pytest.raises(KeyError), faults.translate_errors(WHERE):
        raise KeyError("mine")
    with faults.translate_errors(WHERE):
        pass


@pytest.mark.parametrize("code", [24, 46, 112, 133, 175, 202, 237, 13388])
def test_a_transient_fault_is_retried_wherever_its_code_is_in_the_reply(code: int) -> None:
    for error in (
        errors.OperationFailure("x", code),
        errors.WriteError("x", code),
        bulk(writeErrors=[{"index": 0, "code": code}]),
        bulk(writeErrors=[{"index": 0, "code": 121}, {"index": 1, "code": code}]),
    ):
        assert type(faults.translated(error, WHERE)) is StoreUnavailable


@pytest.mark.parametrize(
    ("codes", "unacknowledged", "kind"),
    [
        ([121, 10334], False, RecordRefused),
        ([121, 11000], True, StoreUnavailable),
        ([121, 987_654], False, StoreError),
        ([121, 13], False, StoreLoginRefused),
        ([], False, StoreUnavailable),
    ],
)
def test_a_bulk_reply_refuses_records_only_if_all_its_codes_are_permanent(
    codes: list[int], unacknowledged: bool, kind: type[StoreError]
) -> None:
    details = {
        "writeErrors": [{"index": index, "code": code} for index, code in enumerate(codes)],
        "writeConcernErrors": [{"code": 64, "errmsg": "waiting"}] * unacknowledged,
    }
    assert faults.kind_of_bulk(details) is kind


def test_no_code_is_both_passing_and_permanent() -> None:
    assert not faults.PASSING_CODES & faults.PERMANENT_CODES
