"""What is asked of every load of every vendor, against its simulator, over real HTTP."""

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
from haul.models import vendors
from haul.models.event import Outcome
from haul.models.work import Job, JobStatus
from haul.ports import LoadConnector
from infra.local.vendors.server import LocalServer, Reply, Request
from infra.local.vendors.simulator import Call
from tests.contract.load_adapters import LOAD_ADAPTERS, LoadAdapter

RUN = "20261122T050003Z-7c1f9a"


@pytest.fixture(params=LOAD_ADAPTERS, ids="-".join)
def vendor(request: pytest.FixtureRequest) -> Iterator[LoadAdapter]:
    adapter = LOAD_ADAPTERS[request.param]()
    yield adapter
    adapter.simulator.stop()


@pytest.fixture
def connector(vendor: LoadAdapter) -> LoadConnector:
    return vendor.connect()


@pytest.fixture
def job(vendor: LoadAdapter, connector: LoadConnector) -> Job:
    return started(vendor, connector)


def started(vendor: LoadAdapter, connector: LoadConnector) -> Job:
    job_id = connector.start(vendor.request, vendor.source, run_id=RUN)
    return Job(id=job_id, submitted_at=now_of(vendor))


def now_of(vendor: LoadAdapter) -> datetime:
    return datetime.fromtimestamp(vendor.simulator._clock.now(), UTC)


def test_every_load_is_under_test() -> None:
    assert set(LOAD_ADAPTERS) == {
        (vendor, name)
        for vendor in vendors.names()
        for name, action in vendors.actions(vendor).items()
        if action.kind == "load"
    }


def test_a_load_that_there_is_not_is_refused(vendor: LoadAdapter, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["vendor"][0]

    with pytest.raises(InvalidEventError, match="no load"):
        connectors.connect_load(name, "improt", vendor.secret, {})


def test_connecting_calls_nobody(vendor: LoadAdapter) -> None:
    vendor.connect()

    assert vendor.simulator.calls() == 0


def test_a_load_ends_well_and_says_what_became_of_it(vendor: LoadAdapter, connector: LoadConnector) -> None:
    request = connector.prepare(vendor.request).request
    job = Job(id=connector.start(request, vendor.source, run_id=RUN), submitted_at=now_of(vendor))

    report = connector.status(job, request)

    assert report.status is JobStatus.SUCCEEDED
    assert report.awaited is None
    assert report.partial is None
    assert {item.outcome for item in report.items} == {Outcome.SUCCEEDED}
    assert vendor.jobs() == 1


def test_a_look_may_be_repeated_with_what_the_last_one_found(
    vendor: LoadAdapter, connector: LoadConnector, job: Job
) -> None:
    first = connector.status(job, vendor.request)

    again = connector.status(job.model_copy(update={"kind": first.kind, "family": first.family}), vendor.request)

    assert again == first


def test_an_unknown_status_is_neither_success_nor_failure(
    vendor: LoadAdapter, connector: LoadConnector, job: Job
) -> None:
    """A word that the vendor adds later is waited on, and reported."""
    vendor.simulator.fault(None, vendor.poll, body=dict(vendor.unknown_status))

    report = connector.status(job, vendor.request)

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
    vendor: LoadAdapter, connector: LoadConnector, job: Job, value: str, seconds: float
) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        connector.status(job, vendor.request)

    assert limited.value.retry_after == pytest.approx(seconds, abs=seconds / 2)
    assert (limited.value.retry_after == 0) == (seconds == 0)


@pytest.mark.parametrize("value", [None, "soon", "-5"])
def test_a_429_without_a_usable_retry_after_still_says_how_long(
    vendor: LoadAdapter, connector: LoadConnector, job: Job, value: str | None
) -> None:
    vendor.simulator.fault(None, vendor.poll, status=429, headers={"Retry-After": value})

    with pytest.raises(RateLimitedError) as limited:
        connector.status(job, vendor.request)

    assert limited.value.retry_after
    assert 0 < limited.value.retry_after <= 3600


def test_a_429_to_a_start_leaves_no_job(vendor: LoadAdapter, connector: LoadConnector) -> None:
    vendor.simulator.fault("POST", vendor.submission, status=429, headers={"Retry-After": "7"})

    with pytest.raises(RateLimitedError) as limited:
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert limited.value.retry_after == 7
    assert vendor.jobs() == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_burst_of_server_errors_is_told_call_by_call(
    vendor: LoadAdapter, connector: LoadConnector, job: Job, status: int
) -> None:
    """Nothing is retried in here: the state machine does that."""
    vendor.simulator.fault(None, vendor.poll, times=2, status=status)
    vendor.simulator.clear_log()

    for _ in range(2):
        with pytest.raises(VendorUnavailableError, match=str(status)):
            connector.status(job, vendor.request)
    calls = len(calls_of(vendor, vendor.poll))
    report = connector.status(job, vendor.request)

    assert report.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert calls == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_to_a_start_leaves_doubt(vendor: LoadAdapter, connector: LoadConnector, status: int) -> None:
    vendor.simulator.fault("POST", vendor.submission, status=status, work=True)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert lost.value.sent
    assert vendor.jobs() == 1


def test_a_broken_connection_is_told(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, reset=True)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.status(job, vendor.request)

    assert lost.value.sent


def test_a_vendor_that_cannot_be_reached_got_nothing(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    vendor.simulator.stop()

    for call in (
        lambda: connector.status(job, vendor.request),
        lambda: connector.start(vendor.request, vendor.source, run_id=RUN),
    ):
        with pytest.raises(VendorUnavailableError) as refused:
            call()
        assert not refused.value.sent


def test_refused_credentials_are_told_after_one_more_look_at_the_secret(
    vendor: LoadAdapter, connector: LoadConnector
) -> None:
    """The same password is not tried twice: that would only bring the user closer to being locked out."""
    vendor.rotate()

    with pytest.raises(CredentialsRefusedError):
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert vendor.secret.reads == 1
    assert [call.status in {400, 401} for call in calls_of(vendor, vendor.login)] == [True]
    assert vendor.jobs() == 0


def test_a_rotated_secret_is_read_anew(vendor: LoadAdapter, connector: LoadConnector) -> None:
    vendor.secret.rotate(**vendor.rotate())

    connector.start(vendor.request, vendor.source, run_id=RUN)

    assert vendor.secret.reads == 1
    assert vendor.jobs() == 1


def test_a_token_that_expires_before_the_start_is_renewed(vendor: LoadAdapter, connector: LoadConnector) -> None:
    """The source is read again from its begin, and the vendor has it once."""
    connector.start(vendor.request, vendor.source, run_id=RUN)
    vendor.expire_tokens()

    connector.start(vendor.request, vendor.source, run_id=RUN)

    assert vendor.jobs() == 2
    assert len(calls_of(vendor, vendor.login)) == 2


def test_a_token_that_expires_is_renewed_once_and_for_every_thread(
    vendor: LoadAdapter, connector: LoadConnector, job: Job
) -> None:
    vendor.expire_tokens()
    vendor.simulator.clear_log()

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(lambda _: connector.status(job, vendor.request), range(8)))

    assert {report.status for report in reports} <= {JobStatus.RUNNING, JobStatus.SUCCEEDED}
    assert len(calls_of(vendor, vendor.login)) == 1


def test_a_token_that_never_works_ends_the_calls(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    vendor.simulator.fault(None, vendor.poll, times=None, status=401)
    vendor.simulator.clear_log()

    with pytest.raises(CredentialsRefusedError):
        connector.status(job, vendor.request)

    assert len(calls_of(vendor, vendor.poll)) == 2


def test_the_lost_reply_to_a_start_is_not_hidden(vendor: LoadAdapter, connector: LoadConnector) -> None:
    """The job exists, so nobody may think that it does not, and nobody may start it twice."""
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert lost.value.sent
    assert vendor.jobs() == 1
    assert len([call for call in vendor.simulator.log if call.fault]) == 1


@pytest.mark.parametrize("fault", [{"drop_reply": True}, {"body": "<!DOCTYPE html><p>Please sign in.</p>"}])
def test_a_login_that_fails_leaves_no_doubt_about_the_start_it_was_for(
    vendor: LoadAdapter, connector: LoadConnector, fault: dict[str, Any]
) -> None:
    vendor.simulator.fault("POST", vendor.login, times=None, **fault)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert not lost.value.sent
    assert vendor.jobs() == 0


def test_a_job_whose_reply_was_lost_is_the_only_one_found_where_the_vendor_shows_it(
    vendor: LoadAdapter, connector: LoadConnector
) -> None:
    vendor.simulator.configure(job_seconds=60)
    connector.start(vendor.request, vendor.source, run_id=RUN)
    vendor.simulator.advance(600)
    since = now_of(vendor) - timedelta(seconds=1)
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)
    with pytest.raises(VendorUnavailableError):
        connector.start(vendor.request, vendor.source, run_id=RUN)

    running = list(connector.find(vendor.request, since=since))
    vendor.simulator.advance(61)
    finished = list(connector.find(vendor.request, since=since))

    can = connector.capabilities
    assert [shown.status for shown in running] == [JobStatus.RUNNING] * can.lists_running_jobs
    assert [shown.job_id for shown in finished] == [shown.job_id for shown in running]
    assert all(shown.created_at and shown.job_id for shown in finished)


def test_what_was_found_can_be_watched(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    found = connector.find(vendor.request, since=now_of(vendor) - timedelta(seconds=30))

    assert [shown.job_id for shown in found] == [job.id] * connector.capabilities.lists_running_jobs


def test_a_running_load_can_be_cancelled_where_the_vendor_can(vendor: LoadAdapter, connector: LoadConnector) -> None:
    vendor.simulator.configure(job_seconds=60)
    job = started(vendor, connector)

    if not connector.capabilities.can_cancel:
        with pytest.raises(RequestRejectedError, match="cancel"):
            connector.cancel(job)
        return
    with suppress(RequestRejectedError):  # of what cannot be cancelled any more, or not at this stage
        connector.cancel(job)
    vendor.simulator.advance(120)

    assert connector.status(job, vendor.request).status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}


def test_cancelling_a_finished_load_leaves_it_alone(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    before = connector.status(job, vendor.request)

    with suppress(RequestRejectedError):  # of a vendor that cancels nothing
        connector.cancel(job)

    assert before.status is connector.status(job, vendor.request).status is JobStatus.SUCCEEDED


def test_malformed_json_is_unexpected_and_not_repeated(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    vendor.simulator.fault(
        None, vendor.poll, body='{"name": "Margaret Smith", ', headers={"Content-Type": "application/json"}
    )

    with pytest.raises(UnexpectedResponseError, match="malformed JSON") as unexpected:
        connector.status(job, vendor.request)

    assert "Margaret" not in str(unexpected.value)


def test_a_page_in_place_of_json_is_unexpected_and_shown_in_part(
    vendor: LoadAdapter, connector: LoadConnector, job: Job
) -> None:
    vendor.simulator.fault(None, vendor.poll, body="<html><h1>Please sign in</h1>" + "x" * 5000)

    with pytest.raises(UnexpectedResponseError, match=r"text/html.*Please sign in") as unexpected:
        connector.status(job, vendor.request)

    assert len(str(unexpected.value)) < 500


@pytest.mark.parametrize("body", ["<html>Please sign in</html>", '{"jobId": "bf94', "[]", "{}", ""])
def test_an_answer_to_a_start_that_is_none_leaves_doubt(
    vendor: LoadAdapter, connector: LoadConnector, body: str
) -> None:
    vendor.simulator.fault("POST", vendor.submission, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises((VendorUnavailableError, UnexpectedResponseError)) as lost:
        connector.start(vendor.request, vendor.source, run_id=RUN)

    assert getattr(lost.value, "sent", True)


@pytest.mark.parametrize("body", ["[]", "null", "17", '"text"', "[[1]]"])
def test_json_of_another_shape_is_unexpected(
    vendor: LoadAdapter, connector: LoadConnector, job: Job, body: str
) -> None:
    vendor.simulator.fault(None, vendor.poll, body=body, headers={"Content-Type": "application/json"})

    with pytest.raises(UnexpectedResponseError):
        connector.status(job, vendor.request)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_credentials_elsewhere(
    vendor: LoadAdapter, connector: LoadConnector, job: Job, status: int
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
            connector.status(job, vendor.request)
        with pytest.raises((UnexpectedResponseError, VendorUnavailableError)):
            connector.start(vendor.request, vendor.source, run_id=RUN)

    assert strangers_calls == []
    assert "collect" not in str(refused.value)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 406, 429, 500, 501, 503])
def test_no_error_repeats_a_secret_even_if_the_vendor_does(
    vendor: LoadAdapter, connector: LoadConnector, job: Job, status: int
) -> None:
    known = vendor.confidential()
    sent_at_login = [secret for secret in known if secret in vendor.secret.current().values()]
    for path, secrets in {vendor.submission: known, vendor.login: sent_at_login}.items():
        echo = vendor.error(f"you sent {' and '.join(secrets)}")
        vendor.simulator.fault("POST", path, times=None, status=status, body=dict(echo))

    starting = _told(lambda: connector.start(vendor.request, vendor.source, run_id=RUN))
    logging_in = _told(lambda: vendor.connect().status(job, vendor.request))

    assert [secret for secret in known if secret in starting + logging_in] == []


def test_a_page_that_repeats_a_secret_is_shown_without(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    """Even where the excerpt would end in the middle of one."""
    secrets = vendor.confidential()
    page = f"<p>{'x' * (190 - len(secrets[0]) // 2)}{' '.join(secrets)}"
    vendor.simulator.fault(None, vendor.poll, body=page)
    vendor.simulator.fault(None, vendor.submission, body=page)

    polling = _told(lambda: connector.status(job, vendor.request))
    starting = _told(lambda: connector.start(vendor.request, vendor.source, run_id=RUN))

    assert [secret for secret in secrets if secret[:6] in polling + starting] == []


def test_nothing_that_may_be_printed_holds_a_secret(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    report = connector.status(job, vendor.request)

    printed = f"{connector!r} {vars(connector)!r} {report!r} {connector.account} {connector.tenant}"
    assert [secret for secret in vendor.confidential() if secret in printed] == []


def calls_of(vendor: LoadAdapter, path: str) -> list[Call]:
    return [call for call in vendor.simulator.log if re.search(path, call.path)]


def _told(call: Callable[[], object]) -> str:
    with pytest.raises(HaulError) as raised:
        call()
    return "".join(traceback.format_exception(raised.value)) + repr(raised.value)
