"""A vendor's HTTP server on the loopback interface: connections, framing, and replies that break on purpose.

One thread per connection. It ends with `stop`, which closes every connection it still has.
"""

import contextlib
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Literal, Protocol, Self
from urllib.parse import parse_qsl, urlsplit

_SLICE = 256 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Content(Protocol):
    """A body that need not be in memory."""

    def __hash__(self) -> int: ...

    @property
    def size(self) -> int: ...

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes from `start` up to `stop`, in pieces of any size."""
        ...


@dataclass(frozen=True)
class Bytes:
    """A body in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for at in range(start, stop, _SLICE):
            yield view[at : min(at + _SLICE, stop)]


@dataclass(frozen=True)
class Repeated:
    """A body of any size made of one block, repeated."""

    head: bytes
    block: bytes
    times: int

    @property
    def size(self) -> int:
        return len(self.head) + len(self.block) * self.times

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        yield from Bytes(self.head).chunks(start, min(stop, len(self.head)))
        block, at = memoryview(self.block), max(start - len(self.head), 0)
        end = max(stop - len(self.head), 0)
        while at < end:
            offset = at % len(block)
            piece = block[offset : offset + min(len(block) - offset, end - at)]
            yield piece
            at += len(piece)


@dataclass(frozen=True)
class Part:
    """A stretch of a body."""

    whole: Content
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        return self.whole.chunks(self.start + start, self.start + stop)


@dataclass(frozen=True)
class Request:
    """One call, read to its end. `path` is without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True)
class Delivery:
    """What goes wrong, or slow, while a reply is on its way."""

    delay_seconds: float = 0
    drop: bool = False
    reset: bool = False
    cut_after: int | None = None
    declare_whole: bool = True  # of a body cut short: announce the length it should have had
    flip_byte: int | None = None
    bytes_per_second: float | None = None


@dataclass(frozen=True)
class Reply:
    """An answer, and how it travels. A header that is None is left out."""

    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)
    content: Content = Bytes(b"")
    framing: Literal["length", "chunked", "close"] = "length"
    delivery: Delivery = Delivery()


class Exchange(Protocol):
    """One call as the log sees it.

    It hears of everything just before the client does, so that a test that has its answer finds it in the log.
    """

    def telling(self, status: int) -> None: ...
    def sending(self, size: int) -> None: ...
    def ended(self) -> None: ...


type Answer = Callable[[Request], tuple[Reply, Exchange | None]]


class LocalServer:
    """Serves `answer` on 127.0.0.1 from `start` to `stop`."""

    def __init__(self, answer: Answer, *, port: int = 0) -> None:
        self._answer = answer
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        server = _Server(("127.0.0.1", self._port), self._answer)
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.close_connections()
        self._server = None

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the server is not running: use it in a with statement, or call start() first")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


type _Accepted = socket.socket | tuple[bytes, socket.socket]  # a TCP server is given the former alone


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server's own class: it looks up the host's name when it binds, which may take seconds.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        self.answer = answer
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def process_request(self, request: _Accepted, client_address: object) -> None:
        with self._changed:
            if isinstance(request, socket.socket):
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Accepted) -> None:
        if isinstance(request, socket.socket) and _resets_on_close(request):
            request.close()  # a shutdown first would send the orderly end that a reset must not have
        else:
            super().shutdown_request(request)
        with self._changed:
            self._connections -= {request}
            self._changed.notify_all()

    def close_connections(self) -> None:
        """Wake every thread that waits on a client or for time to pass, and see them out."""
        self.stopping.set()
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, timeout=5)

    def handle_error(self, request: _Accepted, client_address: object) -> None:
        """Report what is our mistake; clients may hang up at will."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _resets_on_close(connection: socket.socket) -> bool:
    size = len(_RESET_ON_CLOSE)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size) == _RESET_ON_CLOSE


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _exchange(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client hung up in the middle of it: nobody has asked anything
            self.close_connection = True
            return
        target = urlsplit(self.path)
        request = Request(self.command, target.path, dict(parse_qsl(target.query)), self.headers, body)
        reply, exchange = self.server.answer(request)
        try:
            self._deliver(reply, exchange)
        except OSError:  # the client went away
            self.close_connection = True
        finally:
            if exchange:
                exchange.ended()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _exchange  # noqa: N815 - http.server's names

    def _deliver(self, reply: Reply, exchange: Exchange | None) -> None:
        """Send the reply as its delivery says."""
        how = reply.delivery
        if how.delay_seconds:
            self._pass(how.delay_seconds)
        if how.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if how.drop or (how.reset and how.cut_after is None):
            self.close_connection = True
            return
        if exchange:
            exchange.telling(reply.status)
        whole = reply.content.size
        stop = whole if how.cut_after is None else min(how.cut_after, whole)
        broken = stop < whole and how.declare_whole
        head = self._head(reply, whole if how.declare_whole else stop)
        self.close_connection = self.close_connection or broken or how.reset
        for piece in self._framed(reply, 0 if self.command == "HEAD" else stop, last_chunk=not broken):
            if exchange:
                exchange.sending(len(piece))
            self.wfile.write(head + piece if head else piece)
            head = b""
        if head:
            self.wfile.write(head)

    def _framed(self, reply: Reply, stop: int, *, last_chunk: bool) -> Iterator[bytes | memoryview]:
        if reply.framing != "chunked" or self.command == "HEAD":
            yield from self._pieces(reply, stop)
            return
        for piece in self._pieces(reply, stop):
            yield b"%x\r\n%b\r\n" % (len(piece), bytes(piece))
        if last_chunk:
            yield b"0\r\n\r\n"

    def _head(self, reply: Reply, length: int) -> bytes:
        headers: dict[str, str | None] = {"Date": formatdate(usegmt=True)}
        if reply.framing == "length":
            headers["Content-Length"] = str(length)
        elif reply.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        else:
            self.close_connection = True
        headers |= reply.headers
        if self.close_connection:
            headers["Connection"] = "close"
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {reply.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _pieces(self, reply: Reply, stop: int) -> Iterator[bytes | memoryview]:
        how, at = reply.delivery, 0
        flip = None if how.flip_byte is None else how.flip_byte % max(reply.content.size, 1)
        for chunk in reply.content.chunks(0, stop):
            piece: bytes | memoryview = chunk
            if flip is not None and at <= flip < at + len(chunk):
                flipped = bytearray(chunk)
                flipped[flip - at] ^= 0xFF
                piece = bytes(flipped)
            at += len(piece)
            if how.bytes_per_second:
                yield from self._slowly(piece, how.bytes_per_second)
            else:
                yield piece

    def _slowly(self, piece: bytes | memoryview, bytes_per_second: float) -> Iterator[bytes | memoryview]:
        step = max(int(bytes_per_second / 20), 1)
        for at in range(0, len(piece), step):
            part = piece[at : at + step]
            yield part
            self._pass(len(part) / bytes_per_second)

    def _pass(self, seconds: float) -> None:
        if self.server.stopping.wait(seconds):
            raise ConnectionAbortedError("the simulator is stopping")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Keep quiet: the call log is on the admin path, and standard output is the ready line's."""
