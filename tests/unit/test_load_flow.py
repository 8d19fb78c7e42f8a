"""The load flow's decisions, stepped one Lambda at a time against a vendor in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from haul.errors import SourceTooSlowError
from haul.models.event import Outcome
from haul.models.ledger import RunRecord, RunState
from haul.models.load import Load, LoadItem
from haul.models.manifest import LoadManifest
from haul.models.work import JobStatus
from haul.ports import LoadReport, Source
from tests.fakes.loads import LISTS_KINDS, LoadWorld
from tests.fakes.world import Run, World, fake_vendor

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


# Given up at a bad moment ---------------------------------------------------------------------------------------------


def given_up(world: LoadWorld, execution: Run) -> RunRecord:
    world.abort(execution)
    world.rule(execution)
    [record] = [each for each in world.records(execution.event["pipeline"]) if each.execution == execution.arn]
    return record


def test_a_job_that_had_succeeded_when_its_run_was_given_up_is_adopted() -> None:
    """Cancelling what has ended changes nothing: sending it again would load it twice."""
    world = LoadWorld()
    execution = world.run(world.load(), until="check")
    world.loads.finish()
    record = given_up(world, execution)

    world.run(world.rerun(record))

    assert len(world.loads.jobs) == 1
    assert manifest(world).job.adopted


def test_a_rerun_waits_for_a_job_that_is_still_being_cancelled_and_then_submits() -> None:
    world = LoadWorld(cancels_at_once=False)
    record = given_up(world, world.run(world.load(), until="check"))

    again = world.run(world.rerun(record), until="check")
    world.step(again)
    assert [job.status for job in world.loads.jobs] == [JobStatus.RUNNING]
    world.loads.finish(JobStatus.CANCELLED)
    world.run(again)

    assert again.status == "SUCCEEDED"
    assert [job.status for job in world.loads.jobs] == [JobStatus.CANCELLED, JobStatus.SUCCEEDED]


def test_a_job_that_succeeds_although_it_was_to_be_cancelled_is_used() -> None:
    world = LoadWorld(cancels_at_once=False)
    record = given_up(world, world.run(world.load(), until="check"))

    world.run(world.rerun(record))

    assert len(world.loads.jobs) == 1
    assert world.outcomes("nightly") == [Outcome.SUCCEEDED]


def test_a_rerun_does_not_take_children_that_are_not_listed_yet_for_a_failure() -> None:
    world = LoadWorld(report=LoadReport(JobStatus.FAILED, awaited="no child listed", awaited_for=timedelta(minutes=20)))
    execution = world.run(world.load(), until="check")
    world.loads.finish()
    record = given_up(world, execution)
    world.loads.report = LoadReport(JobStatus.SUCCEEDED, items=MIXED[:1])

    world.run(world.rerun(record))

    assert len(world.loads.jobs) == 1


def test_one_who_shared_a_job_adopts_it_after_its_owner_has_published() -> None:
    world = LoadWorld()
    owner = world.run(world.load("owner"), until="check")
    sharer = world.run(world.load("sharer"), until="check")
    record = given_up(world, sharer)
    world.run(owner)

    world.run(world.rerun(record))

    assert world.outcomes("sharer") == [Outcome.SUCCEEDED]
    assert len(world.loads.jobs) == 1


def test_a_job_is_cancelled_once_the_last_who_waited_for_it_is_given_up() -> None:
    world = LoadWorld()
    owner = world.run(world.load("owner"), until="check")
    sharer = world.run(world.load("sharer"), until="check")

    given_up(world, owner)
    assert world.loads.cancelled == []
    given_up(world, sharer)

    assert world.loads.cancelled == ["j1"]


def test_a_function_that_was_replaced_cancels_the_job_that_it_made_and_no_other() -> None:
    world = LoadWorld(submit_faults=["lost-request"])
    first = world.run(world.load(), until="check")
    record = given_up(world, first)
    world.pass_hours(1)
    begin = world.loads.start
    second: list[Run] = []

    def slowly(request: Mapping[str, Any], source: Source | None, *, run_id: str) -> str:
        """While one uploads, its run is given up and run again by a person who wants another job."""
        world.loads.start = begin  # type: ignore[method-assign]
        [mine] = [each for each in world.executions.values() if each.status == "RUNNING"]
        world.abort(mine)
        world.rule(mine)
        world.pass_hours(1)
        second.append(world.run(world.rerun(record, resubmit=True), until="check"))
        return begin(request, source, run_id=run_id)

    world.loads.start = slowly  # type: ignore[method-assign]
    world.step(world.rerun(record, resubmit=True))

    assert second[0].state["job"]["id"] == "j1"
    assert world.loads.cancelled == ["j2"]


def test_a_resubmission_waits_until_nobody_can_be_submitting_any_more() -> None:
    world = LoadWorld(submit_faults=["lost-request"])
    record = given_up(world, world.run(world.load(), until="check"))

    again = world.run(world.rerun(record, resubmit=True), until="check")
    assert world.loads.jobs == []
    begun = world.now
    world.run(again)

    assert len(world.loads.jobs) == 1
    assert world.loads.jobs[0].made_at - begun > timedelta(minutes=14)


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


def test_a_vendor_whose_clock_is_behind_shows_our_job_all_the_same() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-reply"], clock_is_behind=timedelta(seconds=30))
    execution = world.run(world.load(), until="check")
    world.loads.finish()

    world.run(execution)

    assert len(world.loads.jobs) == 1


def test_a_job_that_does_not_say_when_it_began_keeps_the_doubt() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-reply"], tells_begin=False)

    execution = world.run(world.load(limits={"deadline": "PT1H"}))

    assert execution.error == "SubmissionInDoubtError"
    assert len(world.loads.jobs) == 1


def test_a_job_in_doubt_that_failed_is_not_followed_by_another() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-reply"])
    execution = world.run(world.load(), until="check")
    world.loads.finish(JobStatus.FAILED)

    world.run(execution, finish=False)

    assert execution.error == "LoadFailedError"
    assert len(world.loads.jobs) == 1


def test_of_two_runs_in_doubt_neither_takes_the_one_job_there_is() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-request", "lost-reply"])
    one = world.run(world.load("one", request={"what": "a"}, limits={"deadline": "PT1H"}), until="check")
    two = world.run(world.load("two", request={"what": "b"}, limits={"deadline": "PT1H"}), until="check")

    world.run(one)
    world.run(two)

    assert (one.error, two.error) == ("SubmissionInDoubtError", "SubmissionInDoubtError")
    assert len(world.loads.jobs) == 1


def test_a_doubt_of_another_account_says_nothing_about_ours() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-request", "lost-reply"])
    world.loads.account = "tenant@elsewhere"
    world.run(world.load("other", request={"what": "b"}), until="check")
    world.loads.account = "acme"

    ours = world.run(world.load())

    assert ours.status == "SUCCEEDED"
    assert len(world.loads.jobs) == 1


def test_a_job_that_began_when_no_function_of_ours_could_still_live_is_not_ours() -> None:
    world = LoadWorld(capabilities=LISTS_KINDS, submit_faults=["lost-request"])
    execution = world.run(world.load(limits={"deadline": "PT2H"}), until="check")
    world.now += timedelta(minutes=20)
    world.loads.make({}, "a person")

    world.step(execution)

    assert execution.state["job"]["id"] is None


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


def test_an_object_that_was_written_anew_without_versions_is_another() -> None:
    world = LoadWorld()
    world.inbox["inbox/a.csv"] = b"a"
    for etag in ("x", "y", "y"):
        source = {"object": {"bucket": "inbox", "key": "inbox/a.csv", "version_id": "null", "etag": etag}}
        world.run(world.load("imports", action="import", source=source))

    assert len(world.records("imports")) == 2


def test_the_same_object_sent_otherwise_is_another_job() -> None:
    world = LoadWorld()
    world.inbox["inbox/a.gz"] = b"a"
    source = {"object": {"bucket": "inbox", "key": "inbox/a.gz", "version_id": "v1"}}
    for pipeline, decode in (("packed", "none"), ("unpacked", "auto")):
        world.run(world.load(pipeline, action="import", source=source, options={"decode": decode}), until="check")

    assert len(world.loads.jobs) == 2


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


def test_a_load_whose_time_ended_while_it_was_sent_made_no_job_and_may_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_slow(*_: object, **__: object) -> str:
        raise SourceTooSlowError("inbox/a.csv takes longer than one invocation has")

    world = LoadWorld()
    with monkeypatch.context() as patch:
        patch.setattr(world.loads, "start", too_slow)
        execution = world.run(world.arrive("inbox/a.csv", b"id,name"))
    [record] = world.records("imports")
    again = world.run(world.rerun(record))

    assert execution.error == "SourceTooSlowError"
    assert again.status == "SUCCEEDED"
    assert world.loads.received == [b"id,name"]


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
