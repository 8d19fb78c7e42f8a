"""Being logged in to Adobe: an access token, kept in this process's memory and nowhere else.

    POST /ims/token/v3   form: grant_type=client_credentials, client_id, client_secret, scope   JSON

There is no refresh token: the next one is asked for before the last one ends.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests

from haul import login
from haul.connectors import SecretSource
from haul.connectors.adobe import replies
from haul.connectors.adobe.credentials import Credentials, read
from haul.errors import CredentialsRefusedError, UnexpectedResponseError, VendorUnavailableError
from haul.rest import Dialect, Rest

_PATH = "/ims/token/v3"
_A_DAY = 86_400.0
"""No token lives longer, whatever is answered: Adobe's older exchange answered milliseconds."""
_RENEWED_BEFORE_SECONDS = 600.0
_TOKEN = re.compile(r"[!-~]+")
_REFUSED = "Adobe refuses the connection's client_id and client_secret, or its scopes"


@dataclass(frozen=True)
class Session:
    """One login: where, as whom, and until when."""

    rest: Rest = field(repr=False)
    credentials: Credentials = field(repr=False)
    token: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "x-api-key": self.credentials.client_id,
            "x-gw-ims-org-id": self.credentials.org_id,
            "x-sandbox-name": self.credentials.sandbox,
        }

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

    def _ask(self, credentials: Credentials) -> Session:
        ims = Rest(credentials.ims_url.removesuffix(_PATH), self._dialect, session=self._http, clock=self._clock)
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "scope": credentials.scopes,
        }
        try:
            reply = ims.call(
                "POST",
                _PATH,
                headers={"Accept": "application/json"},
                form=form,
                handled=(400, 401, 403),
                hide=credentials.secrets,
            )
        except VendorUnavailableError as error:
            raise VendorUnavailableError(str(error), sent=False) from None
        if reply.status in (400, 401, 403):
            raise CredentialsRefusedError(f"{_REFUSED}. {ims.message(reply)}")
        issued = replies.read(replies.Token, reply)
        if not _TOKEN.fullmatch(issued.access_token):
            raise UnexpectedResponseError(f"{reply.what} answered {reply.status} with something that is no token")
        lives = min(issued.expires_in, _A_DAY)
        rest = Rest(credentials.base_url, self._dialect, session=self._http, clock=self._clock)
        good_until = self._clock() + lives - min(_RENEWED_BEFORE_SECONDS, lives / 10)
        return Session(rest, credentials, issued.access_token, good_until)
