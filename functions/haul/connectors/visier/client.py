"""Visier's data version export API, every endpoint, with typed answers.

    GET  /data-versions                         what can be exported
    POST /jobs                                  ask for an export, full or against a base version
    GET  /jobs/{jobUuid}                        completed? failed? which export?
    GET  /exports                               the finished ones, for 14 days
    GET  /exports/{exportUuid}                  tables, columns, files
    GET  /exports/{exportUuid}/files/{fileId}   one gzip file; `/file/` in Visier's first documentation

all below /v1alpha/data/data-version-exports. A call is made once; only a 401 is answered with one new login.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import requests

from haul.connectors import SecretSource
from haul.connectors.visier import replies
from haul.connectors.visier.budget import CallBudget
from haul.connectors.visier.credentials import read
from haul.connectors.visier.login import Login, Session
from haul.errors import QuotaExceededError, UnexpectedResponseError, VendorUnavailableError
from haul.ports import DownloadSource
from haul.rest import Dialect, Reply, new_session

_API = "/v1alpha/data/data-version-exports"
_FILE_PATHS = ("files", "file")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ADVICE = {
    401: "the credentials are refused, also after a new login: is the api_key right?",
    403: "the API user needs the Manage Jobs capability, read access to the data, API access to Data and Model, and "
    "access to the tenant of options.target_tenant if there is one",
    406: "the connector asked for a kind of answer that Visier no longer gives",
}
_QUOTA = (
    "calls are left, so this is Visier's limit of 10 export jobs a day. It starts afresh tomorrow; an export that is "
    "there already needs no job"
)


def _problem(body: Any) -> str | None:
    """Visier's text, code and root-cause id; its APIs differ in the fields' names."""
    if not isinstance(body, Mapping):
        return None
    text = body.get("localizedMessage") or body.get("message") or body.get("error_description") or ""
    code = body.get("errorCode") or body.get("code") or body.get("error") or ""
    rci = f" (rci {body['rci']})" if body.get("rci") else ""
    return (f"{code}: {text}" if code and text else f"{code}{text}") + rci


class VisierClient:
    """One user of one Visier tenant, or of the tenant that `target_tenant` names.

    `scope` is what an OAuth login asks for; the other one knows no scopes.
    """

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
        self._budget = CallBudget(clock)
        dialect = Dialect("Visier", problem=_problem, pause=self._budget.pause, advice=_ADVICE)
        self._login = Login(secret, dialect, scope=scope, http=http or new_session(), clock=clock)
        self._file_path = _FILE_PATHS[0]
        self._opened: set[tuple[str, int | str]] = set()

    @property
    def calls_left(self) -> Mapping[str, int]:
        """What the last answer said is left, by window."""
        return self._budget.left

    def data_versions(self) -> replies.DataVersions:
        return self._read(replies.DataVersions, self.call("GET", f"{_API}/data-versions"))

    def submit(self, version: str, base: str | None = None) -> str:
        """Ask for an export, and return the job's id. Every call is another job and one of the day's ten.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be a job now. After any other error there is none.
            QuotaExceededError: the day's jobs are used up.
        """
        body = {"dataVersionNumber": version, **({"baseDataVersionNumber": base} if base else {})}
        reply = self.call("POST", f"{_API}/jobs", body=body, handled=_REDIRECTS, submits=True)
        try:
            return self._read(replies.JobCreated, reply).job_uuid
        except UnexpectedResponseError as error:  # Visier took it, or somebody in its place did: who knows
            raise VendorUnavailableError(f"{error}; there may be a job now") from None

    def job(self, job_uuid: str) -> replies.JobState | None:
        """Where a job stands; None if Visier knows no such job."""
        reply = self.call("GET", f"{_API}/jobs/{_segment(job_uuid)}", handled=(404,))
        return None if reply.status == 404 else self._read(replies.JobState, reply)

    def exports(self) -> replies.Exports:
        """Every export that can still be downloaded."""
        return self._read(replies.Exports, self.call("GET", f"{_API}/exports"))

    def export(self, export_uuid: str) -> replies.ExportDetails | None:
        """What an export consists of; None if it is gone."""
        reply = self.call("GET", f"{_API}/exports/{_segment(export_uuid)}", handled=(404,))
        return None if reply.status == 404 else self._read(replies.ExportDetails, reply)

    def file(self, export_uuid: str, file_id: int | str) -> DownloadSource | None:
        """Where a file can be read, and with which headers; None if it is gone.

        A file that is opened again met a failure, so a GET whose body is left alone looks what is wrong: a refused
        token is renewed, and of the two paths that Visier documents the one that holds is taken from then on.
        """
        if (export_uuid, file_id) in self._opened:
            path = self._find_file(export_uuid, file_id)
            if path is None:
                return None
            self._file_path = path
        self._opened.add((export_uuid, file_id))
        session = self._login.session()
        return DownloadSource(
            url=session.rest.base_url + _file(export_uuid, self._file_path, file_id),
            # The file is stored as gzip and sent with that as its content coding; a reader takes it as it comes.
            headers={
                **self._headers(session),
                "Accept": "application/gzip, application/json",
                "Accept-Encoding": "gzip",
            },
            host=session.credentials.host,
        )

    def _find_file(self, export_uuid: str, file_id: int | str) -> str | None:
        for path in sorted(_FILE_PATHS, key=lambda name: name != self._file_path):
            reply = self.call(
                "GET",
                _file(export_uuid, path, file_id),
                accept="application/gzip, application/json",
                handled={404, *_REDIRECTS},  # a redirect is for whoever reads the file
                peek=True,
            )
            if reply.status != 404:
                return path
        return None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        accept: str = "application/json",
        handled: Collection[int] = (),
        hide: Iterable[str] = (),
        peek: bool = False,
        submits: bool = False,
        fresh_connection: bool = False,
    ) -> Reply:
        """Call with the login there is, and on a 401 once more with another.

        `submits` is for what spends one of the day's jobs, `fresh_connection` for whatever else must not be lost on a
        connection that died unnoticed; `hide` are secrets of the call's own.
        """

        def send(session: Session, *handled: int) -> Reply:
            self._budget.check()
            reply = session.rest.call(
                method,
                path,
                headers={**self._headers(session), "Accept": accept},
                body=body,
                form=form,
                handled=range(300, 600),  # all: the budget wants to see their headers
                hide=(*session.secrets, *hide),
                peek=peek,
                fresh_connection=submits or fresh_connection,
            )
            self._budget.note(reply.headers)
            if 200 <= reply.status < 300 or reply.status in handled:
                return reply
            if submits and reply.status == 429 and not self._says_when(session, reply):
                raise QuotaExceededError(f"{session.rest.message(reply)}: {_QUOTA}")
            raise session.rest.failure(reply)

        session = self._login.session()
        reply = send(session, 401, *handled)
        if reply.status != 401:
            return reply
        return send(self._login.renewed(session), *handled)

    def _says_when(self, session: Session, reply: Reply) -> bool:
        """Whether a 429 is about calls and not about the day's jobs."""
        return session.rest.asked_pause(reply) is not None or self._budget.used_up_for(reply.headers) is not None

    def _headers(self, session: Session) -> dict[str, str]:
        tenant = {"TargetTenantID": self.target_tenant} if self.target_tenant else {}
        return {**session.headers, **tenant}

    def _read[M: replies.VisierReply](self, model: type[M], reply: Reply) -> M:
        return replies.read(model, reply.what, reply.json())


def _segment(value: str) -> str:
    return quote(value, safe="")


def _file(export_uuid: str, path: str, file_id: int | str) -> str:
    return f"{_API}/exports/{_segment(export_uuid)}/{path}/{_segment(str(file_id))}"
