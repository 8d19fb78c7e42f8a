"""The landing bucket, for bytes too: S3 behind `ports.Landing`.

Landed keys are written without a condition: a key is one file of one run, so whoever writes it writes that file, and
only after it has verified it. A try that was cut may have written it before, and a retry beside itself may write it
again: the bucket keeps both versions and the record names the one it checked.
"""

import http
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, cast

from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from haul.adapters.documents import S3Documents
from haul.adapters.parts import Refused, S3PartSender
from haul.adapters.refusals import code_of, status_of
from haul.errors import CorruptFileError, HaulError, LedgerBusyError
from haul.ports import ObjectHead, Part, PartSender, Reader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DIFFERENT = {"BadDigest", "IncompleteBody", "InvalidRequest", "XAmzContentChecksumMismatch"}
"""The bytes changed on their way. A wrong size of the whole object is an InvalidRequest."""
_ENDED = {"NoSuchUpload", "InvalidPart"}


class S3Landing(S3Documents):
    """One landing bucket.

    `client` signs with s3v4 and computes checksums only when required: ours are computed while the bytes pass. Parts
    are sent without it, signed with `credentials`.
    """

    def __init__(
        self, bucket: str, client: "S3Client", credentials: Callable[[], Credentials | None] = lambda: None
    ) -> None:
        super().__init__(bucket, client)
        self._credentials = credentials

    def put(self, key: str, body: bytes | bytearray | memoryview, *, checksum: str, content_type: str) -> str | None:
        with self._words(key):
            answer = self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=_plain(body),
                ContentType=content_type,
                ChecksumCRC64NVME=checksum,
            )
        return _version(answer.get("VersionId"))

    def begin(self, key: str, *, content_type: str) -> str:
        with self._words(key):
            return self._s3.create_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                ContentType=content_type,
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
            )["UploadId"]

    def sender(self) -> PartSender:
        return S3PartSender(
            self._s3.meta.endpoint_url,
            self._bucket,
            self._s3.meta.region_name,
            credentials=self._credentials,
            words=self._refused,
        )

    def parts(self, key: str, upload_id: str) -> list[Part] | None:
        pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload_id)
        with self._words(key):
            try:
                return [
                    Part(
                        number=found["PartNumber"],
                        etag=found["ETag"],
                        bytes=found["Size"],
                        checksum=found.get("ChecksumCRC64NVME", ""),
                    )
                    for page in pages
                    for found in page.get("Parts", [])
                ]
            except ClientError as error:
                if code_of(error) == "NoSuchUpload":
                    return None
                raise

    def complete(self, key: str, upload_id: str, parts: list[Part], *, checksum: str) -> str | None:
        size = sum(part.bytes for part in parts)
        try:
            with self._words(key):
                answer = self._s3.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={
                        "Parts": [
                            {"PartNumber": part.number, "ETag": part.etag, "ChecksumCRC64NVME": part.checksum}
                            for part in parts
                        ]
                    },
                    ChecksumCRC64NVME=checksum,
                    ChecksumType="FULL_OBJECT",
                    MpuObjectSize=size,
                )
        except LedgerBusyError:
            # The answer may be lost, or be NoSuchUpload to a second try of ours: the object tells whether it is done.
            head = self.head(key)
            if head is not None and head.bytes == size and head.checksum == checksum:
                return head.version_id
            raise
        return _version(answer.get("VersionId"))

    def head(self, key: str) -> ObjectHead | None:
        with self._words(key):
            try:
                answer = self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if status_of(error) == http.HTTPStatus.NOT_FOUND:
                    return None
                raise
        return ObjectHead(
            bytes=answer["ContentLength"],
            version_id=_version(answer.get("VersionId")),
            checksum=answer.get("ChecksumCRC64NVME"),
        )

    @contextmanager
    def reading(self, key: str, version_id: str | None) -> Iterator[Reader]:
        with self._words(key):
            found = (
                self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)
                if version_id
                else self._s3.get_object(Bucket=self._bucket, Key=key)
            )
        with closing(found["Body"]) as body:
            yield _Reader(body, lambda error: self._in_our_words(error, key))

    def _refused(self, refused: Refused, key: str) -> HaulError:
        """Say of a part what botocore would have been told."""
        answer = {"Error": {"Code": refused.code}, "ResponseMetadata": {"HTTPStatusCode": refused.status}}
        return self._in_our_words(ClientError(answer, "UploadPart"), key)  # type: ignore[arg-type]  # all that is read

    def _in_our_words(self, error: ClientError | BotoCoreError, key: str) -> HaulError:
        code = code_of(error) if isinstance(error, ClientError) else None
        if code in _DIFFERENT:
            return CorruptFileError(f"{key}: S3 received other bytes than were sent ({code})")
        if code in _ENDED:
            return LedgerBusyError(f"the upload of {key} was ended by another writer ({code})")
        return super()._in_our_words(error, key)


class _Reader:
    """The body of an object."""

    def __init__(self, body: StreamingBody, words: Callable[[BotoCoreError], HaulError]) -> None:
        self._body = body
        self._words = words

    def readinto(self, space: memoryview) -> int:
        try:
            return int(self._body.readinto(space))  # type: ignore[arg-type]  # a buffer, whatever the stub says
        except BotoCoreError as error:
            raise self._words(error) from None


def _plain(body: bytes | bytearray | memoryview) -> bytes:
    """What botocore accepts: a view is copied, while a bytearray, of which boto3's types do not know, is not."""
    return bytes(body) if isinstance(body, memoryview) else cast("bytes", body)


def _version(version_id: str | None) -> str | None:
    """A bucket without versions says nothing or `null`."""
    return None if version_id in (None, "null") else version_id
