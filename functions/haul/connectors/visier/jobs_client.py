"""Visier's data and job handling API: starting, watching and cancelling jobs, with typed answers.

POST /v1/op/data/startload                                       form model=, files on the SFTP server
POST /v1/op/data/startExtractAndLoad                             form model=
POST /v1alpha/op/jobs/processing-jobs, .../extraction-jobs       JSON
GET  /v1/op/jobs/dispatching-jobs/{id}                           and below it extraction-jobs, receiving-jobs,
                                                                 processing-jobs, in pages
GET  /v1/op/jobs/receiving-jobs/{id}?jobs=true                   with its children, in pages
GET  /v1/op/jobs/processing-jobs/{receivingJobId}                in pages
GET  /v1/op/job-status/jobs/{id}                                 any job
GET  /v1/op/job-status/jobs?startTime&endTime                    all jobs of a time
POST /v1/op/jobs/cancel                                          form model=, at most 500 ids
POST /v1/op/data-transfer-sessions                               then PUT {id}/upload, {id}/cancel
POST /v1/op/jobs/receiving-jobs                                  JSON, what a transfer sent

A dispatching job's `/v1/op` endpoints are stable, `/v1alpha` may change without notice.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import batched
from typing import Any

from haul.connectors.visier.calls import REDIRECTS, VisierCalls, segment
from haul.connectors.visier.credentials import Credentials
from haul.connectors.visier.job_replies import (
    CancelResult,
    CancelResults,
    Child,
    Children,
    Dispatching,
    JobList,
    ListedJob,
    Pushed,
    Receiving,
    Started,
    TransferSession,
)
from haul.connectors.visier.login import Session
from haul.connectors.visier.replies import VisierReply
from haul.errors import HaulError, LoadRefusedError, UnexpectedResponseError, VendorUnavailableError
from haul.multipart import File, Multipart
from haul.ports import Source
from haul.replies import read
from haul.rest import Reply, excerpt

PAGE = 1000
CANCELLED_AT_ONCE = 500
_JOBS = "/v1/op/jobs"
_JOB_STATUS = "/v1/op/job-status/jobs"
_TRANSFERS = "/v1/op/data-transfer-sessions"
_REASON = 500
_TAKE_IN_SECONDS = 300
"""Visier may look at a file of 3 GB before it answers."""
_TAKEN = frozenset({"", "SUCCEED", "SUCCEEDED", "SUCCESS"})


class Kind(StrEnum):
    """Visier's kinds of job."""

    DISPATCHING = "dispatching"
    EXTRACTION = "extraction"
    RECEIVING = "receiving"
    PROCESSING = "processing"


def kind_of(job_type: str) -> Kind | None:
    """Read a job type, which differs between Visier's endpoints; a receiving job is an upload job to some."""
    word = job_type.lower()
    marks = {
        "dispatch": Kind.DISPATCHING,
        "extract": Kind.EXTRACTION,
        "receiv": Kind.RECEIVING,
        "upload": Kind.RECEIVING,
        "process": Kind.PROCESSING,
    }
    return next((kind for mark, kind in marks.items() if mark in word), None)


class JobsClient:
    """The jobs of one tenant and, if it administrates others, of those. `page` is how many jobs are asked for at once.

    A job that is started may exist whenever a call that starts one raises `VendorUnavailableError`, unless its `sent`
    is False; after any other error there is none.
    """

    def __init__(self, calls: VisierCalls, *, page: int = PAGE) -> None:
        self._calls = calls
        self._page = page

    @property
    def credentials(self) -> Credentials:
        return self._calls.credentials

    @property
    def target_tenant(self) -> str | None:
        return self._calls.target_tenant

    @property
    def calls_left(self) -> Mapping[str, int]:
        return self._calls.budget.left

    # Starting

    def start_load(self, model: Mapping[str, Any]) -> str:
        return self._start("/v1/op/data/startload", form=_model(model))

    def start_extract_and_load(self, model: Mapping[str, Any]) -> str:
        return self._start("/v1/op/data/startExtractAndLoad", form=_model(model))

    def start_processing(self, body: Mapping[str, Any]) -> str:
        return self._start("/v1alpha/op/jobs/processing-jobs", body=dict(body))

    def start_extraction(self, body: Mapping[str, Any]) -> str:
        return self._start("/v1alpha/op/jobs/extraction-jobs", body=dict(body))

    def start_receiving(self, transfer_session: str, *, process: bool | None) -> str:
        """Have taken in what a transfer sent; the id of its receiving job."""
        body = {"transferSessionId": transfer_session, **({} if process is None else {"processingData": process})}
        return self._start(f"{_JOBS}/receiving-jobs", body=body)

    def _start(self, path: str, *, form: Mapping[str, str] | None = None, body: Any = None) -> str:
        reply = self._calls.call(
            "POST", path, form=form, body=body, handled=REDIRECTS, fresh_connection=True, failure=_refusal
        )
        try:
            answer = reply.json()
        except UnexpectedResponseError as error:
            if _is_a_reason(reply):
                raise LoadRefusedError(f"{reply.what} answered {reply.status}: {_shown(reply, reply.text)}") from None
            raise VendorUnavailableError(f"{error}; there may be a job now") from None
        if isinstance(answer, Mapping) and (job_id := read(Started, reply.what, answer).job_id):
            return job_id
        if 200 <= reply.status < 300 and (reason := _reason(answer)):
            raise LoadRefusedError(f"{reply.what} answered {reply.status}: {_shown(reply, reason)}")
        raise VendorUnavailableError(f"{reply.what} answered {reply.status} without a job id; there may be a job now")

    # Watching

    def dispatching(self, job_id: str) -> Dispatching | None:
        """A dispatching job; None if there is none of that id."""
        return self._read_one(Dispatching, f"{_JOBS}/dispatching-jobs/{segment(job_id)}")

    def dispatched(self, job_id: str, kind: Kind) -> list[Child]:
        """All jobs of one kind that a dispatching job made, as far as they are listed yet."""
        pages = self._pages(Children, f"{_JOBS}/dispatching-jobs/{segment(job_id)}/{kind}-jobs")
        return [job for page in pages for job in page.jobs]

    def receiving(self, job_id: str) -> tuple[Receiving, list[Child]] | None:
        """A receiving job and those that it made for single tenants; None if there is none of that id."""
        pages = list(self._pages(Receiving, f"{_JOBS}/receiving-jobs/{segment(job_id)}", {"jobs": "true"}))
        return (pages[0], [job for page in pages for job in page.jobs]) if pages else None

    def processing(self, receiving_job_id: str) -> list[Child]:
        """The processing jobs that a receiving job made."""
        pages = self._pages(Children, f"{_JOBS}/processing-jobs/{segment(receiving_job_id)}")
        return [job for page in pages for job in page.jobs]

    def listed(self, job_id: str) -> list[ListedJob]:
        """What the list of all jobs has under an id; nothing, if it is not there, or not yet."""
        reply = self._calls.call("GET", f"{_JOB_STATUS}/{segment(job_id)}", handled=(404,))
        if reply.status == 404:
            return []
        return read(JobList, reply.what, {"jobStatus": reply.json()}).job_status

    def listed_between(self, since: datetime, until: datetime) -> list[ListedJob]:
        """The list of all jobs that began within a time.

        Raises:
            VendorUnavailableError: Visier says that it shows a part of them alone.
        """
        reply = self._calls.call("GET", _JOB_STATUS, query={"startTime": _iso(since), "endTime": _iso(until)})
        if reply.status == 206:
            raise VendorUnavailableError(f"{reply.what} answered 206, a part of the jobs: it shows nothing for certain")
        return read(JobList, reply.what, reply.json()).job_status

    def _read_one[M: VisierReply](self, model: type[M], path: str) -> M | None:
        reply = self._calls.call("GET", path, handled=(404,))
        return None if reply.status == 404 else read(model, reply.what, reply.json())

    def _pages[M: Children](self, model: type[M], path: str, query: Mapping[str, str] | None = None) -> Iterator[M]:
        """Every page of a list, nothing where there is none: the last one is shorter than asked for, and no 206."""
        seen: set[str] = set()
        while True:
            asked: dict[str, str | int] = {**(query or {}), "start": len(seen), "limit": self._page}
            reply = self._calls.call("GET", path, query=asked, handled=(404,))
            if reply.status == 404:
                return
            page = read(model, reply.what, reply.json())
            new = {job.id for job in page.jobs} - seen
            if seen and not new:
                return
            yield page
            seen |= new
            full = len(page.jobs) >= min(page.limit or self._page, self._page)
            if not new or not (full or reply.status == 206):
                return

    # Cancelling

    def cancel(self, job_ids: Sequence[str]) -> list[CancelResult]:
        results = []
        for ids in batched(job_ids, CANCELLED_AT_ONCE, strict=False):
            reply = self._calls.call("POST", f"{_JOBS}/cancel", form=_model({"jobIds": list(ids)}))
            results += read(CancelResults, reply.what, reply.json()).job_cancellation_results
        return results

    # Sending a file

    def begin_transfer(self) -> str:
        reply = self._calls.call("POST", _TRANSFERS, fresh_connection=True)
        return read(TransferSession, reply.what, reply.json()).transfer_session_id

    def upload(
        self, transfer_session: str, source: Source, *, source_id: str | None = None, tenant: str | None = None
    ) -> None:
        """Send a file, streamed; a login that is refused has it read anew.

        Raises:
            LoadRefusedError: Visier does not take it.
        """
        optional = {"sourceId": source_id, "tenantCode": tenant}
        reply = self._calls.call(
            "PUT",
            f"{_TRANSFERS}/{segment(transfer_session)}/upload",
            query={"sequence": 1, **{name: value for name, value in optional.items() if value}},
            upload=Multipart([("file", File(source, _content_type(source.name)))]),
            read_seconds=_TAKE_IN_SECONDS,
            failure=_refusal,
        )
        pushed = read(Pushed, reply.what, reply.json())
        if pushed.status.upper() not in _TAKEN:
            reason = f"{pushed.status} {pushed.message}"
            raise LoadRefusedError(f"{reply.what} answered {reply.status}: {_shown(reply, reason)}")

    def cancel_transfer(self, transfer_session: str) -> None:
        self._calls.call("PUT", f"{_TRANSFERS}/{segment(transfer_session)}/cancel")


def _content_type(name: str) -> str:
    return "application/zip" if name.lower().endswith(".zip") else "text/csv"


def _model(model: Mapping[str, Any]) -> dict[str, str]:
    return {"model": json.dumps(model, separators=(",", ":"))}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(session: Session, reply: Reply) -> HaulError | None:
    """What Visier turns down by status is refused with its reason; who may not call at all is another matter."""
    turned_down = (400 <= reply.status < 500 and reply.status not in (401, 403, 429)) or reply.status == 501
    return LoadRefusedError(session.rest.message(reply)) if turned_down else None


def _is_a_reason(reply: Reply) -> bool:
    """Whether a good answer that is no JSON is a sentence, and neither a page nor broken JSON."""
    text = reply.text.strip()
    return 200 <= reply.status < 300 and bool(text) and text[0] not in "<{["


def _reason(answer: Any) -> str | None:
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, Mapping):
        return None
    return next((str(answer[name]) for name in ("localizedMessage", "message") if answer.get(name)), None)


def _shown(reply: Reply, text: str) -> str:
    return excerpt(reply.without_secrets(text), _REASON)
