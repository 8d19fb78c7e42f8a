"""Adobe Experience Platform's export jobs and data access, every endpoint, with typed answers.

    GET    /data/core/ups/export/jobs                        newest first, in pages
    POST   /data/core/ups/export/jobs                        ask for an export
    GET    /data/core/ups/export/jobs/{id}
    DELETE /data/core/ups/export/jobs/{id}                   mark a running job for cancelling, forget an ended one
    GET    /data/foundation/export/batches/{batchId}/files   and /failed, /meta
    GET    /data/foundation/export/files/{dataSetFileId}     its parts, or with ?path= the bytes of one; HEAD too
    GET    /data/foundation/catalog/batches/{batchId}

A call is made once; only a refused token is answered with one new login. A page leads to the next page of the same
list and nowhere else, whichever host its link names.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests

from haul.connectors import SecretSource
from haul.connectors.adobe import replies
from haul.connectors.adobe.credentials import read
from haul.connectors.adobe.login import Login, Session
from haul.errors import CredentialsRefusedError, UnexpectedResponseError, VendorUnavailableError
from haul.login import logged_in
from haul.ports import DownloadSource
from haul.rest import Dialect, Reply, new_session

PAGE = 100
"""The most that Adobe lists at once."""

_JOBS = "/data/core/ups/export/jobs"
_EXPORT = "/data/foundation/export"
_CATALOG = "/data/foundation/catalog"
_DEFAULT_PAUSE_SECONDS = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSED = frozenset({"403000", "403003", "403010"})
"""The gateway's codes of a 403 that is about the token or the API key, and not about what they may do."""
_ADVICE = {
    401: "the token is refused, also a fresh one: do client_id and org_id belong together?",
    403: "the credential's project needs the Experience Platform API, and a role with access to the sandbox, to "
    "segments and profiles, and to the dataset",
}


def _problem(body: Any) -> str | None:
    """The gateway's text and code, the service's title and detail, or the login's error."""
    if not isinstance(body, Mapping):
        return None
    code = body.get("error_code") or body.get("title") or body.get("error") or ""
    text = body.get("message") or body.get("detail") or body.get("error_description") or ""
    return f"{code}: {text}" if code and text else f"{code}{text}"


class AdobeClient:
    """One credential in one sandbox of one organisation."""

    def __init__(
        self,
        secret: SecretSource,
        *,
        http: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = read(secret.current())
        dialect = Dialect("Adobe", problem=_problem, pause=lambda _: _DEFAULT_PAUSE_SECONDS, advice=_ADVICE)
        self._login = Login(secret, dialect, http=http or new_session(), clock=clock)
        self._opened: set[tuple[str, str]] = set()

    # Jobs

    def submit(self, request: Mapping[str, Any]) -> str:
        """Ask for an export, and return the job's id. Every call is another job.

        Raises:
            VendorUnavailableError: unless `sent` is False, there may be a job now. After any other error there is none.
        """
        reply = self._call("POST", _JOBS, body=dict(request), handled=_REDIRECTS, fresh_connection=True)
        try:
            return replies.read(replies.ExportJob, reply).id
        except UnexpectedResponseError as error:  # Adobe took it, or somebody in its place did: who knows
            raise VendorUnavailableError(f"{error}; there may be a job now") from None

    def job(self, job_id: str) -> replies.ExportJob | None:
        """Where a job stands; None if Adobe knows no such job."""
        reply = self._call("GET", f"{_JOBS}/{_segment(job_id)}", handled=(404,))
        return None if reply.status == 404 else replies.read(replies.ExportJob, reply)

    def job_pages(self, status: str | None = None) -> Iterator[replies.JobPage]:
        """Jobs, newest first. Adobe can filter by NEW, SUCCEEDED and FAILED, and by nothing else."""
        asked = f"&status={_segment(status)}" if status else ""
        return self._pages(replies.JobPage, _JOBS, f"limit={PAGE}{asked}")

    def delete(self, job_id: str) -> None:
        """Mark a running job for cancelling, or delete the record of an ended one. One that is gone stays gone."""
        # An answer of 204 may have a body, which would be taken for the beginning of the next one.
        self._call("DELETE", f"{_JOBS}/{_segment(job_id)}", handled=(404,), fresh_connection=True)

    # What they wrote

    def has_files(self, batch_id: str) -> bool:
        """Whether anything is listed in a batch yet; one that Adobe does not know has nothing."""
        reply = self._call("GET", f"{_batch(batch_id)}/files?limit=1", handled=(404,))
        return reply.status != 404 and bool(replies.read(replies.FilePage, reply).data)

    def batch_files(self, batch_id: str) -> list[replies.Entry] | None:
        """Every file of a batch; None if there is no such batch (any more)."""
        return self._entries(f"{_batch(batch_id)}/files")

    def file_entries(self, file_id: str) -> list[replies.Entry] | None:
        """The parts of a file, or the files below it; None if there is no such file (any more)."""
        return self._entries(f"{_EXPORT}/files/{_segment(file_id)}")

    def batch_status(self, batch_id: str) -> str:
        """The catalog's word for a batch; empty where it has none for us."""
        reply = self._call("GET", f"{_CATALOG}/batches/{_segment(batch_id)}", handled=(400, 403, 404))
        body = reply.json() if reply.status == 200 else {}
        about = body.get(batch_id, body) if isinstance(body, Mapping) else {}
        status = about.get("status") if isinstance(about, Mapping) else None
        return status if isinstance(status, str) else ""

    def content(self, file_id: str, path: str) -> DownloadSource | None:
        """Where a part can be read, and with which headers; None if it is gone.

        A part that is opened again met a failure, so a HEAD looks what is wrong: a refused token is renewed.
        """
        where = f"{_EXPORT}/files/{_segment(file_id)}?path={_segment(path)}"
        if (file_id, path) in self._opened:
            # A redirect is for whoever reads the part.
            looked = self._call("HEAD", where, handled={404, *_REDIRECTS}, peek=True)
            if looked.status == 404:
                return None
        self._opened.add((file_id, path))
        session = self._login.session()
        return DownloadSource(
            url=session.rest.base_url + where,
            headers={**session.headers, "Accept": "application/octet-stream", "Accept-Encoding": "identity"},
            host=session.credentials.host,
            honours_range=True,
        )

    # To look at by hand: as Adobe gave it, None if it is not there

    def raw_batch(self, batch_id: str, what: str) -> Any:
        """The first page of a batch's `files`, of those that `failed`, or of its `meta`."""
        return self._document(f"{_batch(batch_id)}/{what}?limit={PAGE}")

    def raw_file(self, file_id: str) -> Any:
        return self._document(f"{_EXPORT}/files/{_segment(file_id)}?limit={PAGE}")

    def raw_catalog(self, batch_id: str) -> Any:
        return self._document(f"{_CATALOG}/batches/{_segment(batch_id)}")

    def _document(self, path: str) -> Any:
        reply = self._call("GET", path, handled=(404,))
        return None if reply.status == 404 else reply.json()

    def _entries(self, path: str) -> list[replies.Entry] | None:
        pages = list(self._pages(replies.FilePage, path, f"limit={PAGE}"))
        return [entry for page in pages for entry in page.data] if pages else None

    def _pages[P: (replies.JobPage, replies.FilePage)](self, model: type[P], path: str, query: str) -> Iterator[P]:
        """Read a list to its end; nothing where it is not there."""
        asked: set[str] = set()
        while query:
            if query in asked:
                raise UnexpectedResponseError(f"Adobe GET {path}: the list leads back to a page that was read")
            asked.add(query)
            reply = self._call("GET", f"{path}?{query}", handled=(404,))
            if reply.status == 404:
                return
            page = replies.read(model, reply)
            yield page
            query = _following(path, page.following)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        handled: Collection[int] = (),
        peek: bool = False,
        fresh_connection: bool = False,
    ) -> Reply:
        """Call with the login there is, and where that is refused once more with another."""

        def send(session: Session, *handled: int) -> Reply:
            return session.rest.call(
                method,
                path,
                headers={**session.headers, "Accept": "application/json"},
                body=body,
                handled=handled,
                hide=session.secrets,
                peek=peek,
                fresh_connection=fresh_connection,
            )

        session = logged_in(self._login.session, submits=fresh_connection)
        reply = send(session, 401, 403, *handled)
        if _is_refused(reply):
            refused = session
            session = logged_in(lambda: self._login.renewed(refused), submits=fresh_connection)
            reply = send(session, 403, *handled)
            if _is_refused(reply):
                raise CredentialsRefusedError(session.rest.message(reply))
        if reply.status == 403 and 403 not in handled:
            raise session.rest.failure(reply)
        return reply


def _is_refused(reply: Reply) -> bool:
    if reply.status != 403:
        return reply.status == 401
    try:
        body = reply.json()
    except UnexpectedResponseError:
        return False
    return isinstance(body, Mapping) and str(body.get("error_code", "")) in _REFUSED


def _following(path: str, link: str) -> str:
    """The query of the next page, empty after the last.

    Links are relative to the API's root and not to the host, or absolute, with a port. They are for the list that is
    being read, so that nothing but their query counts.
    """
    try:
        parts = urlsplit(link)
    except ValueError:
        raise UnexpectedResponseError(f"Adobe GET {path}: the link to the next page cannot be read") from None
    there = unquote(parts.path.rstrip("/"))
    if not (unquote(path).endswith(there) or there.endswith(unquote(path))):
        raise UnexpectedResponseError(f"Adobe GET {path}: the link to the next page is for another list")
    return parts.query


def _batch(batch_id: str) -> str:
    return f"{_EXPORT}/batches/{_segment(batch_id)}"


def _segment(value: str) -> str:
    return quote(value, safe="")
