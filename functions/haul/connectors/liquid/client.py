"""LiquidAnalytics' batch API, with typed answers. All calls are forms, and those about jobs answer with its status.

    POST /ls/api/oauth2/token       grant_type=password, scope=community=<name>: a token for username, password, client
    POST /ls/api/oauth2/tokenInfo   whose token it is
    GET  /ls/api/oauth2/validate    whether a token is accepted
    POST /ls/api/batch/export       ask for an export
    POST /ls/api/batch/import       hand over a file with what should become of it; answered when all of it is there
    POST /ls/api/batch/status       where a job stands, and its links once it is completed
    POST /ls/api/batch/cancel       ask for a job's end

A call is made once; only a 401 is answered with one new login.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import requests
from pydantic import BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from haul.connectors import SecretSource
from haul.connectors.liquid import links
from haul.connectors.liquid.credentials import Credentials, read
from haul.credentials import host_of
from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.login import Login, logged_in
from haul.multipart import File, Multipart, Part, TextSource
from haul.ports import DownloadSource, Source
from haul.replies import VendorReply
from haul.replies import read as read_reply
from haul.rest import Dialect, Reply, Rest, new_session

_BATCH = "/ls/api/batch"
_OAUTH = "/ls/api/oauth2"
_TOKEN_SECONDS = 3600.0
_RENEWED_BEFORE_SECONDS = 120.0
_PAUSE_SECONDS = 60.0
_STORING_SECONDS = 240.0
"""How long the vendor may take to store what it has got: to give up earlier would leave an import in doubt."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSED = "LiquidAnalytics refuses the connection's username, password, client or community"
_ADVICE = {
    401: "the connection's credentials are refused",
    403: "the user may not do this in the connection's community",
}
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def _whole(value: Any) -> int | None:
    """A number, which comes as a string; None if it is none."""
    try:
        return int(float(str(value).strip()))
    except (ValueError, OverflowError):
        return None


def _time(value: Any) -> datetime | None:
    try:
        return datetime.strptime(str(value), _TIME).astimezone(UTC)
    except ValueError:
        return None


class JobState(VendorReply):
    """The status object. Numbers and times that cannot be read are left out: they decide nothing about the job."""

    model_config = ConfigDict(alias_generator=to_camel)

    status: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    job_id: str = ""
    reason: str = ""
    submit_time: Annotated[datetime | None, BeforeValidator(_time)] = None
    records_processed: Annotated[int | None, BeforeValidator(_whole)] = None
    run_time: Annotated[int | None, BeforeValidator(_whole)] = None

    def is_(self, word: str) -> bool:
        return self.status.lower() == word


class _Token(VendorReply):
    access_token: Annotated[str, StringConstraints(pattern=r"^[!-~]+$")]
    expires_in: Annotated[int | None, BeforeValidator(_whole)] = None


@dataclass(frozen=True)
class Session:
    """One login: where, as whom, and until when."""

    rest: Rest = field(repr=False)
    credentials: Credentials = field(repr=False)
    token: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.credentials.secrets, self.token)


def _problem(body: Any) -> str | None:
    """OAuth's two words about an error, or whatever else a reply says; never a link."""
    if not isinstance(body, Mapping):
        return None
    said = [body.get(name) for name in ("error", "error_description", "message", "reason")]
    return links.removed(": ".join(str(text) for text in said if text)) or None


class LiquidClient:
    """One user of one community."""

    def __init__(
        self, secret: SecretSource, *, http: requests.Session | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.credentials = read(secret.current())
        self._http = http or new_session()
        self._clock = clock
        self._dialect = Dialect("LiquidAnalytics", problem=_problem, pause=lambda _: _PAUSE_SECONDS, advice=_ADVICE)
        self._login: Login[Credentials, Session] = Login(secret, read=read, log_in=self._log_in, clock=clock)

    def check_login(self) -> None:
        """Log in, if that has not been done."""
        self._login.session()

    def token_info(self) -> Mapping[str, Any]:
        """User and community of the token."""
        reply = self._post(f"{_OAUTH}/tokenInfo", {})
        return read_reply(VendorReply, reply.what, reply.json()).document

    def export(self, form: Mapping[str, str]) -> JobState:
        """Ask for an export. Every call is another job.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be a job now. After any other error there is none.
        """
        return self._submitted("export", form=form)

    def load(
        self, fields: Mapping[str, str], file: Source, *, content_type: str, template: str | None = None
    ) -> JobState:
        """Hand over a file. Every call is another job.

        Raises:
            VendorUnavailableError: as with an export. What was not sent to its end is no job.
        """
        parts: list[Part] = [*fields.items()]
        if template:
            parts.append(("template", File(TextSource("template.vm", template), "text/plain")))
        parts.append(("file", File(file, content_type, {"Expires": "0"})))
        self._be_accepted()
        return self._submitted("import", upload=Multipart(parts))

    def job(self, job_id: str) -> JobState | None:
        """Where a job stands; None if the vendor knows no such job."""
        return self._asked("status", job_id)

    def cancel(self, job_id: str) -> JobState | None:
        """Ask for a job's end, which comes when it is next due to run; one that has ended stays as it is."""
        return self._asked("cancel", job_id)

    def may_be_link(self, link: str) -> bool:
        """Whether this is an address that a file could be read from: over TLS, or from the connection's own host."""
        try:
            origin = _origin(link)
        except ValueError:
            return False
        if not re.fullmatch(r"https?://[!-~]+", link, re.IGNORECASE) or not urlsplit(link).hostname:
            return False
        return urlsplit(link).scheme == "https" or origin == _origin(self.credentials.base_url)

    def source(self, link: str) -> DownloadSource:
        """Where a link leads, with credentials only if that is the connection's own host."""
        session = self._login.session()
        ours = _origin(link) == _origin(session.credentials.base_url)
        # What is stored is plain text: a server that packs it on the way would land it as something else.
        plain = {"Accept": "*/*", "Accept-Encoding": "identity"}
        headers = {"Authorization": f"Bearer {session.token}", **plain} if ours else {}
        return DownloadSource(url=link, headers=headers, host=session.credentials.host)

    def is_gone(self, link: str) -> bool:
        """Whether a link to the connection's own host has had its time; the file behind it is left alone."""
        session = self._login.session()
        if _origin(link) != _origin(session.credentials.base_url):
            return False
        url = urlsplit(link)
        host = Rest(f"{url.scheme}://{url.netloc}", self._dialect, session=self._http, clock=self._clock)
        try:
            reply = host.call(
                "GET",
                f"{url.path}?{url.query}",
                headers={"Authorization": f"Bearer {session.token}"},
                handled=range(300, 600),
                peek=True,
            )
        except HaulError:  # it names the path
            raise VendorUnavailableError("LiquidAnalytics did not answer for a file's link") from None
        return reply.status in (403, 404, 410)

    def _submitted(
        self, verb: str, *, form: Mapping[str, str] | None = None, upload: Multipart | None = None
    ) -> JobState:
        try:
            reply = self._post(f"{_BATCH}/{verb}", form, upload=upload, handled=_REDIRECTS, submits=True)
            state = self._state(reply)
        except UnexpectedResponseError as error:  # it was taken, or somebody answered in the vendor's place: who knows
            sent = upload is None or upload.sent_whole
            raise VendorUnavailableError(f"{error}; there may be a job now", sent=sent) from None
        if not state.job_id:
            raise VendorUnavailableError(f"{reply.what} answered without a jobId; there may be a job now")
        return state

    def _be_accepted(self) -> None:
        """Find out that a kept token is refused before a large file has been sent for nothing."""
        session = logged_in(self._login.session, submits=True)
        try:
            reply = session.rest.call(
                "GET", f"{_OAUTH}/validate", headers=session.headers, handled=range(300, 600), hide=session.secrets
            )
        except VendorUnavailableError as error:
            raise VendorUnavailableError(str(error), sent=False) from None
        if reply.status == 401:
            logged_in(lambda: self._login.renewed(session), submits=True)

    def _asked(self, verb: str, job_id: str) -> JobState | None:
        reply = self._post(f"{_BATCH}/{verb}", {"jobId": job_id}, handled=(400, 404))
        if reply.status in (400, 404):
            return None
        body = reply.json()
        if isinstance(body, Mapping) and body.get("error") and not body.get("status"):
            return None
        state = self._state(reply)
        if state.job_id not in ("", job_id):
            raise UnexpectedResponseError(f"{reply.what} answered with another job than the one asked for")
        return state

    def _state(self, reply: Reply) -> JobState:
        return read_reply(JobState, reply.what, reply.json())

    def _post(
        self,
        path: str,
        form: Mapping[str, str] | None,
        *,
        upload: Multipart | None = None,
        handled: Collection[int] = (),
        submits: bool = False,
    ) -> Reply:
        """Call with the login there is, and on a 401 once more with another."""

        def send(session: Session, *handled: int) -> Reply:
            return session.rest.call(
                "POST",
                path,
                headers=session.headers,
                form=form,
                upload=upload,
                handled=handled,
                hide=session.secrets,
                fresh_connection=submits,
                read_seconds=_STORING_SECONDS if upload else None,
            )

        session = logged_in(self._login.session, submits=submits)
        reply = send(session, 401, *handled)
        if reply.status != 401:
            return reply
        return send(logged_in(lambda: self._login.renewed(session), submits=submits), *handled)

    def _log_in(self, credentials: Credentials) -> Session:
        rest = Rest(credentials.base_url, self._dialect, session=self._http, clock=self._clock)
        form = {
            "grant_type": "password",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "username": credentials.username,
            "password": credentials.password,
            "scope": f"community={credentials.community}",
        }
        try:
            reply = rest.call(
                "POST",
                f"{_OAUTH}/token",
                headers={"Accept": "application/json"},
                form=form,
                handled=(400, 401, 403),
                hide=credentials.secrets,
            )
        except VendorUnavailableError as error:
            raise VendorUnavailableError(str(error), sent=False) from None
        if reply.status in (400, 401, 403):
            raise CredentialsRefusedError(f"{_REFUSED}. {rest.message(reply)}")
        token = read_reply(_Token, reply.what, reply.json())
        lives = float(token.expires_in or _TOKEN_SECONDS)
        renew_before = min(_RENEWED_BEFORE_SECONDS, lives / 10)
        return Session(rest, credentials, token.access_token, self._clock() + lives - renew_before)


def _origin(url: str) -> tuple[str, str]:
    return urlsplit(url).scheme.lower(), host_of(url).lower()
