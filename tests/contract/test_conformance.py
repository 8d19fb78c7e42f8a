"""What is asked of every vendor's connector, against its simulator, over real HTTP."""

import re
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from haul import connectors
from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    InvalidEventError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.work import Job, JobStatus
from haul.ports import Connector
from infra.local.vendors.server import LocalServer, Reply, Request
from infra.local.vendors.simulator import Call
from tests.contract.adapters import ADAPTERS, Adapter

RUN = "20261122T050003Z-7c1f9a"


@pytest.fixture(params=connectors.names())
def vendor(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    adapter = ADAPTERS[request.param]()
    yield adapter
    adapter.simulator.stop()


@pytest.fixture
def connector(vendor: Adapter) -> Connector:
    return vendor.connect()


@pytest.fixture
def job(vendor: Adapter, connector: Connector) -> Job:
    return Job(id=connector.schedule(vendor.request, run_id=RUN))


def test_every_vendor_is_under_test() -> None:
    assert set(ADAPTERS) == set(connectors.names())


def test_an_unknown_vendor_is_refused_with_the_known_ones(vendor: Adapter) -> None:
    with pytest.raises(InvalidEventError, match=r'"vizier" is unknown; known: .*visier'):
        connectors.connect("vizier", vendor.secret, {})


def test_connecting_calls_nobody(vendor: Adapter) -> None:
    vendor.connect()

    assert vendor.simulator.calls() == 0


def test_an_unknown_status_is_neither_success_nor_failure(vendor: Adapter, connector: Connector, job: Job) -> None:
    """A word that the vendor adds later is waited on, and reported."""
    vendor.simulator.fault(None, vendor.poll, body=dict(vendor.unknown_status))

    report = connector.status(job)

    assert report.status is JobStatus.UNKNOWN
    assert report.word


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True), 7200.0),
        ("Mon, 02 Jan 2006 15:04:05 GMT", 0.0),
    ],
    ids=["seconds", "date", "past"],
)
def test_retry_after_is_passed_on(vendor: Adapter, connector: Connector, job: Job, value: str, seconds: float) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        connector.status(job)

    assert limited.value.retry_after == pytest.approx(seconds, abs=seconds / 2)
    assert (limited.value.retry_after == 0) == (seconds == 0)


@pytest.mark.parametrize("value", [None, "soon", "-5"])
def test_a_429_without_a_usable_retry_after_still_says_how_long(
    vendor: Adapter, connector: Connector, job: Job, value: str | None
) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        connector.status(job)

    assert limited.value.retry_after
    assert 0 < limited.value.retry_after <= 3600


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_burst_of_server_errors_is_told_call_by_call(
    vendor: Adapter, connector: Connector, job: Job, status: int
) -> None:
    """Nothing is retried in here: the state machine does that."""
    vendor.simulator.fault(None, vendor.poll, times=2, status=status)
    vendor.simulator.clear_log()

    for _ in range(2):
        with pytest.raises(VendorUnavailableError, match=str(status)):
            connector.status(job)
    calls = vendor.simulator.calls()
    report = connector.status(job)

    assert report.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert calls == 2


def test_a_broken_connection_is_told(vendor: Adapter, connector: Connector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, reset=True)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.status(job)

    assert lost.value.sent


def test_a_vendor_that_cannot_be_reached_got_nothing(vendor: Adapter, connector: Connector, job: Job) -> None:
    vendor.simulator.stop()

    for call in (lambda: connector.status(job), lambda: connector.schedule(vendor.request, run_id=RUN)):
        with pytest.raises(VendorUnavailableError) as refused:
            call()
        assert not refused.value.sent


def test_refused_credentials_are_told_after_one_more_look_at_the_secret(vendor: Adapter, connector: Connector) -> None:
    """The same password is not tried twice: that would only bring the user closer to being locked out."""
    vendor.rotate()

    with pytest.raises(CredentialsRefusedError):
        connector.schedule(vendor.request, run_id=RUN)

    assert vendor.secret.reads == 1
    assert [call.status in {400, 401} for call in calls_of(vendor, vendor.login)] == [True]
    assert vendor.jobs() == 0


def test_a_rotated_secret_is_read_anew(vendor: Adapter, connector: Connector) -> None:
    vendor.secret.rotate(**vendor.rotate())

    connector.schedule(vendor.request, run_id=RUN)

    assert vendor.secret.reads == 1
    assert vendor.jobs() == 1


def test_a_secret_rotated_after_the_login_is_read_anew(vendor: Adapter, connector: Connector, job: Job) -> None:
    vendor.secret.rotate(**vendor.rotate())

    report = connector.status(job)

    assert report.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}


def test_a_token_that_expires_is_renewed_once_and_for_every_thread(
    vendor: Adapter, connector: Connector, job: Job
) -> None:
    vendor.expire_tokens()
    vendor.simulator.clear_log()

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(lambda _: connector.status(job), range(16)))

    assert {report.status for report in reports} <= {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert len(calls_of(vendor, vendor.login)) == 1


def test_a_token_that_never_works_ends_the_calls(vendor: Adapter, connector: Connector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, times=None, status=401)
    vendor.simulator.clear_log()

    with pytest.raises(CredentialsRefusedError):
        connector.status(job)

    assert len(calls_of(vendor, vendor.poll)) == 2


def test_the_lost_reply_to_a_submission_is_not_hidden(vendor: Adapter, connector: Connector) -> None:
    """The job exists, so nobody may think that it does not, and nobody may submit it twice."""
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(vendor.request, run_id=RUN)

    assert lost.value.sent
    assert vendor.jobs() == 1
    assert len([call for call in vendor.simulator.log if call.fault]) == 1


@pytest.mark.parametrize("fault", [{"drop_reply": True}, {"body": "<!DOCTYPE html><p>Please sign in.</p>"}])
def test_a_login_that_fails_leaves_no_doubt_about_the_submission_it_was_for(
    vendor: Adapter, connector: Connector, fault: dict[str, Any]
) -> None:
    vendor.simulator.fault("POST", vendor.login, times=None, **fault)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(vendor.request, run_id=RUN)

    assert not lost.value.sent
    assert vendor.jobs() == 0


def test_a_job_whose_reply_was_lost_is_found_where_the_vendor_shows_it(vendor: Adapter, connector: Connector) -> None:
    vendor.simulator.configure(job_seconds=60)
    connector.schedule(vendor.request, run_id=RUN)
    vendor.simulator.advance(61)
    before = datetime.fromtimestamp(vendor.simulator._clock.now() - 1, UTC)
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)
    with pytest.raises(VendorUnavailableError):
        connector.schedule(vendor.request, run_id=RUN)

    running = [shown for shown in connector.find(vendor.request) if shown.created_at and shown.created_at >= before]
    vendor.simulator.advance(61)
    finished = [shown for shown in connector.find(vendor.request) if shown.created_at and shown.created_at >= before]

    can = connector.capabilities
    assert [shown.status for shown in running] == [JobStatus.RUNNING] * can.lists_running_jobs
    assert [shown.status for shown in finished] == [JobStatus.SUCCEEDED] * can.lists_finished_jobs


def test_a_running_job_can_be_cancelled_where_the_vendor_can(vendor: Adapter, connector: Connector) -> None:
    vendor.simulator.configure(job_seconds=60)
    job = Job(id=connector.schedule(vendor.request, run_id=RUN))

    if not connector.capabilities.can_cancel:
        with pytest.raises(RequestRejectedError, match="cancel"):
            connector.cancel(job)
        return
    connector.cancel(job)
    vendor.simulator.advance(30)

    assert connector.status(job).status is JobStatus.CANCELLED


def test_cancelling_a_finished_job_leaves_its_result_alone(vendor: Adapter, connector: Connector, job: Job) -> None:
    before = connector.status(job)

    with suppress(RequestRejectedError):  # of a vendor that cancels nothing
        connector.cancel(job)

    assert before.status is connector.status(job).status is JobStatus.SUCCEEDED
    finished = job.model_copy(update={"result_id": before.result_id})
    assert connector.contents(finished, vendor.request).files


def test_malformed_json_is_unexpected_and_not_repeated(vendor: Adapter, connector: Connector, job: Job) -> None:
    vendor.simulator.fault(
        None, vendor.poll, body='{"name": "Margaret Smith", ', headers={"Content-Type": "application/json"}
    )

    with pytest.raises(UnexpectedResponseError, match="malformed JSON") as unexpected:
        connector.status(job)

    assert "Margaret" not in str(unexpected.value)


def test_a_page_in_place_of_json_is_unexpected_and_shown_in_part(
    vendor: Adapter, connector: Connector, job: Job
) -> None:
    vendor.simulator.fault(None, vendor.poll, body="<html><h1>Please sign in</h1>" + "x" * 5000)

    with pytest.raises(UnexpectedResponseError, match=r"text/html.*Please sign in") as unexpected:
        connector.status(job)

    assert len(str(unexpected.value)) < 500


@pytest.mark.parametrize("body", ["[]", "null", "17", '"text"', "[[1]]"])
def test_json_of_another_shape_is_unexpected(vendor: Adapter, connector: Connector, job: Job, body: str) -> None:
    vendor.simulator.fault(None, vendor.poll, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises(UnexpectedResponseError):
        connector.status(job)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_credentials_elsewhere(
    vendor: Adapter, connector: Connector, job: Job, status: int
) -> None:
    strangers_calls: list[Request] = []

    def stranger(request: Request) -> tuple[Reply, None]:
        strangers_calls.append(request)
        return Reply(), None

    with LocalServer(stranger) as elsewhere:
        location = {"Location": f"{elsewhere.url}/collect?token=abc"}
        vendor.simulator.fault(None, vendor.poll, status=status, headers=location)
        with pytest.raises(UnexpectedResponseError, match="redirect") as refused:
            connector.status(job)

    assert strangers_calls == []
    assert "collect" not in str(refused.value)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 406, 429, 500, 501, 503])
def test_no_error_repeats_a_secret_even_if_the_vendor_does(
    vendor: Adapter, connector: Connector, job: Job, status: int
) -> None:
    known = vendor.confidential()
    sent_at_login = [secret for secret in known if secret in vendor.secret.current().values()]
    for path, secrets in {vendor.poll: known, vendor.login: sent_at_login}.items():
        echo = vendor.error(f"you sent {' and '.join(secrets)}")
        vendor.simulator.fault(None, path, times=None, status=status, body=dict(echo))

    polling, logging_in = _told(lambda: connector.status(job)), _told(lambda: vendor.connect().status(job))

    assert [secret for secret in known if secret in polling + logging_in] == []


def test_a_page_that_repeats_a_secret_is_shown_without(vendor: Adapter, connector: Connector, job: Job) -> None:
    """Even where the excerpt would end in the middle of one."""
    secrets = vendor.confidential()
    page = f"<p>{'x' * (190 - len(secrets[0]) // 2)}{' '.join(secrets)}"
    vendor.simulator.fault(None, vendor.poll, body=page)
    vendor.simulator.fault(None, vendor.login, body=page)

    polling, logging_in = _told(lambda: connector.status(job)), _told(lambda: vendor.connect().status(job))

    assert [secret for secret in secrets if secret[:6] in polling + logging_in] == []


def test_nothing_that_may_be_printed_holds_a_secret(vendor: Adapter, connector: Connector, job: Job) -> None:
    report = connector.status(job)
    finished = job.model_copy(update={"result_id": report.result_id})

    contents = connector.contents(finished, vendor.request)
    source = connector.open(contents.files[0], finished)

    printed = f"{connector!r} {vars(connector)!r} {report!r} {contents!r} {source!r} {connector.account}"
    assert [secret for secret in vendor.confidential() if secret in printed] == []
    assert source.url not in printed


def test_operations_are_the_declared_ones_and_each_refuses_parameters_it_does_not_know(connector: Connector) -> None:
    for operation in connector.operations().values():
        with pytest.raises(InvalidEventError, match=r"parameters\.surprise: unknown field"):
            operation.run({"surprise": "1"})


def test_operations_name_every_parameter_that_is_missing(vendor: Adapter, connector: Connector) -> None:
    for name, operation in connector.operations().items():
        needed = operation.kind.parameters.model_json_schema().get("required", [])
        if needed:
            with pytest.raises(InvalidEventError) as raised:
                operation.run({})
            assert [field for field in needed if f"parameters.{field}: missing" not in str(raised.value)] == [], name
    assert vendor.simulator.log == []


def calls_of(vendor: Adapter, path: str) -> list[Call]:
    return [call for call in vendor.simulator.log if re.search(path, call.path)]


def _told(call: Callable[[], object]) -> str:
    with pytest.raises(HaulError) as raised:
        call()
    return "".join(traceback.format_exception(raised.value)) + repr(raised.value)
