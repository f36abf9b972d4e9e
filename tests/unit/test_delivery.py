from dataclasses import replace
from datetime import UTC, datetime, timedelta

from craft_easy.core.events.model.delivery import (
    MAX_CRASHES,
    MAX_ERRORS,
    Delivery,
    Ended,
    HandlerDelivery,
    discard,
    finish,
    give_back,
    note_running,
    redact,
    retry,
    take_over,
    track,
)
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind, RetryPolicy
from craft_easy.core.events.store.documents import from_document, to_document

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
TWICE = RetryPolicy(max_attempts=2, delay=10, jitter=0)


def owned(*handlers: str) -> Delivery:
    return Delivery.new(handlers, at=NOW, owner="me")


def ended(kind: OutcomeKind, handler: str = "a", attempt: int = 1, **values: object) -> Ended:
    outcome = Outcome(handler, kind, attempt, 12.0, retry=TWICE, **values)  # type: ignore[arg-type]  # one at a time
    return Ended(outcome, LATER, handler)


def failed(handler: str = "a", attempt: int = 1) -> Ended:
    return ended(OutcomeKind.FAILED, handler, attempt, error=ErrorText("ValueError", "no"))


def run(delivery: Delivery, *outcomes: Ended, owner: str = "me", release: bool = False, ran: bool = True) -> Delivery:
    return finish(delivery, outcomes, owner=owner, key="e", at=LATER, release=release, has_run=ran)


def entry(delivery: Delivery, handler: str = "a") -> HandlerDelivery:
    found = delivery.handler(handler)
    assert found is not None
    return found


def test_a_new_delivery_is_open_owned_and_due_at_once() -> None:
    delivery = owned("a", "b", "a")
    assert (delivery.rev, delivery.state, delivery.owner, delivery.claimed_at) == (0, "open", "me", NOW)
    assert delivery.due_at == NOW
    assert [one.id for one in delivery.pending] == ["a", "b"]


def test_a_delivery_without_an_owner_was_never_claimed() -> None:
    assert Delivery.new(["a"], at=NOW).claimed_at is None


def test_a_record_without_handlers_is_done_when_it_is_stored() -> None:
    delivery = Delivery.new([], at=NOW, owner="me")
    assert (delivery.state, delivery.owner, delivery.finished_at) == ("done", None, NOW)


def test_the_last_success_closes_the_record_and_frees_it_in_the_same_step() -> None:
    half = run(owned("a", "b"), ended(OutcomeKind.SUCCEEDED))
    assert (half.state, half.owner, half.rev, half.finished_at) == ("open", "me", 1, None)
    whole = run(half, ended(OutcomeKind.SUCCEEDED, "b"))
    assert (whole.state, whole.owner, whole.due_at, whole.finished_at, whole.rev) == ("done", None, None, LATER, 2)
    assert entry(whole).took_ms == 12.0


def test_a_repeated_success_counts_once() -> None:
    once = run(owned("a"), ended(OutcomeKind.SUCCEEDED))
    assert run(once, ended(OutcomeKind.SUCCEEDED)) is once


def test_a_failure_waits_for_its_next_attempt_by_policy() -> None:
    delivery = run(owned("a"), failed())
    assert entry(delivery).attempts == 1
    assert entry(delivery).due_at == delivery.due_at == LATER + timedelta(seconds=10)
    assert [(one.type, one.message, one.at, one.attempt) for one in entry(delivery).errors] == [
        ("ValueError", "no", LATER, 1)
    ]


def test_a_failure_written_twice_because_its_reply_was_lost_counts_once() -> None:
    once = run(owned("a"), failed())
    assert run(once, failed()) is once


def test_a_delivery_that_used_up_its_attempts_is_dead() -> None:
    delivery = run(run(owned("a"), failed()), failed(attempt=2))
    assert (delivery.state, entry(delivery).state, delivery.owner) == ("dead", "dead", None)
    assert entry(delivery).due_at is None
    assert entry(delivery).finished_at == LATER


def test_a_failure_of_a_worker_that_does_not_own_the_record_is_dropped() -> None:
    delivery = owned("a")
    assert run(delivery, failed(), owner="other") is delivery


def test_a_success_of_a_worker_that_was_taken_over_still_counts() -> None:
    theirs = take_over(owned("a", "b"), "me", at=NOW)
    late = run(theirs, ended(OutcomeKind.SUCCEEDED), owner="me")
    assert entry(late).state == "done"
    assert (late.state, late.owner) == ("open", None)


def test_a_late_success_revives_a_dead_delivery() -> None:
    dead = run(run(owned("a"), failed()), failed(attempt=2))
    assert run(dead, ended(OutcomeKind.SUCCEEDED)).state == "done"


def test_a_success_never_turns_a_skipped_delivery() -> None:
    skipped = discard(owned("a"), ["a"], reason="gone", at=NOW)
    assert run(skipped, ended(OutcomeKind.SUCCEEDED)) is skipped


def test_only_the_last_five_errors_are_kept() -> None:
    delivery = owned("a")
    patient = RetryPolicy(max_attempts=50, delay=1)
    for attempt in range(1, 9):
        outcome = Outcome("a", OutcomeKind.FAILED, attempt, error=ErrorText("E", str(attempt)), retry=patient)
        delivery = run(delivery, Ended(outcome, LATER, "a"))
    assert [one.attempt for one in entry(delivery).errors] == [4, 5, 6, 7, 8]
    assert len(entry(delivery).errors) == MAX_ERRORS


def test_a_retry_signal_counts_an_attempt_keeps_no_error_and_takes_the_wait_it_names() -> None:
    delivery = run(owned("a"), ended(OutcomeKind.RETRY, after=timedelta(minutes=1)))
    assert (entry(delivery).attempts, entry(delivery).errors) == (1, ())
    assert entry(delivery).due_at == LATER + timedelta(minutes=1)


def test_a_discard_signal_skips_with_its_reason() -> None:
    delivery = run(owned("a"), ended(OutcomeKind.DISCARDED, reason="no such user"))
    assert (entry(delivery).state, entry(delivery).reason, delivery.state) == ("skipped", "no such user", "done")


def test_a_discard_signal_of_a_worker_that_lost_the_record_changes_nothing() -> None:
    done = run(owned("a"), ended(OutcomeKind.SUCCEEDED))
    assert run(done, ended(OutcomeKind.DISCARDED, reason="x")) is done


def test_a_released_record_keeps_its_claim_time_when_something_ran() -> None:
    freed = run(owned("a"), failed(), release=True)
    assert (freed.owner, freed.claimed_at) == (None, NOW)


def test_a_released_record_loses_its_claim_time_when_nothing_ran() -> None:
    freed = run(owned("a"), ended(OutcomeKind.GIVEN_BACK), release=True, ran=False)
    assert (freed.owner, freed.claimed_at, entry(freed).attempts) == (None, None, 0)


def test_giving_back_frees_only_what_one_owns() -> None:
    assert give_back(owned("a"), "me", at=NOW).owner is None
    theirs = owned("a")
    assert give_back(theirs, "other", at=NOW) is theirs


def test_a_take_over_frees_counts_and_keeps_the_attempts() -> None:
    freed = take_over(run(owned("a"), failed()), "me", at=LATER)
    assert (freed.owner, freed.takeovers, freed.claimed_at, entry(freed).attempts) == (None, 1, None, 1)


def test_a_take_over_of_what_another_owns_by_now_is_dropped() -> None:
    delivery = owned("a")
    assert take_over(delivery, "somebody", at=LATER) is delivery


def test_a_crash_is_charged_only_to_the_running_handler() -> None:
    delivery = owned("a", "b")
    for _ in range(MAX_CRASHES):
        noted = note_running(delivery, "me", "a")
        assert noted.running == "a"
        freed = take_over(noted, "me", at=LATER)
        assert freed.running is None
        delivery = Delivery(**{**{name: getattr(freed, name) for name in Delivery.__slots__}, "owner": "me"})
    assert (entry(delivery).state, entry(delivery).crashes, entry(delivery).attempts) == ("dead", MAX_CRASHES, 0)
    assert (entry(delivery, "b").state, entry(delivery, "b").crashes) == ("pending", 0)


def test_a_crash_is_not_charged_to_a_handler_that_ended_before() -> None:
    noted = note_running(owned("a", "b"), "me", "a")
    done = run(noted, ended(OutcomeKind.SUCCEEDED))
    assert done.running is None
    assert entry(take_over(noted, "me", at=LATER)).crashes == 1
    assert entry(take_over(done, "me", at=LATER)).crashes == 0


def test_a_handler_is_noted_only_on_a_record_that_one_owns() -> None:
    delivery = owned("a")
    assert note_running(delivery, "other", "a") is delivery


def test_a_retry_gives_a_fresh_budget_and_keeps_the_count_and_the_history() -> None:
    dead = run(run(owned("a", "b"), failed()), failed(attempt=2), ended(OutcomeKind.SUCCEEDED, "b"))
    assert dead.state == "dead"
    again = retry(dead, ["a", "b"], at=LATER)
    assert (again.state, again.owner, again.due_at, again.finished_at) == ("open", None, LATER, None)
    assert (entry(again).attempts, entry(again).budget_from, len(entry(again).errors)) == (2, 2, 2)
    assert entry(again, "b").state == "done"


def test_after_a_retry_the_policy_counts_from_there() -> None:
    again = retry(run(run(owned("a"), failed()), failed(attempt=2)), ["a"], at=LATER)
    mine = Delivery(**{**{name: getattr(again, name) for name in Delivery.__slots__}, "owner": "me"})
    third = run(mine, failed(attempt=3))
    assert entry(third).state == "pending"
    assert entry(run(third, failed(attempt=4))).state == "dead"


def test_a_failure_of_the_old_life_does_not_touch_a_retried_delivery() -> None:
    again = retry(run(run(owned("a"), failed()), failed(attempt=2)), ["a"], at=LATER)
    mine = Delivery(**{**{name: getattr(again, name) for name in Delivery.__slots__}, "owner": "me"})
    assert run(mine, failed(attempt=2)) is mine


def test_a_discard_is_skipped_and_never_done() -> None:
    delivery = discard(owned("a", "b"), ["a"], reason="handler is gone", at=LATER, by="ops")
    assert (entry(delivery).state, entry(delivery).reason, entry(delivery).by) == ("skipped", "handler is gone", "ops")
    assert delivery.state == "open"


def test_tracking_adds_only_handlers_that_the_record_does_not_name() -> None:
    assert track(["a"], None, at=NOW).state == "open"
    done = run(owned("a"), ended(OutcomeKind.SUCCEEDED))
    more = track(["a", "b"], done, at=LATER)
    assert (more.state, [one.id for one in more.pending], more.due_at) == ("open", ["b"], LATER)


def test_an_open_record_always_has_a_due_time() -> None:
    odd = Delivery(state="open", owner="me", handlers=(HandlerDelivery("a"),))
    assert give_back(odd, "me", at=LATER).due_at == LATER


def test_a_delivery_survives_the_trip_through_its_document() -> None:
    delivery = run(owned("a", "b"), failed(), ended(OutcomeKind.SUCCEEDED, "b"))
    assert from_document(to_document(delivery)) == delivery


def test_a_document_keeps_the_keys_in_the_order_of_the_design() -> None:
    document = to_document(owned("a"))
    assert list(document) == [
        "rev",
        "state",
        "owner",
        "claimed_at",
        "due_at",
        "takeovers",
        "running",
        "finished_at",
        "handlers",
    ]
    assert list(document["handlers"][0]) == [
        "id",
        "state",
        "attempts",
        "budget_from",
        "crashes",
        "due_at",
        "finished_at",
        "took_ms",
        "errors",
        "reason",
        "by",
    ]


def test_fields_that_are_missing_or_unfit_are_null_zero_or_empty() -> None:
    assert from_document({}) == Delivery(state="done")
    odd = from_document(
        {"rev": "x", "state": 7, "owner": 1, "handlers": [3, {"id": 4, "state": "?", "errors": ["x", {}]}]}
    )
    assert (odd.rev, odd.state, odd.owner) == (0, "open", None)
    assert [(one.id, one.state, len(one.errors)) for one in odd.handlers] == [("4", "pending", 1)]


def test_a_redaction_skips_what_is_unfinished_and_keeps_no_text() -> None:
    delivery = run(owned("a", "b", "c"), failed("a"), ended(OutcomeKind.SUCCEEDED, "b"))
    delivery = discard(delivery, ["c"], reason="of ada", at=LATER, by="operator")
    redacted = redact(delivery, at=LATER, by="ada")
    assert [(one.state, one.reason, one.by) for one in redacted.handlers] == [
        ("skipped", "redacted", "ada"),
        ("done", None, None),
        ("skipped", None, "operator"),
    ]
    assert [(error.type, error.message) for error in entry(redacted).errors] == [("ValueError", "")]
    assert (redacted.state, redacted.owner, redacted.due_at, redacted.finished_at) == ("done", None, None, LATER)
    assert redacted.rev == delivery.rev + 1
    for late in (ended(OutcomeKind.SUCCEEDED), failed(attempt=2), ended(OutcomeKind.DISCARDED, reason="of ada")):
        assert run(redacted, late) is redacted
    assert take_over(redacted, "me", at=LATER) is give_back(redacted, "me", at=LATER) is redacted


def test_a_redaction_of_what_is_done_is_a_revision_too() -> None:
    delivery = run(owned("a"), ended(OutcomeKind.SUCCEEDED))
    assert redact(delivery, at=LATER) == replace(delivery, rev=delivery.rev + 1)


def test_an_outcome_of_a_handler_that_another_program_removed_changes_no_other() -> None:
    delivery = owned("a")
    after = run(delivery, failed("removed"))
    assert after.handlers == delivery.handlers
    assert after.handler("removed") is None
