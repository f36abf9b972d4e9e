"""Several workers at once, and stopped workers, as real processes: the deliveries that ran, and their order."""

from __future__ import annotations

import json
import signal
from typing import Final

from craft_easy.core.events import DomainEvent
from tests.faults.site import Site, ended, said_until
from tests.support.conditions import until

EVENTS: Final = 300
WORKERS: Final = 4
SLOTS: Final = 50
TENANTS: Final = 20
EACH: Final = 8


def test_four_workers_run_each_handler_of_each_event_exactly_once(site: Site) -> None:
    events = [DomainEvent(event_type="patient.made") for _ in range(EVENTS)]
    site.store(events, ["stow", "wait", "label", "announce"])
    processes = [site.redispatch("-o", "json", "--concurrency", str(SLOTS), lease=10) for _ in range(WORKERS)]
    site.until_in_ledger("waits", SLOTS + 1)  # more than one worker has
    site.go.touch()
    summaries = []
    for process in processes:
        code, out, err = ended(process, seconds=300)
        assert code == 0, err
        summaries.append(json.loads(out))

    ran = site.ran()
    assert (len(ran), set(ran.values())) == (EVENTS * 4, {1})
    assert sum(summary["done"] for summary in summaries) == EVENTS * 4
    assert sum(summary["claimed"] for summary in summaries) == EVENTS
    assert {summary["lost"] for summary in summaries} == {0}
    assert len([summary for summary in summaries if summary["claimed"]]) > 1
    records = site.records()
    assert {record["delivery"]["state"] for record in records} == {"done"}
    assert {one["attempts"] for record in records for one in record["delivery"]["handlers"]} == {1}


def test_the_first_signal_waits_for_running_handlers_and_gives_the_rest_back(site: Site) -> None:
    [patient] = site.fill("patient.made")
    endless = site.fill("endless.made", 3)
    waiting = site.fill("plain.made", 5)
    process = site.redispatch("--concurrency", "4", "--grace", "5")
    site.until_in_ledger("waits", 1 + 3)
    process.send_signal(signal.SIGTERM)
    said_until(process, "stopping")
    site.go.touch()
    code, _, err = ended(process)

    assert (code, "Traceback" in err) == (143, False), err
    assert (site.delivery(patient)["state"], site.delivery(patient)["handlers"][0]["attempts"]) == ("done", 1)
    for event in endless + waiting:
        left = site.delivery(event)
        assert (left["state"], left["owner"]) == ("open", None)
        assert {(one["state"], one["attempts"], len(one["errors"])) for one in left["handlers"]} == {("pending", 0, 0)}
    assert site.workers() == []


def test_the_second_signal_ends_a_redispatch_at_once_and_another_one_takes_over(site: Site) -> None:
    [patient] = site.fill("patient.made")
    process = site.redispatch("--grace", "60", lease=1)
    site.until_in_ledger("waits")
    process.send_signal(signal.SIGINT)
    said_until(process, "stopping")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    assert site.delivery(patient)["owner"] is not None

    site.go.touch()
    code, _, err = ended(site.redispatch())
    left = site.delivery(patient)
    assert code == 0, err
    assert (left["state"], left["takeovers"], left["handlers"][0]["attempts"]) == ("done", 1, 1)


def test_a_watch_delivers_new_events_and_stops_cleanly(site: Site) -> None:
    site.fill("plain.made", 3)
    process = site.redispatch("--watch")
    site.until_in_ledger("ran", 9)
    site.fill("plain.made", 2)
    site.until_in_ledger("ran", 15)
    until(lambda: all(record["delivery"]["state"] == "done" for record in site.records()))
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)

    assert (code, "Traceback" in err) == (143, False), err
    assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["done"] * 15
    assert set(site.ran().values()) == {1}
    assert {record["delivery"]["state"] for record in site.records()} == {"done"}
    assert site.workers() == []
