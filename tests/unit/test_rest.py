"""One exchange and its failures, against real servers on the loopback interface."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Self

import pytest

from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.rest import Dialect, Rest, excerpt
from infra.local.vendors.server import Bytes, Delivery, LocalServer, Repeated, Reply, Request

DIALECT = Dialect("Acme")

type Answer = Callable[[Request], Reply]


class Server:
    """Answers with `reply`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.requests: list[Request] = []
        self.server = LocalServer(self._answer)

    def _answer(self, request: Request) -> tuple[Reply, None]:
        self.requests.append(request)
        return self.reply, None


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    with served.server:
        yield served


def rest(server: Server, *, timeout: tuple[float, float] = (1, 5), dialect: Dialect = DIALECT) -> Rest:
    return Rest(server.server.url, dialect, timeout=timeout)


def answer(status: int, body: str = "", kind: str = "application/json", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": kind, **named}, Bytes(body.encode()))


def failure(server: Server, reply: Reply) -> HaulError:
    server.reply = reply
    with pytest.raises(HaulError) as raised:
        rest(server).call("GET", "/jobs/1", hide=["s3cret"])
    return raised.value


def test_what_is_sent_is_what_was_given(server: Server) -> None:
    server.reply = answer(200, '{"id": 7}')

    reply = rest(server).call("POST", "/jobs", headers={"apikey": "k"}, body={"name": "é"})

    [request] = server.requests
    assert (request.method, request.path, request.headers["apikey"]) == ("POST", "/jobs", "k")
    assert request.headers["Content-Type"] == "application/json"
    assert reply.json() == {"id": 7}


def test_a_form_is_a_form(server: Server) -> None:
    rest(server).call("POST", "/token", form={"password": "a&b=c é"})

    [request] = server.requests
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.form() == {"password": "a&b=c é"}


def test_cookies_are_neither_kept_nor_sent_back(server: Server) -> None:
    """Stickiness to a vendor's node is of no use to us, and a session cookie would outlive its login."""
    caller = rest(server)
    server.reply = answer(200, "{}", Set_Cookie="session=abc; Path=/")
    caller.call("GET", "/a")

    caller.call("GET", "/b", headers={"Cookie": "mine=1"})

    assert server.requests[1].headers["Cookie"] == "mine=1"


def test_a_netrc_does_not_replace_our_credentials(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password x\n")
    monkeypatch.setenv("NETRC", str(netrc))

    rest(server).call("GET", "/", headers={"Authorization": "Bearer ours"})

    assert server.requests[0].headers["Authorization"] == "Bearer ours"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejectedError),
        (401, CredentialsRefusedError),
        (403, MissingCapabilityError),
        (404, RequestRejectedError),
        (406, RequestRejectedError),
        (409, RequestRejectedError),
        (429, RateLimitedError),
        (500, VendorUnavailableError),
        (501, RequestRejectedError),
        (502, VendorUnavailableError),
        (503, VendorUnavailableError),
        (504, VendorUnavailableError),
        (599, VendorUnavailableError),
        (302, UnexpectedResponseError),
        (304, UnexpectedResponseError),
    ],
)
def test_every_status_has_its_error(server: Server, status: int, kind: type[HaulError]) -> None:
    error = failure(server, answer(status, '{"message": "so it is"}'))

    assert type(error) is kind
    assert "Acme GET /jobs/1 answered" in str(error)


def test_a_status_that_the_caller_handles_is_a_reply(server: Server) -> None:
    server.reply = answer(404)

    assert rest(server).call("GET", "/", handled=(404,)).status == 404


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ('{"message": "no such job"}', "application/json", "no such job"),
        ('{"error": "invalid_grant"}', "application/json", "invalid_grant"),
        ('{"title": "Oops",\r\n "x": 1}', "application/json", "Oops"),
        ("<h1>Bad\r\n gateway</h1>", "text/html", "<h1>Bad gateway</h1>"),
        ('["s3cret", 1]', "application/json", "answered 400"),
        ('{"message": "not s3cret, please"}', "application/json", "not ***, please"),
        ("you said s3cret", "text/plain", "you said ***"),
        ("", "text/plain", "answered 400"),
    ],
)
def test_an_error_tells_what_the_vendor_said(server: Server, body: str, kind: str, told: str) -> None:
    error = failure(server, answer(400, body, kind))

    assert str(error).endswith(told)


def test_a_vendors_dialect_finds_text_and_advice(server: Server) -> None:
    dialect = Dialect("Acme", problem=lambda body: f"<{body['why']}>", advice={403: "ask for the role"})
    server.reply = answer(403, '{"why": "role"}')

    with pytest.raises(MissingCapabilityError, match=r"answered 403: <role>: ask for the role$"):
        rest(server, dialect=dialect).call("GET", "/")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_vendors_clock(
    server: Server, headers: dict[str, str], seconds: float | None
) -> None:
    error = failure(server, Reply(429, headers))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == seconds


def test_without_retry_after_the_dialect_knows_the_pause(server: Server) -> None:
    server.reply = Reply(429, {"X-Reset": "12"})

    with pytest.raises(RateLimitedError) as limited:
        rest(server, dialect=Dialect("Acme", pause=lambda headers: float(headers["X-Reset"]))).call("GET", "/")

    assert limited.value.retry_after == 12


def test_a_port_nobody_listens_on_got_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(VendorUnavailableError, match="nothing was sent") as refused:
        Rest(f"http://127.0.0.1:{port}", DIALECT).call("POST", "/jobs")

    assert not refused.value.sent


def test_a_name_that_does_not_resolve_got_nothing() -> None:
    with pytest.raises(VendorUnavailableError) as refused:
        Rest("http://vendor.invalid", DIALECT).call("POST", "/jobs")

    assert not refused.value.sent


def test_a_server_that_is_not_who_it_claims_got_nothing() -> None:
    """No TLS behind an https URL: the handshake fails before the request."""
    with Server().server as plain, pytest.raises(VendorUnavailableError):
        Rest(plain.url.replace("http:", "https:"), DIALECT, timeout=(1, 1)).call("POST", "/jobs")


@pytest.mark.parametrize(
    "delivery",
    [Delivery(drop=True), Delivery(reset=True), Delivery(delay_seconds=30), Delivery(cut_after=3)],
    ids=["hangs-up", "resets", "is-silent", "breaks-off"],
)
def test_an_answer_that_does_not_come_may_follow_work_done(server: Server, delivery: Delivery) -> None:
    server.reply = Reply(200, {}, Bytes(b'{"id": 7}'), delivery=delivery)

    with pytest.raises(VendorUnavailableError) as lost:
        rest(server, timeout=(1, 0.2)).call("POST", "/jobs")

    assert lost.value.sent
    assert len(server.requests) == 1


def test_a_header_that_cannot_be_sent_is_not_shown(server: Server) -> None:
    with pytest.raises(HaulError) as refused:
        rest(server).call("GET", "/", headers={"apikey": "s3cret\r\nX: y"})

    assert "s3cret" not in str(refused.value)
    assert server.requests == []


def test_a_peek_leaves_the_body_of_a_good_answer_alone(server: Server) -> None:
    server.reply = Reply(200, {}, Bytes(b"x" * 50_000_000), delivery=Delivery(bytes_per_second=1000))

    begun = time.monotonic()
    reply = rest(server).call("GET", "/file", peek=True)

    assert (reply.status, reply.body) == (200, b"")
    assert time.monotonic() - begun < 5


def test_a_peek_reads_what_an_error_says(server: Server) -> None:
    server.reply = answer(403, '{"message": "not yours"}')

    with pytest.raises(MissingCapabilityError, match="not yours"):
        rest(server).call("GET", "/file", peek=True)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("wanted", "read"), [(1, b"a"), (5, b"abcab"), (100, b"abc" * 10), (30, b"abc" * 10)])
def test_no_more_is_read_than_is_wanted(
    server: Server, framing: Literal["length", "chunked"], wanted: int, read: bytes
) -> None:
    server.reply = Reply(200, {}, Repeated(b"", b"abc", 10), framing)

    assert rest(server).call("GET", "/file", at_most=wanted).body == read


def test_connections_are_kept_unless_a_fresh_one_is_asked_for() -> None:
    with CountingServer() as counting:
        caller = Rest(counting.url, DIALECT, timeout=(1, 5))
        for _ in range(3):
            caller.call("GET", "/")
        kept = counting.connections
        caller.call("POST", "/jobs", fresh_connection=True)
        fresh = counting.connections - kept
        caller.call("GET", "/")

    assert (kept, fresh, counting.connections) == (1, 1, 2)


@pytest.mark.parametrize(
    ("text", "shown"), [("short", "short"), ("a\r\n\tb\x00c", "a b c"), ("x" * 300, "x" * 197 + "..."), ("  ", "")]
)
def test_an_excerpt_is_one_short_line(text: str, shown: str) -> None:
    assert excerpt(text) == shown


def test_json_is_read_as_such_or_refused(server: Server) -> None:
    server.reply = answer(200, base64.b64encode(b"\x00" * 999).decode(), "application/octet-stream")

    reply = rest(server).call("GET", "/")

    with pytest.raises(UnexpectedResponseError, match="application/octet-stream: AAAA") as unexpected:
        reply.json()
    assert len(str(unexpected.value)) < 300


class CountingServer:
    """Answers 204 on connections that it keeps, and counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
