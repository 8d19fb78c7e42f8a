"""A form with files, as a server reads it that knows nothing of ours."""

import socket
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import SourceGoneError, SourceTooSlowError, VendorUnavailableError
from haul.multipart import File, Multipart, Part, TextSource
from haul.rest import Dialect, Rest
from infra.local.vendors.forms import multipart
from infra.local.vendors.server import Bytes, LocalServer, Reply, Request


@dataclass
class Pieces:
    """A source of these chunks, `size` bytes by its own account."""

    pieces: list[bytes]
    name: str = "attendees.csv"
    said: int | None = None
    reads: int = field(default=0, init=False)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces)) if self.said is None else self.said

    def chunks(self) -> Iterator[bytes]:
        self.reads += 1
        yield from self.pieces


def request_of(body: Multipart) -> Request:
    headers = Message()
    headers["Content-Type"] = body.content_type
    return Request("POST", "/", {}, headers, b"".join(body))


@pytest.fixture
def server() -> Iterator["Server"]:
    served = Server()
    with served.server:
        yield served


class Server:
    """Keeps what it was asked, and answers as told."""

    def __init__(self) -> None:
        self.reply = Reply(200, {}, Bytes(b"{}"))
        self.requests: list[Request] = []
        self.server = LocalServer(self._answer)

    def _answer(self, request: Request) -> tuple[Reply, None]:
        self.requests.append(request)
        return self.reply, None

    def rest(self) -> Rest:
        return Rest(self.server.url, Dialect("Acme"), timeout=(1, 5))


def test_fields_and_files_arrive_as_they_were_given_with_the_headers_of_each(server: Server) -> None:
    attendees = Pieces([b"id,name\r\n", b"", b"1,N\xc3\xba\xc3\xb1ez\r\n"])
    parts: list[Part] = [
        ("jobName", 'Núñez\'s "job"'),
        ("merge", "True"),
        ("template", File(TextSource("template.vm", "$item.id,é"), "text/plain")),
        ("file", File(attendees, "plain/text", {"Expires": "0"})),
    ]
    body = Multipart(parts)

    server.rest().call("POST", "/import", upload=body)

    [request] = server.requests
    form = multipart(request)
    assert request.headers["Content-Length"] == str(len(body)) == str(len(request.body))
    assert "Transfer-Encoding" not in request.headers
    assert form.fields == {"jobName": 'Núñez\'s "job"', "merge": "True"}
    assert form.files["template"].data.decode() == "$item.id,é"
    assert form.files["file"].data == b"id,name\r\n1,N\xc3\xba\xc3\xb1ez\r\n"
    assert form.files["file"].name == "attendees.csv"
    assert form.files["file"].headers["Expires"] == "0"
    assert form.files["file"].headers["Content-Type"] == "plain/text"
    assert "Expires" not in form.files["template"].headers
    assert body.sent_whole


@given(st.lists(st.binary(max_size=200), max_size=5), st.text(max_size=50))
def test_the_length_is_told_exactly_whatever_is_in_it(pieces: list[bytes], text: str) -> None:
    body = Multipart([("text", text), ("one", File(Pieces(pieces), "a/b")), ("two", File(Pieces(pieces[:1]), "a/b"))])

    sent = b"".join(body)

    assert len(sent) == len(body)
    assert multipart(request_of(body)).files["one"].data == b"".join(pieces)


def test_a_name_cannot_write_headers_of_its_own() -> None:
    body = Multipart([("file", File(Pieces([b"x"], name='a"\r\nX-Evil: 1\r\n\r\n.csv'), "text/csv"))])

    part = multipart(request_of(body)).files["file"]

    assert "X-Evil" not in part.headers
    assert part.data == b"x"


@pytest.mark.parametrize("said", [3, 5, 0])
def test_a_file_of_another_length_than_it_said_is_not_sent_whole(server: Server, said: int) -> None:
    body = Multipart([("file", File(Pieces([b"ab", b"cd"], said=said), "text/csv"))])

    with pytest.raises(SourceGoneError, match=r"attendees\.csv"):
        server.rest().call("POST", "/import", upload=body)

    assert not body.sent_whole


def test_a_file_that_its_source_breaks_off_is_not_sent_whole(server: Server) -> None:
    class Late(Pieces):
        def chunks(self) -> Iterator[bytes]:
            yield b"ab"
            raise SourceTooSlowError("attendees.csv: the invocation's time ends")

    body = Multipart([("file", File(Late([], said=4), "text/csv"))])

    with pytest.raises(SourceTooSlowError):
        server.rest().call("POST", "/import", upload=body)

    assert not body.sent_whole
    assert server.requests == []


def test_it_can_be_sent_again_from_the_begin(server: Server) -> None:
    source = Pieces([b"ab", b"cd"])
    body = Multipart([("file", File(source, "text/csv"))])

    for _ in range(2):
        server.rest().call("POST", "/import", upload=body)

    first, second = server.requests
    assert first.body == second.body
    assert source.reads == 2


def test_a_large_file_is_sent_in_pieces_that_a_slow_line_can_carry() -> None:
    body = Multipart([("file", File(Pieces([bytes(10 << 20)]), "text/csv"))])

    assert max(len(piece) for piece in body) <= 64 << 10


def test_memory_does_not_grow_with_the_file() -> None:
    class Long:
        name, size = "long.csv", 200 << 20

        def chunks(self) -> Iterator[bytes]:
            for _ in range(200):
                yield bytes(1 << 20)

    body = Multipart([("file", File(Long(), "text/csv"))])
    tracemalloc.start()

    length = sum(len(piece) for piece in body)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == len(body)
    assert peak < 4 << 20


def test_an_upload_that_broke_off_is_not_in_doubt() -> None:
    """The other end takes a little and goes away: no server makes a job of half a form."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        class Leaving(Pieces):
            def chunks(self) -> Iterator[bytes]:
                yield b"x" * (1 << 20)
                accepted, _ = listener.accept()
                accepted.recv(100)
                accepted.close()
                for _ in range(63):
                    yield b"x" * (1 << 20)

        body = Multipart([("file", File(Leaving([], said=64 << 20), "text/csv"))])
        rest = Rest(f"http://127.0.0.1:{listener.getsockname()[1]}", Dialect("Acme"), timeout=(1, 5))

        with pytest.raises(VendorUnavailableError) as broken:
            rest.call("POST", "/import", upload=body)

    assert not broken.value.sent


def test_a_server_that_takes_its_time_for_a_piece_gets_the_next_one_all_the_same() -> None:
    """It reads nothing for longer than a connection may take to be made."""
    paused = threading.Event()

    def serve(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with accepted, accepted.makefile("rb") as stream:
            paused.wait(1)
            head = dict(line.split(b": ") for line in iter(stream.readline, b"\r\n") if b": " in line)
            left = int(head[b"Content-Length"])
            while left and (piece := stream.read(min(left, 1 << 20))):
                left -= len(piece)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        rest = Rest(f"http://127.0.0.1:{listener.getsockname()[1]}", Dialect("Acme"), timeout=(0.2, 30))

        reply = rest.call("POST", "/import", upload=Multipart([("file", File(Pieces([bytes(64 << 20)]), "text/csv"))]))

        thread.join()
    assert reply.json() == {}


@pytest.mark.parametrize("status", [500, 503])
def test_an_upload_that_was_sent_whole_and_met_a_servers_error_is_in_doubt(server: Server, status: int) -> None:
    server.reply = Reply(status)

    with pytest.raises(VendorUnavailableError) as answered:
        server.rest().call("POST", "/import", upload=Multipart([("file", File(Pieces([b"x"]), "text/csv"))]))

    assert answered.value.sent
