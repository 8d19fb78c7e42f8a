"""What is asked of every vendor's connector, of exports and of loads, against its simulator, over real HTTP."""

import re
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    RateLimitedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.work import Job, JobStatus
from haul.ports import JobConnector
from infra.local.vendors.server import LocalServer, Reply, Request
from infra.local.vendors.simulator import Call
from tests.contract.adapters import ADAPTERS, Simulated
from tests.contract.load_adapters import LOAD_ADAPTERS

EVERY = {**ADAPTERS, **{"-".join(names): adapter for names, adapter in LOAD_ADAPTERS.items()}}


@pytest.fixture(params=EVERY)
def vendor(request: pytest.FixtureRequest) -> Iterator[Simulated]:
    adapter = EVERY[request.param]()
    yield adapter
    adapter.simulator.stop()


@pytest.fixture
def connector(vendor: Simulated) -> JobConnector:
    made: JobConnector = vendor.connect()
    return made


@pytest.fixture
def job(vendor: Simulated, connector: JobConnector) -> Job:
    return vendor.submit(connector)


def test_connecting_calls_nobody(vendor: Simulated) -> None:
    vendor.connect()

    assert vendor.simulator.calls() == 0


def test_an_unknown_status_is_neither_success_nor_failure(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    """A word that the vendor adds later is waited on, and reported."""
    vendor.simulator.fault(None, vendor.poll, body=dict(vendor.unknown_status))

    report = vendor.look(connector, job)

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
def test_retry_after_is_passed_on(
    vendor: Simulated, connector: JobConnector, job: Job, value: str, seconds: float
) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        vendor.look(connector, job)

    assert limited.value.retry_after == pytest.approx(seconds, abs=seconds / 2)
    assert (limited.value.retry_after == 0) == (seconds == 0)


@pytest.mark.parametrize("value", [None, "soon", "-5"])
def test_a_429_without_a_usable_retry_after_still_says_how_long(
    vendor: Simulated, connector: JobConnector, job: Job, value: str | None
) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        vendor.look(connector, job)

    assert limited.value.retry_after
    assert 0 < limited.value.retry_after <= 3600


def test_a_429_to_a_submission_leaves_no_job(vendor: Simulated, connector: JobConnector) -> None:
    vendor.simulator.fault("POST", vendor.submission, status=429, headers={"Retry-After": "7"})

    with pytest.raises(RateLimitedError) as limited:
        vendor.submit(connector)

    assert limited.value.retry_after == 7
    assert vendor.jobs() == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_burst_of_server_errors_is_told_call_by_call(
    vendor: Simulated, connector: JobConnector, job: Job, status: int
) -> None:
    """Nothing is retried in here: the state machine does that."""
    vendor.simulator.fault(None, vendor.poll, times=2, status=status)
    vendor.simulator.clear_log()

    for _ in range(2):
        with pytest.raises(VendorUnavailableError, match=str(status)):
            vendor.look(connector, job)
    calls = len(calls_of(vendor, vendor.poll))
    report = vendor.look(connector, job)

    assert report.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert calls == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_to_a_submission_leaves_doubt(vendor: Simulated, connector: JobConnector, status: int) -> None:
    vendor.simulator.fault("POST", vendor.submission, status=status, work=True)

    with pytest.raises(VendorUnavailableError) as lost:
        vendor.submit(connector)

    assert lost.value.sent
    assert vendor.jobs() == 1


def test_a_broken_connection_is_told(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, reset=True)

    with pytest.raises(VendorUnavailableError) as lost:
        vendor.look(connector, job)

    assert lost.value.sent


def test_a_vendor_that_cannot_be_reached_got_nothing(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    vendor.simulator.stop()

    for call in (lambda: vendor.look(connector, job), lambda: vendor.submit(connector)):
        with pytest.raises(VendorUnavailableError) as refused:
            call()
        assert not refused.value.sent


def test_refused_credentials_are_told_after_one_more_look_at_the_secret(
    vendor: Simulated, connector: JobConnector
) -> None:
    """The same password is not tried twice: that would only bring the user closer to being locked out."""
    vendor.rotate()

    with pytest.raises(CredentialsRefusedError):
        vendor.submit(connector)

    assert vendor.secret.reads == 1
    assert [call.status in {400, 401} for call in calls_of(vendor, vendor.login)] == [True]
    assert vendor.jobs() == 0


def test_a_rotated_secret_is_read_anew(vendor: Simulated, connector: JobConnector) -> None:
    vendor.secret.rotate(**vendor.rotate())

    vendor.submit(connector)

    assert vendor.secret.reads == 1
    assert vendor.jobs() == 1


def test_a_secret_rotated_after_the_login_is_read_anew(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    vendor.secret.rotate(**vendor.rotate())

    report = vendor.look(connector, job)

    assert report.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}


def test_a_token_that_expires_before_the_submission_is_renewed(vendor: Simulated, connector: JobConnector) -> None:
    """The source is read again from its begin, and the vendor has it once."""
    vendor.submit(connector)
    vendor.expire_tokens()

    vendor.submit(connector)

    assert vendor.jobs() == 2
    assert len(calls_of(vendor, vendor.login)) == 2


def test_a_token_that_expires_is_renewed_once_and_for_every_thread(
    vendor: Simulated, connector: JobConnector, job: Job
) -> None:
    vendor.expire_tokens()
    vendor.simulator.clear_log()

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(lambda _: vendor.look(connector, job), range(16)))

    assert {report.status for report in reports} <= {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert len(calls_of(vendor, vendor.login)) == 1


def test_a_token_that_never_works_ends_the_calls(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, times=None, status=401)
    vendor.simulator.clear_log()

    with pytest.raises(CredentialsRefusedError):
        vendor.look(connector, job)

    assert len(calls_of(vendor, vendor.poll)) == 2


def test_the_lost_reply_to_a_submission_is_not_hidden(vendor: Simulated, connector: JobConnector) -> None:
    """The job exists, so nobody may think that it does not, and nobody may submit it twice."""
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)

    with pytest.raises(VendorUnavailableError) as lost:
        vendor.submit(connector)

    assert lost.value.sent
    assert vendor.jobs() == 1
    assert len([call for call in vendor.simulator.log if call.fault]) == 1


@pytest.mark.parametrize("fault", [{"drop_reply": True}, {"body": "<!DOCTYPE html><p>Please sign in.</p>"}])
def test_a_login_that_fails_leaves_no_doubt_about_the_submission_it_was_for(
    vendor: Simulated, connector: JobConnector, fault: dict[str, Any]
) -> None:
    vendor.simulator.fault("POST", vendor.login, times=None, **fault)

    with pytest.raises(VendorUnavailableError) as lost:
        vendor.submit(connector)

    assert not lost.value.sent
    assert vendor.jobs() == 0


def test_malformed_json_is_unexpected_and_not_repeated(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    vendor.simulator.fault(
        None, vendor.poll, body='{"name": "Margaret Smith", ', headers={"Content-Type": "application/json"}
    )

    with pytest.raises(UnexpectedResponseError, match="malformed JSON") as unexpected:
        vendor.look(connector, job)

    assert "Margaret" not in str(unexpected.value)


def test_a_page_in_place_of_json_is_unexpected_and_shown_in_part(
    vendor: Simulated, connector: JobConnector, job: Job
) -> None:
    vendor.simulator.fault(None, vendor.poll, body="<html><h1>Please sign in</h1>" + "x" * 5000)

    with pytest.raises(UnexpectedResponseError, match=r"text/html.*Please sign in") as unexpected:
        vendor.look(connector, job)

    assert len(str(unexpected.value)) < 500


@pytest.mark.parametrize("body", ["<html>Please sign in</html>", '{"jobId": "bf94', "[]", "{}", ""])
def test_an_answer_to_a_submission_that_is_none_leaves_doubt(
    vendor: Simulated, connector: JobConnector, body: str
) -> None:
    vendor.simulator.fault("POST", vendor.submission, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises((VendorUnavailableError, UnexpectedResponseError)) as lost:
        vendor.submit(connector)

    assert getattr(lost.value, "sent", True)


@pytest.mark.parametrize("body", ["[]", "null", "17", '"text"', "[[1]]"])
def test_json_of_another_shape_is_unexpected(vendor: Simulated, connector: JobConnector, job: Job, body: str) -> None:
    vendor.simulator.fault(None, vendor.poll, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises(UnexpectedResponseError):
        vendor.look(connector, job)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_credentials_elsewhere(
    vendor: Simulated, connector: JobConnector, job: Job, status: int
) -> None:
    strangers_calls: list[Request] = []

    def stranger(request: Request) -> tuple[Reply, None]:
        strangers_calls.append(request)
        return Reply(), None

    with LocalServer(stranger) as elsewhere:
        location = {"Location": f"{elsewhere.url}/collect?token=abc"}
        vendor.simulator.fault(None, vendor.poll, status=status, headers=location)
        vendor.simulator.fault("POST", vendor.submission, status=status, headers=location)
        with pytest.raises(UnexpectedResponseError, match="redirect") as refused:
            vendor.look(connector, job)
        with pytest.raises((UnexpectedResponseError, VendorUnavailableError)):
            vendor.submit(connector)

    assert strangers_calls == []
    assert "collect" not in str(refused.value)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 406, 429, 500, 501, 503])
def test_no_error_repeats_a_secret_even_if_the_vendor_does(
    vendor: Simulated, connector: JobConnector, job: Job, status: int
) -> None:
    known = vendor.confidential()
    sent_at_login = [secret for secret in known if secret in vendor.secret.current().values()]
    for path, secrets in {vendor.poll: known, vendor.submission: known, vendor.login: sent_at_login}.items():
        echo = vendor.error(f"you sent {' and '.join(secrets)}")
        vendor.simulator.fault(None, path, times=None, status=status, body=dict(echo))

    polling, submitting = _told(lambda: vendor.look(connector, job)), _told(lambda: vendor.submit(connector))
    logging_in = _told(lambda: vendor.submit(vendor.connect()))

    assert [secret for secret in known if secret in polling + submitting + logging_in] == []


def test_a_page_that_repeats_a_secret_is_shown_without(vendor: Simulated, connector: JobConnector, job: Job) -> None:
    """Even where the excerpt would end in the middle of one."""
    secrets = vendor.confidential()
    page = f"<p>{'x' * (190 - len(secrets[0]) // 2)}{' '.join(secrets)}"
    for path in (vendor.poll, vendor.submission, vendor.login):
        vendor.simulator.fault(None, path, body=page)

    polling, submitting = _told(lambda: vendor.look(connector, job)), _told(lambda: vendor.submit(connector))
    logging_in = _told(lambda: vendor.submit(vendor.connect()))

    assert [secret for secret in secrets if secret[:6] in polling + submitting + logging_in] == []


def calls_of(vendor: Simulated, path: str) -> list[Call]:
    return [call for call in vendor.simulator.log if re.search(path, call.path)]


def _told(call: Callable[[], object]) -> str:
    """What came of a call, with all that anybody might print of it."""
    try:
        return repr(call())
    except HaulError as error:
        return "".join(traceback.format_exception(error)) + repr(error)
