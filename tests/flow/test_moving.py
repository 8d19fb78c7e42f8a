"""Files that take longer than a function lives, however it ends; and files that are many.

The download function is given little time here. Each story is a customer of its own, and all go on beside each other.
"""

import copy
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from haul.models.ledger import FileState
from infra.local.localstack import LocalStack
from infra.local.stack import Json, Stack
from infra.local.vendors.simulator import VendorSimulator
from tests.flow.customer import NO_FILES, Customer, NewCustomer, Runs
from tests.flow.faults import kill_caller
from tests.flow.story import Stories
from tests.flow.test_vendors import Adobe, Subscriber, sample

_SECONDS = 10
_FILE = "/files?/"
_MB = 1_000_000
_STREAMED = 30 * _MB
_HELD = 80 * _MB
_TOO_MUCH = 30 * _MB
_SMALL_FILES = 150
_PART = 32 << 20
_IN_SOCKETS = 4 * _MB


@pytest.fixture(scope="module", autouse=True)
def short_of_time(stack: Stack) -> Iterator[None]:
    """The download function, with a few seconds for each invocation."""
    name = stack.function_name("download_files")
    usual = stack.functions.get_function_configuration(FunctionName=name)["Timeout"]
    _give(stack, name, _SECONDS)
    yield
    _give(stack, name, usual)


def _give(stack: Stack, name: str, seconds: int) -> None:
    stack.functions.update_function_configuration(FunctionName=name, Timeout=seconds)
    stack.functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


@pytest.fixture(scope="module")
def new_subscriber(stack: Stack) -> Iterator[Any]:
    with ExitStack() as simulators:

        def made(name: str, **knobs: Any) -> Subscriber:
            own = f"t-{name}-{uuid4().hex[:6]}"
            vendor = Adobe(own, **knobs)
            simulators.enter_context(vendor.simulator)
            subscriber = Subscriber(stack, vendor, own, own.replace("t-", "c-", 1))
            stack.connect(subscriber.connection, **vendor.secret)
            return subscriber

        yield made


@pytest.fixture(scope="module")
def killed(new_subscriber: Any, stack: Stack, localstack: LocalStack) -> Subscriber:
    """One file on several slow connections, and the process killed while all of them bring a part."""
    subscriber: Subscriber = new_subscriber(
        "killed", etags=True, profiles=50, files_per_batch=1, parts_per_file=1, part_bytes=_STREAMED
    )
    subscriber.vendor.simulator.fault("GET", _FILE, query="path", times=None, rate_bytes_per_second=3 * _MB)
    arn = subscriber.start(request=_whole())
    stack.until(lambda: _parts_of(stack, subscriber.pipeline), lambda parts: parts >= 2)
    kill_caller(localstack, subscriber.vendor.simulator, stack.function_name("download_files"))
    assert stack.wait(arn).status == "SUCCEEDED"
    return subscriber


def _whole() -> Json:
    request: Json = copy.deepcopy(sample(Adobe.SAMPLE)["request"])
    request["destination"] = {"datasetId": "5b7c86968f7b6501e21ba9df"}
    return request


def _parts_of(stack: Stack, pipeline: str) -> int:
    """How many parts of a customer's file S3 has, while it is uploaded."""
    uploads = stack.s3.list_multipart_uploads(Bucket=stack.landing_bucket, Prefix=f"raw/{pipeline}/").get("Uploads", [])
    listed = (
        stack.s3.list_parts(Bucket=stack.landing_bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for upload in uploads
    )
    return sum(len(found.get("Parts", [])) for found in listed)


@pytest.fixture(scope="module")
def stories(new_customer: NewCustomer, new_subscriber: Any) -> Stories[Any]:
    told = Stories[Any](at_once=3)

    shape = {"profiles": 3 * _SMALL_FILES, "files_per_batch": _SMALL_FILES // 50, "parts_per_file": 50}
    many: Subscriber = new_subscriber("many", **shape)
    told.tell("many", many, partial(many.start, request=_whole()))

    longer = new_customer("longer", big_file_bytes=_HELD, ranges=True)
    longer.visier.fault("GET", _FILE, skip=1, also="expire-tokens", rate_bytes_per_second=7 * _MB)
    longer.visier.fault("GET", _FILE, times=None, rate_bytes_per_second=7 * _MB)
    told.tell("longer", longer, partial(longer.start, NO_FILES))

    hopeless = new_customer("hopeless", big_file_bytes=_TOO_MUCH)
    hopeless.visier.fault("GET", _FILE, times=None, rate_bytes_per_second=_MB)
    told.tell("hopeless", hopeless, partial(hopeless.start, NO_FILES))
    return told


def records(runs: Runs) -> list[Json]:
    """What the ledger has of each file of the last run."""
    prefix = f"ledger/{runs.pipeline}/files/{runs.run_ids[-1]}/"
    return [record for key in runs.stack.keys(prefix) if (record := runs.stack.document(key))]


def bytes_sent(simulator: VendorSimulator[Any]) -> int:
    return sum(call.bytes_sent for call in simulator.log if "/file" in call.path and call.bytes_sent > 100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_function_killed_inside_its_parts_sends_those_again_and_no_other(killed: Subscriber) -> None:
    (record,) = records(killed)

    assert killed.sums == killed.vendor.truth
    assert record["tries"] == 2
    assert bytes_sent(killed.vendor.simulator) <= _STREAMED + 4 * (5 << 20) + 2 * _IN_SOCKETS


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_slow_vendor_is_asked_for_several_ranges_at_once(killed: Subscriber) -> None:
    ranges = [call for call in killed.vendor.simulator.log if call.status == 206]

    assert len(ranges) >= 4
    assert (
        killed.stack.s3.list_multipart_uploads(
            Bucket=killed.stack.landing_bucket, Prefix=f"raw/{killed.pipeline}/"
        ).get("Uploads", [])
        == []
    )


def test_a_file_that_outlives_its_function_is_gone_on_with(stories: Stories[Any]) -> None:
    """Although the token expires in between."""
    customer: Customer = stories["longer"].customer

    end = stories["longer"].end

    (record,) = records(customer)
    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert customer.landed == customer.true_sums
    assert (record["state"], record["tries"], record["restarts"]) == (FileState.LANDED, 1, 0)
    assert record["seconds"] > _SECONDS
    assert bytes_sent(customer.visier) <= _HELD + 2 * (_PART + _IN_SOCKETS)
    assert customer.outcomes() == ["SUCCEEDED"]


def test_a_file_that_cannot_be_gone_on_with_fails_in_the_end_and_says_what_would_help(stories: Stories[Any]) -> None:
    customer: Customer = stories["hopeless"].customer

    end = stories["hopeless"].end

    assert (end.status, end.error) == ("FAILED", "DownloadTooSlowError")
    assert "3 of them ended before it did" in (end.cause or "")
    assert (end.cause or "").endswith("none could go on where another had stopped")
    assert "runbook.md#downloadtooslowerror" in customer.body()
    assert customer.manifests == []
    assert _parts_of(customer.stack, customer.pipeline) == 0


def test_many_small_files_take_few_children(stories: Stories[Any]) -> None:
    customer: Subscriber = stories["many"].customer

    end = stories["many"].end

    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert customer.sums == customer.vendor.truth
    assert customer.manifest["totals"]["files"] == _SMALL_FILES
    assert customer.record["work"]["plan"]["items"] <= 40
