"""How runs end when the ends themselves go wrong: nobody is lost, and whoever is to be told is told."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from haul import keys
from haul.errors import LedgerBusyError, RequestRejectedError, VendorUnavailableError
from haul.ledger import Ledger
from haul.models.event import Outcome
from haul.models.ledger import FileRecord, FileState, PipelineRecord, RunState
from haul.models.work import Job
from haul.ports import Notice
from tests.fakes.vendor import LISTS_RUNNING_AND_CANCELS
from tests.fakes.world import NOON, World, fake_vendor


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


class Unheard(World):
    """A world whose next notices are not taken."""

    refused = 0

    def tell(self, notice: Notice) -> None:
        if self.refused:
            self.refused -= 1
            raise LedgerBusyError("a notice was not taken: ThrottlingException")
        super().tell(notice)


def test_a_run_that_cannot_be_settled_keeps_no_other_from_being_found() -> None:
    world = World()
    broken = world.run(world.start("archive"), until="publish")
    world.before_write = lambda key: "kill-before" if key.startswith("manifests/") else None
    world.step(broken)
    world.before_write = lambda _: None
    world.store.delete(keys.draft("archive", broken.state["run_id"], 1))
    lost = world.run(world.start("people", version="7000002"), until="check")
    for execution in (broken, lost):
        world.abort(execution)

    swept = world.endings().sweep(now=world.now)

    assert list(swept.failures) == [broken.state["run_id"]]
    assert swept.abandoned == [lost.state["run_id"]]
    assert world.outcomes("people") == [Outcome.CANCELLED]


def test_a_pipeline_that_cannot_be_read_keeps_no_other_from_being_told_as_stale() -> None:
    world = World()
    for name in ("archive", "people"):
        document = PipelineRecord(pipeline=name, event={}, fresh_within=timedelta(hours=26), deployed_at=NOON)
        world.ledger().register(document)
    stored = world.store.get(keys.pipeline("archive"))
    assert stored is not None
    world.store.replace(keys.pipeline("archive"), "{", stored.etag)
    world.pass_hours(27)

    swept = world.endings().sweep(now=world.now)

    assert swept.stale == ["people"]
    assert list(swept.failures) == ["archive"]


def test_a_notice_of_a_late_run_or_a_stale_pipeline_that_was_not_taken_is_sent_again() -> None:
    world = Unheard()
    document = PipelineRecord(pipeline="archive", event={}, fresh_within=timedelta(hours=1), deployed_at=NOON)
    world.ledger().register(document)
    world.run(world.start(limits={"deadline": "PT6H", "late_after": "PT1H"}), until="check")
    world.pass_hours(2)
    world.refused = 2

    first = world.endings().sweep(now=world.now)
    world.sweep()
    world.sweep()

    assert len(first.failures) == 2
    assert [notice.detail_type for notice in world.notices] == ["Haul Run Late", "Haul Pipeline Stale"]


def test_an_execution_that_step_functions_does_not_show_yet_is_left_alone() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    shown = world.executions.pop(execution.arn)

    world.sweep()
    world.executions[shown.arn] = shown
    world.run(execution)

    assert world.outcomes() == [Outcome.SUCCEEDED]


def test_an_execution_that_is_gone_for_long_is_given_up() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    del world.executions[execution.arn]
    world.pass_hours(1)

    world.sweep()

    assert world.outcomes() == [Outcome.FAILED]


def test_a_vendor_that_refuses_to_cancel_does_not_keep_the_end_from_being_told() -> None:
    """The job may have ended in the same moment."""
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    ledger = Ledger(world.store)
    ledger.write_file("people", execution.state["run_id"], 0, lambda _: _half_landed(world))

    def refuse(job: Job) -> None:
        raise RequestRejectedError(f"job {job.id} has ended")

    world.vendor.cancel = refuse  # type: ignore[method-assign]
    world.abort(execution)
    world.rule(execution)

    (record,) = world.records()
    assert record.state is RunState.ABANDONED
    assert record.told
    assert not world.landing.uploads


@pytest.mark.parametrize("still_down", [False, True])
def test_the_sweep_cancels_what_nobody_could_while_the_vendor_was_down(*, still_down: bool) -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    cancel = world.vendor.cancel

    def down(job: Job) -> None:
        raise VendorUnavailableError(f"503 for job {job.id}")

    world.vendor.cancel = down  # type: ignore[method-assign]
    world.abort(execution)
    with pytest.raises(VendorUnavailableError):
        world.rule(execution)
    if not still_down:
        world.vendor.cancel = cancel  # type: ignore[method-assign]
    world.pass_hours(1)

    swept = world.endings().sweep(now=world.now)

    (record,) = world.records()
    assert record.told
    assert len(world.vendor.live()) == still_down
    assert bool(swept.failures) == still_down


def test_an_end_that_is_told_slowly_does_not_replace_what_a_later_attempt_came_to() -> None:
    world = World()
    execution = world.run(world.start(), until="plan")
    world.abort(execution)
    write = world.landing.write_document

    def slowly(key: str, body: str) -> None:
        if key.startswith("runs/"):
            world.landing.write_document = write  # type: ignore[method-assign]
            world.run(world.rerun(world.records()[0]))
        write(key, body)

    world.landing.write_document = slowly  # type: ignore[method-assign]
    world.rule(execution)

    (record,) = world.records()
    document = world.landing.read(keys.run("people", record.run_id))
    assert record.outcome is Outcome.SUCCEEDED
    assert document is not None
    assert json.loads(document)["outcome"] == "SUCCEEDED"


def _half_landed(world: World) -> FileRecord:
    upload_id = world.landing.begin("raw/people/T/part0", content_type="text/csv")
    return FileRecord(n=0, key="raw/people/T/part0", state=FileState.LANDING, upload_id=upload_id)
