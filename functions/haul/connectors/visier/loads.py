"""Visier's data and job handling behind our verbs: one class for every action that is a job."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from haul import keys
from haul.connectors.visier import family
from haul.connectors.visier.family import Member, Wanted
from haul.connectors.visier.job_replies import ListedJob
from haul.connectors.visier.jobs_client import JobsClient, Kind, kind_of
from haul.errors import (
    HaulError,
    InvalidEventError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.symbols import unescaped
from haul.models.vendors.visier.loads import LoadOptions
from haul.models.work import Job, JobStatus
from haul.ports import Capabilities, Found, LoadReport, Prepared, Source

_LISTING_LAG = timedelta(minutes=10)
_CLOCK_SKEW = timedelta(minutes=1)
"""A job that began so little before it was asked for may be ours: Visier's clock may be behind."""
_TO_THE_END = timedelta(days=1)
"""The list's end time says no more than: up to now, by whichever clock."""
_LONGEST = timedelta(days=7)
"""How far back a job may have begun of which nobody says when."""
_UPLOAD_BYTES = 3 * 10**9
_NOT_CANCELLED = "CANCEL_FAILED"
_SURELY_IS = {"start-load": Kind.RECEIVING, "upload": Kind.RECEIVING}
_MAY_BE = {
    "extract-and-load": {Kind.DISPATCHING, Kind.EXTRACTION},
    "extraction-job": {Kind.DISPATCHING, Kind.EXTRACTION},
    "processing-job": {Kind.DISPATCHING, Kind.PROCESSING},
    "start-load": {Kind.RECEIVING},
    "upload": {Kind.RECEIVING},
}
_ALPHA = frozenset({"extraction-job", "processing-job"})


class VisierLoadConnector:
    """One load action of one tenant, with the jobs of every tenant that it administrates."""

    def __init__(
        self, action: str, client: JobsClient, options: LoadOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._action = action
        self._client = client
        self._options = options
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            api="v1alpha" if self._action in _ALPHA else "v1",
            lists_running_jobs=True,
            lists_finished_jobs=True,
            listing_lag=_LISTING_LAG,
            identifies_jobs=False,
            can_cancel=self._options.cancel_on_abort,
            calls_per_minute=100,
        )

    @property
    def account(self) -> str:
        name = self._client.credentials.account
        return keys.safe(f"{self.tenant}@{name}" if self.tenant else name)

    @property
    def tenant(self) -> str | None:
        return self._options.target_tenant

    @property
    def calls_left(self) -> Mapping[str, int]:
        return self._client.calls_left

    def prepare(self, request: Mapping[str, Any]) -> Prepared:
        """Spell times as Visier's own samples do: one as a number, the other as text."""
        spelt = {name: _unescaped(value) for name, value in request.items()}
        if (since := spelt.get("overrideLastExtractionTimestamp")) is not None:
            spelt["overrideLastExtractionTimestamp"] = int(since)
        if (until := spelt.get("extractToTimeOverride")) is not None:
            spelt["extractToTimeOverride"] = str(until)
        return Prepared(spelt)

    # Starting

    def start(self, request: Mapping[str, Any], source: Source | None, *, run_id: str) -> str:  # noqa: ARG002 - Visier takes no key of ours
        match self._action:
            case "extract-and-load":
                return self._client.start_extract_and_load(request)
            case "extraction-job":
                return self._client.start_extraction(request)
            case "processing-job":
                return self._client.start_processing(request)
            case "start-load":
                return self._client.start_load(request)
            case _:
                return self._upload(request, source)

    def _upload(self, request: Mapping[str, Any], source: Source | None) -> str:
        """Send the file, then have it taken in: the last call alone makes a job."""
        if source is None:
            raise InvalidEventError("source: missing; an upload sends an object, or a dataset of a manifest")
        if source.size > _UPLOAD_BYTES:
            raise InvalidEventError(
                f"source: {source.name} has {source.size:,} bytes; Visier takes at most 3 GB in one file"
            )
        transfer = None
        try:
            transfer = self._client.begin_transfer()
            self._client.upload(transfer, source, source_id=request.get("sourceId"), tenant=request.get("tenantCode"))
        except VendorUnavailableError as error:
            self._drop(transfer)
            raise VendorUnavailableError(str(error), sent=False) from None
        except UnexpectedResponseError as error:
            self._drop(transfer)
            raise VendorUnavailableError(f"{error}; nothing was started", sent=False) from None
        except HaulError:
            self._drop(transfer)
            raise
        try:
            return self._client.start_receiving(transfer, process=request.get("processingData"))
        except VendorUnavailableError as error:
            if not error.sent:
                self._drop(transfer)
            raise
        except HaulError:
            self._drop(transfer)
            raise

    def _drop(self, transfer: str | None) -> None:
        """End a transfer session that comes to nothing; Visier would do it in time."""
        if transfer:
            with suppress(HaulError):
                self._client.cancel_transfer(transfer)

    # Finding

    def find(self, request: Mapping[str, Any], *, since: datetime) -> list[Found]:  # noqa: ARG002 - the list holds no requests
        """Look for jobs of the action's kind that nobody else started.

        Raises:
            VendorUnavailableError: the list has a job of a type that is not known: it may be this one.
        """
        begin = since.replace(microsecond=0) - _CLOCK_SKEW
        now = datetime.fromtimestamp(self._clock(), UTC)
        shown = [
            job
            for job in self._client.listed_between(begin, max(now, since) + _TO_THE_END)
            if job.parent_job_id is None and (job.start_time is None or job.start_time >= begin)
        ]
        ours = [job for job in shown if kind_of(job.job_type) in _MAY_BE[self._action]]
        strange = next((job for job in shown if kind_of(job.job_type) is None and not _exports(job.job_type)), None)
        if strange is not None and not ours:
            raise VendorUnavailableError(
                f"Visier lists job {strange.job_id} of a type that is not known: it may be the one that is looked for"
            )
        return sorted(
            (Found(family.listed(None, job).status, job_id=job.job_id, created_at=job.start_time) for job in ours),
            key=lambda found: found.created_at.timestamp() if found.created_at else 0.0,
            reverse=True,
        )

    # Watching

    def status(self, job: Job, request: Mapping[str, Any]) -> LoadReport:
        """Look at the job and all that it started.

        Raises:
            VendorUnavailableError: Visier does not know the job, although it had time to appear.
        """
        known = self._look(job, request, all_kinds=False)
        if known is None:
            return self._unseen(job)
        parent, others, wanted = known
        return family.report(
            parent,
            others,
            wanted,
            tolerate=self._options.tolerate_failed_tenants,
            awaited_for=self._options.children_appear_within,
        )

    def _unseen(self, job: Job) -> LoadReport:
        """A new job takes its time to appear."""
        since = job.submitted_at
        if since and self._clock() - since.timestamp() > self._options.children_appear_within.total_seconds():
            raise VendorUnavailableError(f"Visier does not know job {job.id} (404)")
        return LoadReport(status=JobStatus.RUNNING, kind=job.kind, progress="not in Visier's lists yet")

    def _look(
        self, job: Job, request: Mapping[str, Any], *, all_kinds: bool
    ) -> tuple[Member, Sequence[Member], Wanted] | None:
        """Find the family of a job, and what should belong to it; None while Visier does not show the job."""
        if not job.id:
            raise UnexpectedResponseError("there is no job id to ask Visier about")
        kind = Kind(job.kind) if job.kind in set(Kind) else _SURELY_IS.get(self._action)
        if kind in (None, Kind.DISPATCHING):
            found = self._dispatched(job.id, request, all_kinds=all_kinds)
            if found or kind is Kind.DISPATCHING:
                return found
        if kind is Kind.RECEIVING:
            return self._received(job.id, request)
        return self._listed(job, kind, request, all_kinds=all_kinds)

    def _dispatched(
        self, job_id: str, request: Mapping[str, Any], *, all_kinds: bool
    ) -> tuple[Member, Sequence[Member], Wanted] | None:
        job = self._client.dispatching(job_id)
        if job is None:
            return None
        processes = self._action == "processing-job"
        first = Kind.PROCESSING if processes else Kind.EXTRACTION
        others = family.children(first, self._client.dispatched(job_id, first))
        # What follows an extraction is not there before the first of them has ended.
        if not processes and (all_kinds or not all(other.live for other in others)):
            for kind in (Kind.RECEIVING, Kind.PROCESSING):
                others += family.children(kind, self._client.dispatched(job_id, kind))
        wanted = Wanted(
            first,
            job.total_jobs_dispatched,
            receiving=self._receives(request),
            processing=not processes and request.get("runProcessingJob") is True,
        )
        return family.dispatching(job_id, job), others, wanted

    def _receives(self, request: Mapping[str, Any]) -> bool:
        """Whether what was extracted is received in any case."""
        return self._action == "extract-and-load" and request.get("outputTarget") != "SQL"

    def _received(self, job_id: str, request: Mapping[str, Any]) -> tuple[Member, Sequence[Member], Wanted] | None:
        found = self._client.receiving(job_id)
        if found is None:
            return None
        job, tenants = found
        others = family.children(Kind.RECEIVING, tenants)
        others += family.children(Kind.PROCESSING, self._client.processing(job_id))
        if self._action == "start-load":
            processes = request.get("skipDataLoad") is not True
        else:
            processes = request.get("processingData") is True or request.get("runProcessingJob") is True
        return family.receiving(job_id, job), others, Wanted(processing=processes)

    def _listed(
        self, job: Job, kind: Kind | None, request: Mapping[str, Any], *, all_kinds: bool
    ) -> tuple[Member, Sequence[Member], Wanted] | None:
        """Ask the one endpoint that takes any job's id."""
        job_id = job.id or ""
        shown = self._client.listed(job_id)
        own = next((item for item in shown if item.job_id == job_id), None)
        if own is None:
            return None
        kind = kind or kind_of(own.job_type)
        if kind is Kind.RECEIVING:
            return self._received(job_id, request)
        member = family.listed(kind, own)
        if kind is not Kind.PROCESSING and (all_kinds or not member.live):
            shown += self._client.listed_between(*self._since(job, own))
        others = [family.listed(kind_of(item.job_type), item) for item in _descendants(job_id, shown)]
        extracts = kind is Kind.EXTRACTION
        wanted = Wanted(
            receiving=extracts and self._receives(request),
            processing=extracts and request.get("runProcessingJob") is True,
        )
        return member, others, wanted

    def _since(self, job: Job, own: ListedJob) -> tuple[datetime, datetime]:
        """The time in which all that a job started began. Of a job that was adopted, Visier alone knows its begin."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        begins = [at for at in (job.submitted_at, own.start_time) if at]
        return min(begins, default=now - _LONGEST) - _CLOCK_SKEW, now + _TO_THE_END

    # Cancelling

    def cancel(self, job: Job) -> None:
        """Cancel the job and every live one that it started, and once more those that it started meanwhile.

        They may be Cancelling for a while. A job that has ended, or does so meanwhile, stays as it is.

        Raises:
            RequestRejectedError: some of them go on. A receiving job that runs cannot be cancelled.
        """
        if not self._options.cancel_on_abort:
            raise RequestRejectedError(f"options.cancel_on_abort is false: Visier's job {job.id} is not cancelled")
        going_on: dict[str, str] = {}
        for _ in range(2):
            live = self._live(job)
            going_on = {
                result.job_id: result.message or result.job_status or "no reason given"
                for result in (self._client.cancel(live) if live else [])
                if result.cancel_status == _NOT_CANCELLED or (result.job_id == job.id and _is_unknown(result.job_type))
            }
            if not live:
                break
        if going_on:
            named = ", ".join(f"{job_id} ({why})" for job_id, why in list(going_on.items())[:3])
            raise RequestRejectedError(f"Visier did not cancel {len(going_on)} jobs: {named}")

    def _live(self, job: Job) -> list[str]:
        known = self._look(job, {}, all_kinds=True)
        if known is None:
            return [job.id or ""]
        parent, others, _ = known
        return [member.id for member in (parent, *others) if member.live and member.word.lower() != "cancelling"]


def _descendants(job_id: str, jobs: Iterable[ListedJob]) -> list[ListedJob]:
    """Find the jobs below one, each once."""
    known = {job.job_id: job for job in jobs}
    below: dict[str, ListedJob] = {}
    while more := {
        key: job
        for key, job in known.items()
        if key not in below and key != job_id and (job.parent_job_id == job_id or job.parent_job_id in below)
    }:
        below |= more
    return list(below.values())


def _exports(job_type: str) -> bool:
    return "export" in job_type.lower()


def _is_unknown(job_type: str) -> bool:
    return job_type.upper() == "UNRECOGNIZED"


def _unescaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_unescaped(item) for item in value]
    return unescaped(value) if isinstance(value, str) else value
