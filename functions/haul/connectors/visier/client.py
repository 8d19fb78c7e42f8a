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
from collections.abc import Callable, Collection, Mapping
from typing import Any

import requests

from haul.connectors import SecretSource
from haul.connectors.visier import replies
from haul.connectors.visier.calls import REDIRECTS, VisierCalls, segment
from haul.connectors.visier.credentials import Credentials
from haul.connectors.visier.login import Session
from haul.errors import HaulError, QuotaExceededError, UnexpectedResponseError, VendorUnavailableError
from haul.ports import DownloadSource
from haul.replies import read as read_reply
from haul.rest import Reply

_API = "/v1alpha/data/data-version-exports"
_FILE_PATHS = ("files", "file")
_QUOTA = (
    "calls are left, so this is Visier's limit of 10 export jobs a day. It starts afresh tomorrow; an export that is "
    "there already needs no job"
)


class VisierClient:
    """One user of one Visier tenant, or of the tenant that `target_tenant` names."""

    def __init__(
        self,
        secret: SecretSource,
        *,
        target_tenant: str | None = None,
        http: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls = VisierCalls(secret, target_tenant=target_tenant, http=http, clock=clock)
        self._file_path = _FILE_PATHS[0]
        self._opened: set[tuple[str, int | str]] = set()

    @property
    def credentials(self) -> Credentials:
        return self._calls.credentials

    @property
    def calls_left(self) -> Mapping[str, int]:
        """What the last answer said is left, by window."""
        return self._calls.budget.left

    def data_versions(self) -> replies.DataVersions:
        return self._read(replies.DataVersions, self._call("GET", f"{_API}/data-versions"))

    def submit(self, version: str, base: str | None = None) -> str:
        """Ask for an export, and return the job's id. Every call is another job and one of the day's ten.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be a job now. After any other error there is none.
            QuotaExceededError: the day's jobs are used up.
        """
        body = {"dataVersionNumber": version, **({"baseDataVersionNumber": base} if base else {})}
        reply = self._call("POST", f"{_API}/jobs", body=body, handled=REDIRECTS, submits=True)
        try:
            return self._read(replies.JobCreated, reply).job_uuid
        except UnexpectedResponseError as error:  # Visier took it, or somebody in its place did: who knows
            raise VendorUnavailableError(f"{error}; there may be a job now") from None

    def job(self, job_uuid: str) -> replies.JobState | None:
        """Where a job stands; None if Visier knows no such job."""
        reply = self._call("GET", f"{_API}/jobs/{segment(job_uuid)}", handled=(404,))
        return None if reply.status == 404 else self._read(replies.JobState, reply)

    def exports(self) -> replies.Exports:
        """Every export that can still be downloaded."""
        return self._read(replies.Exports, self._call("GET", f"{_API}/exports"))

    def export(self, export_uuid: str) -> replies.ExportDetails | None:
        """What an export consists of; None if it is gone."""
        reply = self._call("GET", f"{_API}/exports/{segment(export_uuid)}", handled=(404,))
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
        session = self._calls.login.session()
        return DownloadSource(
            url=session.rest.base_url + _file(export_uuid, self._file_path, file_id),
            # The file is stored as gzip and sent with that as its content coding; a reader takes it as it comes.
            headers={
                **self._calls.headers(session),
                "Accept": "application/gzip, application/json",
                "Accept-Encoding": "gzip",
            },
            host=session.credentials.host,
        )

    def _find_file(self, export_uuid: str, file_id: int | str) -> str | None:
        for path in sorted(_FILE_PATHS, key=lambda name: name != self._file_path):
            reply = self._call(
                "GET",
                _file(export_uuid, path, file_id),
                accept="application/gzip, application/json",
                handled={404, *REDIRECTS},  # a redirect is for whoever reads the file
                peek=True,
            )
            if reply.status != 404:
                return path
        return None

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        accept: str = "application/json",
        handled: Collection[int] = (),
        peek: bool = False,
        submits: bool = False,
    ) -> Reply:
        return self._calls.call(
            method,
            path,
            body=body,
            accept=accept,
            handled=handled,
            peek=peek,
            fresh_connection=submits,
            failure=self._quota if submits else lambda _session, _reply: None,
        )

    def _quota(self, session: Session, reply: Reply) -> HaulError | None:
        if reply.status != 429 or self._calls.says_when(session, reply):
            return None
        return QuotaExceededError(f"{session.rest.message(reply)}: {_QUOTA}")

    def _read[M: replies.VisierReply](self, model: type[M], reply: Reply) -> M:
        return read_reply(model, reply.what, reply.json())


def _file(export_uuid: str, path: str, file_id: int | str) -> str:
    return f"{_API}/exports/{segment(export_uuid)}/{path}/{segment(str(file_id))}"
