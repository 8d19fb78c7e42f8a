"""Streaming a part to S3: signed in its header, the checksum sent last, nothing buffered.

The body is aws-chunked with an unsigned payload, so it may be sent while it comes in. Each chunk is framed where it
lies: its length is written before it and its end behind it, in the one buffer that is used again and again.
"""

import base64
import contextlib
import http.client
import os
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, urlsplit

from awscrt.checksums import crc64nvme
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from haul.errors import HaulError, LandingNotWritableError, LedgerBusyError
from haul.ports import Part, UploadEndedError

_CHUNK = 256 << 10
_HEAD = 16
_PAYLOAD = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_TRAILER = "x-amz-checksum-crc64nvme"
_TRAILER_BYTES = len(f"0\r\n{_TRAILER}:{'A' * 12}\r\n\r\n")
_ANSWER_SECONDS = 60
_EARLY_ANSWER_SECONDS = 1
_IDLE_SECONDS = 5.0
"""S3 hangs up on a connection that nobody uses, and a part that is sent on it would have to be fetched again."""


@dataclass(frozen=True)
class Refused:
    """What S3 answered in place of taking a part."""

    status: int
    code: str


class S3PartSender:
    """A `haul.ports.PartSender`: one connection that is used for part after part.

    Args:
        words: says in our words why S3 refuses a part of a key.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        *,
        credentials: Callable[[], Credentials | None],
        words: Callable[[Refused, str], HaulError],
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/{bucket}"
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        self._words = words
        self._buffer = memoryview(bytearray(_HEAD + _CHUNK + 2))
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def send(self, key: str, upload_id: str, number: int, *, length: int, fill: Callable[[memoryview], None]) -> Part:
        size = min(_CHUNK, length)
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self.close()
        fill(self._space(size))  # before anything is sent: S3 does not wait long for bytes that the vendor has not sent
        try:
            checksum = self._stream(self._signed(key, upload_id, number, length), length, size, fill)
            refused, etag = self._answer()
        except (OSError, http.client.HTTPException) as error:
            refused = self._early_answer()
            self.close()
            if refused is None:
                raise LedgerBusyError(f"S3 did not answer about {key}: {type(error).__name__}") from None
        except BaseException:
            self.close()
            raise
        self._used_at = time.monotonic()
        if refused is None:
            return Part(number=number, etag=etag, bytes=length, checksum=checksum)
        self.close()
        if refused.code == "NoSuchUpload":
            raise UploadEndedError
        raise self._words(refused, key)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _signed(self, key: str, upload_id: str, number: int, length: int) -> AWSRequest:
        query = f"partNumber={number}&uploadId={quote(upload_id, safe='')}"
        url = f"{self._url}/{quote(key, safe='/')}?{query}"
        request = AWSRequest(
            "PUT",
            url,
            headers={
                "Host": urlsplit(url).netloc,
                "Content-Encoding": "aws-chunked",
                "X-Amz-Content-SHA256": _PAYLOAD,
                "X-Amz-Decoded-Content-Length": str(length),
                "X-Amz-Sdk-Checksum-Algorithm": "CRC64NVME",
                "X-Amz-Trailer": _TRAILER,
            },
        )
        credentials = self._credentials()
        if credentials is None:
            raise LandingNotWritableError(f"s3://{self._bucket}/ cannot be written: there are no AWS credentials")
        _Auth(credentials, "s3", self._region).add_auth(request)
        return request

    def _stream(self, request: AWSRequest, length: int, size: int, fill: Callable[[memoryview], None]) -> str:
        """Send the part, of which the first `size` bytes are in the buffer; its checksum."""
        connection = self._connected()
        target = urlsplit(str(request.url))
        connection.putrequest("PUT", f"{target.path}?{target.query}", skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(framed(length)))
        connection.endheaders()
        checksum, sent = 0, 0
        while True:
            checksum = crc64nvme(self._space(size), checksum)
            connection.send(self._chunk(size))
            sent += size
            if sent == length:
                break
            size = min(_CHUNK, length - sent)
            fill(self._space(size))
        encoded = base64.b64encode(checksum.to_bytes(8)).decode()
        connection.send(f"0\r\n{_TRAILER}:{encoded}\r\n\r\n".encode())
        return encoded

    def _space(self, size: int) -> memoryview:
        return self._buffer[_HEAD : _HEAD + size]

    def _chunk(self, size: int) -> memoryview:
        """The space with what comes before and after it on the wire."""
        head = b"%x\r\n" % size
        self._buffer[_HEAD - len(head) : _HEAD] = head
        self._buffer[_HEAD + size : _HEAD + size + 2] = b"\r\n"
        return self._buffer[_HEAD - len(head) : _HEAD + size + 2]

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            target = urlsplit(self._url)
            self._connection = (
                http.client.HTTPSConnection(target.netloc, timeout=_ANSWER_SECONDS, context=_tls())
                if target.scheme == "https"
                else http.client.HTTPConnection(target.netloc, timeout=_ANSWER_SECONDS)
            )
        return self._connection

    def _answer(self) -> tuple[Refused | None, str]:
        response = self._connected().getresponse()
        body = response.read()
        if response.status == http.HTTPStatus.OK:
            return None, response.headers.get("ETag", "")
        code = re.search(rb"<Code>(\w+)</Code>", body)
        return Refused(response.status, code[1].decode() if code else str(response.status)), ""

    def _early_answer(self) -> Refused | None:
        """S3 may have answered before it had all, and hung up."""
        sock = self._connection.sock if self._connection else None
        with contextlib.suppress(OSError, http.client.HTTPException):
            if sock is not None:
                sock.settimeout(_EARLY_ANSWER_SECONDS)
                return self._answer()[0]
        return None


def framed(length: int) -> int:
    """How long a part is on the wire, in its chunks and with its trailer."""
    whole, rest = divmod(length, _CHUNK)
    return whole * _framed_chunk(_CHUNK) + (_framed_chunk(rest) if rest else 0) + _TRAILER_BYTES


def _framed_chunk(size: int) -> int:
    return len(b"%x\r\n" % size) + size + 2


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


class _Auth(S3SigV4Auth):
    """Signs the headers and says of the payload that it is not signed and has a trailer."""

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002 - botocore's signature
        return _PAYLOAD

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        # Without what S3's own signer puts in between: the hash of a payload that is not there yet.
        SigV4Auth._modify_request_before_signing(self, request)  # type: ignore[attr-defined]  # noqa: SLF001
