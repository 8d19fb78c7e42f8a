"""Opening a vendor's file: its raw bytes, and what goes wrong in our words.

Content coding is never undone. A vendor that stores `x.csv.gz` may serve it with `Content-Encoding: gzip`, and what
lands is what is stored; asking for `identity` could make such a server unpack it. Of a file that is stored as it is
read, `identity` is asked: a server that packs it on its way no longer tells its length. Messages name the file and
numbers: never a URL, a header or content, for a link is a capability and a row is customer data.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Literal, NoReturn

from haul.errors import (
    CredentialsRefusedError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    ResultExpiredError,
    TruncatedFileError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.ports import DownloadSource
from haul.transfer.links import Connection, Link, Network

type Coding = Literal["gzip", "identity"]

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_STALE = {401, 403, 404, 410}
"""Statuses that a source with fresh credentials, a fresh link or a vendor's other path may cure."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a connection, and for the next byte on it: seconds."""

    connect: float = 10.0
    stall: float = 60.0


class Body:
    """The bytes of one file as they come in. `length` is what the server announced, None if it did not."""

    def __init__(self, name: str, response: HTTPResponse, patience: Patience) -> None:
        self.name = name
        self.length = response.length
        self.framed = response.chunked or response.length is not None
        self.received = 0
        self._response = response
        self._patience = patience

    def readinto(self, space: memoryview) -> int:
        """Fill `space`, with less only at the end of the file, and say how many bytes came.

        Raises:
            TruncatedFileError: the connection ended before the file did.
        """
        count = 0
        try:
            # A chunked body may come in less than what fits, without having ended.
            while count < len(space) and (more := self._response.readinto(space[count:])):
                count += more
        except TimeoutError:
            self._truncated(count, f": nothing came for {self._patience.stall:g} s")
        except HTTPException:
            self._truncated(count, ", inside a chunk")
        except OSError as error:
            self._truncated(count, f": {error.strerror or type(error).__name__}")
        self.received += count
        if count < len(space) and self.length is not None and self.received < self.length:
            self._truncated(0)
        return count

    def _truncated(self, count: int, why: str = "") -> NoReturn:
        received = self.received + count
        of = "" if self.length is None else f" of {self.length:,}"
        raise TruncatedFileError(f"{self.name} ended after {received:,}{of} bytes{why}") from None


@contextmanager
def open_body(
    name: str,
    open_source: Callable[[], DownloadSource],
    network: Network,
    patience: Patience,
    *,
    coding: Coding = "gzip",
) -> Iterator[Body]:
    """Open a file; after 401, 403, 404 or 410 once more, with a fresh source.

    Args:
        name: the file's name, for errors.
        open_source: resolves the file.
        network: where it may lead.
        patience: how long to wait.
        coding: what the server may do to the bytes. What it does is told by them, never by its reply.

    Raises:
        CredentialsRefusedError, MissingCapabilityError, ResultExpiredError: refused, twice where that could help.
        RateLimitedError, VendorUnavailableError: not now.
        UnsafeLinkError: the link leads where no vendor's file can be.
        RequestRejectedError, UnexpectedResponseError: anything else that is not a file.
    """
    connection, response = _get(name, open_source(), network, patience, coding)
    if response.status in _STALE:
        _close(connection, response)
        connection, response = _get(name, open_source(), network, patience, coding)
    try:
        if response.status != HTTPStatus.OK:
            _refuse(name, response)
        yield Body(name, response, patience)
    finally:
        _close(connection, response)


def _get(
    name: str, source: DownloadSource, network: Network, patience: Patience, coding: Coding
) -> tuple[Connection, HTTPResponse]:
    link = Link.parse(source.url, source.host)
    for _ in range(MAX_REDIRECTS + 1):
        connection = Connection(link, network, connect_timeout=patience.connect, stall_timeout=patience.stall)
        try:
            response = _exchange(
                name, connection, link, {"Accept-Encoding": coding, **(source.headers if link.trusted else {})}
            )
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return connection, response
            _close(connection, response)
            link = link.join(location, source.host)
        except BaseException:
            connection.close()
            raise
    raise UnexpectedResponseError(f"{name}: the vendor redirects more than {MAX_REDIRECTS} times")


def _exchange(name: str, connection: Connection, link: Link, headers: Mapping[str, str]) -> HTTPResponse:
    try:
        connection.request(
            "GET",
            link.target,
            headers={
                "Accept": "*/*",
                "User-Agent": "haul",
                "Connection": "close",
                **headers,
            },
        )
        return connection.getresponse()
    except TimeoutError:
        raise VendorUnavailableError(f"{name}: {link.name} did not answer") from None
    except (OSError, HTTPException) as error:
        raise VendorUnavailableError(f"{name}: {link.name} did not answer: {type(error).__name__}") from None


def _close(connection: Connection, response: HTTPResponse) -> None:
    response.close()
    connection.close()


def _refuse(name: str, response: HTTPResponse) -> NoReturn:
    status = response.status
    match status:
        case HTTPStatus.UNAUTHORIZED:
            raise CredentialsRefusedError(f"{name}: the vendor refuses the credentials (401), also fresh ones")
        case HTTPStatus.FORBIDDEN:
            raise MissingCapabilityError(f"{name}: the credentials may not download this file (403)")
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            raise ResultExpiredError(f"{name}: the vendor no longer has this file ({status})")
        case HTTPStatus.TOO_MANY_REQUESTS:
            raise RateLimitedError(
                f"{name}: the vendor asked us to slow down (429)", retry_after=retry_after(response.headers)
            )
        case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.TOO_EARLY:
            raise VendorUnavailableError(f"{name}: the vendor answered {status}")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED:
            raise VendorUnavailableError(f"{name}: the vendor answered {status}")
        case _ if status >= HTTPStatus.BAD_REQUEST:
            raise RequestRejectedError(f"{name}: the vendor refuses this download ({status})")
        case _:
            raise UnexpectedResponseError(f"{name}: the vendor answered {status} in place of a file")


def retry_after(headers: HTTPMessage) -> float | None:
    """How many seconds the vendor asks us to wait, by Retry-After or by a rate limit that is used up.

    A limit's reset is a number of seconds or, where it is large, a time in epoch seconds.
    """
    asked = headers.get("Retry-After")
    if asked is not None:
        if (seconds := _number(asked)) is not None:
            return max(0.0, seconds)
        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except ValueError:
            pass
    if (reset := _number(headers.get("X-RateLimit-Reset"))) is not None:
        return max(0.0, reset - time.time() if reset > 1e9 else reset)
    if _number(headers.get("X-RateLimit-Remaining-Hour")) == 0:
        return 3600.0
    return 60.0 if _number(headers.get("X-RateLimit-Remaining-Minute")) == 0 else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
