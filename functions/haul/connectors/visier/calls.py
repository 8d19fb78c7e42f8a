"""Calls of Visier's APIs as one user: the login, the budget of calls, the tenant that is acted for, Visier's errors.

A call is made once; only a 401 is answered with one new login.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import requests

from haul.connectors import SecretSource
from haul.connectors.visier.budget import CallBudget
from haul.connectors.visier.credentials import read
from haul.connectors.visier.login import Login, Session
from haul.errors import HaulError
from haul.login import logged_in
from haul.multipart import Multipart
from haul.rest import Dialect, Reply, new_session

MAY_WRITE = "read write"
"""The scope that an OAuth login needs for calls that change something; the other login knows no scopes."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ADVICE = {
    401: "the credentials are refused, also after a new login: is the api_key right?",
    403: "the API user needs the Manage Jobs capability, read access to the data, API access to Data and Model, and "
    "access to the tenant of options.target_tenant if there is one",
    406: "the connector asked for a kind of answer that Visier no longer gives",
}


def _problem(body: Any) -> str | None:
    """Visier's text, code and root-cause id; its APIs differ in the fields' names."""
    if not isinstance(body, Mapping):
        return None
    text = body.get("localizedMessage") or body.get("message") or body.get("error_description") or ""
    code = body.get("errorCode") or body.get("code") or body.get("error") or ""
    rci = f" (rci {body['rci']})" if body.get("rci") else ""
    return (f"{code}: {text}" if code and text else f"{code}{text}") + rci


class VisierCalls:
    """One user of one Visier tenant, or of the tenant that `target_tenant` names."""

    def __init__(
        self,
        secret: SecretSource,
        *,
        target_tenant: str | None = None,
        scope: str = "read",
        http: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = read(secret.current())
        self.target_tenant = target_tenant
        self.budget = CallBudget(clock)
        dialect = Dialect("Visier", problem=_problem, pause=self.budget.pause, advice=ADVICE)
        self.login = Login(secret, dialect, scope=scope, http=http or new_session(), clock=clock)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        upload: Multipart | None = None,
        read_seconds: float | None = None,
        accept: str = "application/json",
        handled: Collection[int] = (),
        hide: Iterable[str] = (),
        peek: bool = False,
        fresh_connection: bool = False,
        failure: Callable[[Session, Reply], HaulError | None] = lambda _session, _reply: None,
    ) -> Reply:
        """Call with the login there is, and on a 401 once more with another.

        `hide` are secrets of the call's own. `failure` says what an answer that is no good means, where it is more than
        `haul.rest` can know.
        """
        whole_path = f"{path}?{urlencode(query)}" if query else path

        def send(session: Session, *handled: int) -> Reply:
            self.budget.check()
            reply = session.rest.call(
                method,
                whole_path,
                headers={**self.headers(session), "Accept": accept},
                body=body,
                form=form,
                upload=upload,
                read_seconds=read_seconds,
                handled=range(300, 600),  # all: the budget wants to see their headers
                hide=(*session.secrets, *hide),
                peek=peek,
                fresh_connection=fresh_connection,
            )
            self.budget.note(reply.headers)
            if 200 <= reply.status < 300 or reply.status in handled:
                return reply
            raise failure(session, reply) or session.rest.failure(reply)

        session = logged_in(self.login.session, submits=fresh_connection)
        reply = send(session, 401, *handled)
        if reply.status != 401:
            return reply
        return send(logged_in(lambda: self.login.renewed(session), submits=fresh_connection), *handled)

    def headers(self, session: Session) -> dict[str, str]:
        tenant = {"TargetTenantID": self.target_tenant} if self.target_tenant else {}
        return {**session.headers, **tenant}

    def says_when(self, session: Session, reply: Reply) -> bool:
        """Whether a 429 is about calls and not about the day's jobs."""
        return session.rest.asked_pause(reply) is not None or self.budget.used_up_for(reply.headers) is not None


def segment(value: str) -> str:
    """Spell an id as one segment of a path."""
    return quote(value, safe="")
