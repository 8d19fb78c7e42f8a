"""Visier's loads against the simulator: each action, and each scenario of jobs and uploads."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from haul import connectors
from haul.connectors.visier.calls import VisierCalls
from haul.connectors.visier.job_replies import CancelResult
from haul.connectors.visier.jobs_client import JobsClient, Kind
from haul.connectors.visier.loads import VisierLoadConnector
from haul.errors import (
    InvalidEventError,
    LoadRefusedError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    SourceTooSlowError,
    VendorUnavailableError,
)
from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.vendors.visier.loads import LoadOptions
from haul.models.work import Job, JobStatus
from haul.ports import Known, LoadConnector, LoadReport, Source
from infra.local.vendors.visier import VisierSimulator
from tests.contract.load_adapters import BytesSource
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import secret_at, simulators

RUN = "20261122T050003Z-7c1f9a"
ALL = {"allTenants": True, "runProcessingJob": True}
FILES = {"files": ["WFF_j1r_hcm_files_20181030102030.zip.gpg"]}
TENANTS = ["WFF_j1r~c7o", "WFF_j1r~e1a", "WFF_j1r~k2p"]
DP510002 = (
    "[DP510002] Unexpected exception in data load process in the event stream loader stage. "
    "Please contact Visier Support."
)
ALONE: Mapping[str, Any] = {"own_tenant_dispatched": False, "status_has_children": False}
"""A tenant that loads for itself gets no dispatching job, and what follows is in the list of all jobs alone."""
_ONE = f"1 of 3 tenants failed: WFF_j1r~e1a {DP510002}"
EMPLOYEES = BytesSource("Employee.csv", b"EmployeeID,Name\n" + b"E0001,Ada\n" * 20_000)

type Simulate = Callable[..., VisierSimulator]


class Load:
    """One load, looked at the way the flow does: each look is given what the one before found."""

    def __init__(
        self,
        visier: VisierSimulator,
        action: str = "extract-and-load",
        request: Mapping[str, Any] | None = None,
        source: Source | None = None,
        **options: Any,
    ) -> None:
        self.visier = visier
        self.connector = connect(visier, action, **options)
        self.request = self.connector.prepare(ALL if request is None else request).request
        job_id = self.connector.start(self.request, source, run_id=RUN)
        self.job = Job(id=job_id, submitted_at=datetime.fromtimestamp(visier._clock.now(), UTC))

    def look(self, after: float = 0) -> LoadReport:
        self.visier.advance(after)
        report = self.connector.status(self.job, self.request)
        self.job = self.job.model_copy(update={"kind": report.kind})
        return report


def secret_of(visier: VisierSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(visier.url, "visier", **fields)


def connect(visier: VisierSimulator, action: str = "extract-and-load", **options: Any) -> LoadConnector:
    return connectors.connect_load("visier", action, secret_of(visier), options)


def jobs_client(visier: VisierSimulator, page: int = 1000) -> JobsClient:
    return JobsClient(VisierCalls(secret_of(visier)), page=page)


def slowly(visier: VisierSimulator, seconds: float) -> LoadConnector:
    """A connector for which time passes after each call that cancels."""

    class Slow(JobsClient):
        def cancel(self, job_ids: Sequence[str]) -> list[CancelResult]:
            results = super().cancel(job_ids)
            visier.advance(seconds)
            return results

    return VisierLoadConnector("extract-and-load", Slow(VisierCalls(secret_of(visier))), LoadOptions())


def ended(items: Any) -> dict[str | None, Outcome]:
    return {item.tenant: item.outcome for item in items}


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(VisierSimulator, scenario="load", job_seconds=0, calls_per_minute=10_000) as simulate:
        yield simulate


# Starting


@pytest.mark.parametrize(
    ("action", "request_", "path", "kind"),
    [
        ("extract-and-load", ALL, "/v1/op/data/startExtractAndLoad", "application/x-www-form-urlencoded"),
        ("start-load", FILES, "/v1/op/data/startload", "application/x-www-form-urlencoded"),
        ("extraction-job", {}, "/v1alpha/op/jobs/extraction-jobs", "application/json"),
        ("processing-job", {"publishToProduction": True}, "/v1alpha/op/jobs/processing-jobs", "application/json"),
    ],
)
def test_a_request_is_sent_in_the_form_that_its_endpoint_takes(
    simulate: Simulate, action: str, request_: Mapping[str, Any], path: str, kind: str
) -> None:
    visier = simulate()

    Load(visier, action, request_)

    assert visier.loads.bodies == [(path, kind, request_)]


def test_times_are_spelt_as_in_visiers_samples(simulate: Simulate) -> None:
    """A symbol has become epoch milliseconds by then."""
    visier = simulate()

    Load(
        visier,
        request={
            "tenants": ["WFF_j1r~c7o"],
            "overrideLastExtractionTimestamp": 1639382400000,
            "extractToTimeOverride": 1639468800000,
        },
    )

    assert visier.loads.bodies[0][2] == {
        "tenants": ["WFF_j1r~c7o"],
        "overrideLastExtractionTimestamp": 1639382400000,
        "extractToTimeOverride": "1639468800000",
    }


@pytest.mark.parametrize("scenario", ["load-refused", "load-refused-message", "load-refused-status"])
@pytest.mark.parametrize(
    ("action", "request_"), [("extract-and-load", ALL), ("start-load", FILES), ("processing-job", {})]
)
def test_a_refusal_with_a_reason_is_an_error_of_its_own(
    simulate: Simulate, scenario: str, action: str, request_: Mapping[str, Any]
) -> None:
    visier = simulate(scenario)

    with pytest.raises(LoadRefusedError, match="is not on the SFTP server"):
        Load(visier, action, request_)

    assert visier.loads.jobs() == []


def test_a_tenant_that_there_is_not_is_refused(simulate: Simulate) -> None:
    with pytest.raises(LoadRefusedError, match=r"UnknownTenant.*WFF_j1r~nobody.*rci"):
        Load(simulate(), request={"tenants": ["WFF_j1r~nobody"]})


def test_who_may_not_load_is_told_which_right_is_missing(simulate: Simulate) -> None:
    with pytest.raises(MissingCapabilityError, match="Manage Jobs"):
        Load(simulate("missing-capability"))


def test_the_job_id_is_read_in_either_spelling(simulate: Simulate) -> None:
    report = Load(simulate("other-spelling")).look()

    assert report.status is JobStatus.SUCCEEDED
    assert [item.tenant for item in report.items] == TENANTS


def test_a_load_acts_for_the_tenant_of_its_options(simulate: Simulate) -> None:
    visier = simulate()

    load = Load(visier, "processing-job", {}, target_tenant="WFF_j1r~c7o")

    assert [job["tenant"] for job in visier.loads.jobs()] == ["WFF_j1r~c7o"]
    assert load.connector.tenant == "WFF_j1r~c7o"
    assert load.connector.account == "WFF_j1r~c7o@demo"


# The whole family


def test_a_load_of_all_tenants_runs_through_its_stages(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier)

    looks = [load.look(), load.look(15), load.look(30), load.look(20), load.look(10), load.look(26)]

    assert [look.status for look in looks] == [JobStatus.RUNNING] * 5 + [JobStatus.SUCCEEDED]
    assert [look.progress for look in looks] == [
        "dispatching job Running",
        "extraction 0 of 3 (Initialize 3)",
        "extraction 0 of 3 (Process Records 3)",
        "extraction 3 of 3, receiving 0 of 3",
        "extraction 3 of 3, receiving 3 of 3, processing 0 of 3",
        "extraction 3 of 3, receiving 3 of 3, processing 3 of 3",
    ]
    assert looks[0].kind == "dispatching"
    assert looks[-1].family == {"dispatching": 1, "extraction": 3, "receiving": 3, "processing": 3}


def test_every_tenant_has_the_data_version_that_it_got(simulate: Simulate) -> None:
    visier = simulate()

    report = Load(visier).look()

    assert report.items == [
        LoadItem(tenant=tenant, outcome=Outcome.SUCCEEDED, data_version=version)
        for tenant, version in zip(TENANTS, ["7000005", "7000006", "7000007"], strict=True)
    ]
    assert len(report.evidence["jobs"]["children"]) == 9


def test_the_version_that_a_load_made_can_be_exported(simulate: Simulate) -> None:
    """The everyday chain: extract and load, then export what that made."""
    visier = simulate()
    version = Load(visier, request={"tenants": ["WFF_j1r~c7o"], "runProcessingJob": True}).look().items[0].data_version
    exports = connectors.connect("visier", secret_of(visier), {})

    prepared = exports.prepare({"dataVersionNumber": version}, Known())
    job = Job(id=exports.schedule(prepared.request, run_id=RUN))

    assert exports.status(job).status is JobStatus.SUCCEEDED
    assert prepared.watermark.to == version


def test_excluded_tenants_are_left_alone(simulate: Simulate) -> None:
    report = Load(simulate(), request={**ALL, "excludedTenants": ["WFF_j1r~e1a"]}).look()

    assert [item.tenant for item in report.items] == ["WFF_j1r~c7o", "WFF_j1r~k2p"]


def test_a_dispatching_job_that_succeeded_is_not_the_end(simulate: Simulate) -> None:
    visier = simulate("load-partial", job_seconds=10)
    load = Load(visier)

    report = load.look(1000)

    assert report.status is JobStatus.RUNNING
    assert report.progress == "extraction 2 of 3 (Publish Records 1), receiving 2 of 2, processing 2 of 2, 1 failed"
    assert report.items == ()


@pytest.mark.parametrize(
    ("tolerated", "partial"),
    [(0, _ONE), ("5%", _ONE), ("33%", _ONE), ("34%", None), (1, None), ("100%", None)],
)
def test_a_failed_tenant_makes_a_part_unless_it_is_tolerated(
    simulate: Simulate, tolerated: str | int, partial: str | None
) -> None:
    report = Load(simulate("load-one-fails"), tolerate_failed_tenants=tolerated).look()

    assert report.status is JobStatus.SUCCEEDED
    assert report.partial == partial
    assert report.items[1] == LoadItem(tenant="WFF_j1r~e1a", outcome=Outcome.FAILED, message=DP510002)


def test_a_load_that_failed_everywhere_failed_whatever_is_tolerated(simulate: Simulate) -> None:
    report = Load(simulate("load-fails"), tolerate_failed_tenants="100%").look()

    assert report.status is JobStatus.FAILED
    assert report.reason is not None
    assert report.reason.startswith("3 of 3 tenants failed: WFF_j1r~c7o its extraction job ")
    assert "WFF_j1r~k2p [DP510002]" in report.reason
    assert set(ended(report.items).values()) == {Outcome.FAILED}
    assert report.awaited is None


def test_an_error_and_a_roll_back_are_failures(simulate: Simulate) -> None:
    report = Load(simulate("load-rolled-back")).look()

    assert [item.message.rpartition(" ")[2] for item in report.items] == ["Error", "RolledBack", ""]
    assert report.partial is not None


def test_completed_is_as_good_as_succeeded(simulate: Simulate) -> None:
    assert Load(simulate("load-completed")).look().partial is None


def test_a_rescheduled_job_is_waited_for_under_its_new_id(simulate: Simulate) -> None:
    load = Load(simulate("load-rescheduled", job_seconds=100))

    again = load.look(75)
    report = load.look(100)

    assert again.status is JobStatus.RUNNING
    assert again.progress == "extraction 2 of 3 (Retrieve Secondary Subjects 1), receiving 2 of 2, processing 0 of 2"
    assert report.status is JobStatus.SUCCEEDED
    assert report.family["extraction"] == 3
    assert ended(report.items) == dict.fromkeys(TENANTS, Outcome.SUCCEEDED)


def test_a_word_that_nobody_knows_is_waited_on_and_reported(simulate: Simulate) -> None:
    report = Load(simulate("load-unknown-word")).look()

    assert report.status is JobStatus.UNKNOWN
    assert report.word == "Paused"


def test_children_that_are_late_are_awaited(simulate: Simulate) -> None:
    load = Load(simulate("children-late"))

    early, late = load.look(), load.look(31)

    assert early.status is JobStatus.FAILED
    assert early.awaited == "no extraction job is listed yet"
    assert early.awaited_for == timedelta(minutes=20)
    assert late.status is JobStatus.SUCCEEDED
    assert late.awaited is None


def test_a_processing_job_that_never_appears_makes_a_part(simulate: Simulate) -> None:
    """The status is what it comes to if nothing does appear; the flow believes it once the time is over."""
    report = Load(simulate("load-not-processed"), children_appear_within="PT5M").look()

    assert report.status is JobStatus.SUCCEEDED
    assert report.awaited == report.partial == "no processing job of WFF_j1r~e1a is listed yet"
    assert report.awaited_for == timedelta(minutes=5)
    assert [item.data_version for item in report.items] == ["7000005", None, "7000006"]


def test_a_dispatching_job_that_failed_is_a_failed_load(simulate: Simulate) -> None:
    report = Load(simulate("dispatch-fails")).look()

    assert report.status is JobStatus.FAILED
    assert re.fullmatch(r"the dispatching job [\w-]+ ended as Failed", report.reason or "")
    assert report.awaited is None


def test_a_job_that_is_not_listed_yet_is_waited_for(simulate: Simulate) -> None:
    load = Load(simulate("jobs-late"))

    early, late = load.look(), load.look(31)

    assert early.status is JobStatus.RUNNING
    assert early.progress == "not in Visier's lists yet"
    assert late.status is JobStatus.SUCCEEDED


def test_a_job_that_nobody_ever_shows_is_a_failed_look(simulate: Simulate) -> None:
    connector = connect(simulate(), children_appear_within="PT1M")
    long_ago = datetime.now(UTC) - timedelta(minutes=2)

    with pytest.raises(VendorUnavailableError, match="does not know job c19e2f2b"):
        connector.status(Job(id="c19e2f2b", submitted_at=long_ago), ALL)


def test_a_load_without_processing_ends_when_it_is_received(simulate: Simulate) -> None:
    load = Load(simulate(job_seconds=100), request={"allTenants": True})

    extracted, received = load.look(65), load.look(20)

    assert extracted.status is JobStatus.RUNNING
    assert received.status is JobStatus.SUCCEEDED
    assert received.family == {"dispatching": 1, "extraction": 3, "receiving": 3}


def test_an_extraction_into_table_sources_is_not_received(simulate: Simulate) -> None:
    report = Load(simulate(), request={"allTenants": True, "outputTarget": "SQL"}).look()

    assert report.status is JobStatus.SUCCEEDED
    assert report.awaited is None
    assert report.family == {"dispatching": 1, "extraction": 3}


# The other kinds of job


def test_a_single_extraction_is_found_by_the_list_that_knows_every_job(simulate: Simulate) -> None:
    visier = simulate()

    report = Load(visier, "extraction-job", {}).look()

    assert report.kind == "extraction"
    assert report.status is JobStatus.SUCCEEDED
    assert report.items == [LoadItem(tenant="WFF_j1r", outcome=Outcome.SUCCEEDED)]
    assert visier.calls("GET", "/dispatching-jobs/") == 1


def test_a_single_extraction_is_followed_to_its_processing_job(simulate: Simulate) -> None:
    load = Load(simulate(job_seconds=100), "extraction-job", {"runProcessingJob": True})

    extracting, processing, done = load.look(10), load.look(55), load.look(100)

    assert [look.status for look in (extracting, processing, done)] == [
        JobStatus.RUNNING,
        JobStatus.RUNNING,
        JobStatus.SUCCEEDED,
    ]
    assert done.family == {"extraction": 1, "receiving": 1, "processing": 1}


@pytest.mark.parametrize("adopted", [False, True])
def test_extract_and_load_of_a_single_tenant_is_followed_to_its_end(simulate: Simulate, adopted: bool) -> None:  # noqa: FBT001
    """A job that was found after a lost reply is not known to have been submitted at any time."""
    load = Load(simulate(job_seconds=100, **ALONE), request={"runProcessingJob": True})
    if adopted:
        load.job = Job(id=load.job.id)

    looks = [load.look(10), load.look(45), load.look(10), load.look(35)]

    assert [look.status for look in looks] == [*[JobStatus.RUNNING] * 3, JobStatus.SUCCEEDED]
    assert [look.progress for look in looks[1:]] == [
        "receiving 0 of 1",
        "receiving 1 of 1, processing 0 of 1",
        "receiving 1 of 1, processing 1 of 1",
    ]
    assert (looks[-1].awaited, looks[-1].partial) == (None, None)


def test_extract_and_load_of_a_single_tenant_without_processing_is_received(simulate: Simulate) -> None:
    load = Load(simulate(job_seconds=100, **ALONE), request={})

    receiving, received = load.look(55), load.look(10)

    assert (receiving.status, received.status) == (JobStatus.RUNNING, JobStatus.SUCCEEDED)
    assert received.family == {"extraction": 1, "receiving": 1}


def test_the_receiving_job_of_a_single_tenant_may_be_late(simulate: Simulate) -> None:
    visier = simulate(**ALONE)
    load = Load(visier, request={})
    visier.fault("GET", "/job-status/jobs$", body={"jobStatus": []})

    early, late = load.look(), load.look()

    assert early.awaited == "no receiving job of WFF_j1r is listed yet"
    assert (late.status, late.awaited) == (JobStatus.SUCCEEDED, None)


def test_a_single_extraction_into_table_sources_is_not_received(simulate: Simulate) -> None:
    report = Load(simulate(**ALONE), request={"outputTarget": "SQL"}).look()

    assert (report.status, report.awaited) == (JobStatus.SUCCEEDED, None)
    assert report.family == {"extraction": 1}


def test_what_follows_extractions_that_failed_is_seen(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier)
    load.look(65)
    failed = [
        {"extractionJobId": f"e{n}", "tenantCode": tenant, "status": "Failed"} for n, tenant in enumerate(TENANTS)
    ]
    visier.fault("GET", "/extraction-jobs$", body={"extractionJobs": failed})

    assert load.look().status is JobStatus.RUNNING


def test_a_single_processing_job_fails_with_its_tenant(simulate: Simulate) -> None:
    report = Load(simulate("load-fails"), "processing-job", {}).look()

    assert report.kind == "processing"
    assert report.status is JobStatus.FAILED
    assert report.reason is not None
    assert report.reason.startswith("the load failed: WFF_j1r its processing job ")


def test_processing_jobs_of_many_tenants_are_dispatched(simulate: Simulate) -> None:
    report = Load(simulate("load-one-fails"), "processing-job", {"tenants": TENANTS[:2]}).look()

    assert report.kind == "dispatching"
    assert report.family == {"dispatching": 1, "processing": 2}
    assert report.partial is not None
    assert report.partial.startswith("1 of 2 tenants failed: WFF_j1r~e1a [DP510002]")


def test_a_load_of_files_is_received_and_processed_for_every_tenant(simulate: Simulate) -> None:
    visier = simulate("load-one-fails")

    report = Load(visier, "start-load", FILES).look()

    assert report.kind == "receiving"
    assert report.family == {"receiving": 4, "processing": 3}
    assert ended(report.items) == dict(zip(TENANTS, ["SUCCEEDED", "FAILED", "SUCCEEDED"], strict=True))
    assert visier.calls("GET", "/dispatching-jobs/") == 0


def test_files_that_are_only_received_await_no_processing(simulate: Simulate) -> None:
    report = Load(simulate(), "start-load", {**FILES, "skipDataLoad": True}).look()

    assert report.family == {"receiving": 4}
    assert report.awaited is None


def test_the_processing_of_files_may_be_late(simulate: Simulate) -> None:
    load = Load(simulate("children-late"), "start-load", FILES)

    early, late = load.look(), load.look(31)

    assert early.awaited == "no processing job is listed yet"
    assert late.status is JobStatus.SUCCEEDED
    assert late.awaited is None


# Pages, limits, logins


@pytest.mark.parametrize("scenario", ["short-pages", "partial-content"])
def test_every_page_is_read(simulate: Simulate, scenario: str) -> None:
    tenants = tuple(f"WFF_j1r~t{n:02}" for n in range(5))
    visier = simulate(scenario, analytic_tenants=tenants)

    report = Load(visier).look()

    assert report.family == {"dispatching": 1, "extraction": 5, "receiving": 5, "processing": 5}
    assert [item.tenant for item in report.items] == list(tenants)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 1000])
@pytest.mark.parametrize("action", ["extract-and-load", "start-load"])
def test_pages_may_have_any_size(simulate: Simulate, page: int, action: str) -> None:
    visier = simulate(calls_per_minute=1000)
    load = Load(visier, action, ALL if action == "extract-and-load" else FILES)
    client = jobs_client(visier, page)
    job_id = load.job.id or ""

    if action == "extract-and-load":
        tenants = [job.tenant for job in client.dispatched(job_id, Kind.EXTRACTION)]
    else:
        found = client.receiving(job_id)
        tenants = [job.tenant for job in found[1]] if found else []
        assert [job.tenant for job in client.processing(job_id)] == TENANTS

    assert tenants == TENANTS


def test_a_server_that_repeats_its_page_does_not_hold_us(simulate: Simulate) -> None:
    visier = simulate()
    load = Load(visier)
    page = {
        "limit": 1,
        "start": 0,
        "extractionJobs": [{"extractionJobId": "e1", "tenantCode": "T", "status": "Failed"}],
    }
    visier.fault("GET", "/extraction-jobs$", times=None, body=page)

    jobs = jobs_client(visier).dispatched(load.job.id or "", Kind.EXTRACTION)

    assert [job.id for job in jobs] == ["e1"]


def test_a_list_of_part_of_the_jobs_shows_nothing_for_certain(simulate: Simulate) -> None:
    visier = simulate()
    visier.fault("GET", "/job-status/jobs$", status=206, body={"jobStatus": []})

    with pytest.raises(VendorUnavailableError, match="206"):
        connect(visier).find(ALL, since=datetime.now(UTC))


def test_a_login_that_expires_between_two_calls_of_a_look_is_renewed(simulate: Simulate) -> None:
    visier = simulate()
    load = Load(visier)
    visier.fault("GET", "/extraction-jobs$", also="expire-tokens")

    assert load.look().status is JobStatus.SUCCEEDED


def test_calls_that_are_used_up_are_not_made(simulate: Simulate) -> None:
    visier = simulate()
    load = Load(visier)
    visier.fault("GET", "/extraction-jobs$", status=429, headers={"X-RateLimit-Remaining-Minute": "0"})

    with pytest.raises(RateLimitedError):
        load.look()
    calls = visier.calls()
    with pytest.raises(RateLimitedError) as limited:
        load.look()

    assert visier.calls() == calls
    assert 0 < (limited.value.retry_after or 0) <= 60


# Finding


def test_several_jobs_of_the_kind_are_all_shown(simulate: Simulate) -> None:
    """Which of them is ours cannot be told, so the flow takes none."""
    visier = simulate()
    loads = [Load(visier), Load(visier), Load(visier, "start-load", FILES)]

    found = loads[0].connector.find(ALL, since=datetime.now(UTC))

    assert {shown.job_id for shown in found} == {load.job.id for load in loads[:2]}
    assert not loads[0].connector.capabilities.identifies_jobs


def test_a_job_of_a_type_that_nobody_knows_may_be_ours(simulate: Simulate) -> None:
    visier = simulate()
    body = {"jobStatus": [{"jobId": "x1", "tenant": "WFF_j1r", "status": "Running", "jobType": "SOLUTION_JOB"}]}
    visier.fault("GET", "/job-status/jobs$", body=body)

    with pytest.raises(VendorUnavailableError, match="x1 of a type that is not known"):
        connect(visier).find(ALL, since=datetime.now(UTC))


def test_an_export_is_no_load_of_anybodys(simulate: Simulate) -> None:
    visier = simulate()
    body = {"jobStatus": [{"jobId": "x1", "tenant": "WFF_j1r", "status": "Running", "jobType": "DV_EXPORT_JOB"}]}
    visier.fault("GET", "/job-status/jobs$", body=body)

    assert connect(visier).find(ALL, since=datetime.now(UTC)) == []


# Cancelling


def test_a_single_extraction_is_cancelled_with_what_follows_it(simulate: Simulate) -> None:
    load = Load(simulate(job_seconds=100), "extraction-job", {"runProcessingJob": True})
    load.look(65)

    load.connector.cancel(load.job)

    assert load.look().status is JobStatus.CANCELLED


@pytest.mark.parametrize("action", ["extraction-job", "extract-and-load"])
def test_what_follows_a_single_extraction_that_was_adopted_is_cancelled(simulate: Simulate, action: str) -> None:
    visier = simulate(job_seconds=100, **ALONE)
    load = Load(visier, action, {"runProcessingJob": True})
    load.look(65)
    load.job = Job(id=load.job.id)

    load.connector.cancel(load.job)
    report = load.look()

    assert (report.status, report.awaited) == (JobStatus.CANCELLED, None)
    assert [job["status"] for job in visier.loads.jobs()] == ["Succeeded", "Succeeded", "Cancelled"]


def test_the_whole_family_is_cancelled_in_one_call(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier)
    load.look(20)

    load.connector.cancel(load.job)
    report = load.look()

    assert report.status is JobStatus.CANCELLED
    assert report.reason is not None
    assert report.reason.startswith("3 of 3 tenants were cancelled: WFF_j1r~c7o its extraction job ")
    assert visier.calls("POST", "/v1/op/jobs/cancel") == 1
    assert visier.loads.bodies[-1][1] == "application/x-www-form-urlencoded"


def test_a_job_that_is_cancelling_is_not_over(simulate: Simulate) -> None:
    load = Load(simulate("slow-cancel", job_seconds=100))
    load.look(20)

    load.connector.cancel(load.job)
    cancelling, cancelled = load.look(), load.look(11)

    assert cancelling.status is JobStatus.RUNNING
    assert cancelled.status is JobStatus.CANCELLED


def test_a_load_that_has_ended_is_not_cancelled(simulate: Simulate) -> None:
    visier = simulate()
    load = Load(visier)

    load.connector.cancel(load.job)

    assert visier.calls("POST", "/v1/op/jobs/cancel") == 0
    assert load.look().status is JobStatus.SUCCEEDED


def test_a_receiving_job_that_runs_goes_on_and_is_told(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier)
    load.look(65)

    with pytest.raises(RequestRejectedError, match=r"did not cancel 3 jobs: .*running receiving job can't"):
        load.connector.cancel(load.job)


def test_a_receiving_job_that_ends_meanwhile_needs_no_cancelling(simulate: Simulate) -> None:
    """It could not be cancelled, and a moment later there was nothing left to cancel."""
    visier = simulate(job_seconds=100)
    load = Load(visier, request={"allTenants": True})
    load.look(65)

    slowly(visier, 20).cancel(load.job)

    assert load.look().status is JobStatus.SUCCEEDED


def test_what_begins_while_the_rest_is_cancelled_is_cancelled_too(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier)
    load.look(65)

    slowly(visier, 10).cancel(load.job)
    report = load.look()

    assert (report.status, report.awaited) == (JobStatus.CANCELLED, None)
    assert report.family == {"dispatching": 1, "extraction": 3, "receiving": 3, "processing": 3}


def test_tenants_that_succeeded_before_a_load_is_cancelled_make_a_part(simulate: Simulate) -> None:
    visier = simulate(job_seconds=10, cancel_seconds=10, fates={"WFF_j1r~k2p": "runs"})
    load = Load(visier)
    load.look(1000)

    load.connector.cancel(load.job)
    cancelling, cancelled = load.look(), load.look(11)

    assert cancelling.status is JobStatus.RUNNING
    assert cancelled.status is JobStatus.SUCCEEDED
    assert cancelled.partial is not None
    assert cancelled.partial.startswith("1 of 3 tenants were cancelled: WFF_j1r~k2p ")
    assert ended(cancelled.items) == dict(zip(TENANTS, ["SUCCEEDED", "SUCCEEDED", "CANCELLED"], strict=True))


@pytest.mark.parametrize("jobs_late_seconds", [0, 30])
def test_a_job_that_has_just_been_started_is_cancelled(simulate: Simulate, jobs_late_seconds: float) -> None:
    load = Load(simulate(job_seconds=100, jobs_late_seconds=jobs_late_seconds))

    load.connector.cancel(load.job)

    assert load.look().status is (JobStatus.RUNNING if jobs_late_seconds else JobStatus.CANCELLED)
    assert load.look(31).status is JobStatus.CANCELLED


def test_a_job_that_visier_does_not_recognize_is_told(simulate: Simulate) -> None:
    with pytest.raises(RequestRejectedError, match="not recognized"):
        connect(simulate()).cancel(Job(id="c19e2f2b"))


def test_who_asks_for_no_cancelling_has_none(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100)
    load = Load(visier, cancel_on_abort=False)

    with pytest.raises(RequestRejectedError, match="cancel_on_abort"):
        load.connector.cancel(load.job)

    assert not load.connector.capabilities.can_cancel
    assert visier.calls("POST", "/v1/op/jobs/cancel") == 0


def test_more_jobs_than_one_call_takes_are_cancelled_in_several(simulate: Simulate) -> None:
    visier = simulate(job_seconds=100, analytic_tenants=tuple(f"WFF_j1r~t{n:04}" for n in range(600)))
    load = Load(visier)
    load.look(20)

    load.connector.cancel(load.job)

    assert [len(body["jobIds"]) for path, _, body in visier.loads.bodies if path.endswith("/cancel")] == [500, 100]
    assert load.look().status is JobStatus.CANCELLED


# Uploading


def test_an_upload_arrives_byte_for_byte_and_is_processed(simulate: Simulate) -> None:
    visier = simulate()

    report = Load(visier, "upload", {"tenantCode": "WFF_j1r~c7o", "processingData": True}, EMPLOYEES).look()

    assert [(file.name, file.data, file.tenant) for file in visier.loads.uploads()] == [
        ("Employee.csv", EMPLOYEES.data, "WFF_j1r~c7o")
    ]
    assert report.items == [LoadItem(tenant="WFF_j1r~c7o", outcome=Outcome.SUCCEEDED, data_version="7000005")]
    assert visier.loads.transfers() == ["SUCCEED"]


def test_an_upload_that_is_only_received_awaits_no_processing(simulate: Simulate) -> None:
    report = Load(simulate(), "upload", {"sourceId": "5e1f"}, EMPLOYEES).look()

    assert report.status is JobStatus.SUCCEEDED
    assert report.awaited is None


@pytest.mark.parametrize("path", ["/data-transfer-sessions$", "/upload$"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"drop_reply": True}, {"body": "<html>"}])
def test_what_fails_before_the_receiving_job_leaves_no_doubt(
    simulate: Simulate, path: str, fault: Mapping[str, Any]
) -> None:
    visier = simulate()
    visier.fault(None, path, **fault)

    with pytest.raises(VendorUnavailableError) as failed:
        Load(visier, "upload", {}, EMPLOYEES)

    assert not failed.value.sent
    assert visier.loads.jobs() == []
    assert set(visier.loads.transfers()) <= ({"CANCELLED"} if path == "/upload$" else {"OPEN"})


def test_a_session_that_may_have_made_a_job_is_left_alone(simulate: Simulate) -> None:
    visier = simulate()
    visier.fault("POST", "/jobs/receiving-jobs$", drop_reply=True)

    with pytest.raises(VendorUnavailableError) as lost:
        Load(visier, "upload", {}, EMPLOYEES)

    assert lost.value.sent
    assert visier.calls("PUT", "/cancel") == 0


@pytest.mark.parametrize("scenario", ["load-refused", "load-refused-message", "load-refused-status"])
def test_an_upload_that_is_refused_leaves_no_session(simulate: Simulate, scenario: str) -> None:
    visier = simulate(scenario)

    with pytest.raises(LoadRefusedError):
        Load(visier, "upload", {}, EMPLOYEES)

    assert visier.loads.transfers() == ["CANCELLED"]
    assert visier.loads.jobs() == []


def test_a_login_refused_at_the_upload_sends_the_file_again(simulate: Simulate) -> None:
    visier = simulate()
    visier.fault("PUT", "/upload$", also="expire-tokens")

    Load(visier, "upload", {}, EMPLOYEES)

    assert [file.data for file in visier.loads.uploads()] == [EMPLOYEES.data]
    assert visier.calls("PUT", "/upload") == 2


def test_a_file_that_its_source_breaks_off_leaves_neither_job_nor_session(simulate: Simulate) -> None:
    class Late:
        name, size = "Employee.csv", 4

        def chunks(self) -> Iterator[bytes]:
            yield b"ab"
            raise SourceTooSlowError("Employee.csv: the invocation's time ends")

    visier = simulate()

    with pytest.raises(SourceTooSlowError):
        Load(visier, "upload", {}, Late())

    assert visier.loads.transfers() == ["CANCELLED"]
    assert visier.loads.jobs() == []


class Huge:
    name = "Employee.zip"
    size = 3_000_000_001

    def chunks(self) -> Iterator[bytes]:
        raise AssertionError("nothing of it is to be read")


@pytest.mark.parametrize(("source", "why"), [(Huge(), "at most 3 GB"), (None, "source: missing")])
def test_what_cannot_be_uploaded_is_refused_before_anything_is_sent(
    simulate: Simulate, source: Source | None, why: str
) -> None:
    visier = simulate()

    with pytest.raises(InvalidEventError, match=why):
        Load(visier, "upload", {}, source)

    assert visier.calls() == 0
