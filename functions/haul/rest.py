"""One HTTP exchange with a vendor's API, and its failures in our words.

Nothing is tried twice and no redirect is followed: a session's credentials go to the host they are for and to no
other. Errors name the vendor, the call and what the vendor said about it; never a header, a form or a query.
"""

import json
import re
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.multipart import Multipart

CONNECT_SECONDS = 10
READ_SECONDS = 60
_ERROR_BODY_BYTES = 8192
_EXCERPT = 200
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def problem_by_name(body: Any) -> str | None:
    """Read an error's text where a vendor keeps it under a usual name."""
    if not isinstance(body, Mapping):
        return None
    text = next((body[name] for name in ("message", "error_description", "title", "error") if body.get(name)), None)
    return str(text) if text else None


@dataclass(frozen=True)
class Dialect:
    """What is a vendor's own about its errors.

    Attributes:
        vendor: its name, as people write it.
        problem: finds the vendor's text in the JSON body of an error.
        pause: seconds to wait after a 429 without Retry-After, from its headers.
        advice: what to do about a status, for the end of the message.
    """

    vendor: str
    problem: Callable[[Any], str | None] = problem_by_name
    pause: Callable[[Mapping[str, str]], float | None] = lambda _: None
    advice: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end. `hide` are the secrets to strike out before any of it is shown."""

    what: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    hide: tuple[str, ...] = field(default=(), repr=False)

    def json(self) -> Any:
        """Read the body as JSON.

        Raises:
            UnexpectedResponseError: it is something else, such as a proxy's or a login page.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("Content-Type", "no content type").partition(";")[0]
            # What begins as JSON is the vendor's data; what does not is somebody's page, and says whose.
            begins_as_json = self.body.lstrip()[:1] in (b"{", b"[")
            detail = (
                f"malformed JSON ({_where(error)})"
                if begins_as_json
                else f"{kind}: {excerpt(self.without_secrets(self.text))}"
            )
        raise UnexpectedResponseError(f"{self.what} answered {self.status} with {detail}")

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def without_secrets(self, text: str) -> str:
        for secret in sorted((secret for secret in self.hide if len(secret) > 3), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


class Rest:
    """Calls below one base URL."""

    def __init__(
        self,
        base_url: str,
        dialect: Dialect,
        *,
        session: requests.Session | None = None,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._dialect = dialect
        self._session = session or new_session()
        self._timeout = timeout
        self._clock = clock

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        upload: Multipart | None = None,
        handled: Collection[int] = (),
        hide: Iterable[str] = (),
        peek: bool = False,
        at_most: int | None = None,
        fresh_connection: bool = False,
        read_seconds: float | None = None,
    ) -> Reply:
        """Make one call.

        Args:
            method: GET, POST, ...
            path: below the base URL; it appears in errors, so it holds no secret.
            headers: credentials and all.
            body: sent as JSON.
            form: sent as a form, in place of `body`.
            upload: streamed as a form with files, in place of both.
            handled: statuses that come back as a reply and not as an error, because the caller knows better.
            hide: secrets to strike out, should the vendor repeat them.
            peek: leave the body of a good answer alone; only its status and headers are wanted.
            at_most: read no more than so many bytes of the body of a good answer.
            fresh_connection: use no connection that was kept: one that died unnoticed would lose the reply.
            read_seconds: how long to wait for the answer, where that is not as usual.

        Raises:
            VendorUnavailableError: no answer, or 5xx; `sent` tells whether the vendor may have acted, which it cannot
                on an upload that was not sent to its end.
            RateLimitedError: 429.
            CredentialsRefusedError: 401.
            MissingCapabilityError: 403.
            RequestRejectedError: any other 4xx, and 501.
            UnexpectedResponseError: a redirect, or a status that answers nothing.
        """
        what = f"{self._dialect.vendor} {method} {path}"
        session = new_session() if fresh_connection else self._session
        kind = {} if upload is None else {"Content-Type": upload.content_type}
        connect, read = self._timeout
        try:
            response = session.request(
                method,
                self.base_url + path,
                headers={**(headers or {}), **kind},
                json=body,
                data=form if upload is None else upload,
                auth=_as_given,
                allow_redirects=False,
                # Sending counts as connecting, and a server may store one piece before it takes the next.
                timeout=(connect if upload is None else read, read_seconds or read),
                stream=peek or at_most is not None,
            )
            body = _read(response, at_most=0 if peek else at_most)
            reply = Reply(what, response.status_code, response.headers, body, tuple(hide))
        except requests.RequestException as error:
            # Its text and its request hold URL and headers.
            raise _unsent(upload, _unreachable(what, error)) from None
        finally:
            if fresh_connection:
                session.close()
        if 200 <= reply.status < 300 or reply.status in handled:
            return reply
        raise _unsent(upload, self.failure(reply))

    def failure(self, reply: Reply) -> HaulError:
        """Say what an answer that is no good means."""
        status, message = reply.status, self.message(reply)
        if 300 <= status < 400:
            return UnexpectedResponseError(
                f"{reply.what} answered {status}, a redirect; none is followed, as the call carries credentials. "
                "Is the connection's base_url right?"
            )
        if status == 429:
            return RateLimitedError(message, retry_after=self.retry_after(reply))
        if status >= 500 and status != 501:
            return VendorUnavailableError(message)
        kinds: dict[int, type[HaulError]] = {401: CredentialsRefusedError, 403: MissingCapabilityError}
        if 400 <= status <= 501:
            return kinds.get(status, RequestRejectedError)(message)
        return UnexpectedResponseError(message)

    def message(self, reply: Reply) -> str:
        """Tell the call, its status, and the vendor's own words about it."""
        try:
            told = excerpt(reply.without_secrets(self._dialect.problem(json.loads(reply.body)) or ""), 500)
        except ValueError:
            told = excerpt(reply.without_secrets(reply.text))
        parts = [f"{reply.what} answered {reply.status}", told, self._dialect.advice.get(reply.status, "")]
        return ": ".join(part for part in parts if part)

    def retry_after(self, reply: Reply) -> float | None:
        """Seconds that the vendor asks to wait, None where it does not say."""
        said = self.asked_pause(reply)
        return said if said is not None else self._dialect.pause(reply.headers)

    def asked_pause(self, reply: Reply) -> float | None:
        """Read Retry-After, which holds seconds or a date; a date counts from the vendor's own clock."""
        value = reply.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        at = http_date(value)
        if at is None:
            return None
        now = http_date(reply.headers.get("Date", "")) or datetime.fromtimestamp(self._clock(), UTC)
        return max(0.0, (at - now).total_seconds())


def new_session() -> requests.Session:
    """A session that keeps connections and no cookies."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "haul"
    return session


def excerpt(text: str, length: int = _EXCERPT) -> str:
    """The beginning of a text, on one line."""
    line = _NOT_PRINTED.sub(" ", text[: length * 4]).strip()
    return line if len(line) <= length else line[: length - 3] + "..."


def http_date(value: str) -> datetime | None:
    """Read a date header; None if it is not one."""
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands for authentication already done: without it, requests would look for a .netrc and send what it says."""
    return request


def _read(response: requests.Response, *, at_most: int | None) -> bytes:
    if at_most is None:
        return response.content
    wanted = at_most if response.ok else _ERROR_BODY_BYTES
    body = b""
    try:
        pieces = response.iter_content(wanted)  # of any size, where the body is chunked
        while len(body) < wanted and (piece := next(pieces, b"")):
            body += piece
    finally:
        response.close()
    return body[:wanted]


def _unreachable(what: str, error: requests.RequestException) -> HaulError:
    if isinstance(error, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
        return UnexpectedResponseError(f"{what} could not be put into a request: {type(error).__name__}")
    if _never_connected(error):
        return VendorUnavailableError(f"{what}: no connection ({_reason(error)}); nothing was sent", sent=False)
    return VendorUnavailableError(f"{what}: the answer was lost ({_reason(error)})")


def _unsent(upload: Multipart | None, error: HaulError) -> HaulError:
    """Say of a failure whether the vendor can have acted at all: not on part of an upload."""
    if upload is not None and not upload.sent_whole and isinstance(error, VendorUnavailableError):
        return VendorUnavailableError(str(error), sent=False)
    return error


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"at character {error.pos}"
    return type(error).__name__


def _inner(error: requests.RequestException) -> object:
    first = error.args[0] if error.args else None
    return getattr(first, "reason", first)


def _never_connected(error: requests.RequestException) -> bool:
    inner = _inner(error)
    if isinstance(error, requests.ConnectTimeout) or isinstance(inner, NewConnectionError):
        return True
    # A certificate is looked at before the first byte of the request goes out.
    return any(isinstance(arg, ssl.SSLCertVerificationError) for arg in getattr(inner, "args", ()))


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "timed out"
    inner = _inner(error)
    return type(inner).__name__ if isinstance(inner, Exception) else type(error).__name__
