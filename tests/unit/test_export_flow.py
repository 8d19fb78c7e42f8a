"""The flow's decisions, stepped as the state machine steps them, in memory."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from haul.errors import RateLimitedError, ResultExpiredError, VendorUnavailableError
from haul.models.event import Outcome
from haul.models.export import Contents
from haul.models.ledger import RunState
from haul.models.manifest import ExportManifest
from haul.models.work import Job, JobStatus
from haul.ports import Capabilities, Found, Known, Prepared
from tests.fakes.memory_store import Fault
from tests.fakes.vendor import LISTS_RUNNING_AND_CANCELS
from tests.fakes.world import World, fake_vendor


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


def test_a_run_lands_its_files_and_is_published_and_told_once() -> None:
    world = World()

    execution = world.run(world.start())

    (record,) = world.records()
    assert execution.status == "SUCCEEDED"
    assert record.state is RunState.PUBLISHED
    assert record.told
    assert world.manifests() == [f"manifests/people/{record.run_id}.json"]
    assert [notice.detail["outcome"] for notice in world.notices] == ["SUCCEEDED"]
    manifest = world.ledger().manifest("people", record.run_id)
    assert isinstance(manifest, ExportManifest)
    assert manifest.sequence == 1
    assert manifest.totals.files == 2
    assert not list(world.ledger().active())


def test_the_same_version_again_is_nothing_new_and_spends_nothing() -> None:
    world = World()
    world.run(world.start())

    execution = world.run(world.start())

    assert execution.status == "SUCCEEDED"
    assert world.outcomes() == [Outcome.SUCCEEDED, Outcome.NOTHING_NEW]
    assert world.vendor.posts == 1


def test_a_repeated_trigger_joins_the_run_while_it_goes_and_ends_as_it_ended() -> None:
    world = World()
    first = world.run(world.start(id="hourly"), until="check")

    second = world.run(world.start(id="hourly"))
    world.run(first)
    third = world.run(world.start(id="hourly"))

    assert second.state["outcome"] == "JOINED"
    assert third.state["outcome"] == "SUCCEEDED"
    assert world.vendor.posts == 1
    assert len(world.records()) == 1
    assert len(world.notices) == 1


def test_two_triggers_for_the_same_version_make_one_job() -> None:
    world = World()
    first = world.run(world.start(), until="check")

    second = world.run(world.start())
    world.run(first)

    assert second.state["outcome"] == "JOINED"
    assert second.state["joined"] == first.state["run_id"]
    assert world.vendor.posts == 1


def test_another_pipeline_shares_the_job_and_publishes_its_own_manifest() -> None:
    world = World()
    first = world.run(world.start("people"), until="check")
    second = world.run(world.start("archive"), until="check")

    world.run(first)
    world.run(second)

    assert world.vendor.posts == 1
    assert world.outcomes("people") == world.outcomes("archive") == [Outcome.SUCCEEDED]


def test_a_failed_job_is_told_and_a_rerun_submits_once_more() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    world.vendor.finish(JobStatus.FAILED)
    world.run(execution, finish=False)

    world.run(world.rerun(world.records()[0]))

    assert execution.error == "ExportFailedError"
    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert world.vendor.posts == 2
    assert [notice.detail["outcome"] for notice in world.notices] == ["FAILED", "SUCCEEDED"]


def test_a_failure_worth_another_try_is_followed_by_one_more_job_where_that_is_asked_for() -> None:
    world = World(retryable=True)
    execution = world.run(world.start(options={"retry_if_retryable": 1}), until="check")
    world.vendor.finish(JobStatus.FAILED)

    world.run(execution)

    (record,) = world.records()
    manifest = world.ledger().manifest("people", record.run_id)
    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 2
    assert manifest is not None
    assert (manifest.job.id, manifest.job.submissions) == ("j2", 2)
    assert manifest.warnings == [
        "job j1 failed (it broke) and was followed by another, as options.retry_if_retryable allows"
    ]


@pytest.mark.parametrize(("retryable", "retries", "posts"), [(True, 0, 1), (False, 1, 1), (True, 1, 2), (True, 2, 3)])
def test_a_failure_is_followed_by_no_more_jobs_than_are_allowed(*, retryable: bool, retries: int, posts: int) -> None:
    world = World(retryable=retryable)
    execution = world.start(options={"retry_if_retryable": retries})
    world.run(execution, until="check")

    for _ in range(20):
        if execution.step == "check":
            world.vendor.finish(JobStatus.FAILED)
            world.pass_time(execution)
        if execution.status == "RUNNING":
            world.step(execution)

    assert execution.error == "ExportFailedError"
    assert world.vendor.posts == posts


@pytest.mark.parametrize("fault", ["kill-before", "kill-after", "lost-request", "lost-reply"])
@pytest.mark.parametrize("at", range(4))
def test_one_more_job_is_one_whatever_is_killed(fault: Fault, at: int) -> None:
    """The look that sees the failure meets a fault at its first, second, ... write, and is made again."""
    world = World(retryable=True)
    execution = world.run(world.start(options={"retry_if_retryable": 1}), until="check")
    world.vendor.finish(JobStatus.FAILED)
    writes = count()

    world.before_write = lambda _: fault if next(writes) == at else None
    world.step(execution)
    world.before_write = lambda _: None
    world.run(execution)

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 2


def test_another_pipelines_job_is_its_own_to_follow_by_another() -> None:
    world = World(retryable=True)
    options = {"retry_if_retryable": 1}
    owner = world.run(world.start("people", options=options), until="check")
    sharing = world.run(world.start("archive", options=options), until="check")
    world.vendor.finish(JobStatus.FAILED)

    world.run(sharing, finish=False)
    world.run(owner)

    assert sharing.error == "ExportFailedError"
    assert owner.status == "SUCCEEDED"
    assert world.vendor.posts == 2


def test_a_lost_reply_is_never_answered_by_a_second_submission() -> None:
    world = World(submit_faults=["lost-reply"])

    execution = world.run(world.start())

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_lost_submission_ends_in_doubt_and_a_person_may_resubmit() -> None:
    world = World(submit_faults=["lost-request"])
    execution = world.run(world.start())
    (record,) = world.records()

    again = world.run(world.rerun(record))
    resubmitted = world.run(world.rerun(record, resubmit=True))

    assert execution.error == again.error == "SubmissionInDoubtError"
    assert world.vendor.posts == 1
    assert resubmitted.status == "SUCCEEDED"


def test_a_vendor_that_lists_running_jobs_frees_a_lost_submission_after_its_lag() -> None:
    world = World(submit_faults=["lost-request"], capabilities=LISTS_RUNNING_AND_CANCELS)

    execution = world.run(world.start())

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


@pytest.mark.parametrize("fault", ["unreachable", "rate-limited"])
def test_a_submission_that_certainly_made_no_job_is_tried_again(fault: str) -> None:
    world = World(submit_faults=[fault])

    execution = world.run(world.start())

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1
    assert world.ledger().submissions("fake", "acme", now=world.now) == 1


def test_failed_polls_are_not_a_failed_job_until_ten_in_a_row() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    world.vendor.status_faults = 9

    world.run(execution)

    assert execution.status == "SUCCEEDED"


def test_ten_failed_polls_in_a_row_give_the_job_up_and_a_rerun_adopts_it() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    world.vendor.status_faults = 10
    world.run(execution)

    again = world.run(world.rerun(world.records()[0]))

    assert execution.error == "PollingFailedError"
    assert again.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_job_past_its_deadline_fails_the_run_and_is_kept_for_adoption() -> None:
    world = World()
    execution = world.run(world.start(limits={"deadline": "PT1H"}), finish=False)

    again = world.run(world.rerun(world.records()[0]))

    assert execution.error == "DeadlineExceededError"
    assert again.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_job_past_its_deadline_is_cancelled_where_the_vendor_can() -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)

    world.run(world.start(limits={"deadline": "PT1H"}), finish=False)

    assert world.vendor.cancelled == ["j1"]


def test_a_job_that_was_submitted_while_its_run_was_stopped_is_cancelled() -> None:
    """Abandon came before there was a job to cancel."""
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.start()

    def stop_before_the_intent(key: str) -> None:
        if key.startswith("ledger/_jobs/"):
            world.before_write = lambda _: None
            world.abort(execution)
            world.rule(execution)

    world.before_write = stop_before_the_intent
    world.step(execution)

    assert world.outcomes() == [Outcome.CANCELLED]
    assert world.vendor.cancelled == ["j1"]
    assert world.vendor.live() == []


def test_the_owner_does_not_cancel_a_job_that_another_pipeline_waits_for() -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    first = world.run(world.start("people"), until="check")
    second = world.run(world.start("archive"), until="check")
    world.abort(first)

    world.rule(first)
    world.run(second)

    assert world.vendor.cancelled == []
    assert world.outcomes("people") == [Outcome.CANCELLED]
    assert world.outcomes("archive") == [Outcome.SUCCEEDED]


@pytest.mark.parametrize("step", ["schedule", "check", "plan", "download 0", "publish"])
def test_an_aborted_execution_ends_cancelled_and_a_rerun_goes_on(step: str) -> None:
    world = World()
    execution = world.run(world.start(id="x"), until=step)
    world.abort(execution)

    world.rule(execution)
    world.rule(execution)

    if step == "schedule":
        assert world.records() == []
        return
    assert world.outcomes() == [Outcome.CANCELLED]
    assert [notice.detail["outcome"] for notice in world.notices] == ["CANCELLED"]
    world.run(world.rerun(world.records()[0]))
    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert world.vendor.posts == 1


def test_the_sweep_finds_what_the_rule_missed() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    world.abort(execution)

    world.sweep()

    assert world.outcomes() == [Outcome.CANCELLED]
    assert len(world.notices) == 1


def test_a_late_run_is_told_once_and_goes_on() -> None:
    world = World()
    execution = world.run(world.start(limits={"deadline": "PT6H", "late_after": "PT1H"}), until="check")
    world.now += timedelta(hours=2)

    world.sweep()
    world.sweep()
    world.run(execution)

    assert [notice.detail_type for notice in world.notices] == ["Haul Run Late", "Haul Run Ended"]
    assert execution.status == "SUCCEEDED"


def test_what_published_stays_published_though_its_execution_was_stopped_half_way() -> None:
    world = World()
    execution = world.run(world.start(), until="publish")
    world.before_write = lambda key: "kill-before" if key.startswith("manifests/") else None
    world.step(execution)
    world.before_write = lambda _: None
    world.abort(execution)

    world.rule(execution)

    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert len(world.manifests()) == 1


def test_a_job_that_delivers_only_part_is_published_and_says_so() -> None:
    world = World(partial="7.6 % of its tasks failed")

    execution = world.run(world.start())

    (record,) = world.records()
    manifest = world.ledger().manifest("people", record.run_id)
    assert execution.status == "SUCCEEDED"
    assert record.outcome is Outcome.PARTIAL
    assert manifest is not None
    assert manifest.outcome is Outcome.PARTIAL
    assert manifest.warnings == ["7.6 % of its tasks failed"]
    assert [notice.detail["outcome"] for notice in world.notices] == ["PARTIAL"]


def test_a_part_stays_a_part_for_whoever_takes_the_job_up() -> None:
    world = World(partial="7.6 % of its tasks failed")
    first = world.run(world.start("people"), until="plan")
    world.abort(first)
    world.rule(first)
    world.vendor.partial = None

    world.run(world.start("archive"))

    assert world.outcomes("archive") == [Outcome.PARTIAL]
    assert world.vendor.posts == 1


def test_what_the_vendor_says_of_the_end_of_a_job_is_kept() -> None:
    world = World()
    execution = world.run(world.start(), until="check")
    world.vendor.finish(JobStatus.FAILED)

    world.run(execution, finish=False)

    (record,) = world.records()
    assert world.landing.read(f"evidence/people/{record.run_id}/final-status.json") == b'{"job": "j1"}'


def test_files_with_other_rows_than_the_vendor_counted_are_not_published() -> None:
    world = World(expected_rows=3)

    execution = world.run(world.start())

    assert execution.error == "RowCountError"
    assert execution.cause == "the files hold 2 rows, and the vendor counted 3"
    assert world.manifests() == []


def test_a_result_that_expires_while_it_is_downloaded_is_submitted_anew_by_a_rerun() -> None:
    world = World()
    execution = world.run(world.start(), until="download 0")
    world.downloads_fail = [ResultExpiredError("T_part0.csv.gz is gone")]
    world.run(execution)
    world.pass_hours(24 * 15)

    world.run(world.rerun(world.records()[0]))

    assert execution.error == "ResultExpiredError"
    assert [notice.detail["outcome"] for notice in world.notices] == ["EXPIRED", "SUCCEEDED"]
    assert world.vendor.posts == 2


def test_a_failure_notice_says_what_the_day_has_left_and_what_readers_have() -> None:
    world = World()
    world.run(world.start())
    world.vendor.newest = "7000002"
    execution = world.run(world.start(), until="check")
    world.vendor.finish(JobStatus.FAILED)

    world.run(execution, finish=False)

    assert "2 of 10 submissions used today." in world.notices[-1].body
    assert "Readers still see 7000001 from 2026-11-22 12:00." in world.notices[-1].body


def test_a_delta_waits_for_the_one_before_it() -> None:
    """A delta from a version that readers no longer have when it is done would break what they keep."""
    world = World()
    world.run(world.start(base="@last-published"))
    world.vendor.newest = "7000002"
    first = world.run(world.start(base="@last-published"), until="check")
    world.vendor.newest = "7000003"

    second = world.run(world.start(base="@last-published"))
    world.run(first)
    third = world.run(world.start(base="@last-published"))

    assert second.state["outcome"] == "NOTHING_NEW"
    assert first.state["run_id"] in second.state["message"]
    assert third.state["watermark"]["from"] == "7000002"
    assert third.state["watermark"]["to"] == "7000003"


def test_a_delta_that_no_longer_fits_is_not_published() -> None:
    world = World()
    world.run(world.start(base="@last-published"))
    world.vendor.newest = "7000002"
    delta = world.run(world.start(base="@last-published"), until="publish")
    world.run(world.start(version="7000003"))

    world.run(delta)

    assert delta.error == "BaseMovedError"
    assert len(world.manifests()) == 2
    assert world.notices[-1].detail["error"] == "BaseMovedError"


def test_a_repeated_trigger_of_a_failed_run_ends_as_it_ended_and_tells_nobody_again() -> None:
    world = World()
    first = world.run(world.start(id="hourly"), until="check")
    world.vendor.finish(JobStatus.FAILED)
    world.run(first, finish=False)

    second = world.run(world.start(id="hourly"))

    assert second.status == "FAILED"
    assert second.error == first.error == "ExportFailedError"
    assert len(world.notices) == 1


def test_an_event_that_does_not_say_which_run_it_is_is_told_all_the_same() -> None:
    world = World()

    execution = world.run(world.start("Not A Name"))

    assert execution.error == "InvalidEventError"
    assert [notice.subject for notice in world.notices] == [
        "FAILED Not A Name test: InvalidEventError (nothing was started)"
    ]


def test_a_reserve_of_the_days_submissions_is_kept_for_people() -> None:
    world = World()
    for version in range(8):
        world.run(world.start(version=f"70001{version:02}"))

    refused = world.run(world.start(version="7000200"))
    spent = world.run(
        world.start(
            version="7000201", options={"spend_reserved_submission": True}, trigger={"type": "manual", "by": "someone"}
        )
    )

    assert refused.error == "QuotaExceededError"
    assert "8 of 10 submissions" in (refused.cause or "")
    assert spent.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"vendor": "fakke"}, "InvalidEventError", 'vendor: "fakke" is unknown'),
        ({"action": "exports"}, "InvalidEventError", 'action: "exports" is unknown to fake'),
        ({"request": {}}, "InvalidEventError", "request.version: missing"),
        ({"request": {"versoin": "1"}}, "InvalidEventError", "did you mean version?"),
        ({"limits": {"deadline": 6}}, "InvalidEventError", "limits.deadline"),
        ({"connection": "elsewhere"}, "UnknownConnectionError", "haul/test/elsewhere"),
        ({"id": "x@<aws.scheduler.scheduled-time>"}, "InvalidEventError", "<aws.scheduler.scheduled-time>"),
    ],
)
def test_wrong_input_fails_before_anything_is_submitted(event: dict[str, object], error: str, says: str) -> None:
    world = World()

    execution = world.run(world.start(**event))  # type: ignore[arg-type]  # wrong on purpose

    assert execution.error == error
    assert says in (execution.cause or "")
    assert world.vendor.posts == 0
    assert [notice.detail["error"] for notice in world.notices] == [error]


def test_a_rerun_looks_soon_at_a_job_that_may_have_ended_long_ago() -> None:
    world = World()
    world.run(world.start(limits={"deadline": "PT6H"}), finish=False)
    world.vendor.finish()
    world.pass_hours(48)

    begun = world.now
    execution = world.run(world.rerun(world.records()[0]))

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1
    assert (world.now - begun).total_seconds() <= 10


def test_a_rate_limit_on_the_way_to_a_submission_is_a_longer_wait() -> None:
    """Calls of an hour may be used up, and no retry of the state machine waits for so long."""
    world = World()
    execution = world.start()
    look = world.vendor.find

    def refuse(request: Mapping[str, Any]) -> list[Found]:
        world.vendor.find = look  # type: ignore[method-assign]
        raise RateLimitedError(f"{len(request)} calls too many", retry_after=1800)

    world.vendor.find = refuse  # type: ignore[method-assign]
    world.step(execution)

    assert execution.state["wait_seconds"] == 1800
    world.run(execution)
    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_rate_limit_while_symbols_are_resolved_is_a_longer_wait() -> None:
    world = World()
    execution = world.start()
    prepare = world.vendor.prepare

    def refuse(request: Mapping[str, Any], known: Known) -> Prepared:
        world.vendor.prepare = prepare  # type: ignore[method-assign]
        raise RateLimitedError(f"{len(request)} calls too many for {known}", retry_after=1800)

    world.vendor.prepare = refuse  # type: ignore[method-assign]
    world.step(execution)

    assert execution.step == "check"
    assert execution.state["wait_seconds"] == 1800
    world.run(execution)
    assert execution.status == "SUCCEEDED"
    assert execution.state["request"] == {"version": "7000001"}
    assert world.vendor.posts == 1


def test_a_rate_limit_that_never_ends_is_bounded_by_the_deadline() -> None:
    world = World()
    execution = world.start(limits={"deadline": "PT1H"})

    def refuse(request: Mapping[str, Any], known: Known) -> Prepared:
        raise RateLimitedError(f"{len(request)} calls too many for {known}", retry_after=1800)

    world.vendor.prepare = refuse  # type: ignore[method-assign]
    world.run(execution)

    assert execution.error == "DeadlineExceededError"
    assert world.outcomes() == [Outcome.FAILED]


def test_a_list_that_cannot_be_had_does_not_show_that_there_is_no_job() -> None:
    """The vendor lists running jobs, so an absent one frees the submission: but only one that was looked for."""
    world = World(submit_faults=["lost-reply"], capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    look = world.vendor.find

    def outage(request: Mapping[str, Any]) -> list[Found]:
        raise VendorUnavailableError(f"503 for {request}")

    world.vendor.find = outage  # type: ignore[method-assign]
    world.pass_hours(1)
    world.step(execution)
    world.vendor.find = look  # type: ignore[method-assign]
    world.run(execution)

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_submission_that_is_under_way_is_not_taken_for_a_lost_one() -> None:
    """The state machine tries a step again whose first invocation still runs; the vendor's list has no lag."""
    world = World(capabilities=replace(LISTS_RUNNING_AND_CANCELS, listing_lag=timedelta(0)))
    execution = world.start()
    submit = world.vendor.schedule

    def slowly(request: Mapping[str, Any], *, run_id: str) -> str:
        world.vendor.schedule = submit  # type: ignore[method-assign]
        world.now += timedelta(seconds=30)
        world.invoke(execution, "schedule", {})
        return submit(request, run_id=run_id)

    world.vendor.schedule = slowly  # type: ignore[method-assign]
    world.run(execution)

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_an_event_that_no_state_could_carry_is_refused_before_anything_is_submitted() -> None:
    world = World()

    execution = world.run(world.start(trigger={"type": "manual", "reason": "x" * 70_000}))

    assert execution.error == "InvalidEventError"
    assert execution.cause is not None
    assert "61,440" in execution.cause
    assert world.vendor.posts == 0


def test_a_live_job_of_a_vendor_whose_clock_is_behind_is_found_all_the_same() -> None:
    world = World(submit_faults=["lost-reply"], capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    world.vendor.jobs[0].made_at -= timedelta(minutes=3)
    world.pass_hours(1)

    world.step(execution)
    world.run(execution)

    assert execution.status == "SUCCEEDED"
    assert world.vendor.posts == 1


def test_a_person_who_wants_a_new_result_does_not_get_the_old_one_back_after_a_lost_reply() -> None:
    world = World(expected_rows=7)
    world.run(world.start())
    world.vendor.expected_rows = None
    world.vendor.submit_faults = ["lost-reply"]
    world.pass_hours(1)

    execution = world.run(world.rerun(world.records()[0], resubmit=True), until="check")
    world.step(execution)
    world.run(execution)

    (record,) = world.records()
    assert record.outcome is Outcome.SUCCEEDED
    assert record.work is not None
    assert record.work.job.result_id == "result-of-j2"


def test_an_expired_result_does_not_end_the_job_that_another_run_submitted_since() -> None:
    world = World()
    first = world.run(world.start("people"), until="check")
    shared = world.run(world.start("archive"), until="check")
    world.vendor.finish()
    world.run(shared, until="plan")
    world.abort(first)
    world.rule(first)
    again = world.run(world.rerun(world.records()[0], resubmit=True), until="check")
    world.vendor.jobs[0].finished_at = world.now - timedelta(days=15)

    world.step(shared)
    third = world.run(world.start("audit"), until="check")

    assert shared.error == "ResultExpiredError"
    assert world.vendor.posts == 2
    assert [job.id for job in world.vendor.live()] == ["j2"]
    assert third.state["job"]["id"] == again.state["job"]["id"] == "j2"


def test_thousands_of_warnings_do_not_outgrow_the_state() -> None:
    world = World()
    contents = world.vendor.contents

    def warned(job: Job, request: Mapping[str, Any]) -> Contents:
        texts = [f'Employee.Column_{n}: Visier type "Decimal" is unknown; taken as text' for n in range(5000)]
        return contents(job, request).model_copy(update={"warnings": texts})

    world.vendor.contents = warned  # type: ignore[method-assign]
    execution = world.run(world.start())

    assert execution.status == "SUCCEEDED"
    assert len(json.dumps(execution.state)) < 64 * 1024
    assert execution.state["warnings"][-1] == "and 4,900 warnings more"


def test_a_daily_export_never_serves_yesterdays_job() -> None:
    """Where the request does not fix the content, a finished job of an earlier run is not asked for again."""
    world = World(capabilities=replace(LISTS_RUNNING_AND_CANCELS, content_fixed_by_request=False))
    world.run(world.start(version="7000001"))
    world.pass_hours(24)

    world.run(world.start(version="7000001"))

    manifests = [world.ledger().manifest("people", record.run_id) for record in world.records()]
    assert world.vendor.posts == 2
    assert [manifest.job.id for manifest in manifests if manifest] == ["j1", "j2"]
    assert [manifest.job.submissions for manifest in manifests if manifest] == [1, 1]


@pytest.mark.parametrize(
    ("can", "items", "ranges"),
    [
        (Capabilities(api="v0", connections=4, honours_range=True, ranges=4), 1, 4),
        (Capabilities(api="v0", connections=4, honours_range=True, ranges=4), 2, 2),
        (Capabilities(api="v0", connections=4, honours_range=True, ranges=4), 9, 1),
        (Capabilities(api="v0", connections=8, honours_range=True, ranges=3), 2, 3),
        (Capabilities(api="v0", connections=4, honours_range=True), 1, 1),
        (Capabilities(api="v0", connections=4, ranges=4), 1, 1),
    ],
)
def test_files_share_the_connections_that_children_leave_over(can: Capabilities, items: int, ranges: int) -> None:
    """No more of them than the vendor allows, and none split unless its connector allows that."""
    world = World(files_per_result=items, capabilities=replace(can, lists_finished_jobs=True))

    execution = world.run(world.start(), until="download 0")

    plan = execution.state["plan"]
    assert (plan["items"], plan["ranges"]) == (items, ranges)
    assert min(plan["items"], plan["concurrency"]) * plan["ranges"] <= can.connections
