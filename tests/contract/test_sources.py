"""What a load sends is the object version that was named: by S3 itself (LocalStack's), and by what S3 may answer."""

import gzip
import io
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from haul.adapters.sources import S3Objects, S3Source, open_source
from haul.errors import (
    DamagedSourceError,
    HaulError,
    InvalidEventError,
    LedgerBusyError,
    SourceGoneError,
    SourceNotReadableError,
    SourceTooSlowError,
)
from haul.models.event import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "inbox/liquid-attendee-import/attendees.csv"
NAMED = S3Object(bucket="acme-inbox", key=KEY, version_id="3HL4kqtJlcpXroDTDmJ", etag="b1946ac9")


class Inbox:
    """A bucket, and what was put in it."""

    def __init__(self, s3: "S3Client", *, versions: bool) -> None:
        self.s3 = s3
        self.bucket = f"inbox-{uuid4().hex[:12]}"
        s3.create_bucket(Bucket=self.bucket)
        if versions:
            s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, body: bytes, key: str = KEY) -> S3Object:
        """Put an object, and name it as S3's event does."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        etag = answer["ETag"].strip('"')
        return S3Object(bucket=self.bucket, key=key, version_id=answer.get("VersionId"), etag=etag, size=len(body))

    def read(self, *objects: S3Object, **options: Any) -> bytes:
        source = open_source(objects, options, self.s3)
        body = b"".join(source.chunks())
        assert len(body) == source.size
        return body


@pytest.fixture
def inbox(s3: "S3Client") -> Inbox:
    return Inbox(s3, versions=True)


@pytest.fixture
def plain_inbox(s3: "S3Client") -> Inbox:
    return Inbox(s3, versions=False)


def test_the_version_that_was_named_is_sent_and_not_the_newest(inbox: Inbox) -> None:
    first = inbox.put(b"first")
    inbox.put(b"second, which is a run of its own")

    assert inbox.read(first) == inbox.read(first) == b"first"


def test_a_version_behind_a_delete_marker_is_still_sent(inbox: Inbox) -> None:
    first = inbox.put(b"first")
    inbox.s3.delete_object(Bucket=inbox.bucket, Key=KEY)

    assert inbox.read(first) == b"first"


def test_a_version_that_was_deleted_is_gone(inbox: Inbox) -> None:
    first = inbox.put(b"first")
    inbox.put(b"second")
    inbox.s3.delete_object(Bucket=inbox.bucket, Key=KEY, VersionId=first.version_id or "")

    with pytest.raises(SourceGoneError, match=f"version {first.version_id} is not there"):
        inbox.read(first)


def test_a_delete_marker_is_no_object(inbox: Inbox) -> None:
    inbox.put(b"first")
    marker = inbox.s3.delete_object(Bucket=inbox.bucket, Key=KEY)["VersionId"]

    with pytest.raises(SourceGoneError):
        inbox.read(S3Object(bucket=inbox.bucket, key=KEY, version_id=marker))


def test_without_versions_an_object_that_was_written_over_is_not_sent(plain_inbox: Inbox) -> None:
    first = plain_inbox.put(b"first")
    before = plain_inbox.read(first)
    plain_inbox.put(b"second")

    assert first.version_id is None
    assert before == b"first"
    with pytest.raises(SourceGoneError, match="written over"):
        plain_inbox.read(first)


@pytest.mark.parametrize("versions", [True, False])
def test_an_object_named_by_its_key_alone_stays_what_it_was_when_it_was_opened(s3: "S3Client", versions: bool) -> None:  # noqa: FBT001
    inbox = Inbox(s3, versions=versions)
    inbox.put(b"first")
    source = open_source([S3Object(bucket=inbox.bucket, key=KEY)], {}, s3)
    inbox.put(b"second")

    if versions:
        assert b"".join(source.chunks()) == b"first"
    else:
        with pytest.raises(SourceGoneError, match="written over"):
            b"".join(source.chunks())


@pytest.mark.parametrize("bucket", ["there", "not there"])
def test_an_object_that_never_was_is_gone(inbox: Inbox, bucket: str) -> None:
    nowhere = S3Object(bucket=inbox.bucket if bucket == "there" else f"no-{inbox.bucket}", key=KEY)

    with pytest.raises(SourceGoneError, match=r"attendees\.csv is not there"):
        inbox.read(nowhere)


def test_a_version_id_that_is_none_is_gone(inbox: Inbox) -> None:
    inbox.put(b"first")

    with pytest.raises(SourceGoneError):
        inbox.read(S3Object(bucket=inbox.bucket, key=KEY, version_id="3HL4kqtJlcpXroDTDmJ"))


def test_an_empty_object_has_nothing_to_send(inbox: Inbox) -> None:
    assert inbox.read(inbox.put(b"")) == b""


def test_a_large_object_is_unpacked_and_reshaped_on_its_way(inbox: Inbox) -> None:
    lines = b"".join(b'{"id": %d}\n' % number for number in range(200_000))
    stored = inbox.put(gzip.compress(lines[:1_000_000]) + gzip.compress(lines[1_000_000:]), "lines.ndjson.gz")

    array = json.loads(inbox.read(stored, reshape="ndjson-to-json", empty="skip"))

    assert array == [{"id": number} for number in range(200_000)]


def test_the_files_of_a_dataset_are_one_array(inbox: Inbox) -> None:
    files = [inbox.put(gzip.compress(b'{"id": %d}\n' % number), f"part{number}.gz") for number in range(3)]

    assert json.loads(inbox.read(*files, reshape="ndjson-to-json")) == [{"id": 0}, {"id": 1}, {"id": 2}]


def test_a_damaged_object_is_not_opened(inbox: Inbox) -> None:
    with pytest.raises(DamagedSourceError, match=r"attendees\.csv"):
        inbox.read(inbox.put(gzip.compress(b"id")[:-1]))


def test_options_of_the_action_that_are_not_about_sources_are_none_of_its(inbox: Inbox) -> None:
    assert inbox.read(inbox.put(b"id"), tolerate_failed_tenants="5%") == b"id"
    with pytest.raises(InvalidEventError, match=r"options\.decode"):
        inbox.read(inbox.put(b"id"), decode="zip")


# The end of the invocation


class Countdown:
    """Time that is left, and becomes less each time it is asked for."""

    def __init__(self, seconds: float, step: float) -> None:
        self.seconds, self.step = seconds, step

    def __call__(self) -> float:
        self.seconds -= self.step
        return self.seconds


@pytest.mark.parametrize(("seconds", "step"), [(60, 0), (90, 1)])
def test_what_is_not_read_a_minute_before_the_end_is_broken_off(inbox: Inbox, seconds: float, step: float) -> None:
    source = open_source([inbox.put(bytes(8 << 20))], {"decode": "none"}, inbox.s3)
    late = open_source([inbox.put(bytes(8 << 20))], {"decode": "none"}, inbox.s3, time_left=Countdown(seconds, step))

    with pytest.raises(SourceTooSlowError, match=r"attendees\.csv .* of 8,388,608 bytes"):
        b"".join(late.chunks())

    assert sum(map(len, source.chunks())) == late.size


def test_proving_an_object_is_broken_off_too(inbox: Inbox) -> None:
    """Which comes before there is anything at the vendor."""
    lines = b"".join(b'{"id": %d}\n' % number for number in range(200_000))
    objects = S3Objects(inbox.s3, time_left=Countdown(64, 1))

    with pytest.raises(SourceTooSlowError, match=r"lines\.ndjson"):
        objects.open([inbox.put(lines, "lines.ndjson")], {"reshape": "ndjson-to-json"})


def test_what_unpacks_to_much_more_than_it_was_is_broken_off_in_between(inbox: Inbox) -> None:
    """A single read of the object has minutes of sending in it."""
    packed = gzip.compress(bytes(64 << 20))
    clock = Countdown(1000, 0)
    source = open_source([inbox.put(packed)], {}, inbox.s3, time_left=clock)
    clock.step = 1

    with pytest.raises(SourceTooSlowError) as late:
        sum(map(len, source.chunks()))

    assert len(packed) < 256 << 10
    assert max(map(len, open_source([inbox.put(packed)], {}, inbox.s3).chunks())) <= 64 << 10
    assert "of 67,108,864 bytes" in str(late.value)


# What only AWS says


def head(s3_stub: Stubber, size: int = 6, **more: object) -> None:
    answer = {"ContentLength": size, "ETag": '"b1946ac9"', "VersionId": NAMED.version_id, **more}
    expected = {"Bucket": NAMED.bucket, "Key": KEY, "VersionId": NAMED.version_id}
    s3_stub.add_response("head_object", answer, expected)


def stretch(s3_stub: Stubber, start: int, body: bytes, announced: int) -> None:
    """Answer a read from `start`; it breaks off where fewer bytes come than are announced."""
    stream = StreamingBody(io.BytesIO(body), announced)
    expected = {"Bucket": NAMED.bucket, "Key": KEY, "VersionId": NAMED.version_id, "Range": f"bytes={start}-"}
    s3_stub.add_response("get_object", {"Body": stream}, expected)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((403, "403"), SourceNotReadableError, "s3:GetObjectVersion"),
        ((404, "404"), SourceGoneError, "is not there"),
        ((405, "405"), SourceGoneError, "is not there"),
        ((412, "412"), SourceGoneError, "written over"),
        ((503, "SlowDown"), LedgerBusyError, "SlowDown"),
        ((500, "InternalError"), LedgerBusyError, "InternalError"),
    ],
)
def test_what_s3_refuses_is_said_with_what_to_check(
    aws_s3: "S3Client", s3_stub: Stubber, answer: tuple[int, str], kind: type[HaulError], says: str
) -> None:
    status, code = answer
    s3_stub.add_client_error("head_object", code, http_status_code=status)

    with pytest.raises(kind, match=says) as refused:
        S3Source(NAMED, aws_s3)

    assert f"s3://acme-inbox/{KEY} version 3HL4kqtJlcpXroDTDmJ" in str(refused.value)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("InvalidArgument", SourceGoneError, "is not there"),
        ("KMS.DisabledException", SourceNotReadableError, "KMS key is enabled"),
        ("ExpiredToken", LedgerBusyError, "ExpiredToken"),
    ],
)
def test_what_s3_has_against_a_look_is_said_by_a_read(
    aws_s3: "S3Client", s3_stub: Stubber, code: str, kind: type[HaulError], says: str
) -> None:
    """The answer to HEAD has no body, so 400 may be anything."""
    s3_stub.add_client_error("head_object", "400", http_status_code=400)
    s3_stub.add_client_error("get_object", code, http_status_code=400)

    with pytest.raises(kind, match=says):
        S3Source(NAMED, aws_s3)


def test_an_archived_object_is_to_be_restored(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    head(s3_stub, StorageClass="GLACIER")

    with pytest.raises(SourceNotReadableError, match="archive"):
        S3Source(NAMED, aws_s3)


def test_a_restored_object_is_read(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    head(
        s3_stub, StorageClass="GLACIER", Restore='ongoing-request="false", expiry-date="Fri, 27 Nov 2026 00:00:00 GMT"'
    )

    assert S3Source(NAMED, aws_s3).size == 6


def test_a_connection_that_breaks_is_made_anew_from_where_it_broke(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    head(s3_stub)
    stretch(s3_stub, 0, b"abc", 6)
    stretch(s3_stub, 3, b"", 3)
    stretch(s3_stub, 3, b"d", 3)
    stretch(s3_stub, 4, b"ef", 2)

    assert b"".join(S3Source(NAMED, aws_s3).chunks()) == b"abcdef"


def test_a_connection_that_breaks_again_and_again_is_given_up(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    head(s3_stub)
    stretch(s3_stub, 0, b"abc", 6)
    stretch(s3_stub, 3, b"", 3)
    stretch(s3_stub, 3, b"", 3)

    with pytest.raises(LedgerBusyError, match="IncompleteReadError"):
        b"".join(S3Source(NAMED, aws_s3).chunks())


def test_an_object_that_goes_away_while_it_is_read_is_gone(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    head(s3_stub)
    stretch(s3_stub, 0, b"abc", 6)
    s3_stub.add_client_error("get_object", "NoSuchVersion", http_status_code=404, expected_params=None)

    with pytest.raises(SourceGoneError):
        b"".join(S3Source(NAMED, aws_s3).chunks())


def test_a_key_that_is_encrypted_with_a_key_we_may_not_use_is_said_when_it_is_read(
    aws_s3: "S3Client", s3_stub: Stubber
) -> None:
    """S3 may answer HEAD without the key."""
    head(s3_stub)
    s3_stub.add_client_error(
        "get_object",
        "AccessDenied",
        http_status_code=403,
        expected_params={
            "Bucket": ANY,
            "Key": ANY,
            "VersionId": ANY,
            "Range": ANY,
        },
    )

    with pytest.raises(SourceNotReadableError, match="KMS key"):
        open_source([NAMED], {}, aws_s3)


def test_s3_that_cannot_be_reached_is_tried_again_later(monkeypatch: pytest.MonkeyPatch, aws_s3: "S3Client") -> None:
    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3.example.com")

    monkeypatch.setattr(aws_s3, "head_object", unreachable)

    with pytest.raises(LedgerBusyError, match="EndpointConnectionError"):
        S3Source(NAMED, aws_s3)
