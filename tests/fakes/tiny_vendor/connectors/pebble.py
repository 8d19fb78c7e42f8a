"""Pebble: tables as CSV, over its API v1.

    POST   /token                {"key"}            200  {"token", "expires_in"}
    POST   /exports              {"table", "since"} 202  {"id"}
    GET    /exports              200  [{"id", "table", "since", "state", "rows", "created"}], newest first
    GET    /exports/{id}         200  one of these; "state" is queued, running, done, failed or stopped
    DELETE /exports/{id}         204  stops it, if it has not ended
    GET    /exports/{id}/file    200  CSV with a header

A call is made once; only a 401 is answered with one new login.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from haul import keys
from haul.connectors import SecretSource
from haul.credentials import host_of, problems, wrong_url
from haul.errors import (
    CredentialsRefusedError,
    InvalidSecretError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.login import Login, logged_in
from haul.models.base import parse
from haul.models.export import Contents, Dataset, Format, RemoteFile
from haul.models.symbols import unescaped
from haul.models.vendors.pebble import ExportOptions
from haul.models.work import Job, JobStatus
from haul.operations import bound
from haul.ports import Capabilities, Connector, DownloadSource, Found, JobReport, Known, Operation, Prepared
from haul.replies import VendorReply
from haul.replies import read as read_reply
from haul.rest import Dialect, Reply, Rest

_FIELDS = ("base_url", "key")
_PAUSE_SECONDS = 60.0
_STATES = {
    "queued": JobStatus.RUNNING,
    "running": JobStatus.RUNNING,
    "done": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "stopped": JobStatus.CANCELLED,
}


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    parse(ExportOptions, dict(options), at="options")
    return PebbleConnector(PebbleClient(secret))


@dataclass(frozen=True)
class Credentials:
    """A secret that can be right."""

    base_url: str
    key: str = field(repr=False)


def read(secret: Mapping[str, Any]) -> Credentials:
    """Check a secret.

    Raises:
        InvalidSecretError: every problem in one message.
    """
    found = problems(secret, needed=_FIELDS, known=_FIELDS)
    if not found and (wrong := wrong_url(secret["base_url"], example="https://acme.pebble.example")):
        found.append(f"base_url: {wrong}")
    if found:
        raise InvalidSecretError(f"the connection's secret: {'; '.join(found)}")
    return Credentials(**secret)


@dataclass(frozen=True)
class Session:
    """One login: where, by which key, and until when."""

    rest: Rest = field(repr=False)
    credentials: Credentials = field(repr=False)
    token: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.token, self.credentials.key


class _Token(VendorReply):
    token: str
    expires_in: float


class _Created(VendorReply):
    id: str


class Export(VendorReply):
    """An export, as Pebble shows it."""

    id: str
    state: str
    table: str = ""
    since: str | None = None
    rows: int | None = None
    created: datetime | None = None


class _Exports(VendorReply):
    exports: list[Export]


class PebbleClient:
    """Typed calls, for one key."""

    def __init__(self, secret: SecretSource, *, clock: Callable[[], float] = time.time) -> None:
        self.credentials = read(secret.current())
        self._clock = clock
        self._dialect = Dialect("Pebble", pause=lambda _: _PAUSE_SECONDS)
        self._login: Login[Credentials, Session] = Login(secret, read=read, log_in=self._log_in, clock=clock)

    def submit(self, body: Mapping[str, Any]) -> str:
        """Ask for an export. Every call is another one.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be one now. After any other error there is none.
        """
        session = logged_in(self._login.session, submits=True)
        reply = self._call("POST", "/exports", session=session, body=dict(body), fresh_connection=True)
        try:
            return read_reply(_Created, reply.what, reply.json()).id
        except UnexpectedResponseError as error:
            raise VendorUnavailableError(f"{error}; there may be an export now") from None

    def exports(self) -> list[Export]:
        reply = self._call("GET", "/exports")
        return read_reply(_Exports, reply.what, {"exports": reply.json()}).exports

    def export(self, export_id: str) -> Export:
        reply = self._call("GET", _path(export_id))
        return read_reply(Export, reply.what, reply.json())

    def stop(self, export_id: str) -> None:
        self._call("DELETE", _path(export_id))

    def file(self, export_id: str) -> DownloadSource:
        """Where the file is read from, with the login there is."""
        session = self._login.session()
        url = f"{session.rest.base_url}{_path(export_id)}/file"
        return DownloadSource(url, session.headers, host_of(session.rest.base_url), honours_range=True)

    def _call(self, method: str, path: str, *, session: Session | None = None, **more: Any) -> Reply:
        known = session or self._login.session()
        reply = known.rest.call(method, path, headers=known.headers, hide=known.secrets, handled=(401,), **more)
        if reply.status != 401:
            return reply
        session = logged_in(lambda: self._login.renewed(known), submits="fresh_connection" in more)
        return session.rest.call(method, path, headers=session.headers, hide=session.secrets, **more)

    def _log_in(self, credentials: Credentials) -> Session:
        rest = Rest(credentials.base_url, self._dialect, clock=self._clock)
        try:
            reply = rest.call("POST", "/token", body={"key": credentials.key}, hide=[credentials.key], handled=(401,))
        except VendorUnavailableError as error:
            raise VendorUnavailableError(str(error), sent=False) from None
        if reply.status == 401:
            raise CredentialsRefusedError(f"Pebble refuses the connection's key. {rest.message(reply)}")
        token = _granted(reply)
        return Session(rest, credentials, token.token, self._clock() + token.expires_in * 0.9)


class PebbleConnector:
    """The exports of one Pebble account."""

    capabilities = Capabilities(api="v1", lists_running_jobs=True, lists_finished_jobs=True, can_cancel=True)
    tenant: str | None = None

    def __init__(self, client: PebbleClient) -> None:
        self._client = client

    @property
    def account(self) -> str:
        return keys.safe(host_of(self._client.credentials.base_url))

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:  # noqa: ARG002 - tables have no versions
        return Prepared({name: unescaped(value) for name, value in request.items()}, is_delta="since" in request)

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        return [
            Found(_status(export), export.id, export.id, export.created)
            for export in self._client.exports()
            if (export.table, export.since) == (request["table"], request.get("since"))
        ]

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:  # noqa: ARG002 - no key of ours is taken
        return self._client.submit(request)

    def status(self, job: Job) -> JobReport:
        export = self._client.export(str(job.id))
        status = _status(export)
        return JobReport(
            status,
            result_id=export.id if status is JobStatus.SUCCEEDED else None,
            reason="it gives no reason" if status is JobStatus.FAILED else None,
            word=export.state if status is JobStatus.UNKNOWN else None,
        )

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:
        export, table = self._client.export(str(job.id)), str(request["table"])
        if _status(export) is not JobStatus.SUCCEEDED:
            raise ResultExpiredError(f"export {export.id} was done, and is {export.state} now. Run it again")
        name = f"{table}.csv"
        return Contents(
            datasets=[Dataset(name=table, table=table, format=Format(compression="none"))],
            files=[RemoteFile(dataset=table, name=name, part=0, vendor_file_id=export.id, vendor_name=name)],
            expected_rows=export.rows,
        )

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:  # noqa: ARG002 - the file is the export's only one
        return self._client.file(str(file.vendor_file_id))

    def cancel(self, job: Job) -> None:
        self._client.stop(str(job.id))

    def operations(self) -> Mapping[str, Operation]:
        return bound(
            "pebble",
            {
                "exports": lambda _: [
                    dict(export.document) or export.model_dump(mode="json") for export in self._client.exports()
                ],
                "stop-export": lambda given: self._client.stop(given.export),
            },
            previews={
                "stop-export": lambda given: f"Stops export {given.export} at Pebble; a run that waits for it fails."
            },
        )


def _granted(reply: Reply) -> _Token:
    """Read a token. Nothing of an answer that is none is shown: it may hold one in another place."""
    try:
        return read_reply(_Token, reply.what, reply.json())
    except UnexpectedResponseError:
        raise UnexpectedResponseError(f"{reply.what} answered with something that is no token") from None


def _status(export: Export) -> JobStatus:
    """A word that Pebble adds later is waited on like running, and reported."""
    return _STATES.get(export.state, JobStatus.UNKNOWN)


def _path(export_id: str) -> str:
    return f"/exports/{quote(export_id, safe='')}"
