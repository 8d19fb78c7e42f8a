"""What a load sends, read from S3: the versions of objects that were named, and no others."""

import http
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from haul.adapters.refusals import code_of, status_of
from haul.errors import LedgerBusyError, SourceGoneError, SourceNotReadableError, SourceTooSlowError
from haul.models.base import parse
from haul.models.event import S3Object
from haul.models.load import SourceOptions
from haul.ports import Source
from haul.transfer.outbound import outbound

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK = 256 << 10
_PIECE = 64 << 10
"""As much as is sent at once: what is unpacked may come in pieces that a slow line has minutes to do with."""
_KEPT_SECONDS = 60.0
"""What is left to break off at the vendor, and to write down that there is no job: to be killed leaves a doubt."""
_BREAKS_IN_A_ROW = 3
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
_GONE = {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED}
"""Not there, or a delete marker."""
_NO_VERSION_ID = "InvalidArgument"


def open_source(
    objects: Sequence[S3Object],
    options: Mapping[str, Any],
    client: "S3Client",
    *,
    time_left: Callable[[], float] = lambda: math.inf,
) -> Source:
    """Open what is to be sent, unpacked and reshaped as `options` say; it has been proved when this returns.

    `options` are an action's: those that are not about sources are none of ours. `time_left` is how many seconds the
    invocation has: reading ends with an error, here or later, while there is time to do something about it.

    Raises:
        SourceGoneError: a version is not there any more, or is another.
        SourceNotReadableError: S3 refuses us.
        DamagedSourceError: broken gzip, or a line that is no JSON object.
        InvalidEventError: several objects that cannot be joined.
        LedgerBusyError: S3 does not answer.
        SourceTooSlowError: the time ends first.
    """
    ours = {name: value for name, value in options.items() if name in SourceOptions.model_fields}
    stored = [_InTime(S3Source(wanted, client), time_left) for wanted in objects]
    return _InTime(outbound(stored, parse(SourceOptions, ours, at="options")), time_left)


class S3Objects:
    """The objects that loads send in one invocation, which has `time_left` seconds.

    What was opened is kept: its content is proved once.
    """

    def __init__(self, client: "S3Client", *, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self._s3 = client
        self._time_left = time_left
        self._opened: dict[str, Source] = {}

    def settle(self, named: S3Object) -> S3Object:
        return S3Source(named, self._s3).settled

    def open(self, objects: Sequence[S3Object], options: Mapping[str, Any]) -> Source:
        key = repr(([each.model_dump() for each in objects], sorted(options.items())))
        if key not in self._opened:
            self._opened[key] = open_source(objects, options, self._s3, time_left=self._time_left)
        return self._opened[key]


@dataclass(frozen=True)
class _InTime:
    """A source that breaks off while there is time left to say so."""

    source: Source
    time_left: Callable[[], float]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def size(self) -> int:
        return self.source.size

    def chunks(self) -> Iterator[bytes]:
        """Read it from its begin.

        Raises:
            SourceTooSlowError: the invocation's time ends. Whoever sends it has not sent it whole.
        """
        done = 0
        for chunk in self.source.chunks():
            for at in range(0, len(chunk), _PIECE):
                if self.time_left() <= _KEPT_SECONDS:
                    raise SourceTooSlowError(
                        f"{self.name} takes longer than one invocation has: after {done:,} of {self.size:,} bytes "
                        "it was broken off, and nothing was made of it"
                    )
                piece = chunk[at : at + _PIECE]
                yield piece
                done += len(piece)


class _Pin(TypedDict, total=False):
    """What makes S3 answer with this version or not at all."""

    VersionId: str
    IfMatch: str


@dataclass(frozen=True)
class _Found:
    size: int
    etag: str
    pin: _Pin


class S3Source:
    """One version of one object, as it is stored.

    Named by its version id, else by its ETag. Where the event has neither, it is what is there now, and stays that.
    """

    def __init__(self, wanted: S3Object, client: "S3Client") -> None:
        self._wanted = wanted
        self._s3 = client
        self._found = self._look(_pin(wanted.version_id, wanted.etag))

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self._wanted.key.rpartition("/")[2] or self._wanted.key

    @property
    def size(self) -> int:
        return self._found.size

    @property
    def settled(self) -> S3Object:
        """The version that is read, with its size, as an event would name it."""
        version, etag = self._found.pin.get("VersionId"), self._found.etag
        return self._wanted.model_copy(update={"size": self.size, "version_id": version, "etag": etag})

    def chunks(self) -> Iterator[bytes]:
        """Read it from its begin. A connection that breaks is made anew from where it broke."""
        at, breaks = 0, 0
        while at < self.size:
            begun = at
            broken: BotoCoreError | None = None
            try:
                for chunk in self._stream(at):
                    at += len(chunk)
                    yield chunk
            except BotoCoreError as error:
                broken = error
            except ClientError as error:
                self._refuse(error)
            breaks = 1 if at > begun else breaks + 1
            if breaks >= _BREAKS_IN_A_ROW:
                self._refuse(broken or IncompleteReadError(actual_bytes=at, expected_bytes=self.size))

    def _stream(self, at: int) -> Iterator[bytes]:
        wanted, pin = self._wanted, self._found.pin
        answer = self._s3.get_object(Bucket=wanted.bucket, Key=wanted.key, Range=f"bytes={at}-", **pin)
        body = answer["Body"]
        try:
            yield from body.iter_chunks(_CHUNK)
        finally:
            body.close()

    def _look(self, pin: _Pin) -> _Found:
        try:
            head = self._s3.head_object(Bucket=self._wanted.bucket, Key=self._wanted.key, **pin)
        except ClientError as error:
            self._refuse(self._in_full(error, pin))
        except BotoCoreError as error:
            self._refuse(error)
        if head.get("StorageClass") in _ARCHIVED and 'ongoing-request="false"' not in head.get("Restore", ""):
            raise SourceNotReadableError(f"{self._where} lies in an archive ({head['StorageClass']}): restore it first")
        return _Found(head["ContentLength"], head["ETag"].strip('"'), _pin(head.get("VersionId"), head["ETag"]))

    def _in_full(self, error: ClientError, pin: _Pin) -> ClientError:
        """What S3 has against a HEAD that it calls bad: its answer has no body that would say so, a GET's has."""
        if status_of(error) != http.HTTPStatus.BAD_REQUEST:
            return error
        try:
            self._s3.get_object(Bucket=self._wanted.bucket, Key=self._wanted.key, Range="bytes=0-0", **pin)
        except ClientError as told:
            return told
        except BotoCoreError:
            return error
        return error

    @property
    def _where(self) -> str:
        version = f" version {self._wanted.version_id}" if self._wanted.version_id else ""
        return f"s3://{self._wanted.bucket}/{self._wanted.key}{version}"

    def _refuse(self, error: ClientError | BotoCoreError) -> NoReturn:
        if not isinstance(error, ClientError):
            raise LedgerBusyError(f"S3 did not answer about {self._where}: {type(error).__name__}") from None
        code, status = code_of(error), status_of(error)
        if code.startswith("KMS") and "Throttling" not in code:
            raise SourceNotReadableError(
                f"{self._where} cannot be read ({code}): check that its KMS key is enabled, "
                "and that this role may kms:Decrypt with it"
            ) from None
        if status == http.HTTPStatus.PRECONDITION_FAILED:
            raise SourceGoneError(f"{self._where} was written over since: another object is there now") from None
        if status in _GONE or code == _NO_VERSION_ID:
            raise SourceGoneError(f"{self._where} is not there: it was deleted, or its bucket was") from None
        if status == http.HTTPStatus.FORBIDDEN:
            raise SourceNotReadableError(
                f"{self._where} cannot be read ({code}): check that this role may s3:GetObject and s3:GetObjectVersion "
                "there, the bucket's policy and its KMS key. An object that is gone looks the same to whoever may not "
                "s3:ListBucket"
            ) from None
        raise LedgerBusyError(f"S3 does not give {self._where} now ({code})") from None


def _pin(version_id: str | None, etag: str | None) -> _Pin:
    if version_id and version_id != "null":
        return {"VersionId": version_id}
    return {"IfMatch": f'"{etag.strip('"')}"'} if etag else {}
