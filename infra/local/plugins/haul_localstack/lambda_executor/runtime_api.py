"""The Runtime API of one process: where it asks for work and says what came of it.

GET  /2018-06-01/runtime/invocation/next
POST /2018-06-01/runtime/invocation/<request id>/response    413 if it is too large
POST /2018-06-01/runtime/invocation/<request id>/error
POST /2018-06-01/runtime/init/error
"""

import queue
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .failures import InitFailedError, ResponseTooLargeError

# What AWS accepts: 6 MiB and 100 bytes, measured by its own runtime emulator.
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100

_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Invocation:
    """One request to a function."""

    request_id: str
    function_arn: str
    trace_id: str
    payload: bytes
    deadline_ms: int


@dataclass(frozen=True)
class Answer:
    """What the function said."""

    payload: bytes
    is_error: bool


@dataclass
class _Work:
    """The invocation at hand, and where its answer goes."""

    invocation: Invocation
    answer: Future[Answer] = field(default_factory=Future)


class RuntimeApi:
    """A server on a free port of this machine, for one process and one invocation at a time.

    `ready` is done when the process first asks for work, or fails with InitFailedError.
    """

    def __init__(self) -> None:
        self.ready: Future[None] = Future()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._current: _Work | None = None
        self._closing = False
        self._server = _Server(self)
        self._acceptor = threading.Thread(target=self._accept, name="lambda-runtime-api", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def offer(self, invocation: Invocation) -> Future[Answer]:
        """Hand `invocation` to the process as soon as it asks."""
        self._current = _Work(invocation)
        self._work.put(self._current)
        return self._current.answer

    def close(self) -> None:
        """Give back port and threads. The process must be gone: it would otherwise keep its connection open."""
        self._closing = True
        self._work.put(None)
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._server.server_port), timeout=1):
            pass  # wakes the acceptor, which waits without a timeout so as to cost nothing while idle
        self._acceptor.join()
        self._server.server_close()

    def _accept(self) -> None:
        while not self._closing:
            self._server.handle_request()

    def next(self) -> Invocation | None:
        """Wait for work. None: there will be no more."""
        if not self.ready.done():
            self.ready.set_result(None)
        work = self._work.get()
        return work.invocation if work else None

    def answered(self, request_id: str, payload: bytes, *, is_error: bool) -> bool:
        """Take the answer to the invocation at hand. False: it is too large."""
        work = self._current
        if work is None or work.invocation.request_id != request_id or work.answer.done():
            return True
        if len(payload) > RESPONSE_LIMIT:
            limit = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            work.answer.set_exception(ResponseTooLargeError(limit))
            return False
        work.answer.set_result(Answer(payload, is_error))
        return True

    def failed_to_start(self, payload: bytes) -> None:
        if not self.ready.done():
            self.ready.set_exception(InitFailedError(payload))


class _Server(ThreadingHTTPServer):
    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        self._connections: list[threading.Thread] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Unlike the base class: as daemons, so that they never keep LocalStack from ending, and yet to be joined.
        connection = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="lambda-runtime-api", daemon=True
        )
        self._connections.append(connection)
        connection.start()

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            connection.join(timeout=1)

    def handle_error(self, request: object, client_address: object) -> None:
        """A process that dies in the middle of an exchange is its sandbox's business; there is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != f"{_PREFIX}/invocation/next":
            return self._reply(404)
        invocation = self._api.next()
        if invocation is None:
            self.close_connection = True
            return None
        return self._reply(
            200,
            invocation.payload,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
            },
        )

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.removeprefix(_PREFIX).strip("/").split("/"):
            case ["init", "error"]:
                self._api.failed_to_start(payload)
                self._reply(202)
            case ["invocation", request_id, "response" | "error" as outcome]:
                taken = self._api.answered(request_id, payload, is_error=outcome == "error")
                self._reply(202 if taken else 413)
            case _:
                self._reply(404)

    @property
    def _api(self) -> RuntimeApi:
        assert isinstance(self.server, _Server)  # noqa: S101 - tells the type checker; only _Server makes handlers
        return self.server.api

    def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
