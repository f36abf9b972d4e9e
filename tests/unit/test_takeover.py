from datetime import UTC, datetime, timedelta

from craft_easy.core.events.engine.takeover import LeaseWatch
from craft_easy.core.events.store.worker_registry import WorkerEntry

START = datetime(2026, 1, 31, 10, tzinfo=UTC)


def entry(owner: str = "w", *, beat: int = 0, lease: float = 30, fenced: bool = False) -> WorkerEntry:
    return WorkerEntry(owner, "host", 1, START, START + timedelta(seconds=beat), lease, fenced)


def test_a_worker_is_silent_after_the_same_beat_was_seen_for_a_whole_lease() -> None:
    watch = LeaseWatch()
    assert watch.look([entry()], 100.0) == []
    assert watch.look([entry()], 130.0) == []
    assert watch.look([entry()], 130.1) == [entry()]


def test_a_new_beat_restarts_the_watch_for_any_time_in_it() -> None:
    watch = LeaseWatch()
    watch.look([entry(beat=500)], 100.0)
    assert watch.look([entry(beat=-3600)], 131.0) == [], "an earlier beat after a failover is a sign of life"
    assert watch.look([entry(beat=-3600)], 160.0) == []


def test_a_look_that_was_not_answered_starts_the_watch_again() -> None:
    watch = LeaseWatch()
    watch.look([entry()], 100.0)
    watch.start_again()
    assert watch.look([entry()], 140.0) == []
    assert watch.look([entry()], 171.0) == [entry()]


def test_each_worker_is_watched_for_its_own_lease() -> None:
    watch = LeaseWatch()
    both = [entry("short", lease=3), entry("long", lease=30)]
    watch.look(both, 0.0)
    assert [one.owner for one in watch.look(both, 4.0)] == ["short"]
    assert watch.left(both[1], 4.0) == 26.0
    assert watch.left(entry("never seen", lease=7), 4.0) == 7.0


def test_a_worker_that_was_fenced_is_not_fenced_again() -> None:
    watch = LeaseWatch()
    watch.look([entry(fenced=True)], 0.0)
    assert watch.look([entry(fenced=True)], 1000.0) == []
