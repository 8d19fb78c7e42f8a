"""The landing bucket's rules, by S3 itself (LocalStack's) and by the fake that the unit tests trust."""

import base64
import gzip
import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from awscrt.checksums import crc64nvme
from botocore.credentials import Credentials

from haul.adapters.landing import S3Landing
from haul.errors import CorruptFileError, LandingNotWritableError, LedgerBusyError, TruncatedFileError
from haul.models.export import Dataset, RemoteFile
from haul.ports import DownloadSource, Landing, ObjectHead, Part, UploadEndedError
from haul.transfer.land import Tuning, land_file
from haul.transfer.sending import pouring
from haul.transfer.upload import combined
from tests.fakes.file_server import Reply, file_server
from tests.fakes.landing import FakeLanding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "raw/people/Employee/part0.csv.gz"
PIECES = [os.urandom(5 << 20), b"the last may be small"]
WHOLE = b"".join(PIECES)


def total(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()


@pytest.fixture(params=["fake", "S3"])
def landing(request: pytest.FixtureRequest) -> Landing:
    if request.param == "fake":
        return FakeLanding(smallest_part=5 << 20)
    s3: S3Client = request.getfixturevalue("s3")
    bucket = f"landing-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3Landing(bucket, s3, lambda: Credentials("test", "test"))


def parts_of(landing: Landing, upload_id: str) -> list[Part]:
    with closing(landing.sender()) as sender:
        return [
            sender.send(KEY, upload_id, number, length=len(piece), fill=pouring(piece))
            for number, piece in enumerate(PIECES, 1)
        ]


def test_a_small_object_is_checked_and_gets_a_version_each_time(landing: Landing) -> None:
    first = landing.put(KEY, b"abc", checksum=total(b"abc"), content_type="text/csv")
    second = landing.put(KEY, memoryview(b"abcd"), checksum=total(b"abcd"), content_type="text/csv")

    assert first != second
    assert landing.head(KEY) == ObjectHead(bytes=4, version_id=second, checksum=total(b"abcd"))
    assert landing.read(KEY) == b"abcd"


def test_a_small_object_with_another_sum_is_refused(landing: Landing) -> None:
    with pytest.raises(CorruptFileError):
        landing.put(KEY, b"abc", checksum=total(b"abd"), content_type="text/csv")

    assert landing.head(KEY) is None


def test_parts_make_an_object_with_the_checksum_of_the_whole(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    parts = parts_of(landing, upload_id)
    before = landing.head(KEY)

    version = landing.complete(KEY, upload_id, parts, checksum=total(WHOLE))

    assert before is None
    assert landing.head(KEY) == ObjectHead(bytes=len(WHOLE), version_id=version, checksum=total(WHOLE))
    assert landing.read(KEY) == WHOLE


def test_a_part_that_comes_to_another_sum_is_refused(s3: "S3Client", monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a bit had changed between the sum and the wire."""
    bucket = f"landing-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    landing = S3Landing(bucket, s3, lambda: Credentials("test", "test"))
    upload_id = landing.begin(KEY, content_type="application/gzip")
    monkeypatch.setattr("haul.adapters.parts.crc64nvme", lambda data, before: crc64nvme(data, before) ^ 1)

    with closing(landing.sender()) as sender, pytest.raises(CorruptFileError):
        sender.send(KEY, upload_id, 1, length=3, fill=pouring(b"abc"))


def test_an_object_with_another_sum_than_the_whole_is_refused(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    parts = parts_of(landing, upload_id)

    with pytest.raises(CorruptFileError):
        landing.complete(KEY, upload_id, parts, checksum=total(b"another"))

    assert landing.head(KEY) is None


def test_an_object_of_another_size_is_refused(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    parts = parts_of(landing, upload_id)

    with pytest.raises(CorruptFileError):
        landing.complete(KEY, upload_id, [parts[0], replace(parts[1], bytes=parts[1].bytes + 1)], checksum=total(WHOLE))

    assert landing.head(KEY) is None


def test_an_aborted_upload_takes_nothing_more_and_may_be_aborted_again(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    parts = parts_of(landing, upload_id)

    landing.abort(KEY, upload_id)
    landing.abort(KEY, upload_id)

    with closing(landing.sender()) as sender, pytest.raises(UploadEndedError):
        sender.send(KEY, upload_id, 3, length=4, fill=pouring(b"more"))
    with pytest.raises(LedgerBusyError, match="ended by another writer"):
        landing.complete(KEY, upload_id, parts, checksum=total(WHOLE))


def test_parts_are_listed_and_make_the_object(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")

    parts = parts_of(landing, upload_id)
    listed = landing.parts(KEY, upload_id)
    version = landing.complete(KEY, upload_id, parts, checksum=combined(parts))

    assert listed == parts
    assert [part.checksum for part in parts] == [total(piece) for piece in PIECES]
    assert landing.head(KEY) == ObjectHead(bytes=len(WHOLE), version_id=version, checksum=total(WHOLE))
    assert landing.read(KEY) == WHOLE
    assert landing.parts(KEY, upload_id) is None


def test_a_part_that_breaks_off_is_no_part_and_the_next_one_is_whole(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    pour = pouring(PIECES[0])

    def breaks_off(space: memoryview) -> None:
        if len(pieces) == 3:
            raise TruncatedFileError("the vendor hung up")
        pieces.append(len(space))
        pour(space)

    pieces: list[int] = []
    with closing(landing.sender()) as sender:
        with pytest.raises(TruncatedFileError):
            sender.send(KEY, upload_id, 1, length=len(PIECES[0]), fill=breaks_off)
        part = sender.send(KEY, upload_id, 2, length=len(PIECES[0]), fill=pouring(PIECES[0]))

    assert landing.parts(KEY, upload_id) == [part]


def test_a_part_of_an_upload_that_has_ended_is_told_as_that(landing: Landing) -> None:
    upload_id = landing.begin(KEY, content_type="application/gzip")
    landing.abort(KEY, upload_id)

    with closing(landing.sender()) as sender, pytest.raises(UploadEndedError):
        sender.send(KEY, upload_id, 1, length=3, fill=pouring(b"abc"))


@pytest.mark.parametrize("key", [KEY, "raw/people/Über das/run_id=r1/a b+c~(1)'.csv.gz"])
def test_an_object_is_read_again_in_pieces(landing: Landing, key: str) -> None:
    upload_id = landing.begin(key, content_type="application/gzip")
    with closing(landing.sender()) as sender:
        parts = [sender.send(key, upload_id, 1, length=len(WHOLE), fill=pouring(WHOLE))]
    version = landing.complete(key, upload_id, parts, checksum=total(WHOLE))

    read, space = bytearray(), memoryview(bytearray(1 << 20))
    with landing.reading(key, version) as reader:
        while count := reader.readinto(space):
            read += space[:count]

    assert read == WHOLE


def test_a_document_is_written_again_and_one_that_is_not_there_is_none(landing: Landing) -> None:
    landing.write_document("runs/people/r1.json", "{}")
    landing.write_document("runs/people/r1.json", "[]")

    assert landing.read("runs/people/r1.json") == b"[]"
    assert landing.read("runs/people/r2.json") is None


@pytest.mark.parametrize("told", [True, False], ids=["held", "of unknown length"])
def test_a_file_that_comes_once_lands_in_parts(landing: Landing, told: bool) -> None:  # noqa: FBT001  # a parameter
    data = gzip.compress(b"id\n") + b"".join(gzip.compress(b"1\n2\n3\n" * 100, 0) for _ in range(20_000))
    file = RemoteFile(dataset="Employee", name="e.csv.gz", part=0, vendor_file_id=1, vendor_name="e.csv.gz")

    with file_server() as server:
        url = server.put("/f", Reply(data, framing="length" if told else "chunked"))
        landed = land_file(
            lambda: DownloadSource(url, {}, server.host),
            landing,
            KEY,
            file=file,
            dataset=Dataset(name="Employee", table="Employee"),
            tuning=Tuning(part_bytes=5 << 20, held_part_bytes=5 << 20),
        )

    assert landing.read(KEY) == data
    assert landed.rows == 6_000_000
    assert landing.head(KEY) == ObjectHead(len(data), landed.version_id, landed.checksum.value)


def test_a_bucket_that_is_not_there_is_named(s3: "S3Client") -> None:
    nowhere = S3Landing("haul-no-such-bucket", s3)

    with pytest.raises(LandingNotWritableError, match=r"s3://haul-no-such-bucket/raw/people/Employee/"):
        nowhere.put(KEY, b"", checksum=total(b""), content_type="text/csv")
