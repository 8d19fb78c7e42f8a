"""What a streamed part looks like on the wire, and what becomes of one that S3 does not take.

That S3 itself takes them is shown on LocalStack, in tests/contract.
"""

import base64
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, cast

import pytest
from awscrt.checksums import crc64nvme
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from haul.adapters.parts import Refused, S3PartSender, framed
from haul.errors import HaulError, LandingNotWritableError, LedgerBusyError, TruncatedFileError
from haul.ports import UploadEndedError

KEY = "raw/people/run_id=r1/a b.csv.gz"
OK = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n'


def refusing(status: int, code: str, *, hang_up: bool = False) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>secret words</Message></Error>"
    close = "Connection: close\r\n" if hang_up else ""
    return f"HTTP/1.1 {status} No\r\n{close}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Peer:
    """The other end of a connection: keeps what came and answers when a part is over, or before."""

    def __init__(self, *answers: bytes, early: bool = False) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._early = early
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        with socket.create_connection(self._listening.getsockname()):
            self._answers.clear()
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._listening.accept()
            with connection, connection.makefile("rb") as incoming:
                self.connections += 1
                while self._answers and (head := b"".join(_lines(cast("BinaryIO", incoming)))):
                    self.heads.append(head.decode())
                    length = re.search(rb"\r\nContent-Length: (\d+)", head)
                    if self._early:
                        connection.sendall(self._answers.pop(0))
                        break
                    body = incoming.read(int(length[1]) if length else 0)
                    if length and len(body) < int(length[1]):
                        break
                    self.bodies.append(body)
                    connection.sendall(self._answers.pop(0))


def _lines(incoming: BinaryIO) -> Iterator[bytes]:
    """Those of a request's head; none once the other side has gone."""
    while (line := incoming.readline()).strip():
        yield line


@contextmanager
def peer(*answers: bytes, early: bool = False) -> Iterator[Peer]:
    made = Peer(*answers, early=early)
    try:
        yield made
    finally:
        made.close()


def words(refused: Refused, key: str) -> HaulError:
    return LandingNotWritableError(f"{key} {refused.status} {refused.code}")


@contextmanager
def sender(url: str) -> Iterator[S3PartSender]:
    known = Credentials("AKID", "s3cret", "t0ken")
    with closing(S3PartSender(url, "landing", "eu-west-1", credentials=lambda: known, words=words)) as made:
        yield made


def pouring(data: bytes) -> Callable[[memoryview], None]:
    rest = memoryview(data)

    def fill(space: memoryview) -> None:
        nonlocal rest
        space[:], rest = rest[: len(space)], rest[len(space) :]

    return fill


@pytest.mark.parametrize("size", [1, 262_144, 262_145, 700_000])
def test_a_part_comes_in_chunks_with_its_checksum_behind_them(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    checksum = base64.b64encode(crc64nvme(data).to_bytes(8, "big")).decode()

    with peer(OK) as s3, sender(s3.url) as sending:
        part = sending.send(KEY, "up/1", 7, length=size, fill=pouring(data))

    [head], [body] = s3.heads, s3.bodies
    assert (part.number, part.etag, part.bytes, part.checksum) == (7, '"1"', size, checksum)
    assert head.startswith("PUT /landing/raw/people/run_id%3Dr1/a%20b.csv.gz?partNumber=7&uploadId=up%2F1 HTTP/1.1")
    assert f"X-Amz-Decoded-Content-Length: {size}\r\n" in head
    assert "X-Amz-Security-Token: t0ken\r\n" in head
    assert re.search(r"Authorization: AWS4-HMAC-SHA256 Credential=AKID/\d+/eu-west-1/s3/aws4_request", head)
    assert unframed(body) == (data, f"x-amz-checksum-crc64nvme:{checksum}")


def unframed(body: bytes) -> tuple[bytes, str]:
    data = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return data, body.decode().strip()
        data += body[: int(size, 16)]
        assert body[int(size, 16) :][:2] == b"\r\n"
        body = body[int(size, 16) + 2 :]


@given(st.integers(1, 10 << 20))
def test_the_length_on_the_wire_is_known_beforehand(length: int) -> None:
    whole, rest = divmod(length, 256 << 10)

    trailer = len("0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n")

    assert framed(length) == length + whole * len("40000\r\n\r\n") + (len(f"{rest:x}\r\n\r\n") if rest else 0) + trailer


def test_one_connection_serves_part_after_part() -> None:
    with peer(OK, OK, OK) as s3, sender(s3.url) as sending:
        for number in range(1, 4):
            sending.send(KEY, "u", number, length=3, fill=pouring(b"abc"))

    assert len(s3.bodies) == 3
    assert s3.connections == 1


def test_what_s3_refuses_is_said_in_our_words_and_the_next_part_gets_a_new_connection() -> None:
    with peer(refusing(403, "AccessDenied"), OK) as s3, sender(s3.url) as sending:
        with pytest.raises(LandingNotWritableError, match="403 AccessDenied") as caught:
            sending.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))
        part = sending.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))

    assert part.number == 1
    assert s3.connections == 2
    assert "secret words" not in str(caught.value)


def test_an_upload_that_has_ended_is_told_apart() -> None:
    with peer(refusing(404, "NoSuchUpload")) as s3, sender(s3.url) as sending, pytest.raises(UploadEndedError):
        sending.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))


def test_an_answer_that_comes_before_the_end_of_the_part_is_heard() -> None:
    """S3 says 503 and hangs up as soon as it knows."""
    early = peer(refusing(503, "SlowDown", hang_up=True), early=True)
    with early as s3, sender(s3.url) as sending, pytest.raises((LandingNotWritableError, LedgerBusyError)):
        sending.send(KEY, "u", 1, length=64 << 20, fill=lambda _: None)


def test_nobody_there_is_a_reason_to_try_again() -> None:
    with peer(OK) as s3:
        url = s3.url

    with sender(url) as sending, pytest.raises(LedgerBusyError, match="S3 did not answer about raw/people"):
        sending.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))


def test_a_part_that_its_source_breaks_off_ends_the_connection() -> None:
    """S3 must not take what comes next for the rest of it."""
    breaks = iter([False, False, True])

    def fill(_: memoryview) -> None:
        if next(breaks):
            raise TruncatedFileError("the vendor hung up")

    with peer(OK) as s3, sender(s3.url) as sending:
        with pytest.raises(TruncatedFileError):
            sending.send(KEY, "u", 1, length=1 << 20, fill=fill)
        sending.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))

    assert s3.connections == 2


def test_without_credentials_nothing_is_sent() -> None:
    nobody = S3PartSender("http://127.0.0.1:1", "landing", "eu-west-1", credentials=lambda: None, words=words)

    with pytest.raises(LandingNotWritableError, match="no AWS credentials"):
        nobody.send(KEY, "u", 1, length=3, fill=pouring(b"abc"))
