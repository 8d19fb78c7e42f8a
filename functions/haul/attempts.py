"""What both flows decide alike: from a trigger to a run with a job, then one look after another until it has ended.

A flow says what differs in a `Flow`: how its state begins, how its request is prepared, how its vendor is asked.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

from haul import jobs, keys, symbols, waiting
from haul.errors import (
    DeadlineExceededError,
    HaulError,
    InvalidEventError,
    PermanentError,
    PollingFailedError,
    RateLimitedError,
    ResultExpiredError,
    SubmissionInDoubtError,
    TransientError,
    UnexpectedResponseError,
    by_name,
)
from haul.ledger import LIVE, Ledger, require_current
from haul.models import vendors
from haul.models.base import merged, parse, span
from haul.models.event import Event, Outcome, Rerun, Start, unreplaced
from haul.models.ledger import JobRecord, Latest, PipelineRecord, RunRecord
from haul.models.manifest import ExportManifest, LoadManifest
from haul.models.work import Job, JobStatus, Seller, Work
from haul.ports import Documents, Execution, JobConnector, JobReport, Prepared, Site

_START_FIELDS = frozenset(Start.model_fields)
_EVENT_BYTES = 60 * 1024
"""A state has 256 KiB, holds the request as given and as resolved, and needs room for what comes."""


class Flow[W: Work, C: JobConnector](ABC):
    """What differs between exports and loads until their job has ended, and what both work with."""

    kind: str
    state: type[W]

    def __init__(self, ledger: Ledger, site: Site) -> None:
        self.ledger = ledger
        self.site = site

    @abstractmethod
    def connect(self, work: W) -> C:
        """The vendor's connector, without calling the vendor yet."""

    @abstractmethod
    def vendor(self, connector: C) -> jobs.Vendor[W]:
        """The vendor as it is asked for jobs."""

    @abstractmethod
    def prepare(self, connector: C, work: W, request: Mapping[str, Any], latest: Latest) -> Prepared:
        """Resolve what only the vendor can, and refuse what the vendor would."""

    @abstractmethod
    def failure(self, message: str) -> HaulError:
        """The error of a job that the vendor gave up on."""

    def sourced(self, work: W, upstream: ExportManifest | LoadManifest | None) -> W:  # noqa: ARG002 - for those who send
        """Settle what the run sends; with an outcome where there is nothing to do."""
        return work

    def prepared(self, work: W, found: Prepared) -> W:  # noqa: ARG002 - not every flow has more to keep
        """Keep what else was found; with an outcome where the run would be of no use."""
        return work

    def again(self, work: W, rerun: Rerun | None) -> dict[str, Any]:  # noqa: ARG002 - not every flow has more to forget
        """What the next attempt begins with, besides what every attempt does."""
        return {}

    def seen(self, work: W, report: JobReport, *, now: datetime) -> tuple[W, JobReport]:  # noqa: ARG002 - as above
        """Keep what a look told; the report as the flow takes it."""
        return work, report

    def ended(self, work: W, report: JobReport) -> W:  # noqa: ARG002 - as above
        """Keep what became of a job that has ended, well or not."""
        return work

    def result_of(self, work: W, report: JobReport) -> str | None:  # noqa: ARG002 - a load has no other name than its job's
        """What the result of a finished job is known by."""
        return report.result_id


def begin[W: Work, C: JobConnector](
    event: Mapping[str, Any], execution: Execution, flow: Flow[W, C], *, now: datetime
) -> W:
    """Turn a trigger into a run with a job, or into the reason why there is nothing to do.

    Everything wrong with the event is found before anything is submitted.

    Raises:
        InvalidInputError: nothing was sent to the vendor but questions.
        RunAbandonedError: this execution no longer acts for the run.
        SourceGoneError: the object that a load is to send is not there any more in the version that was named.
        HaulError: as a repeated trigger's run ended, under its own name.
    """
    ledger = flow.ledger
    start = read_start(event)
    opened = ledger.open_run(start, dict(event), execution.id, now=now)
    if not opened.ours:
        return _repeated(opened.record, execution, flow)
    record = opened.record
    if record.work is None:
        if start.rerun and start.rerun.link:
            raise InvalidEventError("rerun.link: this run never had a job that a link could be of; rerun it without")
        work = _prepared_or_later(record, flow, now=now)
        if work.wait_seconds:
            return work
    else:
        work = _next_attempt(record, start.rerun, flow)
    if work.outcome is None:
        ledger.note(work)
        work = jobs.obtain(work, flow.vendor(flow.connect(work)), ledger, site=flow.site, now=now)
    if work.outcome is not None:
        ledger.end(work, now=now)
        return work
    # However old the job, nobody looks at it: it may have ended long ago.
    return _waiting(work, ledger, now=now, asked=work.wait_seconds, elapsed=0)


def read_start(event: Mapping[str, Any]) -> Start:
    """Read as much of an event as says which run it is.

    Raises:
        InvalidEventError: it does not say so.
    """
    return parse(Start, {name: value for name, value in event.items() if name in _START_FIELDS})


def _repeated[W: Work, C: JobConnector](record: RunRecord, execution: Execution, flow: Flow[W, C]) -> W:
    """A trigger whose run is another execution's: it joins that run, or ends as it ended."""
    if record.error and record.outcome not in {Outcome.SUCCEEDED, Outcome.PARTIAL}:
        raise (by_name(record.error.name) or PermanentError)(record.error.message)
    event = record.event
    known = record.work if isinstance(record.work, flow.state) else None
    stub = known or flow.state(
        kind=flow.kind,
        run_id=record.run_id,
        pipeline=record.pipeline,
        environment=flow.site.environment,
        execution=execution.id,
        claimed_at=record.claimed_at,
        started_at=record.started_at,
        deadline=record.started_at,
        vendor=str(event.get("vendor", "")),
        action=str(event.get("action", "")),
        connection=str(event.get("connection", "")),
        request={},
        request_as_given={},
        options={},
    )
    outcome = Outcome.JOINED if record.state in LIVE else record.outcome
    return stub.model_copy(update={"execution": execution.id, "outcome": outcome, "joined": record.run_id})


def prepared[W: Work, C: JobConnector](record: RunRecord, flow: Flow[W, C], *, now: datetime) -> W:
    """Complete and check the event and resolve its symbols, once for all attempts.

    Raises:
        InvalidInputError: nothing was sent to the vendor but questions.
    """
    deployed = flow.ledger.pipeline(record.pipeline)
    event = _completed(record.event, deployed, flow.kind)
    upstream = upstream_of(event, flow.ledger)
    latest = flow.ledger.settled_latest(record.pipeline, flow.site.bucket, now=now)
    work = _as_given(record, event, flow)
    wanted = deployed.manifest_outcomes if deployed else None
    if upstream and wanted is not None and upstream.outcome not in wanted:
        message = (
            f"the upstream run {upstream.run_id} ended {upstream.outcome}, and this pipeline waits for "
            + " or ".join(wanted)
        )
        return work.model_copy(update={"outcome": Outcome.NOTHING_NEW, "message": message})
    work = flow.sourced(work, upstream)
    if work.outcome is not None:
        return work
    connector = flow.connect(work)
    facts = symbols.Facts(
        started_at=record.claimed_at,
        scheduled_at=event.trigger.scheduled_at,
        last_success_started_at=latest.last.started_at if latest.last else None,
        upstream=upstream,
        tenant=connector.tenant,
    )
    request = symbols.resolve(event.request, facts, first_run=event.options.get("first_run", "fail"))
    found = flow.prepare(connector, work, request, latest)
    can = connector.capabilities
    return flow.prepared(
        work.model_copy(
            update={
                "seller": Seller(
                    account=connector.account,
                    tenant=connector.tenant,
                    api=can.api,
                    submissions_per_day=can.submissions_per_day,
                ),
                "request": found.request,
                "watermark": found.watermark,
                "warnings": list(found.warnings),
                "outcome": Outcome.NOTHING_NEW if found.nothing_new else None,
                "message": found.nothing_new,
            }
        ),
        found,
    )


def _prepared_or_later[W: Work, C: JobConnector](record: RunRecord, flow: Flow[W, C], *, now: datetime) -> W:
    """Prepare the run's first attempt. Where the vendor asked to come back later, `wait_seconds` is not 0.

    Such a state is not prepared yet, and must not be noted as if it were: Check tries again.
    """
    try:
        return prepared(record, flow, now=now)
    except RateLimitedError as error:
        event = _completed(record.event, flow.ledger.pipeline(record.pipeline), flow.kind)
        work = _as_given(record, event, flow)
        left = _time_left(work, now)
        return work.model_copy(
            update={"wait_seconds": waiting.next_wait(0, left=left, retry_after=error.retry_after or 60)}
        )


def _completed(raw: Mapping[str, Any], deployed: PipelineRecord | None, kind: str) -> Event:
    if deployed and not {"vendor", "action", "connection", "request"} <= raw.keys():
        raw = merged(deployed.event, raw)
    if attribute := unreplaced(raw):
        raise InvalidEventError(
            f"{attribute} was not filled in; only a schedule does that: fire the schedule, or write the value"
        )
    event = vendors.checked(parse(Event, raw))
    if (size := len(event.model_dump_json().encode())) > _EVENT_BYTES:
        raise InvalidEventError(f"the event has {size:,} bytes; what a flow can carry is {_EVENT_BYTES:,}")
    if (right := vendors.action_of(event).kind) != kind:
        raise InvalidEventError(f"action: {event.action} is the {right} flow's, and this is the {kind} flow")
    return event


def _as_given[W: Work, C: JobConnector](record: RunRecord, event: Event, flow: Flow[W, C]) -> W:
    """A run's state before its symbols are resolved."""
    return flow.state(
        kind=flow.kind,
        run_id=record.run_id,
        pipeline=record.pipeline,
        environment=flow.site.environment,
        attempt=record.attempt,
        execution=record.execution,
        claimed_at=record.claimed_at,
        started_at=record.started_at,
        deadline=record.started_at + event.limits.deadline,
        vendor=event.vendor,
        action=event.action,
        connection=event.connection,
        request=event.request,
        request_as_given=event.request,
        options=event.options,
        landing=event.landing,
        limits=event.limits,
        notify=event.notify,
        trigger=event.trigger,
        source=event.source,
    )


def upstream_of(event: Event, ledger: Ledger) -> ExportManifest | LoadManifest | None:
    """Read the manifest that the event names; None where it names none.

    Raises:
        InvalidEventError: there is no such manifest in the landing bucket.
    """
    if event.source is None or event.source.manifest is None:
        return None
    place = event.source.manifest
    named = keys.run_of_manifest(place.key)
    found = ledger.manifest(*named) if named else None
    if found is None:
        raise InvalidEventError(f"source.manifest.key: there is no manifest {place.key} in the landing bucket")
    if isinstance(found, LoadManifest) and found.items_uri:
        return found.model_copy(update={"items": ledger.items(found.pipeline, found.run_id)})
    return found


def _next_attempt[W: Work, C: JobConnector](record: RunRecord, rerun: Rerun | None, flow: Flow[W, C]) -> W:
    work = record.work
    if not isinstance(work, flow.state):
        kind = work.kind if work else "other"
        raise InvalidEventError(f"rerun: run {record.run_id} is the {kind} flow's, and this is the {flow.kind} flow")
    if work.attempt == record.attempt:
        return work
    return work.model_copy(
        update={
            "attempt": record.attempt,
            "execution": record.execution,
            "started_at": record.started_at,
            "deadline": record.started_at + work.limits.deadline,
            "status": JobStatus.RUNNING,
            "job": Job(),
            "wait_seconds": 0,
            "failed_polls": 0,
            "retries": 0,
            "progress": None,
            "resubmit": rerun is not None and rerun.resubmit,
        }
        | flow.again(work, rerun)
    )


def check[W: Work, C: JobConnector](work: W, connector: C, flow: Flow[W, C], *, landing: Documents, now: datetime) -> W:
    """Look once where the job stands; where there is none yet, try to get it.

    A rate limit is a longer wait, and a poll that fails is not a failed job.

    Raises:
        DeadlineExceededError: it is still running and its time is up.
        SubmissionInDoubtError: the time is up, and it never showed.
        ExportFailedError: the vendor gave up on an export.
        LoadFailedError: the vendor gave up on a load.
        ResultExpiredError: the vendor has deleted its result.
        PollingFailedError: too many polls in a row were not answered.
        RunAbandonedError: this attempt was given up.
    """
    work = work.model_copy(update={"polls": work.polls + 1, "wait_seconds": 0})
    if work.job.id is None and work.job.result_id is None:
        return _without_job(work, connector, flow, now=now)
    try:
        report = flow.vendor(connector).look(work, work.job)
    except RateLimitedError as error:
        return _still_waiting(work, flow.ledger, now=now, asked=error.retry_after or 60)
    except (TransientError, UnexpectedResponseError) as error:
        return _poll_failed(work, str(error), flow, now=now)
    if report.status is JobStatus.RUNNING and report.word:
        return _poll_failed(work, report.word, flow, now=now)
    for what, document in report.evidence.items():
        landing.write_document(keys.evidence(work.pipeline, work.run_id, what), json.dumps(document))
    work, report = flow.seen(work, report, now=now)
    work = work.model_copy(
        update={
            "failed_polls": 0,
            "progress": report.progress,
            "status": report.status,
            "partial": report.partial,
            "evidence": [*dict.fromkeys([*work.evidence, *report.evidence])],
        }
    )
    return _looked(work, report, connector, flow, now=now)


def _without_job[W: Work, C: JobConnector](work: W, connector: C, flow: Flow[W, C], *, now: datetime) -> W:
    """Go on where the first state was asked to come back later."""
    ledger = flow.ledger
    record = ledger.run(work.pipeline, work.run_id)
    if record and record.work is None:
        require_current(record, work.execution)
        polls = work.polls
        work = _prepared_or_later(record, flow, now=now)
        work = work.model_copy(update={"polls": polls})
        if work.wait_seconds:
            return work
        if work.outcome is None:
            ledger.note(work)
    if work.outcome is None:
        work = jobs.obtain(work, flow.vendor(connector), ledger, site=flow.site, now=now)
    if work.outcome is not None:
        ledger.end(work, now=now)
        return work
    return _still_waiting(work, ledger, now=now, asked=work.wait_seconds)


def _poll_failed[W: Work, C: JobConnector](work: W, why: str, flow: Flow[W, C], *, now: datetime) -> W:
    """Count a poll that told nothing, or nonsense, and give up after too many in a row."""
    failed = work.failed_polls + 1
    if failed >= flow.site.poll_failures_allowed:
        raise PollingFailedError(f"{failed} polls in a row failed; the last one: {why}. Job {work.job.id} may be fine")
    return _still_waiting(work.model_copy(update={"failed_polls": failed}), flow.ledger, now=now)


def _looked[W: Work, C: JobConnector](
    work: W, report: JobReport, connector: C, flow: Flow[W, C], *, now: datetime
) -> W:
    ledger = flow.ledger
    found = ledger.job(work.vendor, connector.account, work.fingerprint or "")
    record = found[0] if found else None
    job_id = work.job.id
    match report.status:
        case JobStatus.RUNNING:
            return _still_waiting(work, ledger, now=now)
        case JobStatus.UNKNOWN:
            warning = f'the vendor calls the job "{report.word}", which Haul does not know and waits on'
            warnings = [*dict.fromkeys([*work.warnings, warning])]
            return _still_waiting(work.model_copy(update={"warnings": warnings}), ledger, now=now)
        case JobStatus.SUCCEEDED:
            expires = report.result_expires_at
            if expires is None and connector.capabilities.result_lives:
                expires = now + connector.capabilities.result_lives
            result = flow.result_of(work, report)
            if record and record.job_id == job_id:
                facts = {
                    "result_id": result,
                    "result_expires_at": expires,
                    "counts": report.counts,
                    "partial": report.partial,
                }
                ledger.change_job(record, lambda current: current.model_copy(update=facts))
            job = work.job.model_copy(
                update={
                    "result_id": result,
                    "finished_seen_at": now,
                    "result_expires_at": expires,
                    "vendor_counts": report.counts,
                }
            )
            done = flow.ended(work.model_copy(update={"job": job}), report)
            ledger.note(done)
            return done
        case JobStatus.FAILED | JobStatus.CANCELLED:
            return _ended_badly(flow.ended(work, report), report, record, flow, now=now)
        case JobStatus.EXPIRED:
            if record and record.job_id == job_id:
                jobs.end(ledger, record, "its result has expired")
            raise ResultExpiredError(f"{vendors.title(work.vendor)} has deleted the result of job {job_id}")
        case _:
            assert_never(report.status)


def _ended_badly[W: Work, C: JobConnector](
    work: W, report: JobReport, record: JobRecord | None, flow: Flow[W, C], *, now: datetime
) -> W:
    """Give the job up, or go on without one where another may follow it."""
    ledger = flow.ledger
    why = report.reason or "the vendor gives no reason"
    if record and report.status is JobStatus.CANCELLED and (again := jobs.after_cancelling(work, record, ledger)):
        return _still_waiting(again, ledger, now=now)
    if record and report.retryable and (again := jobs.once_more(work, record, ledger, why)):
        return _still_waiting(again, ledger, now=now)
    if record and record.job_id == work.job.id:
        jobs.end(ledger, record, why)
    verb = "failed" if report.status is JobStatus.FAILED else "cancelled"
    raise flow.failure(f"{vendors.title(work.vendor)} {verb} job {work.job.id}: {why}")


def _still_waiting[W: Work](work: W, ledger: Ledger, *, now: datetime, asked: float = 0) -> W:
    _time_left(work, now)
    return _waiting(work, ledger, now=now, asked=asked)


def _time_left(work: Work, now: datetime) -> float:
    """Seconds until the deadline; an error where there are none."""
    if now >= work.deadline:
        allowed = span(work.limits.deadline)
        if work.job.in_doubt:
            raise SubmissionInDoubtError(
                f"the reply to a submission was lost, and no job of it showed within {allowed}; it may or may not exist"
            )
        what = f"job {work.job.id} still runs" if work.job.id else "no job could be submitted"
        raise DeadlineExceededError(f"{what} after {allowed}, the run's deadline")
    return (work.deadline - now).total_seconds()


def _waiting[W: Work](work: W, ledger: Ledger, *, now: datetime, asked: float = 0, elapsed: float | None = None) -> W:
    """Settle how long to wait, and keep the attempt's state; a finished job does not wait."""
    if work.status is JobStatus.SUCCEEDED:
        ledger.note(work)
        return work
    seconds = waiting.next_wait(
        work.elapsed(now) if elapsed is None else elapsed,
        left=(work.deadline - now).total_seconds(),
        history=ledger.latest(work.pipeline).waited_seconds,
        floor=work.limits.poll_floor_seconds,
        retry_after=asked or None,
    )
    work = work.model_copy(update={"wait_seconds": seconds})
    ledger.note(work, next_poll_at=now + timedelta(seconds=seconds))
    return work
