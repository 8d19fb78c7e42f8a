"""The load flow's decisions, stepped one Lambda at a time against a vendor in memory."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from haul.models.event import Outcome
from haul.models.ledger import RunState
from haul.models.load import Load, LoadItem
from haul.models.manifest import LoadManifest
from haul.models.work import JobStatus
from haul.ports import LoadReport
from tests.fakes.loads import LISTS_KINDS, LoadWorld
from tests.fakes.world import World, fake_vendor

MIXED = (
    LoadItem(tenant="a", outcome=Outcome.SUCCEEDED, data_version="7000013"),
    LoadItem(tenant="b", outcome=Outcome.FAILED, message="[DP1] broke"),
)


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


def manifest(world: World, pipeline: str = "nightly") -> LoadManifest:
    [record] = world.records(pipeline)
    found = world.ledger().manifest(pipeline, record.run_id)
    assert isinstance(found, LoadManifest)
    return found


def test_a_load_waits_for_its_job_publishes_and_tells() -> None:
    world = LoadWorld()

    execution = world.run(world.load())

    [record] = world.records("nightly")
    assert (execution.status, record.state, record.outcome) == ("SUCCEEDED", RunState.PUBLISHED, Outcome.SUCCEEDED)
    assert manifest(world).kind == "load"
    assert manifest(world).totals.succeeded == 1
    assert manifest(world).sequence == 1
    assert [notice.detail["outcome"] for notice in world.notices] == ["SUCCEEDED"]
    assert len(world.loads.jobs) == 1
    assert not list(world.ledger().active())


def test_what_failed_at_the_vendor_makes_a_load_partial_and_is_told() -> None:
    report = LoadReport(JobStatus.SUCCEEDED, items=MIXED, partial="1 of 2 tenants failed", family={"extraction": 2})
    world = LoadWorld(report=report)

    world.run(world.load())

    found = manifest(world)
    assert found.outcome is Outcome.PARTIAL
    assert found.items == list(MIXED)
    assert (found.totals.succeeded, found.totals.failed) == (1, 1)
    assert found.job.family == {"extraction": 2}
    assert found.watermark.to == "7000013"
    [notice] = world.notices
    assert notice.subject == "PARTIAL nightly test: 7000013, 1 of 2 tenants"
    assert "Failed   b: [DP1] broke" in notice.body


def test_a_load_that_fails_publishes_nothing_and_keeps_what_became_of_each_part() -> None:
    world = LoadWorld(report=LoadReport(JobStatus.SUCCEEDED, items=MIXED[1:], reason="every tenant failed"))
    execution = world.run(world.load(), until="check")
    world.loads.finish(JobStatus.FAILED)

    world.run(execution, finish=False)

    [record] = world.records("nightly")
    assert (execution.status, execution.error) == ("FAILED", "LoadFailedError")
    assert record.outcome is Outcome.FAILED
    assert world.manifests() == []
    kept = world.landing.read(f"evidence/nightly/{record.run_id}/items.json")
    assert kept is not None
    assert b"[DP1] broke" in kept


def test_a_rerun_of_a_failed_load_submits_once_more() -> None:
    world = LoadWorld()
    execution = world.run(world.load(), until="check")
    world.loads.finish(JobStatus.FAILED)
    world.run(execution, finish=False)
    [record] = world.records("nightly")

    again = world.run(world.rerun(record))

    assert again.status == "SUCCEEDED"
    assert len(world.loads.jobs) == 2
    assert manifest(world).run.attempts == 2


def test_a_rerun_after_a_load_that_succeeded_adopts_it() -> None:
    """Sending it twice would load it twice."""
    world = LoadWorld()
    execution = world.run(world.load(), until="publish")
    world.abort(execution)
    world.rule(execution)
    [record] = world.records("nightly")
    assert record.state is RunState.ABANDONED
    assert world.loads.cancelled == []

    again = world.run(world.rerun(record))

    assert again.status == "SUCCEEDED"
    assert len(world.loads.jobs) == 1
    assert manifest(world).job.adopted


def test_an_aborted_load_is_cancelled_at_the_vendor() -> None:
    world = LoadWorld()
    execution = world.run(world.load(), until="check")

    world.abort(execution)
    world.rule(execution)

    assert world.loads.cancelled == ["j1"]
    assert world.outcomes("nightly") == [Outcome.CANCELLED]


def test_two_loads_of_the_same_beside_each_other_are_one_job() -> None:
    world = LoadWorld()
    first = world.run(world.load(), until="check")

    second = world.run(world.load(), finish=False, until="check")

    assert second.status == "SUCCEEDED"
    assert second.state["outcome"] == "JOINED"
    assert world.run(first).status == "SUCCEEDED"
    assert len(world.loads.jobs) == 1


def test_the_next_night_loads_again() -> None:
    world = LoadWorld()
    world.run(world.load())
    world.pass_hours(24)

    world.run(world.load())

    assert len(world.loads.jobs) == 2
    assert world.outcomes("nightly") == [Outcome.SUCCEEDED] * 2


# In doubt ------------------------------------------------------------------------------------------------------------


def test_a_lost_reply_leaves_a_load_in_doubt_until_the_deadline() -> None:
    world = LoadWorld(submit_faults=["lost-reply"])

    execution = world.run(world.load(limits={"deadline": "PT1H"}))

    assert (execution.status, execution.error) == ("FAILED", "SubmissionInDoubtError")
    assert len(world.loads.jobs) == 1


def test_the_one_job_of_its_kind_that_began_meanwhile_is_taken_for_ours() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-reply"])

    world.run(world.load())

    assert manifest(world).job.id == "j1"
    assert len(world.loads.jobs) == 1


def test_of_several_jobs_of_its_kind_none_is_taken_for_ours() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-reply"])
    execution = world.run(world.load(limits={"deadline": "PT1H"}), until="check")
    world.loads.make({}, "a person")

    world.run(execution)

    assert execution.error == "SubmissionInDoubtError"
    assert len(world.loads.jobs) == 2


def test_a_job_that_another_run_made_is_not_taken_for_ours() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-request"])
    ours = world.run(world.load(limits={"deadline": "PT2H"}), until="check")
    other = world.run(world.load("other", request={"what": "something else"}), until="check")

    world.step(ours)

    assert other.state["job"]["id"] == "j1"
    assert ours.state["job"]["id"] is None


def test_a_job_that_was_never_made_is_submitted_once_the_vendor_would_list_it() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-request"])

    world.run(world.load())

    assert manifest(world).job.submissions == 2
    assert len(world.loads.jobs) == 1


# What should still appear --------------------------------------------------------------------------------------------


def awaiting(**more: Any) -> LoadReport:
    return LoadReport(
        JobStatus.SUCCEEDED, items=MIXED, awaited="2 of 3 extractions listed", awaited_for=timedelta(minutes=20), **more
    )


def test_a_load_is_not_over_while_children_should_still_appear() -> None:
    world = LoadWorld(report=awaiting(progress="extraction 2 of 2"))
    execution = world.run(world.load(), until="check")
    world.loads.finish()

    world.step(execution)

    assert execution.step == "check"
    assert execution.state["progress"] == "extraction 2 of 2, 2 of 3 extractions listed"


def test_children_that_never_appear_are_not_waited_for_for_ever() -> None:
    world = LoadWorld(report=awaiting(partial="1 extraction never appeared"))
    begun = world.now

    world.run(world.load())

    assert manifest(world).outcome is Outcome.PARTIAL
    assert world.now - begun >= timedelta(minutes=20)


def test_the_time_for_children_to_appear_begins_anew_when_one_does() -> None:
    world = LoadWorld(report=awaiting())
    execution = world.run(world.load(), until="check")
    world.loads.finish()
    world.step(execution)
    since = execution.state["awaited_since"]
    world.loads.report = replace(world.loads.report, status=JobStatus.RUNNING, awaited=None)
    world.pass_time(execution)
    world.step(execution)
    assert execution.state["awaited_since"] is None
    world.loads.report = awaiting()
    world.pass_time(execution)
    world.step(execution)

    assert execution.state["awaited_since"] > since


# What is sent --------------------------------------------------------------------------------------------------------


def test_exactly_the_object_that_arrived_is_sent() -> None:
    world = LoadWorld()

    world.run(world.arrive("inbox/a.csv", b"a,b\n1,2\n"))

    assert world.loads.received == [b"a,b\n1,2\n"]
    [sent] = manifest(world, "imports").objects
    assert (sent.key, sent.version_id) == ("inbox/a.csv", "v1")


def test_the_same_arrival_told_twice_is_one_load() -> None:
    world = LoadWorld()
    world.run(world.arrive("inbox/a.csv", b"a"))

    again = world.run(world.arrive("inbox/a.csv", b"a"))

    assert again.status == "SUCCEEDED"
    assert len(world.loads.jobs) == 1
    assert len(world.records("imports")) == 1


@pytest.mark.parametrize(("key", "body"), [("inbox/folder/", b""), ("inbox/empty.csv", b"")])
def test_folders_and_empty_objects_are_nothing_new(key: str, body: bytes) -> None:
    world = LoadWorld()

    execution = world.run(world.arrive(key, body))

    assert execution.status == "SUCCEEDED"
    assert world.outcomes("imports") == [Outcome.NOTHING_NEW]
    assert world.loads.jobs == []


def test_an_empty_object_can_be_an_error() -> None:
    world = LoadWorld()

    execution = world.run(world.arrive("inbox/empty.csv", b"", empty="fail"))

    assert execution.error == "InvalidEventError"
    assert "options.empty" in (execution.cause or "")


def test_an_object_that_is_gone_is_said_to_be_so_and_nothing_is_sent() -> None:
    world = LoadWorld()
    execution = world.arrive("inbox/a.csv", b"a")
    world.inbox.clear()

    world.run(execution)

    assert execution.error == "SourceGoneError"
    assert world.loads.jobs == []


def test_a_load_that_sends_needs_something_to_send() -> None:
    world = LoadWorld()

    execution = world.run(world.load(action="import"))

    assert execution.error == "InvalidEventError"
    assert execution.cause == "source: missing; import sends an object, or a dataset of a manifest"


def test_a_dataset_of_an_exports_manifest_is_sent() -> None:
    world = LoadWorld()
    exporting = World(world.store)
    exporting.landing = world.landing
    exporting.run(exporting.start())
    [exported] = exporting.records()
    key = f"manifests/people/{exported.run_id}.json"
    for file in exporting.ledger().files("people", exported.run_id):
        world.inbox[file.key] = file.key.encode()

    world.run(world.load("imports", action="import", source={"manifest": {"bucket": "landing", "key": key}}))

    sent = manifest(world, "imports").objects
    assert [each.key.rpartition("/")[2] for each in sent] == ["T_part0.csv.gz", "T_part1.csv.gz"]
    assert all(each.version_id for each in sent)


def test_an_event_for_the_other_flow_is_refused() -> None:
    world = World()

    execution = world.run(world.start(action="load", request={"what": "all of it"}))

    assert execution.error == "InvalidEventError"
    assert execution.cause == "action: load is the load flow's, and this is the export flow"


def test_a_state_survives_its_way_through_json() -> None:
    world = LoadWorld()
    execution = world.run(world.arrive("inbox/a.csv", b"a"), until="publish")

    assert Load.model_validate(execution.state).model_dump(mode="json", by_alias=True) == execution.state
