"""The state machine of a delivery under any sequence of steps, and its invariants."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.model.delivery import (
    Delivery,
    Ended,
    discard,
    finish,
    give_back,
    note_running,
    redact,
    retry,
    state_of,
    take_over,
)
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind, RetryPolicy
from craft_easy.core.events.store.documents import from_document, to_document

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
HANDLERS = ("a", "b", "c")
OWNERS = ("me", "other")
POLICY = RetryPolicy(max_attempts=3, delay=1)

handlers = st.sampled_from(HANDLERS)
owners = st.sampled_from(OWNERS)
outcomes = st.builds(
    Outcome,
    handlers,
    st.sampled_from(list(OutcomeKind)),
    st.integers(1, 4),
    st.floats(0, 1000),
    st.just(ErrorText("ValueError", "no")),
    retry=st.just(POLICY),
)
steps = st.one_of(
    st.tuples(st.just("finish"), owners, st.lists(outcomes, max_size=3), st.booleans()),
    st.tuples(st.just("claim"), owners),
    st.tuples(st.just("give back"), owners),
    st.tuples(st.just("note"), owners, handlers),
    st.tuples(st.just("take over"), owners),
    st.tuples(st.just("retry"), st.lists(handlers)),
    st.tuples(st.just("discard"), st.lists(handlers)),
)


def apply(delivery: Delivery, step: tuple, at: datetime) -> Delivery:  # type: ignore[type-arg]  # steps differ in shape
    match step:
        case ("finish", owner, outcomes, release):
            ended = [Ended(outcome, at, outcome.handler_id) for outcome in outcomes]
            return finish(delivery, ended, owner=owner, key="e", at=at, release=release)
        case ("claim", owner):
            free = delivery.is_open and delivery.owner is None
            return replace(delivery, owner=owner, claimed_at=at, rev=delivery.rev + 1) if free else delivery
        case ("give back", owner):
            return give_back(delivery, owner, at=at)
        case ("note", owner, handler):
            return note_running(delivery, owner, handler)
        case ("take over", owner):
            return take_over(delivery, owner, at=at)
        case ("retry", ids):
            return retry(delivery, ids, at=at)
        case ("discard", ids):
            return discard(delivery, ids, reason="no", at=at)
    raise AssertionError(step)


@given(st.lists(steps, max_size=25))
def test_the_invariants_of_a_delivery_hold_after_every_step(path: list[tuple]) -> None:  # type: ignore[type-arg]  # steps differ in shape
    delivery = Delivery.new(HANDLERS, at=START, owner="me")
    for number, step in enumerate(path):
        before, delivery = delivery, apply(delivery, step, START + timedelta(seconds=number))
        assert delivery.state == state_of(delivery.handlers)
        assert delivery.is_open or (delivery.owner is None and delivery.due_at is None and delivery.running is None)
        assert not delivery.is_open or (delivery.due_at is not None and delivery.finished_at is None)
        assert delivery.owner is not None or delivery.running is None
        assert delivery is before or delivery.rev == before.rev + 1
        for old, new in zip(before.handlers, delivery.handlers, strict=True):
            assert new.attempts >= old.attempts, "attempts never go down"
            assert old.state != "done" or new == old, "a success is never undone"
            assert new.attempts - new.budget_from <= POLICY.max_attempts or new.state in ("done", "skipped")
            assert new.state != "pending" or new.due_at is not None
        assert from_document(to_document(delivery)) == delivery


@given(st.lists(steps, max_size=12), owners, st.lists(outcomes, max_size=3), st.booleans())
def test_an_outcome_written_twice_changes_nothing_the_second_time(
    path: list[tuple],  # type: ignore[type-arg]  # steps differ in shape
    owner: str,
    ended: list[Outcome],
    release: bool,
) -> None:
    delivery = Delivery.new(HANDLERS, at=START, owner="me")
    for step in path:
        delivery = apply(delivery, step, START)
    once_each = list({outcome.handler_id: outcome for outcome in ended}.values())
    step = ("finish", owner, once_each, release)
    once = apply(delivery, step, START)
    assert apply(once, step, START) == once


@given(st.lists(steps, max_size=12), st.lists(steps, max_size=12))
def test_no_text_and_no_run_is_restored_after_a_redaction(path: list[tuple], later: list[tuple]) -> None:  # type: ignore[type-arg]  # steps differ in shape
    delivery = Delivery.new(HANDLERS, at=START, owner="me")
    for step in path:
        delivery = apply(delivery, step, START)
    before, delivery = delivery, redact(delivery, at=START)
    assert delivery.rev == before.rev + 1
    for old, new in zip(before.handlers, delivery.handlers, strict=True):
        assert new.state == ("done" if old.state == "done" else "skipped")
        assert not any(error.message for error in new.errors)
        assert new.reason in (None, "redacted")
    for step in later:
        assert apply(delivery, step, START) is delivery, step
    assert from_document(to_document(delivery)) == delivery
