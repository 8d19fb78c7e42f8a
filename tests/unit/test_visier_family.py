"""What a family of Visier's jobs comes to: what contract tests cannot bring about."""

from datetime import timedelta

import pytest

from haul.connectors.visier.family import Member, Wanted, report
from haul.connectors.visier.job_replies import CancelResults, Child, Children, ListedJob, Started
from haul.connectors.visier.jobs_client import Kind, kind_of
from haul.errors import UnexpectedResponseError
from haul.models.event import Outcome
from haul.models.work import JobStatus
from haul.ports import LoadReport
from haul.replies import read

PARENT = Member(Kind.DISPATCHING, "d1", "WFF_j1r", "Succeeded")
NOTHING = Wanted()
ALL = Wanted(Kind.EXTRACTION, None, receiving=True, processing=True)


def job(kind: Kind, tenant: str, word: str, **more: str) -> Member:
    return Member(kind, f"{kind[0]}-{tenant}-{word}", tenant, word, **more)


def judged(*others: Member, parent: Member = PARENT, wanted: Wanted = NOTHING, tolerate: str | int = 0) -> LoadReport:
    return report(parent, others, wanted, tolerate=tolerate, awaited_for=timedelta(minutes=20))


@pytest.mark.parametrize("word", ["Pending", "Running", "Cancelling", "Rescheduling", "Rescheduled", "RUNNING"])
def test_a_job_on_its_way_is_waited_for(word: str) -> None:
    assert judged(job(Kind.EXTRACTION, "A", word)).status is JobStatus.RUNNING


@pytest.mark.parametrize("word", ["Failed", "Error", "RolledBack", "ROLLED BACK", "error"])
def test_whatever_failed_failed(word: str) -> None:
    assert judged(job(Kind.EXTRACTION, "A", word)).status is JobStatus.FAILED


def test_a_job_without_a_status_is_waited_for_and_reported() -> None:
    seen = judged(job(Kind.EXTRACTION, "A", ""))

    assert (seen.status, seen.word) == (JobStatus.UNKNOWN, "no status")


def test_the_worst_of_a_tenants_jobs_decides() -> None:
    seen = judged(
        job(Kind.EXTRACTION, "A", "Succeeded"),
        job(Kind.PROCESSING, "A", "Failed", message="[DP1] no"),
        job(Kind.EXTRACTION, "B", "Succeeded"),
        job(Kind.PROCESSING, "B", "Cancelled"),
        job(Kind.PROCESSING, "C", "Succeeded", data_version="7"),
    )

    assert [(item.tenant, item.outcome, item.data_version) for item in seen.items] == [
        ("A", Outcome.FAILED, None),
        ("B", Outcome.CANCELLED, None),
        ("C", Outcome.SUCCEEDED, "7"),
    ]
    assert seen.partial == "2 of 3 tenants failed: A [DP1] no, B its processing job p-B-Cancelled ended as Cancelled"


def test_at_most_three_tenants_are_named() -> None:
    failed = [job(Kind.PROCESSING, f"T{n}", "Failed", message="[DP1] " + "x" * 500) for n in range(40)]

    seen = judged(*failed)

    assert seen.reason is not None
    assert seen.reason.startswith("40 of 40 tenants failed: T0 [DP1] xxx")
    assert seen.reason.endswith("... and 37 more")
    assert len(seen.reason) < 500


def test_what_was_never_dispatched_counts_towards_the_whole() -> None:
    """One of the hundred that Visier dispatched failed; the lists show no more than two."""
    wanted = Wanted(Kind.EXTRACTION, 100)

    seen = judged(
        job(Kind.EXTRACTION, "A", "Failed"), job(Kind.EXTRACTION, "B", "Succeeded"), wanted=wanted, tolerate="1%"
    )

    assert seen.awaited == "98 of 100 extraction jobs are not listed yet"
    assert seen.partial == seen.awaited


def test_nothing_at_all_is_a_failure_that_may_still_be_none() -> None:
    seen = judged(wanted=ALL)

    assert seen.status is JobStatus.FAILED
    assert seen.reason == "Visier made nothing of it: no extraction job is listed yet"
    assert seen.awaited_for == timedelta(minutes=20)


@pytest.mark.parametrize(("word", "status"), [("Failed", JobStatus.FAILED), ("Cancelled", JobStatus.CANCELLED)])
def test_a_parent_that_made_nothing_ended_by_itself(word: str, status: JobStatus) -> None:
    seen = judged(parent=Member(Kind.DISPATCHING, "d1", "WFF_j1r", word), wanted=ALL)

    assert (seen.status, seen.awaited) == (status, None)
    assert seen.reason == f"the dispatching job d1 ended as {word}"


def test_a_parent_that_failed_in_the_middle_leaves_a_part() -> None:
    parent = Member(Kind.DISPATCHING, "d1", "WFF_j1r", "Failed")

    seen = judged(job(Kind.PROCESSING, "A", "Succeeded"), parent=parent)

    assert (seen.status, seen.partial) == (JobStatus.SUCCEEDED, "the dispatching job itself ended as Failed")


@pytest.mark.parametrize("word", ["Failed", "Cancelled", "RolledBack"])
@pytest.mark.parametrize("tolerate", [0, "100%"])
def test_a_receiving_job_that_did_not_succeed_may_lack_tenants_that_no_list_shows(
    word: str, tolerate: str | int
) -> None:
    seen = judged(
        job(Kind.RECEIVING, "A", "Succeeded"),
        job(Kind.PROCESSING, "A", "Succeeded", data_version="7"),
        parent=Member(Kind.RECEIVING, "r1", None, word),
        wanted=Wanted(processing=True),
        tolerate=tolerate,
    )

    assert (seen.status, seen.partial) == (JobStatus.SUCCEEDED, f"the receiving job itself ended as {word}")
    assert seen.awaited is None


def test_tenants_whose_parent_failed_still_await_what_follows_their_own_jobs() -> None:
    """What was dispatched goes on by itself; what was not never comes."""
    seen = judged(
        job(Kind.EXTRACTION, "A", "Succeeded"),
        job(Kind.PROCESSING, "A", "Succeeded"),
        job(Kind.EXTRACTION, "B", "Succeeded"),
        parent=Member(Kind.DISPATCHING, "d1", "WFF_j1r", "Failed"),
        wanted=Wanted(Kind.EXTRACTION, 5, processing=True),
    )

    assert seen.awaited == "no processing job of B is listed yet"
    assert seen.partial == "the dispatching job itself ended as Failed; no processing job of B is listed yet"


@pytest.mark.parametrize(("word", "status"), [("Failed", JobStatus.FAILED), ("Cancelled", JobStatus.CANCELLED)])
def test_a_single_tenants_own_job_decides_with_those_that_follow_it(word: str, status: JobStatus) -> None:
    seen = judged(
        job(Kind.RECEIVING, "A", "Succeeded"),
        parent=Member(Kind.EXTRACTION, "e1", "A", word),
        wanted=Wanted(processing=True),
    )

    assert (seen.status, seen.partial, seen.awaited) == (status, None, None)
    assert [(item.tenant, item.message) for item in seen.items] == [("A", f"its extraction job e1 ended as {word}")]


def test_a_single_tenant_is_told_once_where_its_jobs_do_not_name_it() -> None:
    seen = judged(
        Member(Kind.RECEIVING, "r1", None, "Succeeded"), parent=Member(Kind.EXTRACTION, "e1", "A", "Succeeded")
    )

    assert [(item.tenant, item.outcome) for item in seen.items] == [("A", Outcome.SUCCEEDED)]


@pytest.mark.parametrize("tolerate", [0, "100%"])
def test_of_a_family_that_was_cancelled_in_part_the_rest_counts(tolerate: str | int) -> None:
    done = [job(Kind.PROCESSING, "A", "Succeeded", data_version="7"), job(Kind.PROCESSING, "B", "Cancelled")]
    parent = Member(Kind.DISPATCHING, "d1", "WFF_j1r", "Cancelled")

    seen = judged(*done, parent=parent, tolerate=tolerate)

    assert seen.status is JobStatus.SUCCEEDED
    assert seen.partial is not None
    assert seen.partial.startswith("1 of 2 tenants were cancelled: B ")
    assert judged(*done, job(Kind.PROCESSING, "C", "Cancelling"), parent=parent).status is JobStatus.RUNNING
    assert judged(done[1], parent=parent).status is JobStatus.CANCELLED


def test_a_tenant_whose_data_was_not_received_awaits_no_processing() -> None:
    seen = judged(job(Kind.EXTRACTION, "A", "Succeeded"), job(Kind.RECEIVING, "A", "Failed"), wanted=ALL)

    assert (seen.status, seen.awaited) == (JobStatus.FAILED, None)


def test_a_receiving_job_that_never_appears_makes_a_part() -> None:
    wanted = Wanted(Kind.EXTRACTION, 2, receiving=True)

    seen = judged(
        job(Kind.EXTRACTION, "A", "Succeeded"),
        job(Kind.RECEIVING, "A", "Succeeded"),
        job(Kind.EXTRACTION, "B", "Succeeded"),
        wanted=wanted,
    )

    assert seen.partial == seen.awaited == "no receiving job of B is listed yet"


def test_rescheduled_jobs_are_counted_once() -> None:
    wanted = Wanted(Kind.EXTRACTION, 2)
    jobs = [
        job(Kind.EXTRACTION, "A", "Rescheduled"),
        job(Kind.EXTRACTION, "A", "Succeeded"),
        job(Kind.EXTRACTION, "B", "Succeeded"),
    ]

    seen = judged(*jobs, wanted=wanted)

    assert seen.status is JobStatus.SUCCEEDED
    assert seen.family == {"dispatching": 1, "extraction": 2}


def test_a_job_that_stands_for_itself_is_its_own_tenant() -> None:
    seen = judged(parent=Member(Kind.PROCESSING, "p1", "WFF_j1r", "Succeeded"))

    assert [item.tenant for item in seen.items] == ["WFF_j1r"]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("PROCESSING_JOB", Kind.PROCESSING),
        ("UPLOAD_JOB", Kind.RECEIVING),
        ("Receiving Job", Kind.RECEIVING),
        ("DISPATCHING_EXTRACTION_JOB", Kind.DISPATCHING),
        ("extraction", Kind.EXTRACTION),
        ("UNRECOGNIZED", None),
        ("", None),
    ],
)
def test_a_job_type_is_read_however_it_is_spelt(word: str, kind: Kind | None) -> None:
    assert kind_of(word) is kind


@pytest.mark.parametrize("name", ["jobId", "extractionJobId", "receivingJobId"])
def test_a_childs_id_has_three_names(name: str) -> None:
    assert read(Child, "call", {name: "x1", "tenantCode": "A"}).id == "x1"


def test_empty_strings_are_nothing() -> None:
    child = read(Child, "call", {"jobId": "x1", "tenant": "", "dataVersion": "", "message": "", "status": "Failed"})

    assert (child.tenant, child.data_version, child.message) == (None, None, None)
    assert read(Children, "call", {"limit": "", "processingJobs": ""}).jobs == []
    assert read(Started, "call", {"jobId": "", "JobId": "x2"}).job_id == "x2"


@pytest.mark.parametrize("text", ["2019-10-02T20:35:21.420Z", "1570048521420"])
def test_a_start_time_is_read_in_either_format(text: str) -> None:
    at = read(ListedJob, "call", {"jobId": "x1", "startTime": text}).start_time

    assert at is not None
    assert at.isoformat() == "2019-10-02T20:35:21.420000+00:00"


def test_a_start_time_of_another_format_is_none() -> None:
    assert read(ListedJob, "call", {"jobId": "x1", "startTime": "yesterday"}).start_time is None


def test_results_without_a_status_are_of_jobs_that_had_ended() -> None:
    results = read(CancelResults, "call", {"jobCancellationResults": [{"jobId": "x1", "jobStatus": "Succeeded"}]})

    assert results.job_cancellation_results[0].cancel_status is None


def test_a_child_without_an_id_is_no_child() -> None:
    with pytest.raises(UnexpectedResponseError, match=r"extractionJobs\.0"):
        read(Children, "call", {"extractionJobs": [{"tenantCode": "A"}]})
