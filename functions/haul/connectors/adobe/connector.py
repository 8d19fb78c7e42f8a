"""Adobe's segment export jobs behind our verbs."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from haul import keys
from haul.connectors.adobe import contents, jobs
from haul.connectors.adobe.client import AdobeClient
from haul.connectors.adobe.contents import Part
from haul.connectors.adobe.replies import Batch, ExportJob
from haul.errors import (
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.export import Contents, RemoteFile
from haul.models.vendors.adobe import SegmentExportOptions
from haul.models.work import Job, JobStatus
from haul.operations import bound
from haul.ports import Capabilities, DownloadSource, Found, JobReport, Known, Operation, Prepared
from haul.rest import excerpt

_STATUS = {
    "NEW": JobStatus.RUNNING,
    "QUEUED": JobStatus.RUNNING,
    "PROCESSING": JobStatus.RUNNING,
    "CANCELLING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}
_ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
_BATCH_IS_DONE = frozenset({"success", "active"})
_BATCH_IS_LOST = frozenset({"failure", "failed", "aborted", "abandoned", "inactive", "deleted"})
_LISTED_FOR = timedelta(days=8)
"""Jobs before that are not looked for: a run is over after a week."""
_WORD_LENGTH = 60
_REASON_LENGTH = 500
_EVIDENCE = "export-job"


class AdobeConnector:
    """The exports of one sandbox."""

    capabilities = Capabilities(
        api="data/core/ups",
        lists_running_jobs=True,
        listing_lag=timedelta(minutes=5),
        lists_finished_jobs=True,
        can_cancel=True,
        honours_range=True,
        ranges=4,
    )

    def __init__(
        self, client: AdobeClient, options: SegmentExportOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._cancelled: set[str] = set()

    @property
    def account(self) -> str:
        return keys.safe(self._client.credentials.account)

    @property
    def tenant(self) -> str | None:
        return None

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:  # noqa: ARG002 - Adobe has no versions
        """Check the request once more, now that its symbols are resolved; Adobe is not asked."""
        return jobs.prepare(request, whole_store=self._options.whole_store)

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        """Look through the list as far back as a run can have begun; its filter knows no PROCESSING, so without it."""
        horizon = datetime.fromtimestamp(self._clock(), UTC) - _LISTED_FOR
        found = []
        for page in self._client.job_pages():
            listed = page.jobs()
            found += [
                Found(_status(job), job_id=job.id, created_at=job.creation_time)
                for job in listed
                if jobs.same(request, job.document)
            ]
            if listed and all(job.creation_time and job.creation_time < horizon for job in listed):
                break
        return sorted(found, key=lambda each: each.created_at.timestamp() if each.created_at else 0.0, reverse=True)

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:  # noqa: ARG002 - Adobe takes no key of ours
        """Submit. Only after a `VendorUnavailableError` whose `sent` is not False may there be a job."""
        return self._client.submit(request)

    def status(self, job: Job) -> JobReport:
        """Read the job's status alone; once it has SUCCEEDED, whether its files are there.

        Raises:
            VendorUnavailableError: Adobe does not know the job, which may still be live: a failed poll, bounded like
                any other. One that was cancelled here is CANCELLED.
        """
        job_id = _known_id(job)
        found = self._client.job(job_id)
        if found is None:
            if job_id in self._cancelled:
                return JobReport(JobStatus.CANCELLED, reason="it was cancelled, and Adobe has deleted it")
            raise VendorUnavailableError(f"Adobe does not know job {job_id} (404)")
        evidence = {_EVIDENCE: dict(found.document)}
        match status := _status(found):
            case JobStatus.RUNNING:
                return JobReport(status, progress=found.status)
            case JobStatus.SUCCEEDED:
                return self._settled(found, evidence)
            case JobStatus.FAILED | JobStatus.CANCELLED:
                reason = excerpt(found.reason, _REASON_LENGTH) or None
                return JobReport(status, reason=reason, counts=found.counts, evidence=evidence)
            case _:
                return JobReport(status, word=excerpt(found.status, _WORD_LENGTH) or "no status at all")

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:  # noqa: ARG002 - the job says it all
        found = self._client.job(_known_id(job))
        if found is None:
            raise ResultExpiredError(f"Adobe no longer knows job {job.id} (404), and with it which batches it wrote")
        written = [(batch, self._parts(batch)) for batch in found.destination.written()]
        return contents.read(found, written, count_must_match=self._options.profile_count_must_match)

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:  # noqa: ARG002 - a file's id says it all
        source = self._client.content(str(file.vendor_file_id), file.vendor_name)
        if source is None:
            raise ResultExpiredError(
                f"{file.vendor_name}: Adobe no longer has this file (404): was its batch or its dataset deleted?"
            )
        return source

    def cancel(self, job: Job) -> None:
        """Mark the job for cancelling. One that has ended is left alone: what cancels a job deletes an ended one."""
        job_id = _known_id(job)
        found = self._client.job(job_id)
        if found is None or _status(found) in _ENDED:
            return
        self._client.delete(job_id)
        self._cancelled.add(job_id)

    def operations(self) -> Mapping[str, Operation]:
        client = self._client
        return bound(
            "adobe",
            {
                "list-jobs": lambda _: self._newest(None),
                "list-jobs-with-status": lambda given: self._newest(given.status),
                "job-status": lambda given: self._existing(given.job).document,
                "delete-job": lambda given: self._delete(given.job),
                "batch-status": lambda given: _there(client.raw_catalog(given.batch)),
                "batch-files": lambda given: _there(client.raw_batch(given.batch, "files")),
                "batch-failed": lambda given: _there(client.raw_batch(given.batch, "failed")),
                "batch-meta": lambda given: _there(client.raw_batch(given.batch, "meta")),
                "file-parts": lambda given: _there(client.raw_file(given.file)),
            },
            previews={"delete-job": lambda given: self._told_before_deleting(given.job)},
        )

    # A finished job whose files are on their way

    def _settled(self, job: ExportJob, evidence: dict[str, Any]) -> JobReport:
        """SUCCEEDED, unless files are still to come: a batch may lag behind its job, for a bounded time."""
        batches = job.destination.written()
        done = JobReport(
            JobStatus.SUCCEEDED,
            result_id=batches[0].batch_id if len(batches) == 1 else job.id,
            counts=job.counts,
            evidence=evidence,
        )
        if job.exported == 0:
            return done
        if not batches:
            word = "SUCCEEDED without batchId"
            return JobReport(JobStatus.RUNNING, word=word, progress=word)
        empty = [batch for batch in batches if not self._client.has_files(batch.batch_id)]
        if not empty:
            return done
        states = {batch.batch_id: self._client.batch_status(batch.batch_id) for batch in empty}
        lost = next((f"batch {batch} is {state}" for batch, state in states.items() if state in _BATCH_IS_LOST), None)
        if lost:
            reason = f"the job SUCCEEDED, and its {lost}"
            return JobReport(JobStatus.FAILED, reason=reason, counts=job.counts, evidence=evidence)
        some = len(empty) < len(batches)
        if some and _BATCH_IS_DONE.issuperset(states.values()):
            return done  # a segment may have nobody in it
        return self._awaited(job, done, empty=len(empty), of=len(batches))

    def _awaited(self, job: ExportJob, done: JobReport, *, empty: int, of: int) -> JobReport:
        """What to make of empty batches: wait for them, or, after their time, do without some and fail without all."""
        missing = f"{empty} of {of} batches without files" if of > 1 else "its batch without files"
        now = job.told_at or datetime.fromtimestamp(self._clock(), UTC)
        if job.ended_at is None or now - job.ended_at < self._options.batch_settle:
            return JobReport(JobStatus.RUNNING, progress=f"SUCCEEDED, {missing} yet")
        if empty < of:
            return done
        waited = f"{self._options.batch_settle.total_seconds() / 60:g} min (options.batch_settle)"
        reason = f"the job SUCCEEDED, and {waited} later {missing}"
        return JobReport(JobStatus.FAILED, reason=reason, counts=done.counts, evidence=done.evidence)

    # A batch's files

    def _parts(self, batch: Batch) -> list[Part]:
        files = self._client.batch_files(batch.batch_id)
        if files is None:
            raise ResultExpiredError(f"Adobe no longer has batch {batch.batch_id} (404): was it deleted?")
        ids = list(dict.fromkeys(entry.data_set_file_id for entry in files if entry.data_set_file_id))
        with ThreadPoolExecutor(self.capabilities.connections) as threads:
            return [part for parts in threads.map(self._parts_below, ids) for part in parts]

    def _parts_below(self, file_id: str) -> list[Part]:
        """Every part of a file, which may be a directory of directories."""
        waiting, seen = [file_id], {file_id}
        found: list[Part] = []
        while waiting:
            here = waiting.pop()
            entries = self._client.file_entries(here)
            if entries is None:
                raise VendorUnavailableError(f"Adobe lists file {here}, and does not know it (404)")
            found += [Part(here, entry.name, entry.length) for entry in entries if entry.name]
            below = {entry.data_set_file_id for entry in entries if not entry.name and entry.data_set_file_id} - seen
            waiting += below
            seen |= below
        return found

    # Operations

    def _newest(self, status: str | None) -> Mapping[str, Any]:
        return next(self._client.job_pages(status)).document

    def _existing(self, job_id: str) -> ExportJob:
        found = self._client.job(job_id)
        if found is None:
            raise RequestRejectedError(f"Adobe does not know job {job_id} (404)")
        return found

    def _told_before_deleting(self, job_id: str) -> str:
        found = self._existing(job_id)
        return f"Deletes the record of export job {job_id} ({found.status}) at Adobe. The files that it wrote stay."

    def _delete(self, job_id: str) -> Mapping[str, Any]:
        if _status(found := self._existing(job_id)) not in _ENDED:
            raise RequestRejectedError(
                f"job {job_id} is {found.status}, and deleting it would cancel it; `haul cancel RUN` does that"
            )
        self._client.delete(job_id)
        return {"deleted": job_id}


def _status(job: ExportJob) -> JobStatus:
    return _STATUS.get(job.status.upper(), JobStatus.UNKNOWN)


def _known_id(job: Job) -> str:
    if not job.id:
        raise UnexpectedResponseError("there is no job id to ask Adobe about")
    return job.id


def _there(document: Any) -> Any:
    if document is None:
        raise RequestRejectedError("Adobe has no such thing (404)")
    return document
