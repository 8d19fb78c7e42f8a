"""A landing bucket in memory, as strict as S3: wrong sums and sizes are refused, an ended upload is gone."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from awscrt.checksums import crc64nvme

from haul.errors import CorruptFileError, HaulError, LedgerBusyError
from haul.ports import ObjectHead, Part, Reader, UploadEndedError

type Bytes = bytes | bytearray | memoryview


@dataclass
class Object:
    body: bytes
    version_id: str
    content_type: str
    checksum: str


@dataclass
class _Upload:
    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class FakeLanding:
    """`failing` maps a method's name to what its next calls raise, in order; `calls` are the names as they came.

    `sent` has the numbers of the parts that were streamed, as they were begun. `on_part` is told one that is there.
    """

    def __init__(self, bucket: str = "landing", *, smallest_part: int = 0) -> None:
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, _Upload] = {}
        self.calls: list[str] = []
        self.failing: dict[str, list[HaulError]] = {}
        self.sent: list[int] = []
        self.on_part: Callable[[int], None] = lambda _: None
        self.piece_bytes = 4_096
        self.versions = 0
        self._bucket = bucket
        self._smallest_part = smallest_part
        self._begun = 0

    @property
    def bucket(self) -> str:
        return self._bucket

    def put(self, key: str, body: Bytes, *, checksum: str, content_type: str) -> str | None:
        self._called("put")
        return self._store(key, bytes(body), checksum, content_type)

    def begin(self, key: str, *, content_type: str) -> str:
        self._called("begin")
        self._begun += 1
        upload_id = f"upload-{self._begun}"
        self.uploads[upload_id] = _Upload(key, content_type)
        return upload_id

    def sender(self) -> "_Sender":
        return _Sender(self)

    def parts(self, key: str, upload_id: str) -> list[Part] | None:
        self._called("parts")
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            return None
        return [_part(number, data) for number, data in sorted(upload.parts.items())]

    def keep(self, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """Take in a part that was streamed, all of it."""
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise UploadEndedError
        self._called("send")
        upload.parts[number] = data
        self.on_part(number)
        return _part(number, data)

    def complete(self, key: str, upload_id: str, parts: list[Part], *, checksum: str) -> str | None:
        self._called("complete")
        upload = self._open(key, upload_id)
        numbers = [part.number for part in parts]
        if numbers != sorted(set(numbers)) or not set(numbers) <= upload.parts.keys():
            raise LedgerBusyError(f"the upload of {key} was ended by another writer (InvalidPart)")
        small = [part.number for part in parts[:-1] if part.bytes < self._smallest_part]
        if small:
            raise LedgerBusyError(f"S3 does not take {key} now (EntityTooSmall)")
        body = b"".join(upload.parts[number] for number in numbers)
        if len(body) != sum(part.bytes for part in parts):
            raise CorruptFileError(f"{key}: S3 received other bytes than were sent (InvalidRequest)")
        version = self._store(key, body, checksum, upload.content_type)
        del self.uploads[upload_id]
        return version

    def abort(self, key: str, upload_id: str) -> None:
        self._called("abort")
        upload = self.uploads.get(upload_id)
        if upload is not None and upload.key == key:
            del self.uploads[upload_id]

    def head(self, key: str) -> ObjectHead | None:
        self._called("head")
        found = self.objects.get(key)
        return None if found is None else ObjectHead(len(found.body), found.version_id, found.checksum)

    @contextmanager
    def reading(self, key: str, version_id: str | None) -> Iterator[Reader]:
        self._called("reading")
        found = self.objects[key]
        assert version_id == found.version_id
        yield _Reader(found.body)

    def read(self, key: str) -> bytes | None:
        found = self.objects.get(key)
        return None if found is None else found.body

    def write_document(self, key: str, body: str) -> None:
        data = body.encode()
        self._store(key, data, _sum(data), "application/json")

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if planned := self.failing.get(method):
            raise planned.pop(0)

    def _open(self, key: str, upload_id: str) -> _Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise LedgerBusyError(f"the upload of {key} was ended by another writer (NoSuchUpload)")
        return upload

    def _store(self, key: str, body: bytes, checksum: str, content_type: str) -> str:
        _check(key, body, checksum)
        self.versions += 1
        version = f"v{self.versions}"
        self.objects[key] = Object(body, version, content_type, checksum)
        return version


class _Sender:
    def __init__(self, landing: FakeLanding) -> None:
        self._landing = landing

    def send(self, key: str, upload_id: str, number: int, *, length: int, fill: Callable[[memoryview], None]) -> Part:
        self._landing.sent.append(number)
        data = bytearray(length)
        for at in range(0, length, self._landing.piece_bytes):
            fill(memoryview(data)[at : at + self._landing.piece_bytes])
        return self._landing.keep(key, upload_id, number, bytes(data))

    def close(self) -> None:
        """There is nothing to close."""


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._rest = memoryview(body)

    def readinto(self, space: memoryview) -> int:
        piece, self._rest = self._rest[: len(space)], self._rest[len(space) :]
        space[: len(piece)] = piece
        return len(piece)


def _part(number: int, data: bytes) -> Part:
    checksum = _sum(data)
    return Part(number=number, etag=f"etag-{number}-{checksum}", bytes=len(data), checksum=checksum)


def _check(key: str, body: bytes, checksum: str) -> None:
    if _sum(body) != checksum:
        raise CorruptFileError(f"{key}: S3 received other bytes than were sent (BadDigest)")


def _sum(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()
