"""Visier's connector against its simulator: every endpoint, and each scenario that reaches the connector."""

import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from haul import connectors
from haul.connectors.visier.client import VisierClient
from haul.errors import (
    CredentialsRefusedError,
    InvalidEventError,
    InvalidSecretError,
    MissingCapabilityError,
    QuotaExceededError,
    RateLimitedError,
    RequestRejectedError,
    ResultExpiredError,
    RetypedColumnError,
    UnexpectedResponseError,
    UnknownVersionError,
    VendorUnavailableError,
)
from haul.models.export import Column
from haul.models.work import Job, JobStatus
from haul.ports import Connector, Found, Known
from infra.local.vendors.visier import VisierSimulator
from tests.fakes.clock import Clock, wait_until
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import fetch, secret_at, simulators

FULL = {"dataVersionNumber": "7000004"}
DELTA = {"dataVersionNumber": "7000004", "baseDataVersionNumber": "7000002"}
RUN = "20261122T050003Z-7c1f9a"

type Simulate = Callable[..., VisierSimulator]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(VisierSimulator, scenario="success-full", job_seconds=0) as simulate:
        yield simulate


@pytest.fixture
def visier(simulate: Simulate) -> VisierSimulator:
    return simulate()


def secret_of(visier: VisierSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(visier.url, "visier", **fields)


def connect(visier: VisierSimulator, options: Mapping[str, Any] | None = None, **fields: str | None) -> Connector:
    return connectors.connect("visier", secret_of(visier, **fields), options or {})


def finished(connector: Connector, request: Mapping[str, Any] = FULL) -> Job:
    job_id = connector.schedule(request, run_id=RUN)
    report = connector.status(Job(id=job_id))
    assert report.status is JobStatus.SUCCEEDED
    return Job(id=job_id, result_id=report.result_id)


# Logging in


def test_one_login_serves_every_call(visier: VisierSimulator) -> None:
    connector = connect(visier)

    connector.contents(finished(connector), FULL)

    assert [call.path for call in visier.log].count("/v1/admin/visierSecureToken") == 1


def test_oauth_is_used_where_the_secret_has_a_client(simulate: Simulate) -> None:
    """Its secret is percent-encoded within HTTP Basic, and the redirect URI goes along."""
    visier = simulate(client_secret="p%r/c:nt +ö", redirect_uri="https://example.com/back")
    connector = connect(visier, client_id="demo", client_secret="p%r/c:nt +ö", redirect_uri="https://example.com/back")

    finished(connector)

    assert visier.calls("POST", "/v1/auth/oauth2/token") == 1
    assert visier.calls("POST", "/v1/admin/visierSecureToken") == 0


def test_a_wrong_oauth_client_is_refused(visier: VisierSimulator) -> None:
    connector = connect(visier, client_id="demo", client_secret="wrong")

    with pytest.raises(CredentialsRefusedError, match="InvalidClient"):
        connector.prepare(FULL, Known())


def test_a_token_is_renewed_before_its_time_is_up(simulate: Simulate) -> None:
    """No call meets a 401 for a token whose end was known."""
    visier, clock = simulate(token_seconds=1000), Clock()
    client = VisierClient(secret_of(visier, client_id="demo", client_secret="demo"), clock=clock)
    client.data_versions()

    clock.advance(890)
    visier.advance(890)
    client.data_versions()
    clock.advance(20)
    visier.advance(20)
    client.data_versions()

    assert visier.calls("POST", "/token") == 2
    assert {call.status for call in visier.log} == {200}


def test_an_asid_token_is_renewed_within_the_hour(simulate: Simulate) -> None:
    visier, clock = simulate(), Clock()
    client = VisierClient(secret_of(visier), clock=clock)
    client.data_versions()

    clock.advance(3590)
    client.data_versions()

    assert visier.calls("POST", "/visierSecureToken") == 2


def test_a_token_in_quotes_is_understood(simulate: Simulate) -> None:
    finished(connect(simulate("quoted-token")))


@pytest.mark.parametrize("body", ["<html><body>Sign in</body></html>", "", "  \r\n", '{"token": "x"}', '""', "a b"])
def test_what_is_no_token_is_not_taken_for_one(visier: VisierSimulator, body: str) -> None:
    """A login page may come with status 200."""
    visier.fault("POST", "/visierSecureToken", body=body)

    with pytest.raises(UnexpectedResponseError, match="no token"):
        connect(visier).prepare(FULL, Known())


def test_a_user_of_single_sign_on_is_told_about_the_bypass_list(simulate: Simulate) -> None:
    with pytest.raises(CredentialsRefusedError, match=r"bypass list.*SingleSignOnRequired"):
        connect(simulate("sso-only")).prepare(FULL, Known())


def test_a_login_that_wants_the_vanity_name_says_so(simulate: Simulate) -> None:
    visier = simulate("vanity-required")

    with pytest.raises(VendorUnavailableError, match="no vanity_name") as unavailable:
        connect(visier, vanity_name=None).prepare(FULL, Known())
    versions = connect(visier).operations()["list-data-versions"].run({}).document

    assert not unavailable.value.sent
    assert len(versions["dataVersions"]) == 4


def test_a_wrong_api_key_is_refused(visier: VisierSimulator) -> None:
    with pytest.raises(CredentialsRefusedError, match="InvalidApiKey"):
        connect(visier, api_key="other").prepare(FULL, Known())


def test_a_missing_capability_is_named(simulate: Simulate) -> None:
    with pytest.raises(MissingCapabilityError, match=r"rci .*Manage Jobs capability"):
        connect(simulate("missing-capability")).prepare(FULL, Known())


def test_every_call_is_for_the_target_tenant(simulate: Simulate) -> None:
    """Jobs of one tenant are unknown to another, and each has its own quota."""
    visier = simulate(tenants=["WFF_j1r~c7o"])
    connector = connect(visier, {"target_tenant": "WFF_j1r~c7o"})

    job = finished(connector)
    contents = connector.contents(job, FULL)

    assert connector.tenant == "WFF_j1r~c7o"
    assert connector.account == "WFF_j1r~c7o@demo"
    assert {job["tenant"] for job in visier.jobs()} == {"WFF_j1r~c7o"}
    assert fetch(connector.open(contents.files[0], job))[0] == 200
    assert connect(visier).find(FULL) == []


def test_a_tenant_without_access_is_refused(simulate: Simulate) -> None:
    visier = simulate(tenants=["WFF_j1r~c7o"])

    with pytest.raises(MissingCapabilityError, match="TenantAccessDenied"):
        connect(visier, {"target_tenant": "WFF_j1r~e1a"}).prepare(FULL, Known())


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({"base_url": "https://Acme.api.visier.io"}, "acme"),
        ({"vanity_name": "acme"}, "acme"),
        ({"base_url": "https://visier.example.com:8443/"}, "visier.example.com_8443"),
        ({"base_url": "https://visier.example.com", "vanity_name": "acme"}, "acme"),
    ],
)
def test_the_account_is_the_tenants_name_however_the_secret_spells_it(fields: dict[str, str], account: str) -> None:
    secret = FakeSecret({"username": "u", "password": "p", "api_key": "k", **fields})

    assert connectors.connect("visier", secret, {}).account == account


def test_a_secret_is_checked_when_connecting(visier: VisierSimulator) -> None:
    with pytest.raises(InvalidSecretError, match="password: missing"):
        connect(visier, password=None)


def test_options_are_checked_when_connecting(visier: VisierSimulator) -> None:
    with pytest.raises(InvalidEventError, match=r"options.base_gon: unknown field; did you mean base_gone"):
        connect(visier, {"base_gon": "full"})
    with pytest.raises(InvalidEventError, match=r"options.target_tenant"):
        connect(visier, {"target_tenant": "two words"})


# Versions


def test_latest_is_the_newest_of_the_default_category(simulate: Simulate) -> None:
    """The list is in no order, and another category has a version that is newer still."""
    prepared = connect(simulate("other-category")).prepare({"dataVersionNumber": "@latest"}, Known())

    assert prepared.request == FULL
    assert prepared.watermark.to == "7000004"
    assert prepared.watermark.to_created_at is not None
    assert timedelta(hours=1.9) < datetime.now(UTC) - prepared.watermark.to_created_at < timedelta(hours=2.1)
    assert not prepared.is_delta


def test_a_delta_since_the_last_published_version(visier: VisierSimulator) -> None:
    asked = {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"}

    prepared = connect(visier).prepare(asked, Known(last_version="7000002"))

    assert prepared.request == DELTA
    assert prepared.is_delta
    assert prepared.watermark.from_ == "7000002"


def test_a_version_that_does_not_exist_is_refused_before_anything_is_submitted(visier: VisierSimulator) -> None:
    with pytest.raises(UnknownVersionError, match=r'request.dataVersionNumber.*"7000009".*7000004.*7000003.*7000002'):
        connect(visier).prepare({"dataVersionNumber": "7000009"}, Known())

    assert visier.calls("POST", "/jobs") == 0


# Jobs


@pytest.mark.parametrize("request_", [FULL, DELTA], ids=["full", "delta"])
def test_a_job_runs_and_ends_with_a_result(visier: VisierSimulator, request_: dict[str, str]) -> None:
    visier.configure(job_seconds=60)
    connector = connect(visier)
    job = Job(id=connector.schedule(request_, run_id=RUN))

    running = connector.status(job)
    visier.advance(61)
    done = connector.status(job)

    assert running.status is JobStatus.RUNNING
    assert running.word is None
    assert done.status is JobStatus.SUCCEEDED
    assert done.result_id == visier.exports()[0]["uuid"]


@pytest.mark.parametrize("scenario", ["failed", "failed-completed"])
def test_a_failed_job_has_failed_whatever_else_it_is(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))

    report = connector.status(Job(id=connector.schedule(FULL, run_id=RUN)))

    assert report.status is JobStatus.FAILED
    assert report.reason


def test_a_job_that_never_finishes_is_running(simulate: Simulate) -> None:
    visier = simulate("never-finishes")
    connector = connect(visier)
    job = Job(id=connector.schedule(FULL, run_id=RUN))
    visier.advance(7 * 86_400)

    assert connector.status(job).status is JobStatus.RUNNING


def test_a_completed_job_without_export_waits_and_says_why(simulate: Simulate) -> None:
    connector = connect(simulate("completed-without-export"))

    report = connector.status(Job(id=connector.schedule(FULL, run_id=RUN)))

    assert report.status is JobStatus.RUNNING
    assert report.word == report.progress == "completed without exportUuid"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"jobUuid": "x"}, JobStatus.RUNNING),
        ({"jobUuid": "x", "completed": None, "failed": None, "exportUuid": None}, JobStatus.RUNNING),
        ({"completed": False, "failed": False}, JobStatus.RUNNING),
        ({"completed": True, "failed": False, "exportUuid": "e", "queue": 3}, JobStatus.SUCCEEDED),
        ({"completed": "PAUSED", "failed": False}, JobStatus.UNKNOWN),
        ({"completed": "PAUSED", "failed": True}, JobStatus.FAILED),
        ({"state": "PAUSED"}, JobStatus.UNKNOWN),
    ],
)
def test_flags_may_be_missing_but_not_be_words(
    visier: VisierSimulator, body: dict[str, object], status: JobStatus
) -> None:
    visier.fault("GET", "/jobs/", body=body)

    report = connect(visier).status(Job(id="x"))

    assert report.status is status
    assert (report.word is not None) == (status is JobStatus.UNKNOWN)


def test_an_unknown_job_is_a_failed_poll_while_it_may_be_live(visier: VisierSimulator) -> None:
    connector = connect(visier)
    submitted_at = datetime.now(UTC)

    with pytest.raises(VendorUnavailableError, match="404"):
        connector.status(Job(id="gone", submitted_at=submitted_at))
    report = connector.status(Job(id="gone", submitted_at=submitted_at - timedelta(days=15)))

    assert report.status is JobStatus.EXPIRED


def test_the_token_may_expire_between_polls(simulate: Simulate) -> None:
    visier = simulate("token-expires-polling")
    connector = connect(visier)
    job = Job(id=connector.schedule(FULL, run_id=RUN))

    reports = [connector.status(job) for _ in range(3)]

    assert {report.status for report in reports} == {JobStatus.SUCCEEDED}
    assert visier.calls("POST", "/visierSecureToken") == 2


def test_the_day_has_ten_jobs(visier: VisierSimulator) -> None:
    connector = connect(visier)
    for _ in range(10):
        connector.schedule(FULL, run_id=RUN)

    with pytest.raises(QuotaExceededError, match=r"DVExportJobLimitReached.*10 export jobs a day"):
        connector.schedule(FULL, run_id=RUN)


def test_a_429_for_calls_is_not_taken_for_the_days_quota(simulate: Simulate) -> None:
    connector = connect(simulate("rate-limited"))

    with pytest.raises(RateLimitedError) as limited:
        connector.schedule(FULL, run_id=RUN)

    assert limited.value.retry_after
    assert 0 < limited.value.retry_after <= 60


def test_a_429_for_a_submission_that_names_its_pause_is_no_quota(visier: VisierSimulator) -> None:
    visier.fault("POST", "/jobs$", status=429, headers={"Retry-After": "17"})

    with pytest.raises(RateLimitedError) as limited:
        connect(visier).schedule(FULL, run_id=RUN)

    assert limited.value.retry_after == 17


def test_a_bare_429_asks_for_a_minute(simulate: Simulate) -> None:
    connector = connect(simulate("rate-limited-bare"))
    job = Job(id=connector.schedule(FULL, run_id=RUN))

    for _ in range(3):
        with pytest.raises(RateLimitedError) as limited:
            connector.status(job)
        assert limited.value.retry_after == 60
    report = connector.status(job)

    assert report.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("limits", "most"), [({"calls_per_minute": 3}, 60), ({"calls_per_hour": 3}, 3600)], ids=["minute", "hour"]
)
def test_no_call_is_made_when_none_is_left(simulate: Simulate, limits: dict[str, int], most: int) -> None:
    visier = simulate(**limits)
    client = VisierClient(secret_of(visier), clock=(clock := Clock()))
    for _ in range(3):
        client.data_versions()
    before = visier.calls()

    with pytest.raises(RateLimitedError, match="not made") as limited:
        client.data_versions()
    made = visier.calls() - before
    clock.advance(most)
    visier.advance(most)

    assert limited.value.retry_after is not None
    assert 0 < limited.value.retry_after <= most
    assert made == 0
    assert len(client.data_versions().data_versions) == 4


def test_a_submission_broken_on_its_way_is_in_doubt(simulate: Simulate) -> None:
    """From here it looks just like the lost reply to one that worked."""
    visier = simulate("lost-submission")

    with pytest.raises(VendorUnavailableError) as lost:
        connect(visier).schedule(FULL, run_id=RUN)

    assert lost.value.sent
    assert visier.jobs() == []


@pytest.mark.parametrize("scenario", ["lost-reply", "submission-gateway-timeout"])
def test_a_submission_that_worked_unseen_is_in_doubt(simulate: Simulate, scenario: str) -> None:
    visier = simulate(scenario)

    with pytest.raises(VendorUnavailableError) as lost:
        connect(visier).schedule(FULL, run_id=RUN)

    assert lost.value.sent
    assert len(visier.jobs()) == 1
    assert visier.calls("POST", "/jobs") == 1


@pytest.mark.parametrize("body", ["<html>", "{}", '{"jobUuid": ""}', '{"jobUuid": '])
def test_a_submission_answered_by_something_unreadable_is_in_doubt(visier: VisierSimulator, body: str) -> None:
    visier.fault("POST", "/jobs$", body=body, work=True)

    with pytest.raises(VendorUnavailableError, match="there may be a job") as lost:
        connect(visier).schedule(FULL, run_id=RUN)

    assert lost.value.sent
    assert len(visier.jobs()) == 1


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ("localized-error", "DVExportNotAvailable: La version de données demandée n'est pas prête"),
        ("legacy-error", "DVExportNotAvailable: La version"),
        ("code-error", "DVExportNotAvailable: La version"),
    ],
)
def test_a_refusal_carries_visiers_own_words(simulate: Simulate, scenario: str, text: str) -> None:
    with pytest.raises(RequestRejectedError, match=rf"400: {text}.*\(rci [0-9a-f-]+\)"):
        connect(simulate(scenario)).schedule(FULL, run_id=RUN)


@pytest.mark.parametrize("scenario", ["server-errors", "bad-gateway", "gateway-timeout"])
def test_server_errors_pass(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    job = Job(id=connector.schedule(FULL, run_id=RUN))

    for _ in range(3):
        with pytest.raises(VendorUnavailableError, match="answered 50"):
            connector.status(job)
    job = job.model_copy(update={"result_id": connector.status(job).result_id})
    with pytest.raises(VendorUnavailableError, match="answered 50"):
        connector.contents(job, FULL)

    assert connector.contents(job, FULL).files


def test_cancelling_is_refused_in_so_many_words(visier: VisierSimulator) -> None:
    with pytest.raises(RequestRejectedError, match="cannot cancel"):
        connect(visier).cancel(Job(id="j1"))

    assert visier.calls() == 0


# Finding


def test_finished_exports_of_the_same_pair_are_found_newest_first(visier: VisierSimulator) -> None:
    connector = connect(visier)
    first = finished(connector, DELTA)
    visier.advance(3600)
    second = finished(connector, DELTA)
    finished(connector, FULL)
    finished(connector, {**DELTA, "baseDataVersionNumber": "7000003"})

    found = connector.find(DELTA)

    assert [shown.result_id for shown in found] == [second.result_id, first.result_id]
    assert {shown.status for shown in found} == {JobStatus.SUCCEEDED}
    assert {shown.job_id for shown in found} == {None}
    newest = found[0].created_at
    assert newest
    assert newest - datetime.now(UTC) == pytest.approx(timedelta(hours=1), abs=timedelta(minutes=1))
    assert found[0].result_expires_at == newest + timedelta(days=14)


@pytest.mark.parametrize("base", [{}, {"baseDataVersionNumber": None}, {"baseDataVersionNumber": ""}])
@pytest.mark.parametrize("scenario", ["success-full", "sparse"])
def test_no_base_is_no_base_however_it_is_spelt(simulate: Simulate, scenario: str, base: dict[str, None]) -> None:
    connector = connect(simulate(scenario))
    job = finished(connector)

    assert [shown.result_id for shown in connector.find({**FULL, **base})] == [job.result_id]


def test_running_and_expired_jobs_are_not_found(visier: VisierSimulator) -> None:
    connector = connect(visier)
    finished(connector)
    visier.advance(14 * 86_400 + 1)
    visier.freeze()
    connect(visier).schedule(FULL, run_id=RUN)

    assert connector.find(FULL) == []


def test_an_export_without_a_timestamp_is_found_without_an_end(visier: VisierSimulator) -> None:
    visier.fault("GET", "/exports$", body={"dataVersionExports": [{"uuid": "e", "dataVersionNumber": 7000004}]})

    assert connect(visier).find(FULL) == [Found(JobStatus.SUCCEEDED, result_id="e")]


# Contents and files


def test_a_full_export_is_every_table_whole(visier: VisierSimulator) -> None:
    connector = connect(visier)
    job = finished(connector)

    contents = connector.contents(job, FULL)

    truth = visier.truth(job.result_id or "")
    assert {(d.columns_of, d.change) for d in contents.datasets} == {("all", "full")}
    assert {d.name for d in contents.datasets} >= {"Airline", "Airport", "Plane", "Flight", "Diversion"}
    assert {(f.vendor_name, f.vendor_file_id, f.dataset) for f in contents.files} == {
        (t.name, t.file_id, t.table) for t in truth.values()
    }
    assert (contents.tables_added, contents.tables_dropped, contents.warnings) == ([], [], [])
    assert [f.part for f in contents.files if f.dataset == "Flight"] == list(
        range(sum(f.dataset == "Flight" for f in contents.files))
    )
    assert contents.evidence["export-details"]["uuid"] == job.result_id


def test_a_delta_is_common_and_new_columns_apart(visier: VisierSimulator) -> None:
    connector = connect(visier)

    contents = connector.contents(finished(connector, DELTA), DELTA)

    by_name = {dataset.name: dataset for dataset in contents.datasets}
    plane, added = by_name["Plane"], by_name["Plane__new_columns"]
    assert (plane.columns_of, plane.change) == ("common", "rows-and-columns")
    assert plane.columns_deleted == ["Built", "Cruise_Speed"]
    assert (added.table, added.columns_of, added.change) == ("Plane", "new", "columns-added")
    assert [column.name for column in added.columns] == ["PlaneID", "Built", "Wide_Body", "_DiffAction_"]
    assert (added.primary_key, added.columns_deleted) == (["PlaneID"], [])
    assert (by_name["Airline"].columns_of, by_name["Airline"].change) == ("common", "rows")
    assert (by_name["Diversion"].columns_of, by_name["Diversion"].change) == ("all", "table-added")
    assert (contents.tables_added, contents.tables_dropped) == (["Diversion"], ["Heliport"])
    assert [f.dataset for f in contents.files if f.vendor_name.startswith("Plane-newColumns")] == ["Plane__new_columns"]


def test_columns_have_types_keys_and_what_generated_them(visier: VisierSimulator) -> None:
    connector = connect(visier)

    contents = connector.contents(finished(connector, DELTA), DELTA)

    flight = next(dataset for dataset in contents.datasets if dataset.name == "Flight")
    columns = {column.name: column for column in flight.columns}
    assert flight.primary_key == ["PlaneID", "Flight_Date", "EventIndexOnDate"]
    assert columns["Flight_Date"] == Column(
        name="Flight_Date", vendor_type="Date", type="timestamp", nullable=False, encoded_as="epoch-ms"
    )
    assert columns["EventIndexOnDate"] == Column(
        name="EventIndexOnDate", vendor_type="Integer", type="bigint", nullable=False, generated=True
    )
    assert columns["_DiffAction_"].generated
    assert columns["Cancelled"].type == "boolean"
    assert columns["Distance"].type in {"double", "bigint"}


def test_a_retyped_column_is_a_warning_or_an_error(visier: VisierSimulator) -> None:
    connector, strict = connect(visier), connect(visier, {"retyped_column": "fail"})
    job = finished(connector, DELTA)

    contents = connector.contents(job, DELTA)

    assert [warning.split(" ")[0] for warning in contents.warnings] == ["Plane.Built"]
    with pytest.raises(RetypedColumnError, match=r"Plane\.Built.*retyped_column"):
        strict.contents(job, DELTA)


def test_unknown_types_are_text_with_a_warning(simulate: Simulate) -> None:
    connector = connect(simulate("odd-types"))

    contents = connector.contents(finished(connector), FULL)

    types = {(dataset.name, column.name): column.type for dataset in contents.datasets for column in dataset.columns}
    assert types["Flight", "Air_Time"] == "string"
    assert types["Flight", "Flight_Date"] == "timestamp"
    assert contents.warnings == ['Flight.Air_Time: Visier type "Duration" is unknown; taken as text']


@pytest.mark.parametrize("request_", [FULL, DELTA], ids=["full", "delta"])
def test_what_is_empty_may_be_left_out(simulate: Simulate, request_: dict[str, str]) -> None:
    whole, sparse = connect(simulate()), connect(simulate("sparse"))

    expected = whole.contents(finished(whole, request_), request_)
    contents = sparse.contents(finished(sparse, request_), request_)

    assert contents.datasets == expected.datasets
    assert contents.files == expected.files


def test_nothing_changed_is_datasets_without_files(visier: VisierSimulator) -> None:
    connector = connect(visier)
    request = {"dataVersionNumber": "7000003", "baseDataVersionNumber": "7000002"}

    contents = connector.contents(finished(connector, request), request)

    assert contents.datasets
    assert contents.files == []


def test_a_table_in_which_nothing_changed_may_have_a_file_with_a_header(simulate: Simulate) -> None:
    connector = connect(simulate("empty-table"))
    job = finished(connector, DELTA)
    contents = connector.contents(job, DELTA)

    [file] = [file for file in contents.files if file.dataset == "Airport"]
    _, body = fetch(connector.open(file, job))

    assert gzip.decompress(body).count(b"\n") == 1


def test_awkward_names_stay_as_visier_spells_them(simulate: Simulate) -> None:
    connector = connect(simulate("awkward-names"))

    contents = connector.contents(finished(connector), FULL)

    name = "Plane Note: été/2013"
    assert name in {dataset.name for dataset in contents.datasets}
    assert {file.vendor_name.split("-")[0] for file in contents.files if file.dataset == name} == {name}


def test_every_file_comes_as_it_is_stored(visier: VisierSimulator) -> None:
    connector = connect(visier)
    job = finished(connector, DELTA)
    truth = visier.truth(job.result_id or "")

    for file in connector.contents(job, DELTA).files:
        status, body = fetch(connector.open(file, job))

        assert status == 200
        assert hashlib.sha256(body).hexdigest() == truth[file.vendor_name].sha256


def test_opening_a_file_the_first_time_costs_no_call(visier: VisierSimulator) -> None:
    connector = connect(visier)
    job = finished(connector)
    files = connector.contents(job, FULL).files
    before = visier.calls()

    for file in files:
        connector.open(file, job)

    assert visier.calls() == before


@pytest.mark.parametrize("scenario", ["file-path-only", "files-path-only"])
def test_either_path_to_files_is_found(simulate: Simulate, scenario: str) -> None:
    """A reader that meets a 404 opens the file anew; the next file is right at once."""
    visier = simulate(scenario)
    connector = connect(visier)
    job = finished(connector)
    first, second, *_ = connector.contents(job, FULL).files

    statuses = [fetch(connector.open(first, job))[0] for _ in range(2)]

    assert statuses[-1] == 200
    assert fetch(connector.open(second, job))[0] == 200


def test_looking_for_the_path_leaves_the_file_alone(simulate: Simulate) -> None:
    visier = simulate(big_file_bytes=50_000_000)
    connector = connect(visier)
    job = finished(connector)
    big = next(file for file in connector.contents(job, FULL).files if file.dataset == "Sensor_Reading")
    connector.open(big, job)

    connector.open(big, job)

    [looked] = [call for call in visier.log if "/files/" in call.path]
    assert wait_until(lambda: looked.done)
    assert looked.bytes_sent < 25_000_000


def test_a_file_opened_again_has_fresh_credentials(simulate: Simulate) -> None:
    """Its reader met a 401, of which the connector cannot know."""
    visier = simulate("token-expires-download")
    connector = connect(visier)
    job = finished(connector)
    first, second, *_ = connector.contents(job, FULL).files

    statuses = [
        fetch(connector.open(first, job))[0],
        fetch(connector.open(second, job))[0],
        fetch(connector.open(second, job))[0],
    ]

    assert statuses == [200, 401, 200]
    assert visier.calls("POST", "/visierSecureToken") == 2


def test_an_expired_export_is_named_as_that(visier: VisierSimulator) -> None:
    connector = connect(visier)
    job = finished(connector)
    file = connector.contents(job, FULL).files[0]
    connector.open(file, job)
    visier.expire_export(job.result_id or "")

    with pytest.raises(ResultExpiredError, match="14 days"):
        connector.contents(job, FULL)
    with pytest.raises(ResultExpiredError, match=r"_part0\.csv\.gz.*14 days"):
        connector.open(file, job)


def test_files_may_expire_before_their_details(simulate: Simulate) -> None:
    connector = connect(simulate("expires-before-download"))
    job = finished(connector)
    file = connector.contents(job, FULL).files[0]

    assert fetch(connector.open(file, job))[0] == 404
    with pytest.raises(ResultExpiredError):
        connector.open(file, job)


# Operations


def test_reads_answer_as_visier_does(visier: VisierSimulator) -> None:
    connector = connect(visier)
    job = finished(connector)
    operations = connector.operations()

    versions = operations["list-data-versions"].run({}).document
    exports = operations["list-exports"].run({}).document
    details = operations["export-details"].run({"export": job.result_id or ""}).document
    status = operations["job-status"].run({"job": job.id or ""}).document

    assert {version["dataVersion"] for version in versions["dataVersions"]} >= {"7000001", "7000004"}
    assert exports["dataVersionExports"] == [details]
    assert details["dataVersionNumber"] == "7000004"
    assert status == {"jobUuid": job.id, "completed": True, "failed": False, "exportUuid": job.result_id}


def test_reads_of_what_is_not_there_say_so(visier: VisierSimulator) -> None:
    operations = connect(visier).operations()

    with pytest.raises(ResultExpiredError, match="e1"):
        operations["export-details"].run({"export": "e1"})
    with pytest.raises(RequestRejectedError, match="j1"):
        operations["job-status"].run({"job": "j1"})
