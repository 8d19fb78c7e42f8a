"""Adobe's connector against its simulator: every endpoint, and each scenario that reaches the connector."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from haul import connectors
from haul.connectors.adobe.client import AdobeClient
from haul.errors import (
    CredentialsRefusedError,
    InvalidEventError,
    InvalidSecretError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.event import Outcome
from haul.models.export import Contents, Export
from haul.models.work import Job, JobStatus
from haul.ports import Connector, DownloadSource, Found, Known
from infra.local.vendors.adobe import AdobeSimulator
from tests.fakes.clock import Clock
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import fetch, paced, secret_at, simulators
from tests.fakes.world import SimulatedWorld

FIRST, SECOND = "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "4edc8488-2c35-4f6d-b4c6-9075c68d2df4"
DATASET = "5b7c86968f7b6501e21ba9df"
TOGETHER: Mapping[str, Any] = {
    "fields": "_id,personalEmail.address",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "filter": {"segments": [{"segmentId": FIRST, "status": ["realized", "existing"]}, {"segmentId": SECOND}]},
    "destination": {"datasetId": DATASET},
    "schema": {"name": "_xdm.context.profile"},
}
APART: Mapping[str, Any] = {**TOGETHER, "destination": {"datasetId": DATASET, "segmentPerBatch": True}}
NOBODY: Mapping[str, Any] = {
    **TOGETHER,
    "filter": {**TOGETHER["filter"], "fromIngestTimestamp": "2099-01-01T00:00:00Z"},
}
RUN = "20261122T050003Z-7c1f9a"

type Simulate = Callable[..., AdobeSimulator]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(AdobeSimulator, job_seconds=0, profiles=200) as simulate:
        yield simulate


@pytest.fixture
def adobe(simulate: Simulate) -> AdobeSimulator:
    return simulate()


def secret_of(adobe: AdobeSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(adobe.url, "adobe", **fields)


def connect(adobe: AdobeSimulator, options: Mapping[str, Any] | None = None, **fields: str | None) -> Connector:
    return connectors.connect("adobe", secret_of(adobe, **fields), options or {})


def submitted(connector: Connector, request: Mapping[str, Any] = TOGETHER) -> Job:
    return Job(id=connector.schedule(request, run_id=RUN))


def finished(connector: Connector, request: Mapping[str, Any] = TOGETHER) -> Job:
    job = submitted(connector, request)
    report = connector.status(job)
    assert report.status is JobStatus.SUCCEEDED
    return job.model_copy(update={"result_id": report.result_id})


def landed_as_served(adobe: AdobeSimulator, connector: Connector, job: Job, contents: Contents) -> bool:
    """Whether every part comes to what the simulator says it is."""
    truth = {(part.file_id, part.name): part for part in adobe.truth(job.id or "")}
    bodies = {(str(file.vendor_file_id), file.vendor_name): fetch(connector.open(file, job)) for file in contents.files}
    assert {where: (part.size, part.sha256) for where, part in truth.items()} == {
        where: (len(body), hashlib.sha256(body).hexdigest()) for where, (_, body) in bodies.items()
    }
    return {status for status, _ in bodies.values()} == {200}


def test_three_thousand_small_files_land_by_thirty_children(simulate: Simulate) -> None:
    """Every one by a request of its own, a hundred in each child."""
    adobe = simulate(profiles=9_000, files_per_batch=60, parts_per_file=50)
    world = SimulatedWorld(connect(adobe))

    world.run(world.start(vendor="adobe", action="segment-export", request=dict(TOGETHER)))

    (record,) = world.records()
    (job,) = adobe.jobs()
    assert record.outcome is Outcome.SUCCEEDED
    assert isinstance(record.work, Export)
    assert record.work.plan
    assert (record.work.plan.files, record.work.plan.items) == (3_000, 30)
    served = sorted(part.sha256 for part in adobe.truth(job["id"]))
    assert sorted(hashlib.sha256(body).hexdigest() for body in world.landed) == served


# Logging in


def test_one_login_serves_every_call(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)

    connector.contents(finished(connector), TOGETHER)

    assert adobe.calls("POST", "/ims/token/v3") == 1


def test_a_token_is_renewed_before_its_time_is_up(adobe: AdobeSimulator) -> None:
    """No call meets a 401 for a token whose end was known."""
    clock = Clock()
    client = AdobeClient(secret_of(adobe), clock=clock)
    client.job("1")

    for seconds in (85_700, 100):
        clock.advance(seconds)
        adobe.advance(seconds)
        client.job("1")

    assert adobe.calls("POST", "/ims/token/v3") == 2
    assert 401 not in {call.status for call in adobe.log}


def test_milliseconds_are_not_taken_for_a_token_of_years(adobe: AdobeSimulator) -> None:
    """Adobe's older exchange answered them."""
    clock = Clock()
    client = AdobeClient(secret_of(adobe), clock=clock)
    adobe.configure(token_seconds=86_399_992)
    client.job("1")

    clock.advance(86_400)
    client.job("1")

    assert adobe.calls("POST", "/ims/token/v3") == 2


@pytest.mark.parametrize("field", ["client_secret", "client_id"])
def test_wrong_credentials_are_refused_in_adobes_words(adobe: AdobeSimulator, field: str) -> None:
    secret = FakeSecret({**secret_of(adobe).current(), field: "wrong"})

    with pytest.raises(
        CredentialsRefusedError, match=r"scopes\. Adobe POST /ims/token/v3 answered 401: invalid_client"
    ):
        submitted(connectors.connect("adobe", secret, {}))


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "{}", '{"access_token": "a b", "expires_in": 9}', "[]"])
def test_what_is_no_token_is_not_taken_for_one(adobe: AdobeSimulator, body: str) -> None:
    adobe.fault("POST", "/ims/token/v3", body=body, headers={"Content-Type": "application/json"})

    with pytest.raises(UnexpectedResponseError):
        AdobeClient(secret_of(adobe)).job("1")


def test_the_url_of_the_login_may_be_given_whole(adobe: AdobeSimulator) -> None:
    finished(connect(adobe, ims_url=f"{adobe.url}/ims/token/v3"))


def test_an_organisation_may_go_without_its_suffix(adobe: AdobeSimulator) -> None:
    connector = connect(adobe, org_id="demo")

    finished(connector)

    assert connector.account == connect(adobe).account == "demo@AdobeOrg.prod"
    assert connector.tenant is None


def test_a_sandbox_shows_its_own_jobs_alone(simulate: Simulate) -> None:
    adobe = simulate(sandboxes=["prod", "dev"])
    prod, dev = connect(adobe), connect(adobe, sandbox="dev")

    job = finished(prod)

    assert prod.account != dev.account
    assert dev.find(TOGETHER) == []
    with pytest.raises(VendorUnavailableError, match="404"):
        dev.status(job)


def test_a_sandbox_that_is_not_there_is_a_missing_right(adobe: AdobeSimulator) -> None:
    with pytest.raises(MissingCapabilityError, match=r"Sandbox dev does not exist.*a role with access to the sandbox"):
        submitted(connect(adobe, sandbox="dev"))


def test_missing_rights_are_named(simulate: Simulate) -> None:
    with pytest.raises(MissingCapabilityError, match=r"403025: Profile is not valid.*Experience Platform API"):
        submitted(connect(simulate("not-permitted")))


def test_a_sandbox_header_that_is_lost_is_told(simulate: Simulate) -> None:
    with pytest.raises(RequestRejectedError, match="x-sandbox-name is required"):
        submitted(connect(simulate("missing-sandbox")))


@pytest.mark.parametrize("code", ["403000", "403003", "403010"])
def test_a_403_about_the_key_is_about_credentials_and_read_anew(adobe: AdobeSimulator, code: str) -> None:
    secret = secret_of(adobe)
    connector = connectors.connect("adobe", secret, {})
    adobe.fault("POST", "/export/jobs$", status=403, body={"error_code": code, "message": "no"}, times=2)

    with pytest.raises(CredentialsRefusedError, match=code):
        submitted(connector)
    job = submitted(connector)

    assert secret.reads == 1
    assert connector.status(job).status is JobStatus.SUCCEEDED


def test_a_secret_is_checked_when_connecting(adobe: AdobeSimulator) -> None:
    with pytest.raises(InvalidSecretError, match="sandbox: missing"):
        connect(adobe, sandbox=None)


def test_options_are_checked_when_connecting(adobe: AdobeSimulator) -> None:
    with pytest.raises(InvalidEventError, match=r"options.whole_stor: unknown field; did you mean whole_store"):
        connect(adobe, {"whole_stor": True})


# Submitting


def test_a_request_goes_as_it_is(adobe: AdobeSimulator) -> None:
    request = {
        **APART,
        "additionalFields": {"eventList": {"fields": "environment.browserDetails.name"}},
        "evaluationInfo": {"segmentation": False},
    }

    submitted(connect(adobe), request)

    [job] = adobe.jobs()
    assert job["destination"]["datasetId"] == DATASET
    assert {name: job[name] for name in ("fields", "additionalFields", "evaluationInfo")} == {
        name: request[name] for name in ("fields", "additionalFields", "evaluationInfo")
    }


def test_every_profile_there_is_must_be_meant(adobe: AdobeSimulator) -> None:
    everybody = {name: value for name, value in TOGETHER.items() if name != "filter"}

    with pytest.raises(InvalidEventError, match=r"request\.filter\.segments: missing.*options\.whole_store"):
        connect(adobe).prepare(everybody, Known())
    prepared = connect(adobe, {"whole_store": True}).prepare(everybody, Known())

    assert prepared.request == everybody
    assert adobe.calls() == 0


def test_a_refusal_carries_adobes_own_words(adobe: AdobeSimulator) -> None:
    with pytest.raises(RequestRejectedError, match=r"400: BadRequestError: mergePolicy is required"):
        submitted(connect(adobe), {name: value for name, value in TOGETHER.items() if name != "mergePolicy"})


@pytest.mark.parametrize(
    ("scenario", "jobs"), [("lost-reply", 1), ("submission-gateway-timeout", 1), ("lost-submission", 0)]
)
def test_a_submission_without_an_answer_is_in_doubt(simulate: Simulate, scenario: str, jobs: int) -> None:
    adobe = simulate(scenario)

    with pytest.raises(VendorUnavailableError) as lost:
        submitted(connect(adobe))

    assert lost.value.sent
    assert len(adobe.jobs()) == jobs
    assert adobe.calls("POST", "/export/jobs") == 1


@pytest.mark.parametrize("body", ["<html>", "{}", '{"id": ""}', '{"id": '])
def test_a_submission_answered_by_something_unreadable_is_in_doubt(adobe: AdobeSimulator, body: str) -> None:
    adobe.fault("POST", "/export/jobs$", body=body, work=True)

    with pytest.raises(VendorUnavailableError, match="there may be a job") as lost:
        submitted(connect(adobe))

    assert lost.value.sent
    assert len(adobe.jobs()) == 1


def test_a_429_is_a_pause(simulate: Simulate) -> None:
    connector = connect(simulate("rate-limited"))

    with pytest.raises(RateLimitedError, match="429050") as limited:
        submitted(connector)

    assert limited.value.retry_after == 2


# Polling


def test_a_job_runs_and_ends_with_its_batch(adobe: AdobeSimulator) -> None:
    adobe.configure(job_seconds=100)
    connector = connect(adobe)
    job = submitted(connector)

    reports = []
    for seconds in (0, 15, 15, 71):
        adobe.advance(seconds)
        reports.append(connector.status(job))

    [shown] = adobe.jobs()
    assert [report.status for report in reports] == [JobStatus.RUNNING] * 3 + [JobStatus.SUCCEEDED]
    assert [report.progress for report in reports[:3]] == ["NEW", "QUEUED", "PROCESSING"]
    assert reports[3].result_id == shown["destination"]["batchId"]
    assert reports[3].counts == {
        "totalExportedProfileCounter": shown["metrics"]["totalExportedProfileCounter"],
        "exportedProfileByNamespaceCounter.ECID": shown["metrics"]["totalExportedProfileCounter"],
    }
    assert reports[3].evidence == {"export-job": shown}
    assert reports[3].partial is None


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [("failed", r"^0090000009: Error writing profiles.*; unknown: Job aborted\.$"), ("wrong-dataset", "union schema")],
)
def test_a_failed_job_says_why(simulate: Simulate, scenario: str, reason: str) -> None:
    connector = connect(simulate(scenario))

    report = connector.status(submitted(connector))

    assert report.status is JobStatus.FAILED
    assert report.reason
    assert re.search(reason, report.reason)
    assert "callStack" not in report.reason
    assert report.evidence["export-job"]["status"] == "FAILED"


def test_errors_do_not_fail_a_job_that_succeeded(simulate: Simulate) -> None:
    finished(connect(simulate("errors-on-success")))


def test_a_job_that_never_finishes_is_running(simulate: Simulate) -> None:
    adobe = simulate("never-finishes")
    connector = connect(adobe)
    job = submitted(connector)
    adobe.advance(80_000)

    assert connector.status(job).status is JobStatus.RUNNING


def test_an_unknown_word_is_waited_on_and_reported(simulate: Simulate) -> None:
    connector = connect(simulate("unknown-status"))

    report = connector.status(submitted(connector))

    assert (report.status, report.word) == (JobStatus.UNKNOWN, "PAUSED")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"id": 1, "status": "succeeded", "metrics": {"totalExportedProfileCounter": 0}}, JobStatus.SUCCEEDED, None),
        ({"id": 1, "status": "SUCCEEDED"}, JobStatus.RUNNING, "SUCCEEDED without batchId"),
        ({"id": 1}, JobStatus.UNKNOWN, "no status at all"),
        ({"id": "1", "status": "FAILED", "errors": "boom"}, JobStatus.FAILED, None),
        ({"id": 1, "status": "FAILED", "errors": ["boom", {"code": 7}], "metrics": None}, JobStatus.FAILED, None),
        ({"id": 1, "status": "NEW", "destination": None, "creationTime": None}, JobStatus.RUNNING, None),
    ],
)
def test_documents_may_be_odd(adobe: AdobeSimulator, body: dict[str, Any], status: JobStatus, word: str | None) -> None:
    adobe.fault("GET", "/export/jobs/", body=body)

    report = connect(adobe).status(Job(id="1"))

    assert (report.status, report.word) == (status, word)


def test_an_unknown_job_is_a_failed_poll(adobe: AdobeSimulator) -> None:
    """It may be live: in another sandbox, or not shown yet."""
    with pytest.raises(VendorUnavailableError, match=r"does not know job 1 \(404\)"):
        connect(adobe).status(Job(id="1"))


def test_the_token_may_expire_between_polls(simulate: Simulate) -> None:
    adobe = simulate("token-expires-polling")
    connector = connect(adobe)
    job = submitted(connector)

    reports = [connector.status(job) for _ in range(3)]

    assert {report.status for report in reports} == {JobStatus.SUCCEEDED}
    assert adobe.calls("POST", "/ims/token/v3") == 2


def test_a_bare_429_asks_for_a_minute(simulate: Simulate) -> None:
    connector = connect(simulate("rate-limited-bare"))
    job = submitted(connector)

    for _ in range(3):
        with pytest.raises(RateLimitedError) as limited:
            connector.status(job)
        assert limited.value.retry_after == 60

    assert connector.status(job).status is JobStatus.SUCCEEDED


def test_server_errors_pass(simulate: Simulate) -> None:
    connector = connect(simulate("server-errors"))
    job = submitted(connector)

    for _ in range(3):
        with pytest.raises(VendorUnavailableError, match="answered 503"):
            connector.status(job)
    with pytest.raises(VendorUnavailableError, match=r"files\?limit=1 answered 503"):
        connector.status(job)

    assert connector.contents(job, TOGETHER).files


# Waiting for the files of a finished job


def test_files_that_come_late_are_waited_for(simulate: Simulate) -> None:
    adobe = simulate("files-late")
    connector = connect(adobe)
    job = submitted(connector)

    early = connector.status(job)
    adobe.advance(3)
    late = connector.status(job)

    assert (early.status, early.progress) == (JobStatus.RUNNING, "SUCCEEDED, its batch without files yet")
    assert early.word is None
    assert late.status is JobStatus.SUCCEEDED


def test_files_are_waited_for_no_longer_than_was_asked(simulate: Simulate) -> None:
    """By Adobe's own times: neither when the run began nor this machine's clock counts."""
    adobe = simulate("files-never")
    connector = connect(adobe, {"batch_settle": "PT10M"})
    job = submitted(connector)

    adobe.advance(599)
    before = connector.status(job)
    adobe.advance(2)
    after = connector.status(job)

    assert before.status is JobStatus.RUNNING
    assert after.status is JobStatus.FAILED
    assert after.reason == "the job SUCCEEDED, and 10 min (options.batch_settle) later its batch without files"
    assert after.evidence


def test_an_export_of_nobody_has_no_files_to_wait_for(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)

    contents = connector.contents(finished(connector, NOBODY), TOGETHER)

    assert [dataset.name for dataset in contents.datasets] == ["profiles"]
    assert (contents.files, contents.expected_rows, contents.warnings) == ([], 0, [])


def test_a_segment_of_nobody_is_not_waited_for_once_the_catalog_says_so(adobe: AdobeSimulator) -> None:
    none_left = {"segmentId": SECOND, "status": ["exited"]}
    request = {
        **APART,
        "filter": {
            "segments": [TOGETHER["filter"]["segments"][0], none_left],
            "segmentQualificationTime": {"startTime": "2026-05-25T00:00:00Z"},
        },
    }
    connector = connect(adobe)

    job = finished(connector, request)
    contents = connector.contents(job, TOGETHER)

    assert {file.dataset for file in contents.files} == {f"segment={FIRST}"}
    assert contents.warnings == [f"segment={SECOND}: Adobe exported no profile"]
    assert adobe.calls("GET", "/catalog/batches/") == 1


def test_a_segment_without_files_is_done_without_after_its_time(adobe: AdobeSimulator) -> None:
    """The comparison of rows says whether anything is missing."""
    connector = connect(adobe)
    job = submitted(connector, APART)
    [shown] = adobe.jobs()
    empty = shown["destination"]["batches"][1]["batchId"]
    adobe.fault("GET", f"/batches/{empty}/files$", times=None, body={"data": [], "_page": {"limit": 100, "count": 0}})
    adobe.fault("GET", f"/catalog/batches/{empty}$", times=None, body={empty: {"status": "loading"}})

    early = connector.status(job)
    adobe.advance(31 * 60)
    late = connector.status(job)

    assert (early.status, early.progress) == (JobStatus.RUNNING, "SUCCEEDED, 1 of 2 batches without files yet")
    assert late.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("word", ["failure", "aborted", "deleted"])
def test_a_batch_that_is_lost_fails_the_job(simulate: Simulate, word: str) -> None:
    adobe = simulate("files-never")
    connector = connect(adobe)
    job = submitted(connector)
    adobe.fault("GET", "/catalog/batches/", body={adobe.jobs()[0]["destination"]["batchId"]: {"status": word}})

    report = connector.status(job)

    assert report.status is JobStatus.FAILED
    assert report.reason
    assert report.reason.endswith(f" is {word}")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403, "body": {"title": "Forbidden"}},
        {"status": 404},
        {"body": {}},
        {"body": []},
        {"body": {"status": 7}},
    ],
)
def test_a_catalog_that_does_not_tell_leaves_us_waiting(simulate: Simulate, answer: dict[str, Any]) -> None:
    adobe = simulate("files-late")
    connector = connect(adobe)
    job = submitted(connector)
    adobe.fault("GET", "/catalog/batches/", **answer)

    assert connector.status(job).status is JobStatus.RUNNING


# Cancelling


@pytest.mark.parametrize("scenario", ["cancel-200", "cancel-204-with-body", "cancel-204", "cancelled-is-gone"])
def test_a_running_job_is_cancelled(simulate: Simulate, scenario: str) -> None:
    adobe = simulate(scenario, job_seconds=60)
    connector = connect(adobe)
    job = submitted(connector)

    connector.cancel(job)
    marked = connector.status(job)
    adobe.advance(1)
    gone = connector.status(job)

    assert (marked.status, marked.progress) == (JobStatus.RUNNING, "CANCELLING")
    assert gone.status is JobStatus.CANCELLED


def test_the_record_of_an_ended_job_survives_cancelling(adobe: AdobeSimulator) -> None:
    """What cancels a running job deletes an ended one."""
    connector = connect(adobe)
    job = finished(connector)

    connector.cancel(job)

    assert adobe.calls("DELETE") == 0
    assert connector.status(job).status is JobStatus.SUCCEEDED


def test_cancelling_what_is_gone_is_no_error(adobe: AdobeSimulator) -> None:
    connect(adobe).cancel(Job(id="1"))

    assert adobe.calls("DELETE") == 0


# Finding


def test_jobs_of_the_request_are_found_newest_first_over_all_pages(simulate: Simulate) -> None:
    adobe = simulate(past_jobs=5, jobs_per_page=2)
    connector = connect(adobe)
    first = finished(connector)
    adobe.advance(60)
    second = submitted(connector)
    submitted(connector, APART)
    submitted(connector, {**TOGETHER, "fields": "_id"})
    submitted(connector, NOBODY)

    found = connector.find(TOGETHER)

    assert [(shown.job_id, shown.status) for shown in found] == [
        (second.id, JobStatus.SUCCEEDED),
        (first.id, JobStatus.SUCCEEDED),
    ]
    assert {shown.result_id for shown in found} == {None}  # whether its files are there is for `status` to say
    assert found[0].created_at
    assert found[0].created_at - datetime.now(UTC) == pytest.approx(timedelta(minutes=1), abs=timedelta(seconds=30))
    assert adobe.calls("GET", "/export/jobs") - adobe.calls("GET", "/export/jobs/") == 5


def test_the_list_is_read_no_further_back_than_a_run_lasts(simulate: Simulate) -> None:
    adobe = simulate(past_jobs=100, jobs_per_page=10)
    connector = connect(adobe)
    submitted(connector)

    connector.find(TOGETHER)

    assert (
        len([call for call in adobe.log if call.path.rstrip("/").endswith("/export/jobs") and call.method == "GET"])
        == 2
    )


def test_a_running_job_is_found_at_once(adobe: AdobeSimulator) -> None:
    adobe.configure(job_seconds=60)
    connector = connect(adobe)
    job = submitted(connector, APART)
    adobe.advance(30)

    [found] = connector.find(APART)

    assert (found.job_id, found.status) == (job.id, JobStatus.RUNNING)


@pytest.mark.parametrize("scenario", ["batches-object", "status-text", "misspelt-dataset-id", "errors-on-success"])
def test_a_job_is_found_however_it_is_spelt(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    job = submitted(connector, APART)

    assert [shown.job_id for shown in connector.find(APART)] == [job.id]


def test_records_of_another_shape_are_passed_over(adobe: AdobeSimulator) -> None:
    ours = {"id": 7, "status": "NEW", "destination": {"datasetId": DATASET}, "creationTime": 1538615973895}
    adobe.fault("GET", "/export/jobs$", body={"records": [{}, {"id": 8, "destination": "?"}, ours], "link": {}})

    assert connect(adobe).find(TOGETHER) == [
        Found(JobStatus.RUNNING, job_id="7", created_at=datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC))
    ]


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example.com/other?offset=1", "/export/jobs/7?offset=1", "string", "http://[?offset=1"]
)
def test_a_next_page_is_of_the_same_list(adobe: AdobeSimulator, link: str) -> None:
    adobe.fault("GET", "/export/jobs$", body={"records": [], "link": {"next": link}})

    with pytest.raises(UnexpectedResponseError, match="the link to the next page"):
        connect(adobe).find(TOGETHER)


def test_a_list_that_leads_back_to_itself_ends(adobe: AdobeSimulator) -> None:
    adobe.fault("GET", "/export/jobs/?$", times=None, body={"link": {"next": "/export/jobs/?limit=100&offset=1_1"}})

    with pytest.raises(UnexpectedResponseError, match="leads back"):
        connect(adobe).find(TOGETHER)

    assert adobe.calls("GET") == 2


# Contents and files


def test_an_export_is_one_dataset_of_parquet(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)

    contents = connector.contents(job, TOGETHER)

    [dataset] = contents.datasets
    assert (dataset.name, dataset.table, dataset.change) == ("profiles", "profiles", "full")
    assert (dataset.format.type, dataset.format.compression) == ("parquet", "none")
    assert [file.part for file in contents.files] == [0, 1, 2, 3]
    assert contents.expected_rows == sum(part.rows for part in adobe.truth(job.id or "")) > 0
    assert contents.evidence == {"export-job": adobe.jobs()[0]}
    assert contents.warnings == []
    assert landed_as_served(adobe, connector, job, contents)


@pytest.mark.parametrize("scenario", ["batches-array", "batches-object", "status-text"])
def test_each_segment_is_a_dataset_where_each_has_a_batch(simulate: Simulate, scenario: str) -> None:
    adobe = simulate(scenario)
    connector = connect(adobe)
    job = finished(connector, APART)

    contents = connector.contents(job, TOGETHER)

    truth = {(part.file_id, part.name): part.segment_id for part in adobe.truth(job.id or "")}
    assert job.result_id == job.id
    assert [(dataset.name, dataset.table) for dataset in contents.datasets] == [
        (f"segment={SECOND}", SECOND),
        (f"segment={FIRST}", FIRST),
    ]
    assert {(str(file.vendor_file_id), file.vendor_name): file.dataset for file in contents.files} == {
        where: f"segment={segment}" for where, segment in truth.items()
    }
    assert landed_as_served(adobe, connector, job, contents)


def test_a_single_segment_may_have_its_batch_as_an_object(simulate: Simulate) -> None:
    connector = connect(simulate("batches-object"))
    request = {**APART, "filter": {"segments": [{"segmentId": FIRST}]}}

    contents = connector.contents(finished(connector, request), TOGETHER)

    assert {file.dataset for file in contents.files} == {f"segment={FIRST}"}


def test_more_than_a_page_of_files_is_read_whole(simulate: Simulate) -> None:
    adobe = simulate("many-files")
    connector = connect(adobe)
    job = finished(connector, {**TOGETHER, "filter": {"segments": [{"segmentId": FIRST}], "emptyProfiles": True}})
    adobe.configure(files_per_page=7)

    contents = connector.contents(job, TOGETHER)

    truth = adobe.truth(job.id or "")
    assert len(contents.files) == len(truth) > 50
    assert {file.vendor_file_id for file in contents.files} == {part.file_id for part in truth}


def test_directories_in_directories_are_followed(simulate: Simulate) -> None:
    adobe = simulate("nested-directories")
    connector = connect(adobe)
    job = finished(connector)

    contents = connector.contents(job, TOGETHER)

    assert len(contents.files) == 4
    assert landed_as_served(adobe, connector, job, contents)


def test_a_directory_within_itself_is_read_once(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    file_id = adobe.truth(job.id or "")[0].file_id
    entries = [{"dataSetFileId": file_id}, {"name": "part-0.parquet", "length": "10"}]
    adobe.fault("GET", f"/files/{file_id}$", body={"data": entries})

    names = [file.vendor_name for file in connector.contents(job, TOGETHER).files if file.vendor_file_id == file_id]

    assert names == ["part-0.parquet"]


def test_parts_with_the_same_name_land_under_names_of_their_own(simulate: Simulate) -> None:
    adobe = simulate("same-names")
    connector = connect(adobe)
    job = finished(connector)

    contents = connector.contents(job, TOGETHER)

    assert len({file.vendor_name for file in contents.files}) == 2
    assert len({file.name for file in contents.files}) == 4
    assert all(file.name.endswith(".snappy.parquet") for file in contents.files)
    assert landed_as_served(adobe, connector, job, contents)


def test_a_name_may_hold_anything(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    file_id = adobe.truth(job.id or "")[0].file_id
    name = "dir/päth?x=1&y=#2 .parquet"
    adobe.fault("GET", f"/files/{file_id}$", body={"data": [{"name": name, "length": "10"}]})
    [file] = [file for file in connector.contents(job, TOGETHER).files if file.vendor_file_id == file_id]

    source = connector.open(file, job)

    assert urlsplit(source.url).query == "path=dir%2Fp%C3%A4th%3Fx%3D1%26y%3D%232%20.parquet"
    assert urlsplit(source.url).fragment == ""


def test_the_same_result_is_the_same_files_in_the_same_order(adobe: AdobeSimulator) -> None:
    """A rerun keeps what has landed, by its place."""
    connector = connect(adobe)
    job = finished(connector, APART)

    assert connector.contents(job, TOGETHER) == connect(adobe).contents(job, TOGETHER)


def test_a_delta_is_said_to_be_one(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    since = "2025-09-04T00:00:00Z"
    request = {**TOGETHER, "filter": {**TOGETHER["filter"], "fromIngestTimestamp": since}}

    prepared = connector.prepare(request, Known())
    contents = connector.contents(finished(connector, prepared.request), TOGETHER)

    assert (prepared.is_delta, prepared.watermark.from_, prepared.watermark.to) == (True, since, None)
    assert [dataset.change for dataset in contents.datasets] == ["rows"]


@pytest.mark.parametrize(("scenario", "more"), [("success", 0), ("flat-counter", 0), ("wrong-counter", 1)])
def test_the_counter_is_what_the_rows_must_come_to(simulate: Simulate, scenario: str, more: int) -> None:
    adobe = simulate(scenario)
    connector, careless = connect(adobe), connect(adobe, {"profile_count_must_match": False})
    job = finished(connector)

    assert (
        connector.contents(job, TOGETHER).expected_rows == sum(part.rows for part in adobe.truth(job.id or "")) + more
    )
    assert careless.contents(job, TOGETHER).expected_rows is None


def test_without_a_counter_the_comparison_is_left_out_with_a_warning(simulate: Simulate) -> None:
    connector = connect(simulate("no-counter"))

    contents = connector.contents(finished(connector), TOGETHER)

    assert contents.expected_rows is None
    assert [warning.split(",")[0] for warning in contents.warnings] == ["Adobe told no totalExportedProfileCounter"]


def test_no_link_of_adobes_is_followed_or_kept(adobe: AdobeSimulator) -> None:
    """They name Adobe's own host, whatever host the connection has."""
    adobe.configure(link_host="http://127.0.0.1:9", files_per_page=1)
    connector = connect(adobe)
    job = finished(connector)

    contents = connector.contents(job, TOGETHER)

    assert len(contents.files) == 4
    assert "http" not in contents.to_json().replace("adl://", "")
    assert {connector.open(file, job).host for file in contents.files} == {urlsplit(adobe.url).netloc}


def test_a_batch_that_is_gone_has_expired(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    file = connector.contents(job, TOGETHER).files[0]
    connector.open(file, job)

    adobe.drop_batch(job.result_id or "")

    with pytest.raises(ResultExpiredError, match=rf"batch {job.result_id} \(404\)"):
        connector.contents(job, TOGETHER)
    with pytest.raises(ResultExpiredError, match=r"\.snappy\.parquet: Adobe no longer has this file"):
        connector.open(file, job)


def test_a_job_whose_record_is_gone_has_expired(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    connector.operations()["delete-job"].run({"job": job.id or ""})

    with pytest.raises(ResultExpiredError, match="no longer knows job"):
        connector.contents(job, TOGETHER)


def test_a_listed_file_that_is_not_there_yet_is_tried_again(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    adobe.fault("GET", "/export/files/", status=404)

    with pytest.raises(VendorUnavailableError, match="does not know it"):
        connector.contents(job, TOGETHER)

    assert connector.contents(job, TOGETHER).files


def test_opening_a_part_the_first_time_costs_no_call(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    files = connector.contents(job, TOGETHER).files
    before = adobe.calls()

    sources = [connector.open(file, job) for file in files]

    assert adobe.calls() == before
    assert {source.headers["Accept-Encoding"] for source in sources} == {"identity"}


def test_a_part_opened_again_has_fresh_credentials(simulate: Simulate) -> None:
    """Its reader met a 401, of which the connector cannot know. A HEAD finds out, whatever the part's size."""
    adobe = simulate("token-expires-download")
    connector = connect(adobe)
    job = finished(connector)
    first, second, *_ = connector.contents(job, TOGETHER).files

    statuses = [
        fetch(connector.open(first, job))[0],
        fetch(connector.open(second, job))[0],
        fetch(connector.open(second, job))[0],
    ]

    assert statuses == [200, 401, 200]
    assert adobe.calls("POST", "/ims/token/v3") == 2
    assert adobe.calls("HEAD") == 2


def test_a_slow_download_comes_whole_at_its_pace(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    [file, *_] = connector.contents(job, TOGETHER).files
    source = connector.open(file, job)
    _, quick = fetch(source)
    adobe.scenario("slow-download")

    body, seconds = paced(adobe, source)

    assert body == quick
    assert seconds == pytest.approx(len(body) / 20_000)


def test_every_file_can_be_read_in_ranges(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    [file, *_] = connector.contents(job, TOGETHER).files
    source = connector.open(file, job)

    some = DownloadSource(url=source.url, headers={**source.headers, "Range": "bytes=4-9"}, host=source.host)

    assert connector.capabilities.honours_range
    assert fetch(some) == (206, fetch(source)[1][4:10])


# Operations


def test_reads_answer_as_adobe_does(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    job = finished(connector)
    batch = {"batch": job.result_id or ""}
    operations = connector.operations()

    listed = operations["list-jobs"].run({}).document
    filtered = operations["list-jobs-with-status"].run({"status": "FAILED"}).document
    status = operations["job-status"].run({"job": job.id or ""}).document
    files = operations["batch-files"].run(batch).document
    parts = operations["file-parts"].run({"file": files["data"][0]["dataSetFileId"]}).document

    assert listed["records"] == [status] == adobe.jobs()
    assert filtered["records"] == []
    assert (len(files["data"]), len(parts["data"])) == (2, 2)
    assert operations["batch-status"].run(batch).document[job.result_id]["status"] == "success"
    assert operations["batch-failed"].run(batch).document["data"] == []
    assert operations["batch-meta"].run(batch).document["data"]
    assert {name for name, operation in operations.items() if operation.kind.changes} == {"delete-job"}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("job-status", {"job": "1"}),
        ("delete-job", {"job": "1"}),
        ("batch-status", {"batch": "b"}),
        ("batch-files", {"batch": "b"}),
        ("batch-failed", {"batch": "b"}),
        ("batch-meta", {"batch": "b"}),
        ("file-parts", {"file": "f"}),
    ],
)
def test_reads_of_what_is_not_there_say_so(adobe: AdobeSimulator, name: str, given: dict[str, str]) -> None:
    with pytest.raises(RequestRejectedError, match="404"):
        connect(adobe).operations()[name].run(given)


def test_only_the_record_of_an_ended_job_is_deleted(adobe: AdobeSimulator) -> None:
    connector = connect(adobe)
    ended = finished(connector)
    adobe.configure(job_seconds=60)
    running = submitted(connector)
    delete = connector.operations()["delete-job"]

    delete.run({"job": ended.id or ""})
    with pytest.raises(RequestRejectedError, match=r"is NEW, and deleting it would cancel it"):
        delete.run({"job": running.id or ""})

    assert [str(job["id"]) for job in adobe.jobs()] == [running.id]
