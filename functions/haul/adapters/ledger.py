"""The ledger's store: S3 with conditional writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from haul.adapters.refusals import code_of, refusal, status_of
from haul.ports import ConflictError, Stored, UnclearError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}


class S3Store:
    """A `haul.ports.Store` in one bucket."""

    def __init__(self, bucket: str, client: "S3Client") -> None:
        self._bucket = bucket
        self._client = client

    def get(self, key: str) -> Stored | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            return Stored(found["Body"].read().decode(), found["ETag"])
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise self._named(error, key) from error
        except BotoCoreError as error:
            raise UnclearError(key) from error

    def create(self, key: str, body: str) -> str:
        with self._words(key):
            return self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body.encode(), ContentType="application/json", IfNoneMatch="*"
            )["ETag"]

    def replace(self, key: str, body: str, etag: str) -> str:
        with self._words(key):
            return self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body.encode(), ContentType="application/json", IfMatch=etag
            )["ETag"]

    def delete(self, key: str) -> None:
        with self._words(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with self._words(prefix):
            yield from (found["Key"] for page in pages for found in page.get("Contents", []))

    def folders(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with self._words(prefix):
            found = (each["Prefix"] for page in pages for each in page.get("CommonPrefixes", []))
            yield from (name.removeprefix(prefix).rstrip("/") for name in found)

    @contextmanager
    def _words(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._named(error, key) from error
        except BotoCoreError as error:
            raise UnclearError(key) from error

    def _named(self, error: ClientError, key: str) -> Exception:
        code = code_of(error)
        if status_of(error) in {409, 412} or code in _CONFLICTS:
            return ConflictError(key)
        return refusal(error, self._bucket, key) or UnclearError(f"{code} for {key}")
