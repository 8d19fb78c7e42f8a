"""Getting the one job of a run: adopting, sharing, joining or submitting it.

The job's record in the ledger decides. Only the writer whose INTENT won may submit; everybody else uses, shares or
looks for what that one made. A lost reply leaves the INTENT standing: the job is then in doubt, and is looked for
until it shows up, a person says `resubmit`, or the deadline ends the run.
"""

import math
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Protocol

from haul.errors import (
    CredentialsRefusedError,
    ExportFailedError,
    InvalidEventError,
    InvalidInputError,
    LedgerBusyError,
    LoadRefusedError,
    MissingCapabilityError,
    PermanentError,
    QuotaExceededError,
    RateLimitedError,
    RequestRejectedError,
    RunAbandonedError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.ledger import LIVE, Ledger, require_current
from haul.models.base import digest
from haul.models.event import Outcome
from haul.models.export import Export
from haul.models.ledger import JobPhase, JobRecord, RunRecord, RunState
from haul.models.load import Load
from haul.models.work import Job, JobStatus, Work
from haul.ports import Found, JobConnector, JobReport, LoadReport, Site

_ROUNDS = 10
_PAUSE_SECONDS = 60
_CLOCKS_DIFFER = timedelta(minutes=2)
_NOTHING_WAS_MADE = (
    RateLimitedError,
    RequestRejectedError,
    LoadRefusedError,
    CredentialsRefusedError,
    MissingCapabilityError,
    QuotaExceededError,
    InvalidInputError,
    LedgerBusyError,
)
"""Answers to a submission that prove there is no job; `LedgerBusyError`: new credentials could not even be read."""


class _Next(Enum):
    AGAIN = auto()


class Vendor[W: Work](Protocol):
    """The vendor as one flow asks it for jobs."""

    @property
    def connector(self) -> JobConnector: ...

    @property
    def in_flight(self) -> timedelta:
        """How long an invocation that won the right to submit may still be about to."""
        ...

    def find(self, work: W, since: datetime) -> list[Found]:
        """Look for jobs of this request, newest first; `since` is when one in doubt began."""
        ...

    def submit(self, work: W) -> str:
        """Submit, and return the job's id; `VendorUnavailableError.sent` says whether there may be one."""
        ...

    def look(self, work: W, job: Job) -> JobReport: ...


def fingerprint(work: Work, connector: JobConnector) -> str:
    """What makes two requests ask for the same result."""
    return digest(
        {
            "vendor": work.vendor,
            "action": work.action,
            "account": connector.account,
            "request": work.request,
        }
        | _sent(work)
    )


def _sent(work: Work) -> dict[str, Any]:
    """What else than its request makes a load's bytes: which object versions, and what is done to them on the way."""
    if not isinstance(work, Load) or not work.objects:
        return {}
    objects = [[each.bucket, each.key, each.version_id, each.etag] for each in work.objects]
    return {"objects": objects, "made": [work.options.get("decode"), work.options.get("reshape")]}


def obtain[W: Work](work: W, vendor: Vendor[W], ledger: Ledger, *, site: Site, now: datetime) -> W:
    """Get this run's job, or end the run JOINED; called again it finds what it made.

    Where the vendor asked to come back later, for how long stands in `wait_seconds`.

    Raises:
        QuotaExceededError: nothing was submitted, the day's submissions are used up.
        VendorUnavailableError: nothing was submitted, the vendor could not be reached.
        PermanentError: nothing was submitted, for the reason it says.
    """
    record = ledger.run(work.pipeline, work.run_id)
    if record:
        require_current(record, work.execution)
    work = work.model_copy(update={"fingerprint": fingerprint(work, vendor.connector)})
    for _ in range(_ROUNDS):
        try:
            step = _step(work, vendor, ledger, site=site, now=now)
        except RateLimitedError as error:
            return _later(work, error)  # whether there is a job is in the ledger: the next look begins there again
        if step is not _Next.AGAIN:
            return step
    raise LedgerBusyError("several runs want the same job at once")


def _later[W: Work](work: W, error: RateLimitedError) -> W:
    return work.model_copy(update={"wait_seconds": math.ceil(error.retry_after or _PAUSE_SECONDS)})


def _step[W: Work](work: W, vendor: Vendor[W], ledger: Ledger, *, site: Site, now: datetime) -> "W | _Next":
    found = ledger.job(work.vendor, vendor.connector.account, work.fingerprint or "")
    if isinstance(work, Export) and work.link:
        return _keep(work, vendor, ledger, found, now=now)
    if found is None:
        return _make(work, vendor, ledger, None, None, site=site, now=now)
    record, etag = found
    if record.phase is JobPhase.ENDED:
        ended_itself = record.job_id and record.job_id != record.cancelled_id
        if record.owner == me(work) and record.attempt == work.attempt and ended_itself:
            raise ExportFailedError(f"job {record.job_id} of this attempt ended: {record.why_ended}")
        return _make(work, vendor, ledger, record, etag, site=site, now=now)
    if record.owner != me(work):
        return _share_or_take_over(work, vendor, ledger, record, etag)
    if record.phase is JobPhase.SUBMITTED:
        return _use_own(work, vendor, ledger, record, now=now)
    return _look_for(work, vendor, ledger, record, etag, site=site, now=now)


def _keep[W: Work](
    work: W, vendor: Vendor[W], ledger: Ledger, found: tuple[JobRecord, str] | None, *, now: datetime
) -> "W | _Next":
    """Keep the finished job that a person has the links of: nothing is asked of the vendor, and nothing submitted.

    Raises:
        InvalidEventError: the request has no such job (any more).
    """
    record, etag = found or (None, "")
    if (
        record is None
        or record.phase is not JobPhase.SUBMITTED
        or record.result_id is None
        or record.job_id != work.job.id
    ):
        what = f"job {work.job.id}" if work.job.id else "a job of this run"
        raise InvalidEventError(
            f"rerun.link: the ledger does not have {what} as finished (any more), so no link can be of it; "
            "rerun it without"
        )
    if record.owner != me(work):
        step = _share_or_take_over(work, vendor, ledger, record, etag)
        if isinstance(step, _Next) or step.outcome is not None:
            return step
    kept = _with_job(work, record, now=now)
    # Links have no names, and may come in another order next time: a file landed by one attempt's is no other's.
    own = {"adopted": True, "result_id": f"{record.result_id}~{work.attempt}"}
    return kept.model_copy(update={"job": kept.job.model_copy(update=own)})


def me[W: Work](work: W) -> str:
    """How a run is named in a job's record."""
    return f"{work.pipeline}/{work.run_id}"


def _make[W: Work](
    work: W,
    vendor: Vendor[W],
    ledger: Ledger,
    record: JobRecord | None,
    etag: str | None,
    *,
    site: Site,
    now: datetime,
) -> "W | _Next":
    """There is no live job: adopt a finished one, or submit."""
    submissions = record.submissions if record else 0
    draft = JobRecord(
        vendor=work.vendor,
        account=vendor.connector.account,
        fingerprint=work.fingerprint or "",
        phase=JobPhase.SUBMITTED,
        owner=me(work),
        attempt=work.attempt,
        intent_at=now,
        submissions=submissions,
        by_owner=record.by_owner if record and record.owner == me(work) else 0,
        cancelled_id=record.cancelled_id if record else None,
        revision=record.revision if record else 0,
    )
    reuse = work.options.get("reuse_available_export", True) and not work.resubmit
    if reuse and vendor.connector.capabilities.content_fixed_by_request:
        for shown in _find(vendor, work, now):
            if is_whole(shown, vendor.connector, now=now):
                adopted = draft.model_copy(update=_facts(shown) | {"adopted": True})
                current, won = ledger.put_job(adopted, etag)
                return _with_job(work, current, now=now) if won else _Next.AGAIN
    return _submit(work, vendor, ledger, draft, etag, site=site, now=now)


def _submit[W: Work](
    work: W,
    vendor: Vendor[W],
    ledger: Ledger,
    draft: JobRecord,
    etag: str | None,
    *,
    site: Site,
    now: datetime,
) -> "W | _Next":
    limit = vendor.connector.capabilities.submissions_per_day
    number = draft.submissions + 1
    if limit is not None:
        people = work.trigger.type == "manual" and bool(work.options.get("spend_reserved_submission"))
        ledger.count_submission(
            work.vendor,
            vendor.connector.account,
            f"{draft.fingerprint[:16]}#{number}",
            limit=limit,
            reserve=0 if people else site.quota_reserve,
            now=now,
        )
    intent, won = ledger.put_job(
        draft.model_copy(update={"phase": JobPhase.INTENT, "submissions": number, "by_owner": draft.by_owner + 1}), etag
    )
    if not won:
        return _Next.AGAIN
    try:
        job_id = vendor.submit(work)
    except _NOTHING_WAS_MADE as error:
        _withdraw(ledger, intent, error)
        if isinstance(error, RateLimitedError):
            return _later(work.model_copy(update={"job": Job()}), error)
        raise
    except VendorUnavailableError as error:
        if not error.sent:
            _withdraw(ledger, intent, error)
            raise
        return _in_doubt(work, intent)
    except UnexpectedResponseError:
        return _in_doubt(work, intent)
    submitted = ledger.change_job(
        intent,
        lambda current: (
            current.model_copy(update={"phase": JobPhase.SUBMITTED, "job_id": job_id, "submitted_at": now})
            if current.phase is JobPhase.INTENT and current.submissions == number
            else None
        ),
    )
    _stop_if_given_up(work, vendor, ledger, submitted, job_id)
    return _with_job(work, submitted, now=now)


def _stop_if_given_up[W: Work](work: W, vendor: Vendor[W], ledger: Ledger, record: JobRecord, job_id: str) -> None:
    """Abandon may have come while we submitted, and have seen no job to cancel.

    Raises:
        RunAbandonedError: it has.
    """
    run = ledger.run(work.pipeline, work.run_id)
    if run is None:
        return
    try:
        require_current(run, work.execution)
    except RunAbandonedError:
        if record.job_id == job_id:
            cancel(work, vendor, ledger, record)
        elif vendor.connector.capabilities.can_cancel:
            # A later attempt has one of its own in the record, which is not ours to touch.
            vendor.connector.cancel(work.job.model_copy(update={"id": job_id}))
        raise


def cancel[W: Work](work: W, vendor: Vendor[W], ledger: Ledger, record: JobRecord) -> None:
    """Cancel the run's job where the vendor can and nobody else waits for it; otherwise it is kept for adoption.

    A job that had ended meanwhile is kept too, as is one that is still being cancelled: the next attempt sees to it.
    That the job is to end stands in its record before the vendor hears of it: who takes the job up in between goes on
    without it.
    """
    if not vendor.connector.capabilities.can_cancel or not _may_cancel(work, record, ledger):
        return
    job = work.job.model_copy(update={"id": record.job_id})
    marked = ledger.change_job(
        record,
        lambda current: (
            current.model_copy(update={"cancelled_id": job.id})
            if current.job_id == job.id and _may_cancel(work, current, ledger)
            else None
        ),
    )
    if marked.job_id != job.id or marked.cancelled_id != job.id or not _may_cancel(work, marked, ledger):
        return
    try:
        vendor.connector.cancel(job)
    except PermanentError:
        ledger.change_job(
            marked,
            lambda current: current.model_copy(update={"cancelled_id": None}) if current.job_id == job.id else None,
        )
        return
    if _after_all(work, vendor, job) in {JobStatus.CANCELLED, JobStatus.FAILED}:
        end(ledger, record, "cancelled by Haul")


def _may_cancel[W: Work](work: W, record: JobRecord, ledger: Ledger) -> bool:
    """Whether the job runs for this attempt, and for nobody else who waits for it."""
    if record.phase is not JobPhase.SUBMITTED or record.result_id:
        return False
    if any(other != me(work) and ledger.is_live(other) for other in record.shared_with):
        return False
    if record.owner == me(work):
        return record.attempt <= work.attempt
    return me(work) in record.shared_with and not ledger.is_live(record.owner)


def _after_all[W: Work](work: W, vendor: Vendor[W], job: Job) -> JobStatus:
    """Where a job stands after it was asked to end; one that cannot be asked now is looked at by the next attempt."""
    try:
        return stands(vendor.look(work, job))
    except (TransientError, UnexpectedResponseError):
        return JobStatus.RUNNING


def stands(report: JobReport) -> JobStatus:
    """Where a job stands by one look: while something should still appear, its end is not known."""
    return JobStatus.RUNNING if isinstance(report, LoadReport) and report.awaited else report.status


def after_cancelling[W: Work](work: W, record: JobRecord, ledger: Ledger) -> W | None:
    """Go on without a job that Haul had asked to be cancelled, whoever waits for it; None where this is not one.

    The record loses the job, so that the next look at it submits; or it has a new one already, which that look finds.
    """
    cancelled = work.job.id
    if cancelled is None or record.cancelled_id != cancelled:
        return None
    ledger.change_job(
        record,
        lambda current: (
            current.model_copy(update={"phase": JobPhase.ENDED, "job_id": None, "why_ended": "cancelled by Haul"})
            if current.job_id == cancelled
            else None
        ),
    )
    return work.model_copy(update={"job": Job(), "status": JobStatus.RUNNING})


def _withdraw(ledger: Ledger, intent: JobRecord, error: Exception) -> None:
    """Take an intent back that certainly made no job, so that the next try may submit."""
    ledger.change_job(
        intent,
        lambda current: (
            current.model_copy(
                update={
                    "phase": JobPhase.ENDED,
                    "submissions": intent.submissions - 1,
                    "by_owner": intent.by_owner - 1,
                    "why_ended": f"never submitted: {type(error).__name__}",
                }
            )
            if current.phase is JobPhase.INTENT and current.submissions == intent.submissions
            else None
        ),
    )


def _use_own[W: Work](work: W, vendor: Vendor[W], ledger: Ledger, record: JobRecord, *, now: datetime) -> "W | _Next":
    """The run has its job. A later attempt looks whether it is still worth waiting for."""
    if record.attempt == work.attempt:
        return _with_job(work, record, now=now)
    job = _job(record)
    report = _status(work, vendor, job) if record.job_id else None
    if report and stands(report) in {JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}:
        end(ledger, record, report.reason or f"the vendor calls it {report.status.lower()}")
        return _Next.AGAIN
    expires = (report.result_expires_at if report else None) or record.result_expires_at
    finished = report is None or stands(report) is JobStatus.SUCCEEDED
    if finished and expires and expires <= now:
        end(ledger, record, "its result has expired")
        return _Next.AGAIN
    if finished and work.resubmit:
        end(ledger, record, "a person asked for a new one")
        return _Next.AGAIN
    older = record.intent_at < work.claimed_at and not record.shared_by_owner
    if finished and older and not vendor.connector.capabilities.content_fixed_by_request:
        end(ledger, record, "it finished before this run began, and a new one may have newer data")
        return _Next.AGAIN
    adopted = ledger.change_job(
        record,
        lambda current: (
            current.model_copy(update={"attempt": work.attempt, "adopted": True})
            if current.owner == me(work) and current.phase is JobPhase.SUBMITTED
            else None
        ),
    )
    return _with_job(work, adopted, now=now) if adopted.phase is JobPhase.SUBMITTED else _Next.AGAIN


def _status[W: Work](work: W, vendor: Vendor[W], job: Job) -> JobReport:
    """Ask for a job; one that cannot be asked for any more does not stand in the way of a person's resubmit."""
    try:
        return vendor.look(work, job)
    except (TransientError, UnexpectedResponseError):
        if work.resubmit:
            return JobReport(JobStatus.EXPIRED, reason="it could not be asked for, and a person asked for a new one")
        raise


def _look_for[W: Work](
    work: W,
    vendor: Vendor[W],
    ledger: Ledger,
    record: JobRecord,
    etag: str,
    *,
    site: Site,
    now: datetime,
) -> "W | _Next":
    """Somebody had the right to submit and was not heard of since: ask the vendor."""
    can = vendor.connector.capabilities
    may_be_older = (
        can.content_fixed_by_request and work.options.get("reuse_available_export", True) and not work.resubmit
    )
    found = _found_in_doubt(vendor, work, record, ledger)
    for shown in found or []:
        # A live one of the same request is taken whatever its age: the vendor's clock may be behind ours.
        live = shown.status in {JobStatus.RUNNING, JobStatus.UNKNOWN}
        made_since = shown.created_at is not None and shown.created_at >= record.intent_at.replace(microsecond=0)
        certain = made_since or not can.identifies_jobs  # then all that are found were made in that time
        whole = certain or (may_be_older and is_whole(shown, vendor.connector, now=now))
        # One that failed is ours as well: another one is a person's to ask for.
        ended = shown.status in {JobStatus.FAILED, JobStatus.CANCELLED} and certain
        if live or ended or (shown.status is JobStatus.SUCCEEDED and whole):
            seen = record.model_copy(update=_facts(shown) | {"phase": JobPhase.SUBMITTED, "attempt": work.attempt})
            current, won = ledger.put_job(seen, etag)
            return _with_job(work, current, now=now) if won else _Next.AGAIN
    nobody_is_at_it = now - record.intent_at > vendor.in_flight
    a_person_says_so = work.resubmit and record.attempt < work.attempt and nobody_is_at_it
    shown_by_now = now - record.intent_at > can.listing_lag + vendor.in_flight
    certainly_absent = can.lists_running_jobs and found is not None and shown_by_now
    if a_person_says_so or certainly_absent:
        draft = record.model_copy(update={"attempt": work.attempt, "intent_at": now, "job_id": None})
        return _submit(work, vendor, ledger, draft, etag, site=site, now=now)
    return _in_doubt(work, record)


def _share_or_take_over[W: Work](
    work: W, vendor: Vendor[W], ledger: Ledger, record: JobRecord, etag: str
) -> "W | _Next":
    owner_pipeline, owner_run = record.owner.split("/")
    owner = ledger.run(owner_pipeline, owner_run)
    if owner and owner_pipeline == work.pipeline and _published_meanwhile(owner, work):
        return work.model_copy(update={"outcome": Outcome.JOINED, "joined": owner_run})
    if owner and owner.state in LIVE:
        return _share(work, owner, ledger, record, etag)
    waited_for_it = me(work) in record.shared_with
    if is_spent(owner, vendor.connector) and not waited_for_it:
        end(ledger, record, f"run {record.owner} published its result, and a new one may have newer data")
        return _Next.AGAIN
    others = [other for other in record.shared_with if other != me(work)]
    # One attempt back, so that this attempt looks at the job before it trusts it.
    taken = record.model_copy(
        update={
            "owner": me(work),
            "attempt": work.attempt - 1,
            "shared_with": others,
            "shared_by_owner": waited_for_it,
            "by_owner": 0,
        }
    )
    ledger.put_job(taken, etag)
    return _Next.AGAIN


def _share[W: Work](work: W, owner: RunRecord, ledger: Ledger, record: JobRecord, etag: str) -> "W | _Next":
    """The owner's run is on its way: a run of the same pipeline joins it, another one waits for the job too."""
    if owner.pipeline == work.pipeline:
        return work.model_copy(update={"outcome": Outcome.JOINED, "joined": owner.run_id})
    if me(work) not in record.shared_with:
        shared = record.model_copy(update={"shared_with": [*record.shared_with, me(work)]})
        record, won = ledger.put_job(shared, etag)
        if not won:
            return _Next.AGAIN
    if record.phase is JobPhase.INTENT:
        return _in_doubt(work, record)
    return work.model_copy(update={"job": _job(record).model_copy(update={"adopted": True})})


def is_spent(owner: RunRecord | None, connector: JobConnector) -> bool:
    """Whether a job's result is published, and a new job of the same request may have newer data."""
    published = owner is not None and owner.state is RunState.PUBLISHED
    return published and not connector.capabilities.content_fixed_by_request


def _published_meanwhile[W: Work](owner: RunRecord, work: W) -> bool:
    """Whether another run of the pipeline did exactly this after this one was triggered."""
    return owner.state is RunState.PUBLISHED and owner.ended_at is not None and owner.ended_at >= work.claimed_at


def _find[W: Work](vendor: Vendor[W], work: W, since: datetime) -> list[Found]:
    """Look, where the vendor lists anything."""
    can = vendor.connector.capabilities
    return vendor.find(work, since) if can.lists_finished_jobs or can.lists_running_jobs else []


def _found_in_doubt[W: Work](vendor: Vendor[W], work: W, record: JobRecord, ledger: Ledger) -> list[Found] | None:
    """Look for a job that may exist; None where what can be had now shows nothing either way."""
    try:
        found = _find(vendor, work, record.intent_at)
    except TransientError:
        return None
    if vendor.connector.capabilities.identifies_jobs or not found:
        return found
    begun, ended = record.intent_at - _CLOCKS_DIFFER, record.intent_at + vendor.in_flight + _CLOCKS_DIFFER
    recorded = [
        each
        for each in ledger.jobs(record.vendor)
        if each.fingerprint != record.fingerprint and _side(each) == _side(record)
    ]
    known = {each.job_id for each in recorded}
    alike = [
        each
        for each in found
        if each.job_id not in known and (each.created_at is None or begun <= each.created_at <= ended)
    ]
    claimed = any(
        each.created_at is None or abs(each.created_at - other.intent_at) <= vendor.in_flight + _CLOCKS_DIFFER
        for each in alike
        for other in recorded
        if other.phase is JobPhase.INTENT
    )
    undated = any(each.created_at is None for each in alike)
    return None if claimed or undated or len(alike) > 1 else alike


def _side(record: JobRecord) -> str:
    """Who sees a job listed: an account and the tenants that it acts for, `<tenant>@<account>`, see each other's."""
    return record.account.rpartition("@")[2]


def is_whole(shown: Found, connector: JobConnector, *, now: datetime) -> bool:
    """Whether a job that the vendor shows has a result that lives long enough to be adopted."""
    lives_on = shown.result_expires_at is None or shown.result_expires_at - now >= connector.capabilities.adoptable_for
    return shown.status is JobStatus.SUCCEEDED and lives_on


def _facts(shown: Found) -> dict[str, Any]:
    return {
        "job_id": shown.job_id,
        "result_id": shown.result_id,
        "result_expires_at": shown.result_expires_at,
        "submitted_at": None,
    }


def end(ledger: Ledger, record: JobRecord, why: str) -> None:
    """The job has no usable result: the next one who is allowed to may submit."""
    ledger.change_job(
        record,
        lambda current: (
            current.model_copy(update={"phase": JobPhase.ENDED, "why_ended": why})
            if current.phase is JobPhase.SUBMITTED and current.submissions == record.submissions
            else None
        ),
    )


def once_more[W: Work](work: W, record: JobRecord, ledger: Ledger, why: str) -> W | None:
    """Free the way to one more submission after a failure that is worth it; None where that is not asked for.

    The record keeps its count of submissions and loses its job, so that the next look at it submits. Only the owner of
    the job does so, and doing it twice comes to the same.
    """
    allowed = int(work.options.get("retry_if_retryable") or 0)
    if work.retries >= allowed or record.owner != me(work):
        return None
    failed = work.job.id
    current = ledger.change_job(
        record,
        lambda current: (
            current.model_copy(
                update={"phase": JobPhase.ENDED, "job_id": None, "why_ended": f"job {failed} failed: {why}"}
            )
            if current.owner == me(work) and current.job_id == failed
            else None
        ),
    )
    if current.phase is not JobPhase.ENDED or current.job_id is not None:
        return None
    warning = f"job {failed} failed ({why}) and was followed by another, as options.retry_if_retryable allows"
    return work.model_copy(
        update={
            "job": Job(),
            "status": JobStatus.RUNNING,
            "retries": work.retries + 1,
            "warnings": [*dict.fromkeys([*work.warnings, warning])],
        }
    )


def _job(record: JobRecord) -> Job:
    return Job(
        id=record.job_id,
        result_id=record.result_id,
        adopted=record.adopted,
        submitted_at=record.submitted_at,
        result_expires_at=record.result_expires_at,
        vendor_counts=record.counts,
        submissions=record.by_owner,
    )


def _with_job[W: Work](work: W, record: JobRecord, *, now: datetime) -> W:
    job = _job(record)
    if job.result_id and isinstance(work, Export):  # what became of a load is only known by looking at its job
        done = job.model_copy(update={"finished_seen_at": now})
        return work.model_copy(update={"job": done, "status": JobStatus.SUCCEEDED, "partial": record.partial})
    return work.model_copy(update={"job": job, "status": JobStatus.RUNNING})


def _in_doubt[W: Work](work: W, record: JobRecord) -> W:
    job = Job(in_doubt=True, submitted_at=record.intent_at, submissions=record.by_owner)
    return work.model_copy(update={"job": job, "status": JobStatus.RUNNING})
