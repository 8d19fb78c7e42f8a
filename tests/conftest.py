"""LocalStack for whichever test asks for it: one for a session, on a port of its own, gone with the session."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.local.localstack import REGION, LocalStack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failed test shows what LocalStack complained of."""
    report = yield
    local = getattr(item, "funcargs", {}).get("localstack")
    if report.failed and isinstance(local, LocalStack):
        lines = local.log.read_text().splitlines()
        complaints = [line[:400] for line in lines if " WARN " in line or " ERROR " in line]
        report.sections.append(("LocalStack, its last complaints", "\n".join(complaints[-10:])))
    return report


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """LocalStack without anything deployed."""
    with LocalStack(log=Path(tmp_path_factory.mktemp("localstack") / "localstack.log")) as local:
        yield local


@pytest.fixture(scope="session")
def s3(localstack: LocalStack) -> Iterator["S3Client"]:
    """LocalStack's S3: real versions, checksums and conditional writes. A test makes buckets of its own."""
    client = boto3.client(
        "s3",
        endpoint_url=localstack.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name=REGION,
    )
    yield client
    client.close()


@pytest.fixture
def aws_s3() -> Iterator["S3Client"]:
    """A client of AWS's own S3, for what only that answers: nothing leaves it where `s3_stub` is asked for too."""
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    yield client
    client.close()


@pytest.fixture
def s3_stub(aws_s3: "S3Client") -> Iterator[Stubber]:
    """What `aws_s3` is answered, in order; all of it is to be asked for."""
    with Stubber(aws_s3) as stub:
        yield stub
        stub.assert_no_pending_responses()
