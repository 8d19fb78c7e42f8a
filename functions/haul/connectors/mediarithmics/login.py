"""Being known to mediarithmics: by a long-lived API token, or by a temporary one for e-mail and password.

    POST /v1/authentication/access_tokens   {"email", "password"}   a token, and how many seconds it lives

Either is sent raw in `Authorization`, without `Bearer`. Tokens are kept in this process's memory and nowhere else.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests

from haul import login
from haul.connectors import SecretSource
from haul.connectors.mediarithmics import replies
from haul.connectors.mediarithmics.credentials import Credentials, read
from haul.errors import CredentialsRefusedError, UnexpectedResponseError, VendorUnavailableError
from haul.rest import Dialect, Reply, Rest

_TOKEN_SECONDS = 3600.0
_RENEWED_BEFORE_SECONDS = 120.0
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Session:
    """One login: where, as whom, and until when."""

    rest: Rest = field(repr=False)
    credentials: Credentials = field(repr=False)
    token: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": self.token}

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
        http: requests.Session,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(secret, read=read, log_in=self._ask, clock=clock)
        self._dialect = dialect
        self._http = http

    def require_another(self, fresh: Credentials, refused: Session, why: str) -> None:
        """A long-lived token is its own login.

        Raises:
            CredentialsRefusedError: the secret still holds the token that was refused.
        """
        if fresh.api_token is not None and fresh.api_token == refused.token:
            raise CredentialsRefusedError(f"mediarithmics refuses the connection's api_token. {why}")

    def _ask(self, credentials: Credentials) -> Session:
        rest = Rest(credentials.base_url, self._dialect, session=self._http, clock=self._clock)
        if credentials.api_token is not None:
            return Session(rest, credentials, credentials.api_token, math.inf)
        try:
            reply = rest.call(
                "POST",
                "/v1/authentication/access_tokens",
                body={"email": credentials.email, "password": credentials.password},
                handled=(400, 401, 403),
                hide=credentials.secrets,
            )
        except VendorUnavailableError as error:
            raise VendorUnavailableError(str(error), sent=False) from None
        if reply.status in (400, 401, 403):
            raise CredentialsRefusedError(
                f"mediarithmics refuses the connection's email and password. {rest.message(reply)}"
            )
        granted = _granted(reply)
        lives = granted.expires_in or _TOKEN_SECONDS
        renew_before = min(_RENEWED_BEFORE_SECONDS, lives / 10)
        return Session(rest, credentials, granted.access_token, self._clock() + lives - renew_before)


def _granted(reply: Reply) -> replies.Token:
    """Read a token; nothing of an answer that holds none is shown, as it may hold one in another place."""
    try:
        granted = replies.read(replies.One[replies.Token], reply).data
    except UnexpectedResponseError:
        granted = None
    if granted is None or not _TOKEN.fullmatch(granted.access_token):
        raise UnexpectedResponseError(
            f"{reply.what} answered {reply.status} with something that is no token ({len(reply.body)} bytes): "
            "is base_url right?"
        )
    return granted
