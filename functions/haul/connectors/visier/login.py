"""Being logged in to Visier: a token for username and password, kept in this process's memory and nowhere else.

    POST /v1/admin/visierSecureToken   form: username, password, vanityName   text/plain, the token
    POST /v1/auth/oauth2/token         form: grant_type=password, ...         JSON; used if the secret has a client_id

Visier does not tell how long an ASID token lives; its own clients take an hour.
"""

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import requests

from haul import login
from haul.connectors import SecretSource
from haul.connectors.visier import replies
from haul.connectors.visier.credentials import Credentials, read
from haul.errors import CredentialsRefusedError, UnexpectedResponseError, VendorUnavailableError
from haul.replies import read as read_reply
from haul.rest import Dialect, Reply, Rest

_ASID_SECONDS = 3600.0
_RENEWED_BEFORE_SECONDS = 120.0
# Whatever a cookie and a header take. A login page that comes with status 200 has spaces and angle brackets.
# A class of all that is not ASCII would take 3 ms to compile.
_TOKEN = re.compile(r"(?:(?![\"',;<>{}\\])[!-~])+")
_REFUSED = (
    "Visier refuses the connection's username and password. A user of single sign-on can use the API only if it is on "
    "the bypass list"
)
_NO_VANITY = "some tenants answer so when the secret has no vanity_name"


@dataclass(frozen=True)
class Session:
    """One login: where, as whom, and until when."""

    rest: Rest = field(repr=False)
    credentials: Credentials = field(repr=False)
    token: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> Mapping[str, str]:
        bearer = {"Authorization": f"Bearer {self.token}"}
        cookie = {"Cookie": f"VisierASIDToken={self.token}"}
        return {"apikey": self.credentials.api_key, **(bearer if self.credentials.client_id else cookie)}

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.credentials.secrets, self.token)


class Login(login.Login[Credentials, Session]):
    """The login of one connection, by the ways above."""

    def __init__(
        self,
        secret: SecretSource,
        dialect: Dialect,
        *,
        scope: str = "read",
        http: requests.Session,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(secret, read=read, log_in=self._ask, clock=clock)
        self._dialect = dialect
        self._scope = scope
        self._http = http

    def _ask(self, credentials: Credentials) -> Session:
        rest = Rest(credentials.base_url, self._dialect, session=self._http, clock=self._clock)
        try:
            by_oauth = bool(credentials.client_id)
            reply = _by_oauth(rest, credentials, self._scope) if by_oauth else _by_password(rest, credentials)
        except VendorUnavailableError as error:
            hint = "" if credentials.vanity_name or credentials.client_id else f" ({_NO_VANITY})"
            raise VendorUnavailableError(f"{error}{hint}", sent=False) from None
        if reply.status in (400, 401, 403):
            raise CredentialsRefusedError(f"{_REFUSED}. {rest.message(reply)}")
        token, lives = _oauth_token(reply) if credentials.client_id else (reply.text, _ASID_SECONDS)
        renew_before = min(_RENEWED_BEFORE_SECONDS, lives / 10)
        return Session(rest, credentials, _checked(token, reply.what), self._clock() + lives - renew_before)


def _by_password(rest: Rest, credentials: Credentials) -> Reply:
    form = {"username": credentials.username, "password": credentials.password}
    if credentials.vanity_name:
        form["vanityName"] = credentials.vanity_name
    return rest.call(
        "POST",
        "/v1/admin/visierSecureToken",
        headers={"Accept": "text/plain, application/json"},
        form=form,
        handled=(400, 401, 403),
        hide=credentials.secrets,
    )


def _by_oauth(rest: Rest, credentials: Credentials, scope: str) -> Reply:
    form = {
        "grant_type": "password",
        "client_id": credentials.client_id or "",
        "scope": scope,
        "username": credentials.username,
        "password": credentials.password,
    }
    if credentials.redirect_uri:
        form["redirect_uri"] = credentials.redirect_uri
    # Visier wants the secret percent-encoded within HTTP Basic.
    client = f"{credentials.client_id}:{quote(credentials.client_secret or '', safe='')}"
    basic = base64.b64encode(client.encode()).decode()
    return rest.call(
        "POST",
        "/v1/auth/oauth2/token",
        headers={"apikey": credentials.api_key, "Authorization": f"Basic {basic}", "Accept": "application/json"},
        form=form,
        handled=(400, 401, 403),
        hide=(*credentials.secrets, basic),
    )


def _oauth_token(reply: Reply) -> tuple[str, float]:
    token = read_reply(replies.OAuthToken, reply.what, reply.json())
    return token.access_token, token.expires_in or _ASID_SECONDS


def _checked(token: str, what: str) -> str:
    bare = token.strip().strip("\"'").strip()
    if not _TOKEN.fullmatch(bare):
        raise UnexpectedResponseError(
            f"{what} answered 200 with something that is no token ({len(bare)} characters): "
            "is base_url right, and may this user log in with a password?"
        )
    return bare
