"""Opening a vendor's file: its raw bytes, and what goes wrong in our words.

Content coding is never undone. A vendor that stores `x.csv.gz` may serve it with `Content-Encoding: gzip`, and what
lands is what is stored; asking for `identity` could make such a server unpack it. Of a file that is stored as it is
read, `identity` is asked: a server that packs it on its way no longer tells its length. Messages name the file and
numbers: never a URL, a header or content, for a link is a capability and a row is customer data.

That a server honours byte ranges is never assumed. It has proved it when it answers 206 with exactly the range that
was asked for, of a file of the same size, under the same validator.
"""

import math
import re
import threading
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
    FileChangedError,
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


@dataclass(frozen=True)
class Version:
    """Which bytes a file consists of: its size, and a validator that the server changes with them."""

    size: int
    validator: str


class NotRangedError(Exception):
    """The server does not prove that it honours byte ranges. Never leaves the transfer."""


class Body:
    """The bytes of one file, or of a stretch of it, as they come in.

    Attributes:
        length: how many will come, None if the server does not say.
        framed: the end of the connection is not taken for the end of the file.
        received: how many came.
        version: the file's, where the server tells; `ranged` if it has proved to honour ranges of that.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        response: HTTPResponse,
        patience: Patience,
        *,
        length: int | None = None,
        version: Version | None = None,
        ranged: bool = False,
    ) -> None:
        self.name = name
        self.length = response.length if length is None else length
        self.framed = response.chunked or response.length is not None
        self.received = 0
        self.version = version
        self.ranged = ranged
        self._connection = connection
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

    def close(self) -> None:
        _close(self._connection, self._response)

    def _truncated(self, count: int, why: str = "") -> NoReturn:
        received = self.received + count
        of = "" if self.length is None else f" of {self.length:,}"
        raise TruncatedFileError(f"{self.name} ended after {received:,}{of} bytes{why}") from None


class Door:
    """One file at the vendor's, opened as often as it takes, from any thread.

    Its source is resolved once, and anew after 401, 403, 404 or 410: a token or a link may expire in the middle of a
    file, and what has come until then is not lost.

    Args:
        name: the file's name, for errors.
        open_source: resolves the file.
        network: where it may lead.
        patience: how long to wait.
        coding: what the server may do to the bytes. What it does is told by them, never by its reply.
        before_call: called before each request; a vendor may allow only so many a minute.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], DownloadSource],
        network: Network,
        patience: Patience,
        *,
        coding: Coding = "gzip",
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._open_source = open_source
        self._network = network
        self._patience = patience
        self._coding = coding
        self._before_call = before_call
        self._source: DownloadSource | None = None
        self._lock = threading.Lock()

    def whole(self, *, may_range: bool = True) -> Body:
        """Open the file from its beginning, so that the reply shows whether ranges of it may be asked for.

        Args:
            may_range: False where it is known that they may not.

        Raises:
            CredentialsRefusedError, MissingCapabilityError, ResultExpiredError: refused, twice where that could help.
            RateLimitedError, VendorUnavailableError: not now.
            UnsafeLinkError: the link leads where no vendor's file can be.
            RequestRejectedError, UnexpectedResponseError: anything else that is not a file.
        """
        if may_range and self._resolved().honours_range and (body := self._whole_by_range()):
            return body
        connection, response = self._got({})
        try:
            if response.status != HTTPStatus.OK:
                _refuse(self.name, response)
            return self._plain(connection, response)
        except BaseException:
            _close(connection, response)
            raise

    def stretch(self, start: int, stop: int, version: Version) -> Body:
        """Open the bytes from `start` up to `stop` of exactly this version, or fewer of them: see the body's length.

        Raises:
            FileChangedError: it is another version now.
            NotRangedError: the server does not honour the range.
            HaulError: as `whole` says.
        """
        connection, response = self._got({"Range": f"bytes={start}-{stop - 1}", "If-Range": version.validator})
        try:
            if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.RANGE_NOT_SATISFIABLE}:
                _refuse(self.name, response)
            self._require_unchanged(response, version)
            found = _content_range(response)
            if found is None or found.start != start or found.stop > stop or not _has_length(response, found):
                raise NotRangedError
            return Body(
                self.name, connection, response, self._patience, length=len(found), version=version, ranged=True
            )
        except BaseException:
            _close(connection, response)
            raise

    def _whole_by_range(self) -> Body | None:
        """Ask for all of it as a range; None where the answer is neither that nor the plain file."""
        connection, response = self._got({"Range": "bytes=0-"})
        try:
            if response.status == HTTPStatus.OK:
                return self._plain(connection, response)
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                found, size = _content_range(response), _size(response)
                validator = _validator(response.headers)
                fits = found is not None and size is not None and found.start == 0 and _has_length(response, found)
                if found and size and fits and (validator or len(found) == size):
                    version = Version(size, validator) if validator else None
                    return Body(
                        self.name,
                        connection,
                        response,
                        self._patience,
                        length=len(found),
                        version=version,
                        ranged=version is not None,
                    )
            elif response.status != HTTPStatus.RANGE_NOT_SATISFIABLE:
                _refuse(self.name, response)
        except BaseException:
            _close(connection, response)
            raise
        _close(connection, response)
        return None

    def _plain(self, connection: Connection, response: HTTPResponse) -> Body:
        validator = _validator(response.headers)
        version = Version(response.length, validator) if validator and response.length is not None else None
        return Body(self.name, connection, response, self._patience, version=version)

    def _require_unchanged(self, response: HTTPResponse, version: Version) -> None:
        size = response.length if response.status == HTTPStatus.OK else _size(response)
        kind = "ETag" if version.validator.startswith('"') else "Last-Modified"
        found = response.headers.get(kind)
        if found and found.startswith("W/"):
            found = None
        if (size is not None and size != version.size) or (found and found != version.validator):
            raise FileChangedError(f"{self.name} is another file now than when its download began")
        if found is None or response.status != HTTPStatus.PARTIAL_CONTENT:
            raise NotRangedError

    def _got(self, headers: Mapping[str, str]) -> tuple[Connection, HTTPResponse]:
        source = self._resolved()
        connection, response = self._get(source, headers)
        if response.status in _STALE:
            _close(connection, response)
            connection, response = self._get(self._resolved(instead_of=source), headers)
        return connection, response

    def _resolved(self, instead_of: DownloadSource | None = None) -> DownloadSource:
        with self._lock:
            if self._source is None or self._source is instead_of:
                self._source = self._open_source()
            return self._source

    def _get(self, source: DownloadSource, headers: Mapping[str, str]) -> tuple[Connection, HTTPResponse]:
        self._before_call()
        link = Link.parse(source.url, source.host)
        patience = self._patience
        for _ in range(MAX_REDIRECTS + 1):
            connection = Connection(link, self._network, connect_timeout=patience.connect, stall_timeout=patience.stall)
            try:
                credentials = source.headers if link.trusted else {}
                response = _exchange(
                    self.name, connection, link, {"Accept-Encoding": self._coding, **credentials, **headers}
                )
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    return connection, response
                _close(connection, response)
                link = link.join(location, source.host)
            except BaseException:
                connection.close()
                raise
        raise UnexpectedResponseError(f"{self.name}: the vendor redirects more than {MAX_REDIRECTS} times")


@contextmanager
def open_body(
    name: str,
    open_source: Callable[[], DownloadSource],
    network: Network,
    patience: Patience,
    *,
    coding: Coding = "gzip",
) -> Iterator[Body]:
    """Open a file that is read once; what it raises is what `Door.whole` does."""
    body = Door(name, open_source, network, patience, coding=coding).whole()
    try:
        yield body
    finally:
        body.close()


def _validator(headers: HTTPMessage) -> str | None:
    """What changes whenever the bytes do: a strong ETag, or a time of change that had passed when it was told."""
    etag = headers.get("ETag")
    if etag and re.fullmatch(r'"[^"]*"', etag):
        return etag
    changed, told = _seconds(headers.get("Last-Modified")), _seconds(headers.get("Date"))
    return headers.get("Last-Modified") if changed and told and told - changed >= 1 else None


def _seconds(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NO_RANGE = re.compile(r"bytes \*/(\d+)")


def _content_range(response: HTTPResponse) -> range | None:
    """Which bytes a reply says that it holds, None if it does not say so of one range in a file of known size."""
    told = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not told:
        return None
    first, last, size = map(int, told.groups())
    return range(first, last + 1) if first <= last < size else None


def _size(response: HTTPResponse) -> int | None:
    told = response.headers.get("Content-Range", "").strip()
    found = _RANGE.fullmatch(told) or _NO_RANGE.fullmatch(told)
    return int(found[found.lastindex or 1]) if found else None


def _has_length(response: HTTPResponse, expected: range) -> bool:
    return response.length is None or response.length == len(expected)


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
