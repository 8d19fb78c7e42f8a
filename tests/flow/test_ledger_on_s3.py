"""The ledger on real S3: the guarantees hold there too, and of many writers one wins."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from haul.adapters.ledger import S3Store
from haul.ports import ConflictError
from infra.local.localstack import LocalStack
from tests.unit.test_guarantees import Guarantees

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WRITERS = 16
_ROUNDS = 8


@pytest.fixture
def client(localstack: LocalStack) -> Iterator["S3Client"]:
    """A client with a connection for each writer."""
    s3 = boto3.client("s3", endpoint_url=localstack.endpoint_url, config=Config(max_pool_connections=_WRITERS))
    yield s3
    s3.close()


def new_store(client: "S3Client") -> S3Store:
    """A ledger's store in a bucket of its own, versioned as the landing bucket is."""
    bucket = f"ledger-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3Store(bucket, client)


def test_random_interleavings_keep_the_guarantees_on_s3(client: "S3Client") -> None:
    class GuaranteesOnS3(Guarantees):
        new_store = staticmethod(lambda: new_store(client))

    run_state_machine_as_test(
        GuaranteesOnS3,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )


def winners(write: Callable[[str], str], what: str) -> list[str]:
    """Have every writer write at the same moment; the bodies of those who won.

    No body is twice: equal ones have equal ETags, and one who replaced the same by the same would not be noticed.
    """
    ready = threading.Barrier(_WRITERS)

    def one(number: int) -> str | None:
        body = f"{what} by {number}"
        ready.wait(timeout=10)
        try:
            write(body)
        except ConflictError:
            return None
        return body

    with ThreadPoolExecutor(_WRITERS) as pool:
        return [body for body in pool.map(one, range(_WRITERS)) if body]


def test_of_many_writers_who_create_or_replace_a_document_one_wins(client: "S3Client") -> None:
    store = new_store(client)

    for number in range(_ROUNDS):
        key = f"ledger/people/claims/{number}"

        created = winners(partial(store.create, key), "created")
        found = store.get(key)
        assert found is not None
        assert created == [found.body]

        replaced = winners(partial(store.replace, key, etag=found.etag), "replaced")
        found = store.get(key)
        assert found is not None
        assert replaced == [found.body]
