"""The landing bucket as every step but Download uses it: S3 behind `ports.Documents`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from haul.adapters.refusals import code_of, refusal
from haul.errors import HaulError, LedgerBusyError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Documents:
    """The documents of one landing bucket."""

    def __init__(self, bucket: str, client: "S3Client") -> None:
        self._bucket = bucket
        self._s3 = client

    @property
    def bucket(self) -> str:
        return self._bucket

    def read(self, key: str) -> bytes | None:
        with self._words(key):
            try:
                return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    def write_document(self, key: str, body: str) -> None:
        with self._words(key):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body.encode(), ContentType="application/json")

    def abort(self, key: str, upload_id: str) -> None:
        with self._words(key):
            try:
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise

    @contextmanager
    def _words(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._in_our_words(error, key) from None

    def _in_our_words(self, error: ClientError | BotoCoreError, key: str) -> HaulError:
        if not isinstance(error, ClientError):
            return LedgerBusyError(f"S3 did not answer about {key}: {type(error).__name__}")
        return refusal(error, self._bucket, key) or LedgerBusyError(f"S3 does not take {key} now ({code_of(error)})")
