"""The objects that loads send: which version is meant, and its bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from haul.adapters.refusals import code_of, status_of
from haul.adapters.sources import open_source
from haul.errors import LedgerBusyError, SourceGoneError
from haul.models.event import S3Object
from haul.ports import Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef


class S3Objects:
    """Objects in S3. What was opened is kept: its content is proved once in an invocation."""

    def __init__(self, client: "S3Client") -> None:
        self._s3 = client
        self._opened: dict[str, Source] = {}

    def settle(self, named: S3Object) -> S3Object:
        where = f"s3://{named.bucket}/{named.key}"
        try:
            head = self._head(named)
        except ClientError as error:
            status = status_of(error)
            if status == 404:
                version = f" in version {named.version_id}" if named.version_id else ""
                raise SourceGoneError(f"{where} is not there{version}") from None
            if status in {400, 403}:
                raise SourceGoneError(
                    f"{where} may not be read ({code_of(error)}): it must be in the inbox or the landing bucket of "
                    "this environment, and its KMS key must let Haul decrypt with it"
                ) from None
            raise LedgerBusyError(f"S3 did not answer: {code_of(error)}") from None
        except BotoCoreError as error:
            raise LedgerBusyError(f"S3 did not answer: {type(error).__name__}") from None
        found = {"size": head["ContentLength"], "etag": head["ETag"].strip('"')}
        if named.etag and named.etag != found["etag"]:
            raise SourceGoneError(f"{where} was written anew since it started this run")
        version = head.get("VersionId")
        return named.model_copy(update={**found, "version_id": named.version_id or version})

    def _head(self, named: S3Object) -> "HeadObjectOutputTypeDef":
        if named.version_id:
            return self._s3.head_object(Bucket=named.bucket, Key=named.key, VersionId=named.version_id)
        return self._s3.head_object(Bucket=named.bucket, Key=named.key)

    def open(self, objects: Sequence[S3Object], options: Mapping[str, Any]) -> Source:
        key = repr(([each.model_dump() for each in objects], sorted(options.items())))
        if key not in self._opened:
            self._opened[key] = open_source(objects, options, self._s3)
        return self._opened[key]
