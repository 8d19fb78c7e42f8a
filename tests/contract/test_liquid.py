"""LiquidAnalytics' connector against its simulator: every endpoint, and each scenario that reaches the connector."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from haul import connectors
from haul.connectors.liquid.client import LiquidClient
from haul.errors import (
    CorruptFileError,
    CredentialsRefusedError,
    EmptyResultError,
    ErrorPageError,
    HaulError,
    InvalidEventError,
    InvalidSecretError,
    RateLimitedError,
    RequestRejectedError,
    ResultByMailError,
    ResultExpiredError,
    TruncatedFileError,
    UnexpectedResponseError,
    UnsafeLinkError,
    VendorUnavailableError,
)
from haul.models.event import Outcome
from haul.models.export import Contents, Format
from haul.models.landed import LandedFile
from haul.models.work import Job, JobStatus
from haul.ports import Connector, Known, TakesLinks
from haul.transfer.land import land_file
from haul.transfer.links import Network
from haul.transfer.source import Patience, open_body
from infra.local.vendors.liquid import LiquidSimulator
from infra.local.vendors.server import Bytes, LocalServer, Reply, Request
from tests.fakes.clock import Clock, wait_until
from tests.fakes.landing import FakeLanding
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import fetch, paced, secret_at, simulators
from tests.fakes.world import SimulatedWorld

JSON = {"jobName": "nightly", "itemType": "Attendee", "contentType": "application/json"}
CSV = {"jobName": "nightly", "itemType": "Attendee", "contentType": "text/plain", "rowHeader": True}
EDITING = "/Workflow/processStatus[Editing]"
RUN = "20261122T050003Z-7c1f9a"

type Simulate = Callable[..., LiquidSimulator]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(LiquidSimulator, job_seconds=0, attendees=30) as simulate:
        yield simulate


@pytest.fixture
def liquid(simulate: Simulate) -> LiquidSimulator:
    return simulate()


def secret_of(liquid: LiquidSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(liquid.url, "liquid", **fields)


def connect(liquid: LiquidSimulator, options: Mapping[str, Any] | None = None, **fields: str | None) -> Connector:
    return connectors.connect("liquid", secret_of(liquid, **fields), options or {})


def submitted(connector: Connector, request: Mapping[str, Any] = JSON) -> Job:
    return Job(id=connector.schedule(request, run_id=RUN), submitted_at=datetime.now(UTC))


def finished(connector: Connector, request: Mapping[str, Any] = JSON) -> Job:
    job = submitted(connector, request)
    report = connector.status(job)
    assert report.status is JobStatus.SUCCEEDED
    return job.model_copy(update={"result_id": report.result_id})


def exported(connector: Connector, request: Mapping[str, Any] = JSON) -> tuple[Job, Contents]:
    job = finished(connector, request)
    return job, connector.contents(job, request)


# Logging in


def test_one_login_serves_every_call(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)

    connector.prepare(JSON, Known())
    exported(connector)

    assert liquid.calls("POST", "/oauth2/token") == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "wrong"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"community": "other"}, "invalid_scope"),
    ],
)
def test_a_refused_login_says_in_which_words_and_before_anything_is_submitted(
    liquid: LiquidSimulator, fields: dict[str, str], says: str
) -> None:
    connector = connectors.connect("liquid", secret_of(liquid, **fields), {})

    with pytest.raises(CredentialsRefusedError, match=rf"username, password, client or community.*{says}"):
        connector.prepare(JSON, Known())

    assert liquid.jobs() == []


def test_a_token_is_renewed_before_its_time_is_up(simulate: Simulate) -> None:
    """No call meets a 401 for a token whose end was known."""
    liquid, clock = simulate(token_seconds=1000), Clock()
    client = LiquidClient(secret_of(liquid), clock=clock)
    client.token_info()

    for seconds in (890, 20):
        clock.advance(seconds)
        liquid.advance(seconds)
        client.token_info()

    assert liquid.calls("POST", "/oauth2/token") - liquid.calls("POST", "/oauth2/tokenInfo") == 2
    assert {call.status for call in liquid.log} == {200}


def test_a_token_without_an_expiry_lasts_an_hour_or_until_it_is_refused(simulate: Simulate) -> None:
    liquid, clock = simulate("bare-token"), Clock()
    client = LiquidClient(secret_of(liquid), clock=clock)

    client.token_info()
    liquid.advance(1801)
    client.token_info()
    clock.advance(3590)
    client.token_info()

    assert [call.status for call in liquid.log if call.path.endswith("/tokenInfo")] == [200, 401, 200, 200]
    assert len([call for call in liquid.log if call.path.endswith("/token")]) == 3


def test_an_expiry_that_comes_as_a_string_is_read(liquid: LiquidSimulator) -> None:
    clock = Clock()
    client = LiquidClient(secret_of(liquid), clock=clock)
    liquid.fault("POST", "/token$", body={"access_token": "t", "expires_in": "100"})
    client.check_login()

    clock.advance(95)
    client.check_login()

    assert liquid.calls("POST", "/oauth2/token") == 2


@pytest.mark.parametrize(
    "body", ["<html>Sign in</html>", "{}", '{"access_token": ""}', '{"access_token": "two words"}']
)
def test_what_is_no_token_is_not_taken_for_one(liquid: LiquidSimulator, body: str) -> None:
    liquid.fault("POST", "/oauth2/token$", times=None, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises(UnexpectedResponseError):
        connect(liquid).prepare(JSON, Known())
    with pytest.raises(VendorUnavailableError) as unsent:
        connect(liquid).schedule(JSON, run_id=RUN)

    assert not unsent.value.sent


def test_the_token_may_expire_between_polls(simulate: Simulate) -> None:
    liquid = simulate("token-expires-polling")
    connector = connect(liquid)
    job = submitted(connector)

    reports = [connector.status(job) for _ in range(3)]

    assert {report.status for report in reports} == {JobStatus.SUCCEEDED}
    assert liquid.calls("POST", "/oauth2/token") == 2


def test_the_token_may_expire_between_downloads(simulate: Simulate) -> None:
    liquid = simulate("token-expires-download", files=3)
    connector = connect(liquid)
    job, contents = exported(connector)

    statuses = [fetch(connector.open(file, job))[0] for file in contents.files]

    assert statuses == [200, 200, 200]
    assert liquid.calls("POST", "/oauth2/token") == 2


@pytest.mark.parametrize(
    ("base_url", "account"),
    [
        ("https://Acme.example.com", "demo@acme.example.com"),
        ("https://acme.example.com:8443/", "demo@acme.example.com_8443"),
    ],
)
def test_the_account_is_community_and_host(base_url: str, account: str) -> None:
    fields = dict.fromkeys(("client_id", "client_secret", "username", "password", "community"), "demo")

    assert connectors.connect("liquid", FakeSecret({**fields, "base_url": base_url}), {}).account == account


def test_secret_and_options_are_checked_when_connecting(liquid: LiquidSimulator) -> None:
    with pytest.raises(InvalidSecretError, match="community: missing"):
        connect(liquid, community=None)
    with pytest.raises(InvalidEventError, match=r"options\.filter_as: unknown field; did you mean filters_as"):
        connect(liquid, {"filter_as": "json"})


# Submitting


def test_a_request_is_prepared_without_asking_for_anything_but_a_login(liquid: LiquidSimulator) -> None:
    request = {**JSON, "jobName": "@@home", "filters": {"userId": "@@u1", "sessions": [1, "@@2"]}}

    prepared = connect(liquid).prepare(request, Known())

    assert prepared.request["jobName"] == "@home"
    assert prepared.request["filters"] == {"userId": "@u1", "sessions": [1, "@2"]}
    assert not prepared.is_delta
    assert [call.path for call in liquid.log] == ["/ls/api/oauth2/token"]


def test_a_symbol_that_nobody_resolved_is_refused(liquid: LiquidSimulator) -> None:
    with pytest.raises(InvalidEventError, match=r"request\.filters\.userId\[0\]: @latest is not understood here"):
        connect(liquid).prepare({**JSON, "filters": {"userId": ["@latest"]}}, Known())

    assert liquid.calls() == 0


def test_a_request_arrives_as_the_vendors_own_form(liquid: LiquidSimulator) -> None:
    request = {**CSV, "template": "$item.id\n", "sqlQuery": None, "filters": {}, "notificationEmail": "a@example.com"}

    connect(liquid).schedule(request, run_id=RUN)

    assert liquid.jobs()[0]["parameters"] == {
        "jobName": "nightly",
        "itemType": "Attendee",
        "contentType": "text/plain",
        "rowHeader": "true",
        "template": "$item.id\n",
        "notificationEmail": "a@example.com",
    }


@pytest.mark.parametrize(
    ("filters_as", "sent"),
    [
        ("json", '{"processStatus": "/Workflow/processStatus[Editing]", "sessions": 3}'),
        ("python", "{'processStatus': '/Workflow/processStatus[Editing]', 'sessions': 3}"),
    ],
)
def test_filters_are_spelt_as_asked_and_mean_the_same(liquid: LiquidSimulator, filters_as: str, sent: str) -> None:
    connector = connect(liquid, {"filters_as": filters_as})
    request = {**JSON, "filters": {"processStatus": EDITING, "sessions": 3}}

    job, contents = exported(connector, request)

    assert liquid.jobs()[0]["parameters"]["filters"] == sent
    _, body = fetch(connector.open(contents.files[0], job))
    assert {item["data"]["id"] for item in json.loads(body)} == {"A0000003", "A0000018"}


def test_a_query_chooses(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)

    _, contents = exported(connector, {**CSV, "sqlQuery": "SELECT id FROM Attendee LIMIT 7"})

    assert contents.expected_rows == 7


def test_a_rejected_submission_says_why_and_made_no_job_to_wait_for(liquid: LiquidSimulator) -> None:
    with pytest.raises(RequestRejectedError, match="rejected the export: The item type 'Speaker' is not known"):
        connect(liquid).schedule({**JSON, "itemType": "Speaker"}, run_id=RUN)


def test_a_malformed_submission_is_refused(simulate: Simulate) -> None:
    with pytest.raises(RequestRejectedError, match="400: invalid_request: The request is malformed"):
        connect(simulate("bad-request")).schedule(JSON, run_id=RUN)


def test_a_429_to_a_submission_is_passed_on(simulate: Simulate) -> None:
    liquid = simulate("rate-limited")
    connector = connect(liquid)

    with pytest.raises(RateLimitedError) as limited:
        connector.schedule(JSON, run_id=RUN)

    assert limited.value.retry_after == 2
    assert liquid.jobs() == []


@pytest.mark.parametrize(
    ("scenario", "jobs"), [("lost-reply", 1), ("submission-gateway-timeout", 1), ("lost-submission", 0)]
)
def test_a_submission_without_an_answer_is_in_doubt(simulate: Simulate, scenario: str, jobs: int) -> None:
    liquid = simulate(scenario)
    connector = connect(liquid)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(JSON, run_id=RUN)

    assert lost.value.sent
    assert len(liquid.jobs()) == jobs
    assert liquid.calls("POST", "/batch/export") == 1
    assert connector.find(JSON) == []


@pytest.mark.parametrize(
    "body", ["<html>", "{}", '{"jobId": "j"}', '{"status": "Accepted"}', '{"jobId": ', '{"error": "server_error"}']
)
def test_a_submission_answered_by_something_unreadable_is_in_doubt(liquid: LiquidSimulator, body: str) -> None:
    liquid.fault("POST", "/batch/export$", body=body, work=True)

    with pytest.raises(VendorUnavailableError, match="there may be a job") as lost:
        connect(liquid).schedule(JSON, run_id=RUN)

    assert lost.value.sent
    assert len(liquid.jobs()) == 1


# Waiting


def test_a_job_goes_through_its_states_and_its_progress_is_told(simulate: Simulate) -> None:
    liquid = simulate("slow-processing", job_seconds=60, attendees=3000)
    connector = connect(liquid)
    job = submitted(connector)
    reports = [connector.status(job)]

    for seconds in (10, 20, 20, 20):
        liquid.advance(seconds)
        reports.append(connector.status(job))

    assert [report.status for report in reports] == [JobStatus.RUNNING] * 4 + [JobStatus.SUCCEEDED]
    assert [report.progress and report.progress.split(",")[0] for report in reports] == [
        "Initialized", "Accepted", "Processing", "Processing", None
    ]  # fmt: skip
    assert reports[2].progress == f"Processing, {reports[2].counts['recordsProcessed']:,} records"
    assert 0 < reports[2].counts["recordsProcessed"] < reports[3].counts["recordsProcessed"] < 3000
    assert reports[4].counts == {"recordsProcessed": 3000}
    assert reports[4].result_id == job.id


def test_a_result_lives_a_week_from_the_jobs_own_times(simulate: Simulate) -> None:
    liquid = simulate(job_seconds=100)
    connector = connect(liquid)
    job = submitted(connector)
    liquid.advance(500)

    expires = connector.status(job).result_expires_at

    assert expires
    assert job.submitted_at
    assert expires - job.submitted_at == pytest.approx(timedelta(days=7, seconds=75), abs=timedelta(seconds=5))


@pytest.mark.parametrize("scenario", ["success", "plain-numbers"])
def test_numbers_may_be_strings_or_numbers(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))

    assert connector.status(submitted(connector)).counts == {"recordsProcessed": 30}


def test_numbers_may_be_missing(simulate: Simulate) -> None:
    connector = connect(simulate("missing-numbers"))

    report = connector.status(submitted(connector))
    _, contents = exported(connector)

    assert report.status is JobStatus.SUCCEEDED
    assert (report.counts, report.result_expires_at) == ({}, None)
    assert (len(contents.files), contents.expected_rows) == (1, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "COMPLETED"}, JobStatus.SUCCEEDED),
        (
            {"status": " processing ", "recordsProcessed": "many", "runTime": "", "submitTime": "yesterday"},
            JobStatus.RUNNING,
        ),
        ({"status": "Accepted", "recordsProcessed": None, "reason": None}, JobStatus.RUNNING),
        ({"status": "canceling"}, JobStatus.RUNNING),
        ({"status": "Canceled"}, JobStatus.CANCELLED),
        ({"status": "Paused"}, JobStatus.UNKNOWN),
        ({"status": 7}, JobStatus.UNKNOWN),
    ],
)
def test_words_are_read_in_any_case_and_numbers_as_far_as_they_can_be(
    liquid: LiquidSimulator, body: dict[str, Any], status: JobStatus
) -> None:
    liquid.fault("POST", "/batch/status$", body=body)

    report = connect(liquid).status(Job(id="j1"))

    assert report.status is status
    assert (report.word is not None) == (status is JobStatus.UNKNOWN)


def test_an_unknown_status_is_waited_on(simulate: Simulate) -> None:
    liquid = simulate("unknown-status", job_seconds=60)
    connector = connect(liquid)
    job = submitted(connector)
    liquid.advance(30)

    report = connector.status(job)

    assert (report.status, report.word) == (JobStatus.UNKNOWN, "Paused")


@pytest.mark.parametrize(("scenario", "word"), [("failed", "Failed"), ("rejected", "Rejected")])
def test_a_job_that_ends_badly_says_why_and_leaves_evidence(simulate: Simulate, scenario: str, word: str) -> None:
    connector = connect(simulate(scenario))

    report = connector.status(submitted(connector))

    assert report.status is JobStatus.FAILED
    assert report.reason
    assert report.reason.startswith(f"{word}: ")
    assert "Attendee" in report.reason
    assert report.evidence["job-status"]["status"] == word


def test_a_job_that_never_finishes_is_running(simulate: Simulate) -> None:
    liquid = simulate("never-finishes")
    connector = connect(liquid)
    job = submitted(connector)
    liquid.advance(6 * 86_400)

    assert connector.status(job).status is JobStatus.RUNNING


@pytest.mark.parametrize("scenario", ["success", "unknown-job-400", "unknown-job-200"])
def test_an_unknown_job_is_a_failed_poll_while_it_may_be_live(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    just_now = Job(id="gone", submitted_at=datetime.now(UTC))
    long_ago = just_now.model_copy(update={"submitted_at": datetime.now(UTC) - timedelta(days=8)})
    seen_finished = just_now.model_copy(update={"result_id": "gone"})

    with pytest.raises(VendorUnavailableError, match="does not know job gone"):
        connector.status(just_now)

    assert connector.status(long_ago).status is JobStatus.EXPIRED
    assert connector.status(seen_finished).status is JobStatus.EXPIRED


def test_a_forgotten_job_has_no_contents(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, _ = exported(connector)
    liquid.scenario("job-forgotten")

    with pytest.raises(ResultExpiredError, match="no longer knows"):
        connector.contents(job, JSON)


@pytest.mark.parametrize("scenario", ["server-errors", "bad-gateway", "gateway-timeout"])
def test_server_errors_pass(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    job = submitted(connector)

    for _ in range(3):
        with pytest.raises(VendorUnavailableError, match="answered 50"):
            connector.status(job)

    assert connector.status(job).status is JobStatus.SUCCEEDED


def test_a_bare_429_asks_for_a_minute(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = submitted(connector)
    liquid.fault("POST", "/batch/status$", status=429)

    with pytest.raises(RateLimitedError) as limited:
        connector.status(job)

    assert limited.value.retry_after == 60


def test_the_status_of_another_job_is_not_believed(liquid: LiquidSimulator) -> None:
    liquid.fault("POST", "/batch/status$", body={"jobId": "j2", "status": "Completed"})

    with pytest.raises(UnexpectedResponseError, match="another job"):
        connect(liquid).status(Job(id="j1"))


# Cancelling


def test_a_canceled_job_runs_until_it_is_canceled(simulate: Simulate) -> None:
    liquid = simulate("cancel")
    connector = connect(liquid)
    job = submitted(connector)

    connector.cancel(job)
    canceling = connector.status(job)
    liquid.advance(10)
    canceled = connector.status(job)

    assert connector.capabilities.can_cancel
    assert (canceling.status, canceling.progress) == (JobStatus.RUNNING, "Canceling, 29 records")
    assert canceled.status is JobStatus.CANCELLED
    assert canceled.reason == "Canceled: The job was canceled"


def test_a_finished_job_stays_finished_when_canceled(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = finished(connector)

    connector.cancel(job)

    assert connector.status(job).status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("scenario", ["success", "unknown-job-400", "unknown-job-200"])
def test_a_job_that_nobody_knows_needs_no_canceling(simulate: Simulate, scenario: str) -> None:
    liquid = simulate(scenario)

    connect(liquid).cancel(Job(id="gone"))

    assert liquid.calls("POST", "/batch/cancel") == 1


def test_a_cancel_that_gets_no_answer_is_told(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = submitted(connector)
    liquid.fault("POST", "/batch/cancel$", status=503)

    with pytest.raises(VendorUnavailableError):
        connector.cancel(job)


# Contents


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(
    ("request_", "layout"),
    [
        (JSON, Format(type="json", compression="none", header=False)),
        (CSV, Format(type="csv", compression="none", header=True)),
        ({**CSV, "rowHeader": False}, Format(type="csv", compression="none", header=False)),
    ],
    ids=["json", "csv", "csv-without-header"],
)
def test_a_result_is_one_dataset_with_a_file_for_each_link(
    simulate: Simulate, files: int, request_: dict[str, Any], layout: Format
) -> None:
    liquid = simulate(files=files)
    connector = connect(liquid)
    job, contents = exported(connector, request_)

    opened = {file.vendor_name: fetch(connector.open(file, job)) for file in contents.files}

    truth = liquid.truth(job.id or "")
    [dataset] = contents.datasets
    assert (dataset.name, dataset.table, dataset.format) == ("Attendee", "Attendee", layout)
    assert [file.part for file in contents.files] == list(range(files))
    assert {file.dataset for file in contents.files} == {"Attendee"}
    assert {n: (s, hashlib.sha256(b).hexdigest()) for n, (s, b) in opened.items()} == {
        name: (200, file.sha256) for name, file in truth.items()
    }
    assert contents.expected_rows == 30 == sum(file.rows for file in truth.values())
    assert contents.warnings == []


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$item.firstName,$item.lastName", 30),
        ("$item.firstName,$item.lastName\r\n", 30),
        ("$item.firstName\n$item.lastName", None),
        ("#if($item.note)$item.note#end", None),
    ],
)
def test_rows_are_expected_only_where_each_record_is_one(
    liquid: LiquidSimulator, template: str, expected: int | None
) -> None:
    connector = connect(liquid)
    job = finished(connector, CSV)

    assert connector.contents(job, {**CSV, "template": template}).expected_rows == expected


def test_a_count_that_is_wrong_is_handed_on_for_others_to_compare(simulate: Simulate) -> None:
    _, contents = exported(connect(simulate("miscounted")))

    assert contents.expected_rows == 31


@pytest.mark.parametrize(("empty", "warnings"), [("warn", ["the export of Attendee has no records"]), ("allow", [])])
@pytest.mark.parametrize(("scenario", "files"), [("empty", 0), ("empty-with-link", 1)])
def test_nothing_is_a_result_too(
    simulate: Simulate, scenario: str, files: int, empty: str, warnings: list[str]
) -> None:
    connector = connect(simulate(scenario), {"empty": empty})

    _, contents = exported(connector)

    assert (len(contents.files), contents.expected_rows, contents.warnings) == (files, 0, warnings)
    assert [dataset.name for dataset in contents.datasets] == ["Attendee"]


@pytest.mark.parametrize("scenario", ["empty", "empty-with-link"])
def test_nothing_may_be_a_failure(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario), {"empty": "fail"})
    job = finished(connector)

    with pytest.raises(EmptyResultError, match=r"exported no Attendee, and options\.empty is fail"):
        connector.contents(job, JSON)


def test_a_job_that_is_no_longer_completed_is_odd(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = finished(connector)
    liquid.fault("POST", "/batch/status$", body={"jobId": job.id, "status": "Processing"})

    with pytest.raises(UnexpectedResponseError, match='was completed, and is now "Processing"'):
        connector.contents(job, JSON)


# Links


@pytest.mark.parametrize("links_as", ["links", "downloadLinks", "urls", "files", "href", "url", "reason"])
def test_links_are_found_wherever_the_reply_has_them(simulate: Simulate, links_as: str) -> None:
    liquid = simulate(links_as=links_as, files=2)
    connector = connect(liquid)
    job, contents = exported(connector)

    bodies = [fetch(connector.open(file, job))[1] for file in contents.files]

    assert [len(json.loads(body)) for body in bodies] == [15, 15]


@pytest.mark.parametrize("scenario", ["success", "three-links", "link-in-reason", "link-objects", "other-link-field"])
def test_no_link_is_kept_or_shown(simulate: Simulate, scenario: str) -> None:
    connector = connect(liquid := simulate(scenario))
    job = submitted(connector)

    report = connector.status(job)
    contents = connector.contents(job, JSON)
    shown = connector.operations()["job-status"].run({"job": job.id or ""}).document

    told = f"{report!r} {contents!r} {contents.to_json()} {shown!r} {vars(connector)!r}"
    tokens = [token for known in liquid._jobs.values() for token in known.tokens]
    assert tokens
    assert [token for token in tokens if token in told] == []
    assert "not kept" in repr(report.evidence)


def test_a_failure_whose_reason_holds_a_link_is_told_without_it(liquid: LiquidSimulator) -> None:
    reason = "Half of it is at https://files.example.com/x?token=t0ps3cret, the rest is lost"
    liquid.fault("POST", "/batch/status$", body={"status": "Failed", "reason": reason})
    liquid.fault("POST", "/batch/export$", body={"jobId": "j", "status": "Rejected", "reason": reason})
    connector = connect(liquid)

    report = connector.status(Job(id="j1"))
    with pytest.raises(RequestRejectedError) as rejected:
        connector.schedule(JSON, run_id=RUN)

    assert report.reason == "Failed: Half of it is at (a link, not kept) the rest is lost"
    assert "t0ps3cret" not in f"{report!r} {rejected.value!r}"


def test_an_error_that_holds_a_link_is_told_without_it(liquid: LiquidSimulator) -> None:
    body = {"error": "busy", "error_description": "see https://files.example.com/x?token=t0ps3cret"}
    liquid.fault("POST", "/batch/status$", status=503, body=body)

    with pytest.raises(VendorUnavailableError, match="busy") as busy:
        connect(liquid).status(Job(id="j1"))

    assert "t0ps3cret" not in str(busy.value)


def test_a_result_by_mail_alone_is_an_error_of_its_own(simulate: Simulate) -> None:
    liquid = simulate("mail-only")
    connector = connect(liquid)
    request = {**JSON, "notificationEmail": "a@example.com"}
    job = finished(connector, request)

    with pytest.raises(ResultByMailError, match=r"completed with 30 records.*told no link.*mail to a@example\.com"):
        connector.contents(job, request)
    with pytest.raises(ResultByMailError, match="names no notificationEmail"):
        connector.contents(job, JSON)


def test_no_link_and_no_count_is_no_empty_result(simulate: Simulate) -> None:
    connector = connect(simulate("mail-only", numbers="missing"))
    job = finished(connector)

    with pytest.raises(ResultByMailError, match="an unknown number of records"):
        connector.contents(job, JSON)


def test_a_person_may_hand_over_the_links_of_the_mail(simulate: Simulate) -> None:
    liquid = simulate("mail-only", files=2)
    connector = connect(liquid)
    request = {**JSON, "notificationEmail": "a@example.com"}
    job = finished(connector, request)
    [mail] = liquid.mails()
    assert isinstance(connector, TakesLinks)

    with_links = connector.with_links([f" {link}\n" for link in mail["links"]])
    contents = with_links.contents(job, request)
    bodies = [fetch(with_links.open(file, job))[1] for file in contents.files]

    assert [len(json.loads(body)) for body in bodies] == [15, 15]
    assert contents.expected_rows == 30
    assert mail["links"][0] not in f"{vars(with_links)!r} {with_links!r} {contents!r}"
    with pytest.raises(ResultByMailError):
        connector.contents(job, request)


@pytest.mark.parametrize(
    "links",
    [
        [],
        [" "],
        ["ftp://files.example.com/x"],
        ["https://files.example.com/x", "t0ps3cret"],
        ["http://files.example.com/t0ps3cret"],
        ["https://[t0ps3cret"],
        ["https:///t0ps3cret"],
    ],
)
def test_what_is_no_link_is_refused_and_not_shown(liquid: LiquidSimulator, links: list[str]) -> None:
    connector = connect(liquid)
    assert isinstance(connector, TakesLinks)

    with pytest.raises(InvalidEventError, match="link: must be") as refused:
        connector.with_links(links)

    assert "t0ps3cret" not in str(refused.value)


def test_a_run_whose_links_came_by_mail_is_published_by_a_rerun_with_them(simulate: Simulate) -> None:
    liquid = simulate("mail-only", files=2)
    world = SimulatedWorld(connect(liquid))
    request = {**JSON, "notificationEmail": "a@example.com"}
    world.run(world.start("attendees", vendor="liquid", request=request))
    (failed,) = world.records("attendees")
    [mail] = liquid.mails()
    world.links[failed.run_id] = mail["links"]

    world.run(world.rerun(failed, link=True))

    (record,) = world.records("attendees")
    truth = [file.sha256 for file in liquid.truth(mail["jobId"]).values()]
    written = [world.store.get(key) for key in world.store.keys("")]
    told = f"{written} {list(world.landing.objects.values())} {world.notices} {world.executions}"
    assert failed.error is not None
    assert failed.error.name == "ResultByMailError"
    assert record.outcome is Outcome.SUCCEEDED
    assert sorted(hashlib.sha256(body).hexdigest() for body in world.landed) == sorted(truth)
    assert len(liquid.jobs()) == 1
    assert not any(urlsplit(link).path in told or link in told for link in mail["links"])
    assert not world.links


def test_a_link_to_the_vendors_own_host_carries_the_token_and_wants_no_packing(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, contents = exported(connector)

    source = connector.open(contents.files[0], job)

    assert source.headers["Authorization"].startswith("Bearer ")
    assert source.headers["Accept-Encoding"] == "identity"
    assert source.host == urlsplit(liquid.url).netloc == urlsplit(source.url).netloc
    assert source.url not in repr(source)


@pytest.mark.parametrize("elsewhere", ["https://files.example.com", "http://127.0.0.1:9", "https://127.0.0.1"])
def test_a_link_to_another_host_carries_nothing(simulate: Simulate, elsewhere: str) -> None:
    connector = connect(simulate(links_from=elsewhere))
    job, contents = exported(connector)

    source = connector.open(contents.files[0], job)
    again = connector.open(contents.files[0], job)

    assert source.url.startswith(f"{elsewhere}/ls/api/batch/download/")
    assert source.headers == again.headers == {}


def test_a_link_to_a_private_address_is_refused_and_one_to_the_own_host_is_not(simulate: Simulate) -> None:
    asked: list[Request] = []

    def stranger(request: Request) -> tuple[Reply, None]:
        asked.append(request)
        return Reply(content=Bytes(b"[]")), None

    with LocalServer(stranger) as elsewhere:
        connector = connect(liquid := simulate(links_from=elsewhere.url))
        job, contents = exported(connector)
        [file] = contents.files
        for address in (elsewhere.url, elsewhere.url.replace("http:", "https:")):
            liquid.configure(links_from=address)
            with pytest.raises(UnsafeLinkError), opened(connector, job, contents):
                pass
        liquid.configure(links_from=None)
        with opened(connector, job, contents) as body:
            length = body.length

    assert asked == []
    assert length == liquid.truth(job.id or "")[file.vendor_name].size


def test_a_redirect_from_the_own_host_takes_no_credentials_elsewhere(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, contents = exported(connector)
    location = {"Location": "https://127.0.0.1:9/x?token=t0ps3cret"}
    liquid.fault("GET", "/batch/download/", status=302, headers=location)

    with pytest.raises(UnsafeLinkError, match="private address") as refused, opened(connector, job, contents):
        pass

    assert "t0ps3cret" not in str(refused.value)


def opened(connector: Connector, job: Job, contents: Contents) -> Any:
    """Open the first file the way the download does."""
    [file] = contents.files
    return open_body(file.vendor_name, lambda: connector.open(file, job), Network(), Patience())


@pytest.mark.parametrize("scenario", ["expired", "expired-403", "expired-404"])
def test_an_expired_link_is_named_as_that_whatever_its_status(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    job, contents = exported(connector)

    with pytest.raises(ResultExpiredError, match=r"nightly-1\.json.*link has expired") as expired:
        opened(connector, job, contents).__enter__()

    assert "token" not in str(expired.value)


def test_a_link_may_expire_after_a_week(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, contents = exported(connector)
    assert fetch(connector.open(contents.files[0], job))[0] == 200

    liquid.advance(7 * 86_400 + 1)

    with pytest.raises(ResultExpiredError):
        connector.open(contents.files[0], job)


def test_looking_at_a_link_tells_nothing_of_it_when_it_breaks(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, contents = exported(connector)
    connector.open(contents.files[0], job)
    liquid.fault("GET", "/batch/download/", reset=True)

    with pytest.raises(VendorUnavailableError) as broken:
        connector.open(contents.files[0], job)

    assert "/download/" not in str(broken.value)


def test_opening_a_file_again_that_is_there_leaves_it_alone(simulate: Simulate) -> None:
    """Its reader met some other failure."""
    liquid = simulate(big_file_bytes=50_000_000)
    connector = connect(liquid)
    job, contents = exported(connector)
    connector.open(contents.files[0], job)

    connector.open(contents.files[0], job)

    [looked] = [call for call in liquid.log if "/download/" in call.path]
    assert wait_until(lambda: looked.done)
    assert looked.bytes_sent < 25_000_000


def test_a_link_that_went_away_is_missed(simulate: Simulate) -> None:
    liquid = simulate("three-links")
    connector = connect(liquid)
    job, contents = exported(connector)
    liquid.fault("POST", "/batch/status$", body={"status": "Completed", "links": ["https://files.example.com/1"]})

    with pytest.raises(
        UnexpectedResponseError, match=r"nightly-2\.json: job .* has 1 links now, and this was number 2"
    ):
        connector.open(contents.files[1], job)


# Landing


@pytest.mark.parametrize("scenario", ["success", "chunked", "truncated-once", "connection-reset", "nameless"])
def test_csv_lands_row_by_row_as_it_is_served(simulate: Simulate, scenario: str) -> None:
    liquid, landing = simulate(scenario, attendees=500), FakeLanding()
    connector = connect(liquid)
    job, contents = exported(connector, CSV)
    [file] = contents.files
    if scenario in {"truncated-once", "connection-reset"}:
        with pytest.raises(TruncatedFileError):
            land(connector, job, contents, landing)

    landed = land(connector, job, contents, landing)

    truth = liquid.truth(job.id or "")[file.vendor_name]
    assert hashlib.sha256(landing.read("raw/x.csv") or b"").hexdigest() == truth.sha256
    assert (landed.rows, landed.compression) == (contents.expected_rows, "none")
    assert landed.header
    assert landed.header[:2] == ["id", "firstName"]


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("truncated-body", TruncatedFileError),
        ("truncated-cleanly", CorruptFileError),
        ("no-content-length", TruncatedFileError),
        ("error-page", ErrorPageError),
        ("expired", ResultExpiredError),
    ],
)
def test_what_is_not_the_whole_file_does_not_land(simulate: Simulate, scenario: str, error: type[HaulError]) -> None:
    landing = FakeLanding()
    connector = connect(simulate(scenario, attendees=500))
    job, contents = exported(connector, CSV)

    with pytest.raises(error):
        land(connector, job, contents, landing)

    assert landing.read("raw/x.csv") is None


def test_a_slow_download_comes_whole_at_its_pace(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job, contents = exported(connector, CSV)
    [file] = contents.files
    liquid.scenario("slow-download")

    body, seconds = paced(liquid, connector.open(file, job))

    assert hashlib.sha256(body).hexdigest() == liquid.truth(job.id or "")[file.vendor_name].sha256
    assert seconds == pytest.approx(len(body) / 100_000)


def land(connector: Connector, job: Job, contents: Contents, landing: FakeLanding) -> LandedFile:
    [file], [dataset] = contents.files, contents.datasets
    return land_file(lambda: connector.open(file, job), landing, "raw/x.csv", file=file, dataset=dataset)


# Operations


def test_operations_answer_as_the_vendor_does(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    liquid.configure(job_seconds=60)
    job = submitted(connector)
    operations = connector.operations()

    who = operations["token-info"].run({}).document
    status = operations["job-status"].run({"job": job.id or ""}).document
    canceled = operations["cancel-job"].run({"job": job.id or ""}).document

    assert who == {"userId": "demo", "authenticatedUserId": "demo", "community": "demo"}
    assert (status["jobId"], status["status"], status["recordsProcessed"]) == (job.id, "Initialized", "0")
    assert canceled["status"] == "Canceling"
    assert [name for name, operation in operations.items() if operation.kind.changes] == ["cancel-job"]


@pytest.mark.parametrize("name", ["job-status", "cancel-job"])
def test_a_job_that_is_not_there_is_said_to_be_unknown(liquid: LiquidSimulator, name: str) -> None:
    with pytest.raises(RequestRejectedError, match="does not know job j1"):
        connect(liquid).operations()[name].run({"job": "j1"})
