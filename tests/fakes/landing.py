"""A landing bucket in memory, as strict as S3: wrong sums and sizes are refused, an ended upload is gone."""

import base64
from dataclasses import dataclass, field

from awscrt.checksums import crc64nvme

from haul.errors import CorruptFileError, HaulError, LedgerBusyError
from haul.ports import ObjectHead, Part

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
    """`failing` maps a method's name to what its next calls raise, in order; `calls` are the names as they came."""

    def __init__(self, bucket: str = "landing", *, smallest_part: int = 0) -> None:
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, _Upload] = {}
        self.calls: list[str] = []
        self.failing: dict[str, list[HaulError]] = {}
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

    def upload(self, key: str, upload_id: str, number: int, body: Bytes, *, checksum: str) -> Part:
        self._called("upload")
        data = bytes(body)
        _check(key, data, checksum)
        self._open(key, upload_id).parts[number] = data
        return Part(number=number, etag=f"etag-{number}-{checksum}", bytes=len(data), checksum=checksum)

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


def _check(key: str, body: bytes, checksum: str) -> None:
    if _sum(body) != checksum:
        raise CorruptFileError(f"{key}: S3 received other bytes than were sent (BadDigest)")


def _sum(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()
