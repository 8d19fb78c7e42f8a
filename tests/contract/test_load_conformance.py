"""What is asked of every vendor's loads besides what every connector is asked."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from haul import connectors
from haul.errors import InvalidEventError, RequestRejectedError, VendorUnavailableError
from haul.models import vendors
from haul.models.event import Outcome
from haul.models.work import Job, JobStatus
from haul.ports import LoadConnector
from tests.contract.adapters import RUN
from tests.contract.load_adapters import LOAD_ADAPTERS, LoadAdapter


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
    return vendor.submit(connector)


def test_every_load_is_under_test() -> None:
    assert set(LOAD_ADAPTERS) == {
        (vendor, name)
        for vendor in vendors.names()
        for name, action in vendors.actions(vendor).items()
        if action.kind == "load"
    }


def test_a_load_that_there_is_not_is_refused(vendor: LoadAdapter) -> None:
    with pytest.raises(InvalidEventError, match="no load"):
        connectors.connect_load(vendor.vendor, "improt", vendor.secret, {})


def test_a_load_ends_well_and_says_what_became_of_it(vendor: LoadAdapter, connector: LoadConnector) -> None:
    request = connector.prepare(vendor.request).request
    job_id = connector.start(request, vendor.source, run_id=RUN)

    report = connector.status(Job(id=job_id, submitted_at=vendor.now()), request)

    assert report.status is JobStatus.SUCCEEDED
    assert report.awaited is None
    assert report.partial is None
    assert {item.outcome for item in report.items} == {Outcome.SUCCEEDED}
    assert vendor.jobs() == 1


def test_a_look_may_be_repeated_with_what_the_last_one_found(
    vendor: LoadAdapter, connector: LoadConnector, job: Job
) -> None:
    first = vendor.look(connector, job)

    again = connector.status(job.model_copy(update={"kind": first.kind, "family": first.family}), vendor.request)

    assert again == first


def test_a_job_whose_reply_was_lost_is_the_only_one_found_where_the_vendor_shows_it(
    vendor: LoadAdapter, connector: LoadConnector
) -> None:
    vendor.simulator.configure(job_seconds=60)
    vendor.submit(connector)
    vendor.simulator.advance(600)
    since = vendor.now() - timedelta(seconds=1)
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)
    with pytest.raises(VendorUnavailableError):
        vendor.submit(connector)

    running = list(connector.find(vendor.request, since=since))
    vendor.simulator.advance(61)
    finished = list(connector.find(vendor.request, since=since))

    can = connector.capabilities
    assert [shown.status for shown in running] == [JobStatus.RUNNING] * can.lists_running_jobs
    assert [shown.job_id for shown in finished] == [shown.job_id for shown in running]
    assert all(shown.created_at and shown.job_id for shown in finished)


def test_what_was_found_can_be_watched(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    found = connector.find(vendor.request, since=vendor.now() - timedelta(seconds=30))

    assert [shown.job_id for shown in found] == [job.id] * connector.capabilities.lists_running_jobs


def test_a_running_load_can_be_cancelled_where_the_vendor_can(vendor: LoadAdapter, connector: LoadConnector) -> None:
    vendor.simulator.configure(job_seconds=60)
    job = vendor.submit(connector)

    if not connector.capabilities.can_cancel:
        with pytest.raises(RequestRejectedError, match="cancel"):
            connector.cancel(job)
        return
    with suppress(RequestRejectedError):  # of what cannot be cancelled any more, or not at this stage
        connector.cancel(job)
    vendor.simulator.advance(120)

    assert vendor.look(connector, job).status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}


def test_cancelling_a_finished_load_leaves_it_alone(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    before = vendor.look(connector, job)

    with suppress(RequestRejectedError):  # of a vendor that cancels nothing
        connector.cancel(job)

    assert before.status is vendor.look(connector, job).status is JobStatus.SUCCEEDED


def test_nothing_that_may_be_printed_holds_a_secret(vendor: LoadAdapter, connector: LoadConnector, job: Job) -> None:
    report = vendor.look(connector, job)

    printed = f"{connector!r} {vars(connector)!r} {report!r} {connector.account} {connector.tenant}"
    assert [secret for secret in vendor.confidential() if secret in printed] == []
