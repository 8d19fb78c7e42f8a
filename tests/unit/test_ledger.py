"""The ledger's documents, each with its decision, over S3's conditional semantics in memory."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest

from haul import keys
from haul.errors import LedgerBusyError, QuotaExceededError, RunAbandonedError, RunNotFoundError
from haul.ledger import Ledger, trigger_key
from haul.models.event import Outcome, Start
from haul.models.ledger import FileRecord, FileState, JobPhase, JobRecord, PipelineRecord, RunRecord, RunState
from haul.models.work import ErrorRecord
from haul.ports import Store, Stored
from tests.fakes.memory_store import Fault, FaultyStore, MemoryStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ERROR = ErrorRecord(name="ExportFailedError", message="it broke")


def a_start(**fields: Any) -> Start:
    return Start.model_validate({"version": 1, "pipeline": "people", **fields})


def an_object(version_id: str = "v1") -> dict[str, Any]:
    return {"object": {"bucket": "inbox", "key": "inbox/people/a.csv", "version_id": version_id}}


def a_manifest(run_id: str) -> dict[str, Any]:
    return {"manifest": {"bucket": "landing", "key": f"manifests/upstream/{run_id}.json", "version_id": None}}


def an_unversioned(etag: str) -> dict[str, Any]:
    return {"object": {"bucket": "inbox", "key": "a.csv", "etag": etag}}


def faulty(store: Store, *faults: Fault | None) -> FaultyStore:
    """A store whose next writes meet `faults`, in order."""
    planned = list(faults)
    return FaultyStore(store, lambda _: planned.pop(0) if planned else None)


def an_intent(**fields: Any) -> JobRecord:
    return JobRecord(
        vendor="fake",
        account="acme",
        fingerprint="f",
        phase=JobPhase.INTENT,
        owner="people/r",
        intent_at=NOON,
        **fields,
    )


def opened(ledger: Ledger, execution: str = "e1", **fields: Any) -> RunRecord:
    return ledger.open_run(a_start(**fields), {"version": 1}, execution, now=NOON).record


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"id": "a"}, {"id": "a"}, True),
        ({"id": "a"}, {"id": "b"}, False),
        ({"id": "a"}, {"id": "a", "pipeline": "archive"}, False),
        ({"source": an_object(), "id": "a"}, {"source": an_object(), "id": "b"}, True),
        ({"source": an_object("v1")}, {"source": an_object("v2")}, False),
        ({"source": an_unversioned("x")}, {"source": an_unversioned("y")}, False),
        ({"source": an_unversioned("x")}, {"source": an_unversioned("x")}, True),
        ({"source": a_manifest("r1"), "id": "a"}, {"source": a_manifest("r1"), "id": "b"}, True),
        ({"source": a_manifest("r1")}, {"source": a_manifest("r2")}, False),
        ({}, {}, False),
    ],
)
def test_what_makes_two_triggers_the_same(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    assert (trigger_key(a_start(**one), "e1") == trigger_key(a_start(**other), "e2")) is same


def test_a_trigger_is_claimed_once_and_later_ones_find_its_run() -> None:
    store = MemoryStore()

    first = Ledger(store).open_run(a_start(id="a"), {"n": 1}, "e1", now=NOON)
    second = Ledger(store).open_run(a_start(id="a"), {"n": 2}, "e2", now=NOON + timedelta(hours=1))

    assert first.ours
    assert not second.ours
    assert second.record == first.record
    assert second.record.event == {"n": 1}


def test_a_run_id_sorts_by_time_and_differs_between_pipelines() -> None:
    ledger = Ledger(MemoryStore())

    people = opened(ledger, id="a").run_id
    archive = ledger.open_run(a_start(id="a", pipeline="archive"), {}, "e2", now=NOON).record.run_id

    assert people.startswith("20261122T120000Z-")
    assert people != archive


def test_a_retry_of_the_same_execution_goes_on_with_its_run() -> None:
    store = MemoryStore()
    first = opened(Ledger(store), id="a")

    again = Ledger(store).open_run(a_start(id="a"), {}, "e1", now=NOON + timedelta(minutes=1))

    assert again.ours
    assert again.record.run_id == first.run_id


def test_a_claim_whose_claimer_died_is_made_a_run_by_whoever_finds_it() -> None:
    store = MemoryStore()
    opened(Ledger(store), id="a")
    (record_key,) = store.keys("ledger/people/runs/")
    store.delete(record_key)

    found = Ledger(store).find_run(a_start(id="a"), "e2")

    assert found is not None
    assert found.execution == "e1"
    assert found.event == {"version": 1}


@pytest.mark.parametrize("fault", ["lost-reply", "lost-request", "conflict"])
def test_a_write_whose_answer_was_lost_is_found_out_by_reading_back(fault: Fault) -> None:
    """Neither loses the run nor takes its own write for another's."""
    ledger = Ledger(faulty(MemoryStore(), fault))

    _, won = ledger.put_job(an_intent(), None)

    assert won


@pytest.mark.parametrize("fault", ["lost-reply", "lost-request", "conflict"])
def test_a_replacement_whose_answer_was_lost_is_found_out_by_reading_back(fault: Fault) -> None:
    store = MemoryStore()
    Ledger(store).put_job(an_intent(), None)
    ledger = Ledger(faulty(store, fault))
    found = ledger.job("fake", "acme", "f")
    assert found is not None

    record, won = ledger.put_job(found[0].model_copy(update={"phase": JobPhase.SUBMITTED}), found[1])

    assert won
    assert record.phase is JobPhase.SUBMITTED


def test_of_two_writers_of_the_same_document_one_wins() -> None:
    store = MemoryStore()

    _, first = Ledger(store).put_job(an_intent(), None)
    seen, second = Ledger(store).put_job(an_intent(), None)

    assert first
    assert not second
    assert seen.revision == 1


def test_of_two_replacements_of_the_same_reading_one_wins() -> None:
    store = MemoryStore()
    one, two = Ledger(store), Ledger(store)
    one.put_job(an_intent(), None)
    read_by_both = one.job("fake", "acme", "f")
    assert read_by_both is not None

    _, first = one.put_job(*read_by_both)
    _, second = two.put_job(*read_by_both)

    assert first
    assert not second


def test_a_store_that_never_answers_is_said_to_be_busy() -> None:
    store = FaultyStore(MemoryStore(), lambda _: "lost-request")

    with pytest.raises(LedgerBusyError):
        opened(Ledger(store))


def test_only_a_rerun_brings_an_abandoned_run_back() -> None:
    store = MemoryStore()
    record = opened(Ledger(store), id="a")
    Ledger(store).abandon(record, Outcome.FAILED, ERROR, now=NOON)

    with pytest.raises(RunAbandonedError, match="it broke"):
        Ledger(store).open_run(a_start(id="a"), {}, "e1", now=NOON)
    again = Ledger(store).open_run(a_start(rerun={"run_id": record.run_id}), {}, "e2", now=NOON)

    assert again.ours
    assert again.record.attempt == 2
    assert again.record.state is RunState.RUNNING
    assert again.record.error is None
    assert list(Ledger(store).active()) == [("people", record.run_id)]


def test_an_old_attempt_may_not_act_after_a_rerun() -> None:
    store = MemoryStore()
    record = opened(Ledger(store), id="a")
    Ledger(store).abandon(record, Outcome.FAILED, ERROR, now=NOON)
    Ledger(store).open_run(a_start(rerun={"run_id": record.run_id}), {}, "e2", now=NOON)

    current, won = Ledger(store).abandon(record, Outcome.CANCELLED, ERROR, now=NOON)

    assert not won
    assert current.state is RunState.RUNNING
    assert current.execution == "e2"


def test_a_run_that_does_not_exist_cannot_be_rerun_and_leaves_no_trace() -> None:
    store = MemoryStore()

    with pytest.raises(RunNotFoundError, match="20261122T120000Z-abcdef"):
        Ledger(store).open_run(a_start(rerun={"run_id": "20261122T120000Z-abcdef"}), {}, "e1", now=NOON)

    assert store.objects == {}


def test_a_submission_is_counted_once_however_often_it_is_asked() -> None:
    ledger = Ledger(MemoryStore())

    counts = [ledger.count_submission("fake", "acme", name, limit=10, reserve=0, now=NOON) for name in ("a", "a", "b")]

    assert counts == [1, 1, 2]


def test_the_days_submissions_end_at_the_limit_less_the_reserve_and_begin_anew_with_the_day() -> None:
    ledger = Ledger(MemoryStore())
    for number in range(8):
        ledger.count_submission("fake", "acme", str(number), limit=10, reserve=2, now=NOON)

    with pytest.raises(QuotaExceededError, match=r"8 of 10 .*2026-11-22 \(UTC\), 2 of them reserved"):
        ledger.count_submission("fake", "acme", "8", limit=10, reserve=2, now=NOON)

    assert ledger.count_submission("fake", "acme", "8", limit=10, reserve=0, now=NOON) == 9
    assert ledger.count_submission("fake", "other", "8", limit=10, reserve=2, now=NOON) == 1
    assert ledger.count_submission("fake", "acme", "8", limit=10, reserve=2, now=NOON + timedelta(days=1)) == 1


def test_a_deployment_keeps_what_was_told_about_a_pipeline() -> None:
    ledger = Ledger(MemoryStore())
    ledger.register(PipelineRecord(pipeline="people", event={}, deployed_at=NOON))
    ledger.told_stale("people", now=NOON + timedelta(days=1))

    ledger.register(PipelineRecord(pipeline="people", event={"n": 2}, deployed_at=NOON + timedelta(days=2)))

    kept = ledger.pipeline("people")
    assert kept is not None
    assert kept.event == {"n": 2}
    assert kept.stale_told_at == NOON + timedelta(days=1)


@pytest.mark.parametrize("when", ["before the rerun's transition", "after the rerun"])
def test_a_run_that_is_rerun_while_its_end_is_being_told_stays_active(when: str) -> None:
    """Else nobody would find it, should its new execution end without a word."""
    store = _StoreWithPause()
    ledger = Ledger(store)
    record = opened(ledger)
    ended, _ = ledger.abandon(record, Outcome.FAILED, ERROR, now=NOON)
    again = a_start(rerun={"run_id": record.run_id})

    if when == "after the rerun":
        store.before_delete = lambda: Ledger(store).open_run(again, {}, "second", now=NOON)
        ledger.told(ended)
    else:
        store.before_replace = lambda: ledger.told(ended)
        Ledger(store).open_run(again, {}, "second", now=NOON)

    now = ledger.run("people", record.run_id)
    assert now is not None
    assert now.state is RunState.RUNNING
    assert list(ledger.active()) == [("people", record.run_id)]


class _StoreWithPause(MemoryStore):
    """Lets somebody else act before the next delete or replacement."""

    before_delete: Callable[[], object] | None = None
    before_replace: Callable[[], object] | None = None

    def delete(self, key: str) -> None:
        meanwhile, self.before_delete = self.before_delete, None
        if meanwhile:
            meanwhile()
        super().delete(key)

    def replace(self, key: str, body: str, etag: str) -> str:
        meanwhile, self.before_replace = self.before_replace, None
        if meanwhile:
            meanwhile()
        return super().replace(key, body, etag)


def test_a_settled_run_is_no_longer_active() -> None:
    ledger = Ledger(MemoryStore())
    record = opened(ledger)
    ended, _ = ledger.abandon(record, Outcome.FAILED, ERROR, now=NOON)

    ledger.told(ended)

    assert list(ledger.active()) == []
    assert ledger.run("people", record.run_id) == ended.model_copy(
        update={"told": True, "writer": ANY, "revision": ended.revision + 1}
    )


def test_a_run_that_still_goes_cannot_be_marked_as_told() -> None:
    ledger = Ledger(MemoryStore())
    record = opened(ledger)

    ledger.told(record)

    assert list(ledger.active()) == [("people", record.run_id)]


class ReadsCounted(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, key: str) -> Stored | None:
        self.reads += 1
        return super().get(key)


def a_file(**fields: Any) -> FileRecord:
    return FileRecord(n=0, key="raw/people/a.csv", state=FileState.LANDING, **fields)


def count_try(found: FileRecord | None) -> FileRecord:
    known = found or a_file()
    return known.model_copy(update={"tries": known.tries + 1})


def test_a_files_record_is_read_once_by_the_one_who_writes_it() -> None:
    store = ReadsCounted()
    ledger = Ledger(store)

    for _ in range(4):
        ledger.write_file("people", "r", 0, count_try)

    assert store.reads == 1
    assert ledger.file("people", "r", 0) == Ledger(store).file("people", "r", 0)


def test_who_comes_in_between_is_not_written_over() -> None:
    store = MemoryStore()
    one, other = Ledger(store), Ledger(store)

    for ledger in (one, one, other, one, other, other, one):
        ledger.write_file("people", "r", 0, count_try)

    found = one.file("people", "r", 0)
    assert found
    assert (found.tries, found.revision) == (7, 7)


def test_that_nothing_is_to_be_changed_is_decided_by_what_is_there_now() -> None:
    store = MemoryStore()
    one, other = Ledger(store), Ledger(store)
    one.write_file("people", "r", 0, count_try)
    other.write_file("people", "r", 0, count_try)

    found = one.write_file("people", "r", 0, lambda found: count_try(found) if found and found.tries == 2 else None)

    assert found
    assert found.tries == 3


def test_every_key_of_a_vendors_names_is_safe_and_different_names_stay_different() -> None:
    names = ["Employee", "Emp/loyee", "Emp:loyee", "..", ".", "a b", "Ünïcode", "x" * 300, "x" * 301, ""]

    made = [keys.safe(name) for name in names]

    assert len(set(made)) == len(names)
    assert made[0] == "Employee"
    assert all("/" not in key and key not in {"", ".", ".."} and len(key) <= 200 for key in made)
