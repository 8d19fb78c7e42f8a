"""What is asked of every vendor's exports besides what every connector is asked."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from haul import connectors
from haul.errors import InvalidEventError, RequestRejectedError, VendorUnavailableError
from haul.models.work import Job, JobStatus
from haul.ports import Connector
from tests.contract.adapters import ADAPTERS, Adapter


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
    return vendor.submit(connector)


def test_every_vendor_is_under_test() -> None:
    assert set(ADAPTERS) == set(connectors.names())


def test_an_unknown_vendor_is_refused_with_the_known_ones(vendor: Adapter) -> None:
    with pytest.raises(InvalidEventError, match=r'"vizier" is unknown; known: .*visier'):
        connectors.connect("vizier", vendor.secret, {})


def test_a_job_whose_reply_was_lost_is_found_where_the_vendor_shows_it(vendor: Adapter, connector: Connector) -> None:
    vendor.simulator.configure(job_seconds=60)
    vendor.submit(connector)
    vendor.simulator.advance(61)
    before = vendor.now() - timedelta(seconds=1)
    vendor.simulator.fault("POST", vendor.submission, drop_reply=True)
    with pytest.raises(VendorUnavailableError):
        vendor.submit(connector)

    running = [shown for shown in connector.find(vendor.request) if shown.created_at and shown.created_at >= before]
    vendor.simulator.advance(61)
    finished = [shown for shown in connector.find(vendor.request) if shown.created_at and shown.created_at >= before]

    can = connector.capabilities
    assert [shown.status for shown in running] == [JobStatus.RUNNING] * can.lists_running_jobs
    assert [shown.status for shown in finished] == [JobStatus.SUCCEEDED] * can.lists_finished_jobs


def test_a_running_job_can_be_cancelled_where_the_vendor_can(vendor: Adapter, connector: Connector) -> None:
    vendor.simulator.configure(job_seconds=60)
    job = vendor.submit(connector)

    if not connector.capabilities.can_cancel:
        with pytest.raises(RequestRejectedError, match="cancel"):
            connector.cancel(job)
        return
    connector.cancel(job)
    vendor.simulator.advance(30)

    assert vendor.look(connector, job).status is JobStatus.CANCELLED


def test_cancelling_a_finished_job_leaves_its_result_alone(vendor: Adapter, connector: Connector, job: Job) -> None:
    before = vendor.look(connector, job)

    with suppress(RequestRejectedError):  # of a vendor that cancels nothing
        connector.cancel(job)

    assert before.status is vendor.look(connector, job).status is JobStatus.SUCCEEDED
    finished = job.model_copy(update={"result_id": before.result_id})
    assert connector.contents(finished, vendor.request).files


def test_nothing_that_may_be_printed_holds_a_secret(vendor: Adapter, connector: Connector, job: Job) -> None:
    report = vendor.look(connector, job)
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
