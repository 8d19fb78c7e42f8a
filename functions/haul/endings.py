"""How runs end: settling a run that ended, giving up one that cannot go on, sweeping up what both missed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from haul import jobs, keys, notices
from haul.attempts import read_start
from haul.errors import (
    CancelledError,
    ExecutionLostError,
    HaulError,
    InvalidEventError,
    ResultExpiredError,
    by_name,
)
from haul.ledger import LIVE, Ledger
from haul.models.base import parse
from haul.models.event import About, Notify, Outcome
from haul.models.ledger import FileState, RunRecord, RunState
from haul.models.manifest import AnyManifest, ExportManifest
from haul.models.run import Run
from haul.models.work import ErrorRecord, Work
from haul.ports import Documents, Executions, HandedLinks, Notifier, Site

_ENDED_IN_PEACE = timedelta(minutes=10)
_FORGOTTEN = timedelta(hours=2)


@dataclass(frozen=True)
class Ending:
    """An execution that ended, or is about to. `status` is FAILED, ABORTED or TIMED_OUT.

    `run_id` is known where a step of the flow failed; otherwise the run is found by the `event` that started it.
    """

    execution: str
    status: str = "FAILED"
    error: str | None = None
    cause: str | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None


@dataclass(frozen=True)
class Ended:
    """What became of the run; `error` and `cause` are how the execution should fail, unless it `published`.

    `run_id` is None where the event does not say which run it is.
    """

    published: bool
    error: str
    cause: str
    run_id: str | None = None


class Endings:
    """Ends runs, each exactly once in effect, however often and by whomever it is asked to."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        landing: Documents,
        notifier: Notifier,
        site: Site,
        vendor_of: Callable[[Work], jobs.Vendor[Any]],
        links: HandedLinks,
        executions: Executions | None = None,
    ) -> None:
        self._ledger = ledger
        self._landing = landing
        self._notifier = notifier
        self._site = site
        self._vendor_of = vendor_of
        self._links = links
        self._executions = executions

    def settle(self, record: RunRecord, *, now: datetime) -> None:
        """Write the run document of a run that ended and tell people and programs, unless that was done."""
        if record.told or record.state in LIVE:
            return
        run, manifest = self._write(record, now=now)
        notice = notices.ended(run, manifest, self._about(record), self._place(record.pipeline))
        notice.detail["run"] = keys.uri(self._site.bucket, keys.run(record.pipeline, record.run_id))
        self._notifier.tell(notice)
        if record.attempt > 1:
            self._links.forget(record.run_id)  # after people are told, as that matters more
        current = self._ledger.told(record)
        if current.execution != record.execution and current.told:
            # A later attempt began and ended meanwhile: its document may be the one that was replaced.
            self._write(current, now=now)

    def _write(self, record: RunRecord, *, now: datetime) -> tuple[Run, AnyManifest | None]:
        published = record.state is RunState.PUBLISHED
        manifest = self._ledger.manifest(record.pipeline, record.run_id) if published else None
        run = self._document(record, manifest, now=now)
        self._landing.write_document(keys.run(record.pipeline, record.run_id), run.to_json())
        return run, manifest

    def abandon(self, ending: Ending, *, now: datetime) -> Ended:
        """Give up the run of an execution that ended: stop or keep its job, leave nothing half-done, tell people.

        A run that was already being published is finished instead. Done again, this does nothing new.
        """
        error = _error_of(ending)
        record = self._run_of(ending)
        if record is None:
            return self._unclaimed(ending, error)
        if record.execution != ending.execution:
            self._forget_stray_links(record, ending)
            return Ended(published=False, error=error.name, cause=error.message, run_id=record.run_id)
        record = self._finish(record, now=now) or self._give_up(record, error, now=now)
        self.settle(record, now=now)
        kept = record.error or error
        return Ended(
            published=record.state in {RunState.PUBLISHED, RunState.ENDED},
            error=kept.name,
            cause=kept.message,
            run_id=record.run_id,
        )

    def _forget_stray_links(self, record: RunRecord, ending: Ending) -> None:
        """Links came with an execution that ended before it became an attempt: no settling of one deletes them."""
        if ending.execution in record.executions or record.state in LIVE:
            return
        try:
            rerun = read_start(ending.event).rerun
        except InvalidEventError:
            return
        if rerun and rerun.link:
            self._links.forget(record.run_id)

    def _finish(self, record: RunRecord, *, now: datetime) -> RunRecord | None:
        """Complete the publishing of a run that got so far; None where there is none to complete."""
        finished = self._ledger.finish_publishing(record.pipeline, record.run_id, self._site.bucket, now=now)
        return finished if finished and finished.state is RunState.PUBLISHED else None

    def _give_up(self, record: RunRecord, error: ErrorRecord, *, now: datetime) -> RunRecord:
        outcome = Outcome.FAILED
        if error.name == CancelledError.__name__:
            outcome = Outcome.CANCELLED
        elif error.name == ResultExpiredError.__name__:
            outcome = Outcome.EXPIRED
        record, won = self._ledger.abandon(record, outcome, error, now=now)
        if not won or record.told:
            return self._finish(record, now=now) or record
        self._clear_up(record)
        return record

    def _clear_up(self, record: RunRecord) -> None:
        for file in self._ledger.files(record.pipeline, record.run_id):
            if file.upload_id and file.state is not FileState.LANDED:
                self._landing.abort(file.key, file.upload_id)
        if record.work:
            self._let_go(record.work)

    def _let_go(self, work: Work) -> None:
        """Cancel the job if that can be done and nobody else waits for it; otherwise it is kept for adoption."""
        if work.fingerprint is None:
            return
        try:
            vendor = self._vendor_of(work)
        except HaulError:
            return  # without credentials nothing can be cancelled, and the run's own error is worth telling
        if found := self._ledger.job(work.vendor, vendor.connector.account, work.fingerprint):
            jobs.cancel(work, vendor, self._ledger, found[0])

    def _run_of(self, ending: Ending) -> RunRecord | None:
        if ending.run_id:
            return self._ledger.run(str(ending.event.get("pipeline")), ending.run_id)
        try:
            found = self._ledger.find_run(read_start(ending.event), ending.execution)
        except InvalidEventError:
            found = None
        if found:
            return found
        records = (self._ledger.active_run(*active) for active in self._ledger.active())
        return next((record for record in records if record and record.execution == ending.execution), None)

    def _unclaimed(self, ending: Ending, error: ErrorRecord) -> Ended:
        """The event did not say which run it is. Catch and rule both report such an execution; it is told once."""
        if ending.status != "ABORTED" and not self._ledger.is_told_unclaimed(ending.execution):
            pipeline = str(ending.event.get("pipeline", "unnamed pipeline"))[:48]
            self._notifier.tell(
                notices.unclaimed(
                    pipeline=pipeline,
                    environment=self._site.environment,
                    error=error.name,
                    message=error.message,
                    execution=ending.execution,
                )
            )
            self._ledger.told_unclaimed(ending.execution)
        return Ended(published=False, error=error.name, cause=error.message)

    def sweep(self, *, now: datetime) -> "Swept":
        """Find what nobody ended or told: lost runs, late runs, stale pipelines.

        What cannot be settled stands in `failures` and keeps nobody else from being looked at.
        """
        swept = Swept()
        for pipeline, run_id in list(self._ledger.active()):
            try:
                self._sweep_run(pipeline, run_id, swept, now=now)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one run, the others are not lost for it
                swept.failures[run_id] = error
        for name in list(self._ledger.pipelines()):
            try:
                if self._tell_if_stale(name, now=now):
                    swept.stale.append(name)
            except Exception as error:  # noqa: BLE001 - as above
                swept.failures[name] = error
        return swept

    def _sweep_run(self, pipeline: str, run_id: str, swept: "Swept", *, now: datetime) -> None:
        record = self._ledger.active_run(pipeline, run_id)
        if record is None or record.told:
            if record or now - _claimed_at(run_id) > _FORGOTTEN:
                self._ledger.forget_active(pipeline, run_id)
            return
        if record.state not in LIVE:
            if now - (record.ended_at or now) > _ENDED_IN_PEACE:
                try:
                    if record.state is RunState.ABANDONED:
                        self._clear_up(record)  # whoever gave it up may have died before, or met a vendor that is down
                finally:
                    self.settle(record, now=now)
                    swept.settled.append(record.run_id)
            return
        state = self._executions.describe(record.execution) if self._executions else None
        if state and state.status in {"RUNNING", "PENDING_REDRIVE"}:
            if self._tell_if_late(record, now=now):
                swept.late.append(record.run_id)
            return
        if state is None and now - record.started_at < _ENDED_IN_PEACE:
            return  # Step Functions may not show yet what it has just started
        status = state.status if state else "FAILED"
        cause = state.cause if state else "the execution is not known any more"
        ending = Ending(
            execution=record.execution,
            status=status,
            error=state.error if state else None,
            cause=cause,
            event=record.event,
        )
        error = _error_of(ending)
        self.settle(self._finish(record, now=now) or self._give_up(record, error, now=now), now=now)
        swept.abandoned.append(record.run_id)

    def _tell_if_late(self, record: RunRecord, *, now: datetime) -> bool:
        allowed = record.work.limits.late_after if record.work else None
        waited = now - record.started_at
        if allowed is None or waited <= allowed or record.late_told_at:
            return False
        run = self._document(record, None, now=now)
        self._notifier.tell(
            notices.late(run, self._about(record), waited=waited, now=now, place=self._place(record.pipeline))
        )
        self._ledger.told_late(record, now=now)
        return True

    def _tell_if_stale(self, name: str, *, now: datetime) -> bool:
        pipeline = self._ledger.pipeline(name)
        if pipeline is None or not pipeline.enabled or pipeline.fresh_within is None:
            return False
        latest = self._ledger.latest(name)
        published = latest.last.published_at if latest.last else None
        since = published or pipeline.deployed_at
        told_before = pipeline.stale_told_at is not None and pipeline.stale_told_at >= since
        if now - since <= pipeline.fresh_within or told_before:
            return False
        about = parse(Notify, pipeline.event.get("notify", {})).about
        told = notices.stale(
            name,
            self._site.environment,
            pipeline.event.get("vendor"),
            about,
            last=published,
            fresh_within=pipeline.fresh_within,
            now=now,
            owner=pipeline.owner,
        )
        self._notifier.tell(told)
        self._ledger.told_stale(name, now=now)
        return True

    def _landed(self, record: RunRecord) -> int:
        files = self._ledger.files(record.pipeline, record.run_id)
        return sum(file.state is FileState.LANDED for file in files)

    def _about(self, record: RunRecord) -> frozenset[About]:
        if record.work:
            return record.work.notify.about
        deployed = self._ledger.pipeline(record.pipeline)
        said = record.event.get("notify") or (deployed.event.get("notify") if deployed else None)
        try:
            return parse(Notify, said or {}).about
        except InvalidEventError:
            return Notify().about

    def _place(self, pipeline: str) -> notices.Place:
        record = self._ledger.pipeline(pipeline)
        return notices.Place(pipeline_runbook=record.runbook if record else None)

    def _document(self, record: RunRecord, manifest: AnyManifest | None, *, now: datetime) -> Run:
        work = record.work
        event = record.event
        pipeline = self._ledger.pipeline(record.pipeline)
        latest = self._ledger.latest(record.pipeline)
        outcome = record.outcome or Outcome.FAILED
        known: dict[str, Any] = {}
        if work and work.seller and work.seller.submissions_per_day is not None:
            used = self._ledger.submissions(work.vendor, work.seller.account, now=now)
            known |= {"submissions_today": used, "submissions_limit": work.seller.submissions_per_day}
        if work:
            known |= {
                "request": work.request,
                "watermark": work.watermark,
                "job": work.job,
                "polls": work.polls,
                "trigger": work.trigger,
                "warnings": work.warnings,
                "joined": work.joined,
                "files_planned": work.files_planned or 0,
                "kind": work.kind,
            }
        connection = work.connection if work else _text(event.get("connection"))
        return Run(
            pipeline=record.pipeline,
            environment=self._site.environment,
            run_id=record.run_id,
            outcome=outcome,
            error=record.error,
            advice=notices.advice(
                record.error.name,
                run_id=record.run_id,
                environment=self._site.environment,
                connection=connection,
                pipeline=record.pipeline,
            )
            if record.error
            else None,
            published=record.state is RunState.PUBLISHED,
            manifest=work.manifest if work else None,
            vendor=work.vendor if work else _text(event.get("vendor")),
            action=work.action if work else _text(event.get("action")),
            connection=connection,
            readers_see=latest.version if latest.last else None,
            readers_since=latest.last.published_at if latest.last else None,
            claimed_at=record.claimed_at,
            started_at=record.started_at,
            ended_at=record.ended_at or now,
            attempts=record.attempt,
            executions=record.executions,
            files_landed=(manifest.totals.files if isinstance(manifest, ExportManifest) else self._landed(record)),
            owner=pipeline.owner if pipeline else None,
            code_version=self._site.code_version,
            **known,
        )


@dataclass(frozen=True)
class Swept:
    """What a sweep found, by run_id and by pipeline."""

    abandoned: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def _error_of(ending: Ending) -> ErrorRecord:
    """What a state machine says went wrong, in our words."""
    message = _message(ending.cause)
    if ending.status == "ABORTED":
        return ErrorRecord(name=CancelledError.__name__, message=message or "the execution was stopped from outside")
    if ending.error and by_name(ending.error):
        return ErrorRecord(name=ending.error, message=message or ending.error)
    said = ": ".join(part for part in (ending.error, message) if part)
    what = "timed out" if ending.status == "TIMED_OUT" else "failed"
    return ErrorRecord(name=ExecutionLostError.__name__, message=f"the execution {what}{': ' + said if said else ''}")


def _message(cause: str | None) -> str:
    """Lambda wraps an error's message in JSON; other causes are plain."""
    try:
        wrapped = json.loads(cause or "")
    except ValueError:
        return cause or ""
    return str(wrapped.get("errorMessage", cause)) if isinstance(wrapped, dict) else cause or ""


def _claimed_at(run_id: str) -> datetime:
    return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
