"""What S3 answers, in our words. That S3 itself refuses what is wrong is shown on LocalStack, in tests/flow."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from haul.adapters.landing import S3Landing
from haul.errors import CorruptFileError, HaulError, LandingNotWritableError, LedgerBusyError
from haul.ports import ObjectHead, Part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SUM = base64.b64encode(bytes(8)).decode()
PART = Part(number=1, etag='"1"', bytes=3, checksum=SUM)
KEY = "raw/people/Employee/part0.csv.gz"

CALLS: dict[str, tuple[str, Callable[[S3Landing], object]]] = {
    "put": ("put_object", lambda landing: landing.put(KEY, b"", checksum=SUM, content_type="text/csv")),
    "begin": ("create_multipart_upload", lambda landing: landing.begin(KEY, content_type="text/csv")),
    "parts": ("list_parts", lambda landing: landing.parts(KEY, "1")),
    "reading": ("get_object", lambda landing: landing.reading(KEY, "v1").__enter__()),
    "abort": ("abort_multipart_upload", lambda landing: landing.abort(KEY, "1")),
    "read": ("get_object", lambda landing: landing.read(KEY)),
    "write_document": ("put_object", lambda landing: landing.write_document(KEY, "{}")),
}


@pytest.fixture
def landing(aws_s3: "S3Client") -> S3Landing:
    return S3Landing("acme-landing", aws_s3)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "status", "error", "says"),
    [
        ("AccessDenied", 403, LandingNotWritableError, "s3://acme-landing/raw/people/Employee/ cannot be written"),
        ("AccessDenied", 403, LandingNotWritableError, "s3:PutObject"),
        ("NoSuchBucket", 404, LandingNotWritableError, "check that the bucket exists"),
        ("KMS.DisabledException", 400, LandingNotWritableError, "check that the bucket's KMS key is enabled"),
        ("KMS.ThrottlingException", 400, LedgerBusyError, "KMS.ThrottlingException"),
        ("SlowDown", 503, LedgerBusyError, "SlowDown"),
        ("InternalError", 500, LedgerBusyError, "InternalError"),
        ("RequestTimeout", 400, LedgerBusyError, "RequestTimeout"),
        ("BadDigest", 400, CorruptFileError, "S3 received other bytes than were sent"),
    ],
)
def test_a_refusal_says_what_to_check(
    s3_stub: Stubber, landing: S3Landing, *, call: str, code: str, status: int, error: type[HaulError], says: str
) -> None:
    operation, act = CALLS[call]
    s3_stub.add_client_error(operation, code, "Secret words of S3", status)

    with pytest.raises(error, match=says) as caught:
        act(landing)

    assert "Secret words" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "failure",
    [
        ConnectTimeoutError(endpoint_url="https://s3"),
        ReadTimeoutError(endpoint_url="https://s3"),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
def test_no_answer_is_a_reason_to_try_again(aws_s3: "S3Client", call: str, failure: Exception) -> None:
    def silent(**_: Any) -> None:
        raise failure

    aws_s3.meta.events.register("before-send.s3", silent)

    with pytest.raises(LedgerBusyError, match=f"{KEY}: {type(failure).__name__}"):
        CALLS[call][1](S3Landing("acme-landing", aws_s3))


def test_an_upload_that_has_ended_has_no_parts(s3_stub: Stubber, landing: S3Landing) -> None:
    s3_stub.add_client_error("list_parts", "NoSuchUpload", "", 404)

    assert landing.parts(KEY, "1") is None


def test_the_parts_of_an_upload_come_in_pages(s3_stub: Stubber, landing: S3Landing) -> None:
    for number, more in ((1, True), (2, False)):
        found = {"PartNumber": number, "ETag": f'"{number}"', "Size": 3, "ChecksumCRC64NVME": SUM}
        s3_stub.add_response("list_parts", {"Parts": [found], "IsTruncated": more, "NextPartNumberMarker": number})

    assert landing.parts(KEY, "1") == [PART, replace(PART, number=2, etag='"2"')]


def test_an_upload_that_has_ended_is_aborted_already(s3_stub: Stubber, landing: S3Landing) -> None:
    s3_stub.add_client_error("abort_multipart_upload", "NoSuchUpload", "", 404)

    landing.abort(KEY, "1")


@pytest.mark.parametrize(("code", "status"), [("NoSuchUpload", 404), ("InternalError", 500), ("SlowDown", 503)])
def test_a_lost_reply_to_the_completion_is_found_out(
    s3_stub: Stubber, landing: S3Landing, code: str, status: int
) -> None:
    """The object has our size and checksum: it is ours."""
    s3_stub.add_client_error("complete_multipart_upload", code, "", status)
    s3_stub.add_response("head_object", {"ContentLength": 3, "ChecksumCRC64NVME": SUM, "VersionId": "v7"})

    assert landing.complete(KEY, "1", [PART], checksum=SUM) == "v7"


@pytest.mark.parametrize(
    "head",
    [
        {"ContentLength": 4, "ChecksumCRC64NVME": SUM},
        {"ContentLength": 3, "ChecksumCRC64NVME": "AAAAAAAAAAE="},
        {"ContentLength": 3},
        None,
    ],
)
def test_another_object_is_not_taken_for_ours(
    s3_stub: Stubber, landing: S3Landing, head: dict[str, Any] | None
) -> None:
    s3_stub.add_client_error("complete_multipart_upload", "NoSuchUpload", "", 404)
    if head is None:
        s3_stub.add_client_error("head_object", "404", "", 404)
    else:
        s3_stub.add_response("head_object", head)

    with pytest.raises(LedgerBusyError, match="NoSuchUpload"):
        landing.complete(KEY, "1", [PART], checksum=SUM)


def test_the_completion_tells_s3_what_to_check(s3_stub: Stubber, landing: S3Landing) -> None:
    parts = [{"PartNumber": 1, "ETag": '"1"', "ChecksumCRC64NVME": SUM}]
    s3_stub.add_response(
        "complete_multipart_upload",
        {"VersionId": "v1"},
        {
            "Bucket": "acme-landing",
            "Key": KEY,
            "UploadId": "1",
            "MultipartUpload": {"Parts": parts},
            "ChecksumCRC64NVME": SUM,
            "ChecksumType": "FULL_OBJECT",
            "MpuObjectSize": 3,
        },
    )

    assert landing.complete(KEY, "1", [PART], checksum=SUM) == "v1"


@pytest.mark.parametrize("version", [{}, {"VersionId": "null"}])
def test_a_bucket_without_versions_has_none(s3_stub: Stubber, landing: S3Landing, version: dict[str, str]) -> None:
    s3_stub.add_response("put_object", version)

    assert landing.put(KEY, b"", checksum=SUM, content_type="text/csv") is None


def test_what_is_not_there_is_none(s3_stub: Stubber, landing: S3Landing) -> None:
    s3_stub.add_client_error("head_object", "404", "", 404)
    s3_stub.add_client_error("get_object", "NoSuchKey", "", 404)

    assert landing.head(KEY) is None
    assert landing.read(KEY) is None


def test_a_head_has_the_checksum_of_the_whole_object(s3_stub: Stubber, landing: S3Landing) -> None:
    s3_stub.add_response("head_object", {"ContentLength": 3, "VersionId": "v1", "ChecksumCRC64NVME": SUM})

    assert landing.head(KEY) == ObjectHead(bytes=3, version_id="v1", checksum=SUM)
