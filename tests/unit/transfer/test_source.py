"""Opening a file: statuses, redirects and links, against a real server on this machine."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest
import trustme

from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    UnsafeLinkError,
    VendorUnavailableError,
)
from haul.ports import DownloadSource
from haul.transfer.links import Network
from haul.transfer.source import Patience, open_body
from tests.fakes.file_server import FileServer, Reply, file_server
from tests.fakes.network import World

SECRET = {"Authorization": "Bearer s3cret", "apikey": "k3y"}
PUBLIC = "93.184.215.14"
BRIEF = Patience(connect=2, stall=0.3)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


def read(
    source: DownloadSource | Callable[[], DownloadSource], network: Network | None = None, patience: Patience = BRIEF
) -> bytes:
    sources = source if callable(source) else lambda: source
    with open_body("Employee.csv.gz", sources, network or Network(), patience) as body:
        data = bytearray()
        while count := body.readinto(memoryview(space := bytearray(1_000))):
            data += space[:count]
        return bytes(data)


def at(server: FileServer, path: str) -> DownloadSource:
    return DownloadSource(server.url(path), SECRET, server.host)


def test_bytes_come_as_they_are_stored_with_the_credentials_of_the_source(server: FileServer) -> None:
    stored = b"\x1f\x8bnot unpacked"
    server.put("/f", Reply(stored, headers={"Content-Encoding": "gzip"}))

    assert read(at(server, "/f")) == stored
    [request] = server.requests
    assert request.headers["apikey"] == "k3y"
    assert request.headers["host"] == server.host
    assert request.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejectedError),
        (401, CredentialsRefusedError),
        (403, MissingCapabilityError),
        (404, ResultExpiredError),
        (406, RequestRejectedError),
        (408, VendorUnavailableError),
        (410, ResultExpiredError),
        (416, RequestRejectedError),
        (429, RateLimitedError),
        (500, VendorUnavailableError),
        (501, RequestRejectedError),
        (502, VendorUnavailableError),
        (503, VendorUnavailableError),
        (504, VendorUnavailableError),
        (201, UnexpectedResponseError),
        (206, UnexpectedResponseError),
        (304, UnexpectedResponseError),
    ],
)
def test_a_status_is_told_under_its_own_name(server: FileServer, status: int, error: type[HaulError]) -> None:
    server.put("/f", Reply(b"s3cret page", status=status))

    with pytest.raises(error) as caught:
        read(at(server, "/f?signature=abc"))

    assert type(caught.value) is error
    said = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "Employee.csv.gz" in said
    assert not any(secret in said for secret in ("s3cret", "abc", "k3y", "/f"))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refused_source_is_asked_for_once_more(server: FileServer, status: int) -> None:
    """A token that expired, a link that ran out, a path that the vendor renamed: a fresh source cures them."""
    server.put("/old", Reply(status=status))
    server.put("/new", Reply(b"the file"))
    sources = iter([at(server, "/old"), at(server, "/new")])

    assert read(lambda: next(sources)) == b"the file"


@pytest.mark.parametrize(("status", "asked"), [(401, 2), (403, 2), (404, 2), (410, 2), (400, 1), (500, 1), (429, 1)])
def test_only_what_a_fresh_source_may_cure_is_tried_again(server: FileServer, status: int, asked: int) -> None:
    server.put("/f", Reply(status=status))

    with pytest.raises(HaulError):
        read(at(server, "/f"))

    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Remaining-Minute": "0"}, 60),
        ({"X-RateLimit-Remaining-Minute": "0", "X-RateLimit-Remaining-Hour": "0"}, 3600),
        ({"X-RateLimit-Remaining-Minute": "3", "X-RateLimit-Remaining-Hour": "900"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_the_vendor_asks_for_is_handed_on(
    server: FileServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.put("/f", Reply(status=429, headers=headers))

    with pytest.raises(RateLimitedError) as caught:
        read(at(server, "/f"))

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "header",
    [
        lambda: {"Retry-After": formatdate(time.time() + 90, usegmt=True)},
        lambda: {"X-RateLimit-Reset": f"{time.time() + 90:.0f}"},
    ],
)
def test_a_wait_may_be_told_as_a_time(server: FileServer, header: Callable[[], dict[str, str]]) -> None:
    server.put("/f", Reply(status=429, headers=header()))

    with pytest.raises(RateLimitedError) as caught:
        read(at(server, "/f"))

    assert caught.value.retry_after == pytest.approx(90, abs=30)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: FileServer, status: int) -> None:
    server.put("/f", Reply(status=status, headers={"Location": "/g"}))
    server.put("/g", Reply(b"the file"))

    assert read(at(server, "/f")) == b"the file"


def test_credentials_stay_with_the_trusted_host(server: FileServer) -> None:
    """To a store elsewhere and back home: only home sees them."""
    server.put("/f", Reply(status=302, headers={"Location": "https://store.example.net/moved"}))
    server.put("/moved", Reply(status=302, headers={"Location": server.url("/g")}))
    server.put("/g", Reply(b"the file"))
    world = World(server.port, {"127.0.0.1": [["127.0.0.1"]], "store.example.net": [[PUBLIC]]})

    assert read(at(server, "/f"), world) == b"the file"
    assert ["apikey" in request.headers for request in server.requests] == [True, False, True]
    assert server.requests[1].headers["host"] == "store.example.net"
    assert world.secured == ["store.example.net"]


def test_redirects_end(server: FileServer) -> None:
    server.put("/f", Reply(status=302, headers={"Location": "/f"}))

    with pytest.raises(UnexpectedResponseError, match="more than 5 times"):
        read(at(server, "/f"))

    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://169.254.169.254/latest/meta-data/iam/security-credentials/", "169.254.169.254:80 without TLS"),
        ("https://169.254.169.254/latest/meta-data/", "169.254.169.254:443, which is at a private address"),
        ("https://[::1]/admin", "at a private address"),
        ("https://2130706433/", "at a private address"),
        ("ftp://files.example.net/f", "not an http or https address"),
        ("https://:99999999/", "not an http or https address"),
    ],
)
def test_a_redirect_to_where_no_file_can_be_is_refused(server: FileServer, location: str, says: str) -> None:
    server.put("/f", Reply(status=302, headers={"Location": location}))

    with pytest.raises(UnsafeLinkError, match=says):
        read(at(server, "/f"))

    assert len(server.requests) == 1


@pytest.mark.parametrize("addresses", [["10.0.0.7"], [PUBLIC, "127.0.0.1"], ["fd00:ec2::254"]])
def test_a_public_name_of_a_private_address_is_refused(server: FileServer, addresses: list[str]) -> None:
    world = World(server.port, {"files.example.net": [addresses]})

    with pytest.raises(UnsafeLinkError, match=r"files.example.net:443, which is at a private address"):
        read(DownloadSource("https://files.example.net/f", {}, "acme.api.example.com:443"), world)

    assert world.connected == []


def test_what_was_checked_is_what_is_connected_to(server: FileServer) -> None:
    """A name that changes its address between two questions gets no second one."""
    server.put("/f", Reply(b"the file"))
    world = World(server.port, {"files.example.net": [[PUBLIC], ["127.0.0.1"]]})

    assert read(DownloadSource("https://files.example.net/f", {}, "acme.api.example.com:443"), world) == b"the file"
    assert world.connected == [PUBLIC]


def test_an_address_that_does_not_answer_gives_way_to_the_next(server: FileServer) -> None:
    server.put("/f", Reply(b"the file"))
    world = World(server.port, {"files.example.net": [["2606:4700::1111", PUBLIC]]}, unreachable={"2606:4700::1111"})

    assert read(DownloadSource("https://files.example.net/f", {}, "acme.api.example.com:443"), world) == b"the file"
    assert world.connected == ["2606:4700::1111", PUBLIC]


def test_a_name_without_an_address_was_never_sent_to(server: FileServer) -> None:
    with pytest.raises(VendorUnavailableError, match=r"gone.example.net has no address") as caught:
        read(DownloadSource("https://gone.example.net/f", {}, "gone.example.net:443"), World(server.port, {}))

    assert not caught.value.sent


def test_a_port_that_nobody_listens_at_was_never_sent_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(VendorUnavailableError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        read(DownloadSource(f"http://127.0.0.1:{port}/f", {}, f"127.0.0.1:{port}"))

    assert not caught.value.sent


def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(VendorUnavailableError, match="did not answer"):
            read(DownloadSource(f"http://{host}/f", {}, host))


def test_a_server_without_tls_where_tls_is_due_is_not_spoken_to(server: FileServer) -> None:
    """The trusted host may be private, but https stays https."""
    with pytest.raises(VendorUnavailableError, match="no TLS with"):
        read(DownloadSource(f"https://{server.host}/f", SECRET, server.host))

    assert server.requests == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Signs certificates; nobody knows it."""
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with file_server(context) as serving:
        serving.put("/f", Reply(b"the file"))
        yield serving


class Trusting(Network):
    """Trusts one authority more, and expects a certificate for `name`."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)
        self._name = name

    def secure(self, plain: socket.socket, host: str) -> socket.socket:  # noqa: ARG002  # as the test says
        return self._context.wrap_socket(plain, server_hostname=self._name)


def test_a_file_comes_over_tls(tls_server: FileServer, authority: trustme.CA) -> None:
    assert read(at(tls_server, "/f"), Trusting(authority, "127.0.0.1")) == b"the file"


def test_a_certificate_that_nobody_known_signed_is_not_taken(tls_server: FileServer) -> None:
    """Not even the trusted host's own."""
    with pytest.raises(VendorUnavailableError, match=r"of 127.0.0.1:.* is not valid: unable to get") as caught:
        read(at(tls_server, "/f"))

    assert not caught.value.sent
    assert tls_server.requests == []


def test_a_certificate_for_another_name_is_not_taken(tls_server: FileServer, authority: trustme.CA) -> None:
    with pytest.raises(VendorUnavailableError, match="is not valid"):
        read(at(tls_server, "/f"), Trusting(authority, "files.example.net"))

    assert tls_server.requests == []


def test_sources_do_not_show_themselves(server: FileServer) -> None:
    assert "s3cret" not in repr(at(server, "/f?signature=abc"))
    assert "abc" not in repr(at(server, "/f?signature=abc"))
