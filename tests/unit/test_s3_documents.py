"""What S3 answers about documents, in our words."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from haul.adapters.documents import S3Documents
from haul.errors import LandingNotWritableError, LedgerBusyError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "runs/people/1.json"
CALLS: dict[str, tuple[str, Callable[[S3Documents], object]]] = {
    "read": ("get_object", lambda documents: documents.read(KEY)),
    "write_document": ("put_object", lambda documents: documents.write_document(KEY, "{}")),
    "abort": ("abort_multipart_upload", lambda documents: documents.abort(KEY, "1")),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_says_what_to_check(aws_s3: "S3Client", s3_stub: Stubber, call: str) -> None:
    operation, ask = CALLS[call]
    s3_stub.add_client_error(operation, "AccessDenied", "", 403)

    with pytest.raises(LandingNotWritableError, match=r"s3://acme-landing/runs/people/ .*this role may s3:PutObject"):
        ask(S3Documents("acme-landing", aws_s3))


@pytest.mark.parametrize("call", CALLS)
def test_a_busy_s3_is_a_reason_to_try_again(aws_s3: "S3Client", s3_stub: Stubber, call: str) -> None:
    operation, ask = CALLS[call]
    s3_stub.add_client_error(operation, "SlowDown", "", 503)

    with pytest.raises(LedgerBusyError, match="SlowDown"):
        ask(S3Documents("acme-landing", aws_s3))


@pytest.mark.parametrize("call", CALLS)
def test_no_answer_is_a_reason_to_try_again(aws_s3: "S3Client", call: str) -> None:
    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    aws_s3.meta.events.register("before-send.s3", unreachable)

    with pytest.raises(LedgerBusyError, match=f"did not answer about {KEY}: EndpointConnectionError"):
        CALLS[call][1](S3Documents("acme-landing", aws_s3))


def test_a_document_that_is_not_there_is_none(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    s3_stub.add_client_error("get_object", "NoSuchKey", "", 404)

    assert S3Documents("acme-landing", aws_s3).read(KEY) is None


def test_an_upload_that_has_ended_is_aborted_already(aws_s3: "S3Client", s3_stub: Stubber) -> None:
    s3_stub.add_client_error("abort_multipart_upload", "NoSuchUpload", "", 404)

    S3Documents("acme-landing", aws_s3).abort(KEY, "1")
