"""mediarithmics' API as far as query exports need it, with typed answers.

    GET  /v1/connected_user                                       who the token is, and for which organisations
    GET  /v1/exports?organisation_id=                             the definitions
    POST /v1/exports?organisation_id=                             another one
    GET  /v1/exports/{export}?organisation_id=                    one of them
    GET  /v1/exports/{export}/executions                          its executions; there is no way to ask for one
    POST /v1/exports/{export}/executions                          another one
    GET  /v1/exports/{export}/executions/{execution}/files/technical_name={name}
    GET  /v1/data_file/data?uri=mics://data_file/...              the same file, or why there is none
    POST /v1/datamarts/{datamart}/queries                         a query for an export
    GET  /v1/datamarts/{datamart}/queries/{query}                 what a query says
    POST /v1/datamarts/{datamart}/query_check/otql                whether a query is right

A call is made once; only a 401 is answered with one new login.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import requests

from haul.connectors import SecretSource
from haul.connectors.mediarithmics import replies
from haul.connectors.mediarithmics.credentials import read
from haul.connectors.mediarithmics.login import Login, Session
from haul.errors import UnexpectedResponseError, VendorUnavailableError
from haul.login import logged_in
from haul.ports import DownloadSource
from haul.rest import Dialect, Reply, new_session

_PAGE = 50
_PAUSE_SECONDS = 60.0
_ERROR_FILE_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RAW = {"Accept": "*/*", "Accept-Encoding": "identity"}
"""Of a file: its lines land as they are, and a coding on the way would have to be undone."""
_FILE_PATHS = ("segment", "query", "data_file")
"""How a file is addressed: by the documentation, by its older reading, and by the data file's own address."""
_ADVICE = {
    403: "the token's user needs access to the organisation and its datamart, with the right to create and run exports",
}


def _problem(body: Any) -> str | None:
    """The vendor's text, and the id to quote to its support."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error") or body.get("message")
    text = error.get("message") if isinstance(error, Mapping) else error
    error_id = f" (error_id {body['error_id']})" if body.get("error_id") else ""
    return f"{text or ''}{error_id}".strip() or None


class MediarithmicsClient:
    """One user of mediarithmics, in whichever organisations it may act."""

    def __init__(
        self,
        secret: SecretSource,
        *,
        http: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = read(secret.current())
        dialect = Dialect("mediarithmics", problem=_problem, pause=lambda _: _PAUSE_SECONDS, advice=_ADVICE)
        self._login = Login(secret, dialect, http=http or new_session(), clock=clock)
        self._file_path = _FILE_PATHS[0]
        self._opened: set[tuple[str, str]] = set()

    def connected_user(self) -> replies.MediarithmicsReply:
        return replies.read(replies.One[replies.MediarithmicsReply], self._call("GET", "/v1/connected_user")).data

    # Queries

    def create_query(self, datamart: str, language: str, text: str) -> replies.Query:
        body = {"datamart_id": datamart, "query_language": language, "query_text": text}
        return replies.read(
            replies.One[replies.Query], self._call("POST", f"{_datamart(datamart)}/queries", body=body)
        ).data

    def query(self, datamart: str, query_id: str) -> replies.Query | None:
        """What a query says now, None if it cannot be had."""
        path = f"{_datamart(datamart)}/queries/{_segment(query_id)}"
        reply = self._call("GET", path, handled=(403, 404, 405))
        return replies.read(replies.One[replies.Query], reply).data if reply.status == 200 else None

    def check_query(self, datamart: str, text: str) -> replies.QueryCheck:
        """Have an OTQL query checked; nothing is kept."""
        reply = self._call("POST", f"{_datamart(datamart)}/query_check/otql", body={"query": text})
        return replies.read(replies.One[replies.QueryCheck], reply).data

    # Exports

    def exports(self, organisation: str) -> Iterator[replies.Export]:
        """Every definition of an organisation, page by page."""
        return self._pages(replies.Many[replies.Export], "/v1/exports", organisation_id=organisation)

    def export(self, export_id: str, organisation: str | None = None) -> replies.Export | None:
        """One definition, None if the organisation has no such."""
        query = f"?{urlencode({'organisation_id': organisation})}" if organisation else ""
        reply = self._call("GET", f"{_export(export_id)}{query}", handled=(404,))
        return None if reply.status == 404 else replies.read(replies.One[replies.Export], reply).data

    def create_export(self, organisation: str, definition: Mapping[str, str], query_id: str) -> replies.Export:
        path = f"/v1/exports?{urlencode({'organisation_id': organisation})}"
        reply = self._call("POST", path, body={**definition, "query_id": query_id})
        return replies.read(replies.One[replies.Export], reply).data

    # Executions

    def executions(self, export_id: str) -> Iterator[replies.Execution]:
        """Every execution of an export, page by page; none of an export that there is not (any more)."""
        return self._pages(replies.Many[replies.Execution], f"{_export(export_id)}/executions", handled=(404,))

    def execution(self, export_id: str, execution_id: str) -> replies.Execution | None:
        """One execution, looked for page by page; None if it is not listed."""
        return next((shown for shown in self.executions(export_id) if shown.id == execution_id), None)

    def execute(self, export_id: str) -> replies.Execution:
        """Start an execution. Every call starts another one.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be one now. After any other error there is none.
        """
        path = f"{_export(export_id)}/executions"
        reply = self._call("POST", path, body={}, handled=_REDIRECTS, fresh_connection=True)
        try:
            return replies.read(replies.One[replies.Execution], reply).data
        except UnexpectedResponseError as error:  # it was taken, or somebody answered in its place: who knows
            raise VendorUnavailableError(f"{error}; there may be an execution now") from None

    # Files

    def file(self, export_id: str, execution_id: str, name: str) -> DownloadSource | None:
        """Where a file can be read, and with which headers; None if it is gone.

        A file that is opened again met a failure, so a GET whose body is left alone looks what is wrong: a refused
        token is renewed, and of the file's addresses the one that holds is taken from then on.
        """
        if (execution_id, name) in self._opened and self._find_file(export_id, execution_id, name, at_most=0) is None:
            return None
        self._opened.add((execution_id, name))
        session = self._login.session()
        path = self._address(self._paths(name)[0], export_id, execution_id, name)
        if path is None:
            return None
        return DownloadSource(
            url=session.rest.base_url + path,
            headers={**session.headers, **_RAW},
            host=session.credentials.host,
        )

    def is_empty(self, export_id: str, execution_id: str, name: str) -> bool | None:
        """Whether a file has no byte at all, None if there is no such file."""
        reply = self._find_file(export_id, execution_id, name, at_most=1)
        return None if reply is None else reply.status == 200 and not reply.body

    def error_file(self, organisation: str, execution_id: str) -> str | None:
        """The beginning of what an execution left behind about its failure, None if it left nothing."""
        path = _data_file(organisation, execution_id, "export.error")
        reply = self._call("GET", path, handled=(404,), at_most=_ERROR_FILE_BYTES)
        return None if reply.status == 404 else reply.without_secrets(reply.text)

    def _find_file(self, export_id: str, execution_id: str, name: str, *, at_most: int) -> Reply | None:
        for kind in self._paths(name):
            path = self._address(kind, export_id, execution_id, name)
            if path is None:
                continue
            # A redirect is for whoever reads the file.
            reply = self._call("GET", path, handled={404, *_REDIRECTS}, at_most=at_most)
            if reply.status != 404:
                self._file_path = kind
                return reply
        return None

    def _paths(self, name: str) -> list[str]:
        """The kinds of address that a file has, the one that held last first."""
        kinds = [kind for kind in _FILE_PATHS if kind != "data_file" or name == "export"]
        return sorted(kinds, key=lambda kind: kind != self._file_path)

    def _address(self, kind: str, export_id: str, execution_id: str, name: str) -> str | None:
        files = f"{_export(export_id)}/executions/{_segment(execution_id)}/files"
        if kind == "segment":
            return f"{files}/technical_name={_segment(name)}"
        if kind == "query":
            return f"{files}?{urlencode({'technical_name': name})}"
        execution = self.execution(export_id, execution_id)
        return _data_file(execution.organisation_id, execution_id, f"{name}.data") if execution else None

    # Calls

    def _pages[I: replies.Listed](
        self, model: type[replies.Many[I]], path: str, *, handled: Collection[int] = (), **query: str
    ) -> Iterator[I]:
        """Every item of a list once, though others may be added while it is read."""
        first, seen = 0, set[str]()
        while True:
            asked = urlencode({**query, "first_result": first, "max_results": _PAGE})
            reply = self._call("GET", f"{path}?{asked}", handled=handled)
            if reply.status in handled:
                return
            page = replies.read(model, reply)
            new = [item for item in page.data if item.id not in seen]
            yield from new
            seen.update(item.id for item in new)
            first += len(page.data)
            if page.total is None:  # a short page is the last one, and so is any page of a list without paging
                ended = not new or page.size is None or len(page.data) < page.size
            else:
                ended = not page.data or first >= page.total
            if ended:
                return

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        handled: Collection[int] = (),
        at_most: int | None = None,
        fresh_connection: bool = False,
    ) -> Reply:
        """Call with the login there is, and on a 401 once more with another."""

        def send(session: Session, *handled: int) -> Reply:
            return session.rest.call(
                method,
                path,
                headers={**session.headers, **(_RAW if at_most is not None else {"Accept": "application/json"})},
                body=body,
                handled=handled,
                hide=session.secrets,
                at_most=at_most,
                fresh_connection=fresh_connection,
            )

        session = logged_in(self._login.session, submits=fresh_connection)
        reply = send(session, 401, *handled)
        if reply.status != 401:
            return reply
        why = session.rest.message(reply)
        return send(logged_in(lambda: self._login.renewed(session, why), submits=fresh_connection), *handled)


def _segment(value: str) -> str:
    return quote(value, safe="")


def _export(export_id: str) -> str:
    return f"/v1/exports/{_segment(export_id)}"


def _datamart(datamart: str) -> str:
    return f"/v1/datamarts/{_segment(datamart)}"


def _data_file(organisation: str, execution_id: str, name: str) -> str:
    uri = f"mics://data_file/tenants/{organisation}/jobs/executions/{execution_id}/result/{name}"
    return f"/v1/data_file/data?{urlencode({'uri': uri})}"
