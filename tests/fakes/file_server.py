"""A real HTTP server on 127.0.0.1 that serves files well and badly, as a test orders."""

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

type Framing = Literal["length", "chunked", "close"]
type Ending = Literal["clean", "cut", "reset", "stall"]


@dataclass
class Reply:
    """What one request gets.

    Attributes:
        body: bytes, or pieces that are made while they are sent.
        framing: how the end is told: by Content-Length, by chunks, or only by closing the connection.
        announced: the Content-Length, where it is not the body's.
        ending: how the connection ends after the body: `clean`, `cut` (closed without the last chunk), `reset`
            (as a crashed peer would), `stall` (nothing more comes until the client leaves).
        answer: makes the reply that is sent out of the request, in place of this one.
    """

    body: bytes | Callable[[], Iterable[bytes]] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "length"
    announced: int | None = None
    ending: Ending = "clean"
    before: Callable[[], None] = lambda: None
    answer: "Callable[[Request], Reply] | None" = None

    def pieces(self) -> Iterable[bytes]:
        return self.body() if callable(self.body) else [self.body]


@dataclass
class Request:
    path: str
    headers: dict[str, str]


class FileServer:
    """Answers a path with the replies put there, in order; the last is given again and again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._replies: dict[str, list[Reply]] = {}
        self.closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.files = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self._scheme}://{self.host}{path}"

    def put(self, path: str, *replies: Reply) -> str:
        self._replies[path] = list(replies)
        return self.url(path)

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def next(self, path: str) -> Reply:
        replies = self._replies.get(path.partition("?")[0], [Reply(status=404)])
        return replies.pop(0) if len(replies) > 1 else replies[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    files: FileServer

    def shutdown_request(self, request: Any) -> None:
        """Close without the FIN that comes first by default, or no reset could be ordered."""
        self.close_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        files = self.server.files
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()})
        files.requests.append(request)
        reply = files.next(self.path)
        reply = reply.answer(request) if reply.answer else reply
        reply.before()
        with contextlib.suppress(OSError):
            self._send(reply)
        self.close_connection = True

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.framing == "length":
            length = sum(map(len, reply.pieces())) if reply.announced is None else reply.announced
            self.send_header("Content-Length", str(length))
        self.end_headers()
        for piece in reply.pieces():
            self._write(piece, chunked=reply.framing == "chunked")
        self._end(reply)

    def _write(self, piece: bytes, *, chunked: bool) -> None:
        if not chunked:
            self.wfile.write(piece)
        elif piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _end(self, reply: Reply) -> None:
        if reply.ending == "clean" and reply.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        elif reply.ending == "reset":
            # Closing with a linger of zero sends RST. The makefile objects hold the socket open until then.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif reply.ending == "stall":
            while not self.server.files.closing.is_set():
                ready, _, _ = select.select([self.connection], [], [], 0.02)
                if ready and not self.connection.recv(1024):
                    return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing: a test reads `requests`."""


@contextlib.contextmanager
def file_server(tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = FileServer(tls)
    try:
        yield server
    finally:
        server.close()
