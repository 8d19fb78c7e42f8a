"""The decisions of the export flow: what is to be exported, has the job ended, what is to be downloaded."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from haul import jobs, keys, symbols, waiting
from haul.errors import (
    DeadlineExceededError,
    ExportFailedError,
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
from haul.models.export import Export, PlanItem, PlannedFile, PlanRef
from haul.models.ledger import JobRecord, PipelineRecord, RunRecord
from haul.models.manifest import Manifest
from haul.models.work import Job, JobStatus, Seller
from haul.ports import Connect, Connector, Execution, JobReport, Known, Landing, Site

_START_FIELDS = frozenset(Start.model_fields)
_ITEMS = 40
_ITEM_BYTES = 256 * 1024 * 1024
_ITEM_FILES = 100
_WARNINGS = 100
_WARNING_LENGTH = 300
_EVENT_BYTES = 60 * 1024
"""A state has 256 KiB, holds the request as given and as resolved, and needs room for what comes."""


def schedule(
    event: dict[str, Any], execution: Execution, *, ledger: Ledger, connect: Connect, site: Site, now: datetime
) -> Export:
    """Turn a trigger into a run with a job, or into the reason why there is nothing to do.

    Everything wrong with the event is found before anything is submitted.

    Raises:
        InvalidInputError: nothing was sent to the vendor but questions.
        RunAbandonedError: this execution no longer acts for the run.
        HaulError: as a repeated trigger's run ended, under its own name.
    """
    start = read_start(event)
    opened = ledger.open_run(start, event, execution.id, now=now)
    if not opened.ours:
        return _repeated(opened.record, execution, site)
    record = opened.record
    if record.export is None:
        if start.rerun and start.rerun.link:
            raise InvalidEventError("rerun.link: this run never had a job that a link could be of; rerun it without")
        export = _prepared_or_later(record, ledger=ledger, connect=connect, site=site, now=now)
        if export.wait_seconds:
            return export
    else:
        export = _next_attempt(record, start.rerun)
    if export.outcome is None:
        ledger.note(export)
        connector = connect(export.vendor, export.connection, export.options)
        export = jobs.obtain(export, connector, ledger, site=site, now=now)
    if export.outcome is not None:
        ledger.end(export, now=now)
        return export
    # However old the job, nobody looks at it: it may have ended long ago.
    return _waiting(export, ledger, now=now, asked=export.wait_seconds, elapsed=0)


def read_start(event: Mapping[str, Any]) -> Start:
    """Read as much of an event as says which run it is.

    Raises:
        InvalidEventError: it does not say so.
    """
    return parse(Start, {name: value for name, value in event.items() if name in _START_FIELDS})


def _repeated(record: RunRecord, execution: Execution, site: Site) -> Export:
    """A trigger whose run is another execution's: it joins that run, or ends as it ended."""
    if record.error and record.outcome not in {Outcome.SUCCEEDED, Outcome.PARTIAL}:
        raise (by_name(record.error.name) or PermanentError)(record.error.message)
    event = record.event
    stub = record.export or Export(
        run_id=record.run_id,
        pipeline=record.pipeline,
        environment=site.environment,
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


def prepared(record: RunRecord, *, ledger: Ledger, connect: Connect, site: Site, now: datetime) -> Export:
    """Complete and check the event and resolve its symbols, once for all attempts.

    Raises:
        InvalidInputError: nothing was sent to the vendor but questions.
    """
    deployed = ledger.pipeline(record.pipeline)
    event = _completed(record.event, deployed)
    upstream = _upstream(event, ledger)
    latest = ledger.settled_latest(record.pipeline, site.bucket, now=now)
    export = _as_given(record, event, site)
    wanted = deployed.manifest_outcomes if deployed else None
    if upstream and wanted is not None and upstream.outcome not in wanted:
        message = (
            f"the upstream run {upstream.run_id} ended {upstream.outcome}, and this pipeline waits for "
            + " or ".join(wanted)
        )
        return export.model_copy(update={"outcome": Outcome.NOTHING_NEW, "message": message})
    facts = symbols.Facts(
        started_at=record.claimed_at,
        scheduled_at=event.trigger.scheduled_at,
        last_success_started_at=latest.last.started_at if latest.last else None,
        upstream=upstream,
    )
    connector = connect(event.vendor, event.connection, event.options)
    prepared = connector.prepare(
        symbols.resolve(event.request, facts, first_run=event.options.get("first_run", "fail")),
        Known(last_version=latest.version, last_version_created_at=latest.version_created_at),
    )
    export = export.model_copy(
        update={
            "seller": _seller(connector),
            "request": prepared.request,
            "mode": "delta" if prepared.is_delta else "full",
            "watermark": prepared.watermark,
            "warnings": list(prepared.warnings),
            "outcome": Outcome.NOTHING_NEW if prepared.nothing_new else None,
            "message": prepared.nothing_new,
        }
    )
    if export.outcome is None and (before := _on_its_way(export, ledger)):
        message = f"run {before} of this pipeline is on its way to publish; the next trigger starts from there"
        return export.model_copy(
            update={"outcome": Outcome.NOTHING_NEW, "message": message, "warnings": [*export.warnings, message]}
        )
    return export


def _seller(connector: Connector) -> Seller:
    can = connector.capabilities
    return Seller(
        account=connector.account,
        tenant=connector.tenant,
        api=can.api,
        submissions_per_day=can.submissions_per_day,
    )


def _prepared_or_later(record: RunRecord, *, ledger: Ledger, connect: Connect, site: Site, now: datetime) -> Export:
    """Prepare the run's first attempt. Where the vendor asked to come back later, `wait_seconds` is not 0.

    Such an export is not prepared yet, and must not be noted as if it were: Check tries again.
    """
    try:
        return prepared(record, ledger=ledger, connect=connect, site=site, now=now)
    except RateLimitedError as error:
        export = _as_given(record, _completed(record.event, ledger.pipeline(record.pipeline)), site)
        left = _time_left(export, now)
        return export.model_copy(
            update={"wait_seconds": waiting.next_wait(0, left=left, retry_after=error.retry_after or 60)}
        )


def _completed(raw: Mapping[str, Any], deployed: PipelineRecord | None) -> Event:
    if deployed and not {"vendor", "action", "connection", "request"} <= raw.keys():
        raw = merged(deployed.event, raw)
    if attribute := unreplaced(raw):
        raise InvalidEventError(
            f"{attribute} was not filled in; only a schedule does that: fire the schedule, or write the value"
        )
    event = vendors.checked(parse(Event, raw))
    if (size := len(event.model_dump_json().encode())) > _EVENT_BYTES:
        raise InvalidEventError(f"the event has {size:,} bytes; what a flow can carry is {_EVENT_BYTES:,}")
    return event


def _as_given(record: RunRecord, event: Event, site: Site) -> Export:
    """A run's export before its symbols are resolved."""
    return Export(
        run_id=record.run_id,
        pipeline=record.pipeline,
        environment=site.environment,
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


def _on_its_way(export: Export, ledger: Ledger) -> str | None:
    """Find the live run that will move `@last-published` while this one makes a delta from it.

    Such a delta would not fit when it is done. A run towards the same version is no obstacle: the job shows that,
    and the two are joined.
    """
    if export.follows() is None:
        return None
    for pipeline, run_id in ledger.active(export.pipeline):
        record = ledger.run(pipeline, run_id)
        before = record.export if record and record.state in LIVE and run_id != export.run_id else None
        if before and before.outcome is None and before.watermark.to not in {None, export.watermark.to}:
            return run_id
    return None


def _upstream(event: Event, ledger: Ledger) -> Manifest | None:
    if event.source is None or event.source.manifest is None:
        return None
    place = event.source.manifest
    named = keys.run_of_manifest(place.key)
    found = ledger.manifest(*named) if named else None
    if found is None:
        raise InvalidEventError(f"source.manifest.key: there is no manifest {place.key} in the landing bucket")
    return found


def _next_attempt(record: RunRecord, rerun: Rerun | None) -> Export:
    export = record.export
    assert export is not None  # noqa: S101 - the caller looked
    if export.attempt == record.attempt:
        return export
    link = rerun is not None and rerun.link
    return export.model_copy(
        update={
            "attempt": record.attempt,
            "execution": record.execution,
            "started_at": record.started_at,
            "deadline": record.started_at + export.limits.deadline,
            "status": JobStatus.RUNNING,
            "job": Job(id=export.job.id) if link else Job(),
            "wait_seconds": 0,
            "failed_polls": 0,
            "retries": 0,
            "progress": None,
            "plan": None,
            "resubmit": rerun is not None and rerun.resubmit,
            "link": link,
        }
    )


def check(
    export: Export, *, ledger: Ledger, connector: Connector, landing: Landing, site: Site, now: datetime
) -> Export:
    """Look once where the job stands; where there is none yet, try to get it.

    A rate limit is a longer wait, and a poll that fails is not a failed job.

    Raises:
        DeadlineExceededError: it is still running and its time is up.
        SubmissionInDoubtError: the time is up, and it never showed.
        ExportFailedError: the vendor gave up on it.
        ResultExpiredError: the vendor has deleted its result.
        PollingFailedError: too many polls in a row were not answered.
        RunAbandonedError: this attempt was given up.
    """
    export = export.model_copy(update={"polls": export.polls + 1, "wait_seconds": 0})
    if export.job.id is None and export.job.result_id is None:
        return _without_job(export, ledger=ledger, connector=connector, site=site, now=now)
    try:
        report = connector.status(export.job)
    except RateLimitedError as error:
        return _still_waiting(export, ledger, now=now, asked=error.retry_after or 60)
    except (TransientError, UnexpectedResponseError) as error:
        return _poll_failed(export, str(error), ledger=ledger, site=site, now=now)
    if report.status is JobStatus.RUNNING and report.word:
        return _poll_failed(export, report.word, ledger=ledger, site=site, now=now)
    for what, document in report.evidence.items():
        landing.write_document(keys.evidence(export.pipeline, export.run_id, what), json.dumps(document))
    export = export.model_copy(
        update={
            "failed_polls": 0,
            "progress": report.progress,
            "status": report.status,
            "partial": report.partial,
            "evidence": [*dict.fromkeys([*export.evidence, *report.evidence])],
        }
    )
    return _looked(export, report, ledger=ledger, connector=connector, now=now)


def _without_job(export: Export, *, ledger: Ledger, connector: Connector, site: Site, now: datetime) -> Export:
    """Go on where Schedule was asked to come back later."""
    record = ledger.run(export.pipeline, export.run_id)
    if record and record.export is None:
        require_current(record, export.execution)
        polls = export.polls
        export = _prepared_or_later(record, ledger=ledger, connect=lambda *_: connector, site=site, now=now)
        export = export.model_copy(update={"polls": polls})
        if export.wait_seconds:
            return export
        if export.outcome is None:
            ledger.note(export)
    if export.outcome is None:
        export = jobs.obtain(export, connector, ledger, site=site, now=now)
    if export.outcome is not None:
        ledger.end(export, now=now)
        return export
    return _still_waiting(export, ledger, now=now, asked=export.wait_seconds)


def _poll_failed(export: Export, why: str, *, ledger: Ledger, site: Site, now: datetime) -> Export:
    """Count a poll that told nothing, or nonsense, and give up after too many in a row."""
    failed = export.failed_polls + 1
    if failed >= site.poll_failures_allowed:
        raise PollingFailedError(
            f"{failed} polls in a row failed; the last one: {why}. Job {export.job.id} may be fine"
        )
    return _still_waiting(export.model_copy(update={"failed_polls": failed}), ledger, now=now)


def _looked(export: Export, report: JobReport, *, ledger: Ledger, connector: Connector, now: datetime) -> Export:
    found = ledger.job(export.vendor, connector.account, export.fingerprint or "")
    job_id = export.job.id
    match report.status:
        case JobStatus.RUNNING:
            return _still_waiting(export, ledger, now=now)
        case JobStatus.UNKNOWN:
            warning = f'the vendor calls the job "{report.word}", which Haul does not know and waits on'
            warnings = [*dict.fromkeys([*export.warnings, warning])]
            return _still_waiting(export.model_copy(update={"warnings": warnings}), ledger, now=now)
        case JobStatus.SUCCEEDED:
            expires = report.result_expires_at
            if expires is None and connector.capabilities.result_lives:
                expires = now + connector.capabilities.result_lives
            if found and found[0].job_id == job_id:
                facts = {
                    "result_id": report.result_id,
                    "result_expires_at": expires,
                    "counts": report.counts,
                    "partial": report.partial,
                }
                ledger.change_job(found[0], lambda record: record.model_copy(update=facts))
            job = export.job.model_copy(
                update={
                    "result_id": report.result_id,
                    "finished_seen_at": now,
                    "result_expires_at": expires,
                    "vendor_counts": report.counts,
                }
            )
            done = export.model_copy(update={"job": job})
            ledger.note(done)
            return done
        case JobStatus.FAILED | JobStatus.CANCELLED:
            return _ended_badly(export, report, found[0] if found else None, ledger=ledger, now=now)
        case JobStatus.EXPIRED:
            if found and found[0].job_id == job_id:
                jobs.end(ledger, found[0], "its result has expired")
            raise ResultExpiredError(f"{export.vendor} has deleted the result of job {job_id}")
        case _:
            assert_never(report.status)


def _ended_badly(
    export: Export, report: JobReport, record: JobRecord | None, *, ledger: Ledger, now: datetime
) -> Export:
    """Give the job up, or go on without one where another may follow it."""
    why = report.reason or "the vendor gives no reason"
    if record and report.retryable and (again := jobs.once_more(export, record, ledger, why)):
        return _still_waiting(again, ledger, now=now)
    if record and record.job_id == export.job.id:
        jobs.end(ledger, record, why)
    verb = "failed" if report.status is JobStatus.FAILED else "cancelled"
    raise ExportFailedError(f"{export.vendor} {verb} job {export.job.id}: {why}")


def _still_waiting(export: Export, ledger: Ledger, *, now: datetime, asked: float = 0) -> Export:
    _time_left(export, now)
    return _waiting(export, ledger, now=now, asked=asked)


def _time_left(export: Export, now: datetime) -> float:
    """Seconds until the deadline; an error where there are none."""
    if now >= export.deadline:
        allowed = span(export.limits.deadline)
        if export.job.in_doubt:
            raise SubmissionInDoubtError(
                f"the reply to a submission was lost, and no job of it showed within {allowed}; it may or may not exist"
            )
        what = f"job {export.job.id} still runs" if export.job.id else "no job could be submitted"
        raise DeadlineExceededError(f"{what} after {allowed}, the run's deadline")
    return (export.deadline - now).total_seconds()


def _waiting(
    export: Export, ledger: Ledger, *, now: datetime, asked: float = 0, elapsed: float | None = None
) -> Export:
    """Settle how long to wait, and keep the attempt's state; a finished job does not wait."""
    if export.status is JobStatus.SUCCEEDED:
        ledger.note(export)
        return export
    seconds = waiting.next_wait(
        export.elapsed(now) if elapsed is None else elapsed,
        left=(export.deadline - now).total_seconds(),
        history=ledger.latest(export.pipeline).waited_seconds,
        floor=export.limits.poll_floor_seconds,
        retry_after=asked or None,
    )
    export = export.model_copy(update={"wait_seconds": seconds})
    ledger.note(export, next_poll_at=now + timedelta(seconds=seconds))
    return export


def plan(export: Export, *, ledger: Ledger, connector: Connector, landing: Landing) -> Export:
    """List what the job made, keep the vendor's own documents, and lay out who downloads what.

    Raises:
        ResultExpiredError: the result is gone.
        RetypedColumnError: a column changed its type and the run is to fail then.
        RunAbandonedError: this attempt was given up.
    """
    ledger.note(export)
    try:
        contents = connector.contents(export.job, export.request)
    except ResultExpiredError:
        found = ledger.job(export.vendor, connector.account, export.fingerprint or "")
        if found and found[0].result_id == export.job.result_id:
            jobs.end(ledger, found[0], "its result has expired")
        raise
    for what, document in contents.evidence.items():
        landing.write_document(keys.evidence(export.pipeline, export.run_id, what), json.dumps(document))
    planned = [
        PlannedFile(n=n, key=keys.raw(export.pipeline, file.dataset, export.run_id, file.name), file=file)
        for n, file in enumerate(contents.files)
    ]
    items = batched(planned)
    can = connector.capabilities
    concurrency = max(1, min(can.connections, len(items)))
    items_key = keys.plan(export.pipeline, export.run_id, export.attempt)
    contents_key = keys.contents(export.pipeline, export.run_id, export.attempt)
    landing.write_document(contents_key, contents.to_json())
    landing.write_document(items_key, json.dumps([item.model_dump(mode="json", by_alias=True) for item in items]))
    export = export.model_copy(
        update={
            "warnings": _some(dict.fromkeys([*export.warnings, *contents.warnings])),
            "plan": PlanRef(
                bucket=landing.bucket,
                key=items_key,
                contents_key=contents_key,
                files=len(planned),
                items=len(items),
                concurrency=can.connections,
                # Connections that no child needs for itself bring the files of the few there are.
                ranges=max(1, min(can.ranges, can.connections // concurrency)) if can.honours_range else 1,
            ),
        }
    )
    ledger.note(export)
    return export


def _some(warnings: Iterable[str]) -> list[str]:
    """Bound what a vendor can make us say: the state has 256 KiB, and nobody reads the hundredth warning."""
    said = [text if len(text) <= _WARNING_LENGTH else f"{text[:_WARNING_LENGTH]}..." for text in warnings]
    more = len(said) - _WARNINGS
    return said if more <= 0 else [*said[:_WARNINGS], f"and {more:,} warnings more"]


def batched(files: Sequence[PlannedFile]) -> list[PlanItem]:
    """Group files so that a child of the map has worthwhile work.

    Of known sizes, up to 256 MB go into one child; of unknown ones as many as leave some forty children. Never more
    than a child's input of 256 KiB has room for, whatever the files are called.
    """
    per_item = -(-len(files) // _ITEMS)
    groups: list[list[PlannedFile]] = []
    room = 0
    for planned in files:
        size = planned.file.bytes
        fits = size <= room if size is not None else bool(groups) and len(groups[-1]) < per_item
        if groups and fits and len(groups[-1]) < _ITEM_FILES:
            groups[-1].append(planned)
            room -= size or 0
        else:
            groups.append([planned])
            room = _ITEM_BYTES - (size or _ITEM_BYTES)
    return [PlanItem(item=number, files=group) for number, group in enumerate(groups)]
