"""`haul runs` and `haul show`: what has been, and what to do about it."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text

from haul import notices
from haul.cli import documents, watching, words
from haul.cli.deployment import Deployment, link
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.errors import ExportFailedError, LoadFailedError, ResultExpiredError
from haul.models.base import iso
from haul.models.ledger import FileState, RunRecord, RunState
from haul.models.manifest import ExportManifest, LoadManifest

_PREFIX = re.compile(r"\d[0-9TZa-f-]*")
_SHOWN = 5
_ENDED_JOBS = {ExportFailedError.__name__, LoadFailedError.__name__, ResultExpiredError.__name__}


def find_run(named: str, deployment: Deployment) -> RunRecord:
    """Find a run by its id, the beginning of one, or `pipeline/run`.

    Raises:
        CommandError: there is none, or more than one.
    """
    pipeline, slash, prefix = named.rpartition("/")
    if not _PREFIX.fullmatch(prefix):
        hint = f"haul runs {prefix} --env {deployment.environment} lists the runs of a pipeline."
        raise CommandError(f'"{named}" is no run: such as 20261122T050003Z-7c1f9a', exit_code=Exit.USAGE, hint=hint)
    ledger = deployment.ledger()
    chosen = [pipeline] if slash else list(ledger.pipelines())
    found = [(name, run_id) for name in chosen for run_id in deployment.run_ids(name, prefix)]
    if len(found) > 1:
        some = ", ".join("/".join(run) for run in found[:_SHOWN]) + (" ..." if len(found) > _SHOWN else "")
        raise CommandError(f"{len(found)} runs begin with {prefix}: {some}", exit_code=Exit.USAGE)
    record = ledger.run(*found[0]) if found else None
    if record is None:
        where = f"{pipeline} in {deployment.environment}" if slash else deployment.environment
        hint = f"haul runs --env {deployment.environment} lists what there is."
        raise CommandError(f"there is no run {prefix} of {where}", exit_code=Exit.USAGE, hint=hint)
    return record


def list_runs(pipeline: str | None, deployment: Deployment, out: Output, *, limit: int) -> Exit:
    """The newest runs, of one pipeline or all."""
    ledger = deployment.ledger()
    known = list(ledger.pipelines())
    if pipeline and pipeline not in known:
        raise documents.unknown_pipeline(pipeline, known, deployment.environment)
    ids = [(run_id, name) for name in ([pipeline] if pipeline else known) for run_id in deployment.run_ids(name)]
    newest = sorted(ids, reverse=True)[:limit]
    records = [record for run_id, name in newest if (record := ledger.run(name, run_id))]
    now = deployment.clock()
    out.document([_facts(record, now) for record in records])
    if not records:
        out.say("no runs yet")
        return Exit.GOOD
    out.table([_row(record, now) for record in records], header=["RUN", "PIPELINE", "STARTED", "OUTCOME", "TOOK", ""])
    return Exit.GOOD


def _facts(record: RunRecord, now: datetime) -> dict[str, Any]:
    work = record.work
    return {
        "run_id": record.run_id,
        "pipeline": record.pipeline,
        "state": record.state,
        "outcome": record.outcome,
        "error": record.error.model_dump() if record.error else None,
        "attempt": record.attempt,
        "started_at": iso(record.started_at),
        "ended_at": iso(record.ended_at) if record.ended_at else None,
        "seconds": round(((record.ended_at or now) - record.started_at).total_seconds()),
        "watermark": work.watermark.model_dump(mode="json", by_alias=True) if work else None,
        "manifest": work.manifest if work else None,
    }


def _row(record: RunRecord, now: datetime) -> list[str | Text]:
    work = record.work
    note = record.error.name if record.error else ""
    if work:
        note = note or (work.joined and f"joined {work.joined}") or watching.versions(work.watermark)
    attempt = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    return [
        record.run_id,
        record.pipeline,
        words.day(record.started_at, now),
        Text(_word(record) + attempt, style=watching.outcome_style(record.outcome)),
        words.span((record.ended_at or now) - record.started_at),
        note,
    ]


def _word(record: RunRecord) -> str:
    return str(record.outcome or record.state)


def show(record: RunRecord, deployment: Deployment, out: Output) -> Exit:
    """One run: how it stands or ended, what readers see, what to do."""
    shown = _Shown(record, deployment)
    out.document(shown.document())
    for line in shown.lines():
        out.say(line)
    return Exit.GOOD


class _Shown:
    """Everything that is said of one run."""

    def __init__(self, record: RunRecord, deployment: Deployment) -> None:
        ledger = deployment.ledger()
        self._record = record
        self._work = record.work
        self._now = deployment.clock()
        self._environment = deployment.environment
        self._latest = ledger.latest(record.pipeline)
        self._pipeline = ledger.pipeline(record.pipeline)
        self._run = deployment.run_document(record.pipeline, record.run_id)
        self._files = ledger.files(record.pipeline, record.run_id)
        self._manifest = ledger.manifest(record.pipeline, record.run_id) if record.state is RunState.PUBLISHED else None

    def document(self) -> dict[str, Any]:
        record, work = self._record, self._work
        return {
            **_facts(record, self._now),
            "vendor": work.vendor if work else record.event.get("vendor"),
            "action": work.action if work else record.event.get("action"),
            "connection": work.connection if work else record.event.get("connection"),
            "request": work.request if work else None,
            "request_as_given": work.request_as_given if work else None,
            "job": work.job.model_dump(mode="json") if work else None,
            "polls": work.polls if work else 0,
            "files": {"planned": work.files_planned if work else None, "landed": self._landed()},
            "totals": self._manifest.totals.model_dump() if self._manifest else None,
            "joined": work.joined if work else None,
            "warnings": work.warnings if work else [],
            "advice": self._advice(),
            "readers_see": self._latest.version,
            "trigger": work.trigger.model_dump(mode="json", exclude_none=True) if work else None,
            "executions": record.executions,
            "execution": link(record.execution),
            "runbook": self._runbook(),
            "pipeline_runbook": self._pipeline.runbook if self._pipeline else None,
            "owner": self._pipeline.owner if self._pipeline else None,
        }

    def lines(self) -> Iterator[Text | str]:
        record = self._record
        took = words.span((record.ended_at or self._now) - record.started_at)
        error = f"  {record.error.name}" if record.error else ""
        verb = "for" if record.ended_at is None else "after"
        yield Text.assemble(
            (record.pipeline, "bold"),
            "  ",
            (_word(record), watching.outcome_style(record.outcome)),
            f"{error}  {verb} {took}, attempt {record.attempt}",
        )
        yield f"  run {record.run_id}{self._what()}, started {words.day(record.started_at, self._now)}{self._by()}"
        if record.error:
            yield f"  {record.error.message}"
        yield from self._vendor()
        yield from self._landing()
        for warning in self._work.warnings if self._work else []:
            yield Text(f"  Warning: {warning}", style="yellow")
        yield from self._next()
        yield f"  execution {link(record.execution)}{self._more()}"

    def _what(self) -> str:
        found = watching.versions(self._work.watermark) if self._work else ""
        return f"   {found}" if found else ""

    def _by(self) -> str:
        trigger = self._work.trigger if self._work else None
        if trigger is None:
            return ""
        by = f" by {trigger.by}" if trigger.by else ""
        reason = f': "{trigger.reason}"' if trigger.reason else ""
        return f" ({trigger.type}{by}{reason})"

    def _vendor(self) -> Iterator[str]:
        work = self._work
        if work is None:
            return
        job = work.job
        if job.in_doubt:
            yield f"  job in doubt: a submission's reply was lost{_at(job.submitted_at)}"
        elif job.id or job.result_id:
            what = f"job {words.short(job.id)}" if job.id else f"result {words.short(job.result_id or '')}"
            adopted = ", adopted" if job.adopted else ""
            yield f"  {what}{adopted}, {work.status.lower()}, {words.count(work.polls, 'poll')}"
        if work.joined:
            yield f"  run {work.joined} does exactly this"
        if work.message:
            yield f"  {work.message}"

    def _landing(self) -> Iterator[str]:
        if isinstance(self._manifest, LoadManifest):
            yield f"  {', '.join(notices.taken_in(self._manifest)) or 'done'}"
            yield f"  manifest {self._work.manifest if self._work else ''}"
            return
        if self._manifest:
            totals = self._manifest.totals
            rows = f", {totals.rows:,} rows" if totals.rows is not None else ""
            files = words.count(totals.files, "file")
            yield f"  {words.count(totals.datasets, 'dataset')}, {files}, {words.size(totals.bytes)}{rows}"
            yield f"  manifest {self._work.manifest if self._work else ''}"
            return
        last = self._latest.last
        seen = f"readers still see {self._latest.version} ({words.day(last.published_at, self._now)})" if last else ""
        if self._record.state in {RunState.ABANDONED, RunState.ENDED}:
            yield f"  Nothing was published; {seen or 'readers see nothing of this pipeline yet'}."

    def _next(self) -> Iterator[str]:
        advice = self._advice()
        record = self._record
        if record.state in {RunState.RUNNING, RunState.PUBLISHING}:
            yield f"  Next: haul watch {record.run_id} --env {self._environment}"
        if advice is None:
            return
        command, gap, _ = advice.partition("      (")
        if command.startswith("haul rerun") and "--resubmit" not in command:
            yield f"  Next: {command}     {self._rerun_would()}"
        else:
            yield f"  Next: {advice if gap else command}"
        expires = self._work.job.result_expires_at if self._work else None
        if expires and record.state is RunState.ABANDONED:
            yield f"        the vendor keeps the result until {expires:%Y-%m-%d}"

    def _rerun_would(self) -> str:
        """What the next attempt would do, as far as the ledger knows."""
        work = self._work
        job = work.job if work else None
        gone = self._record.error is not None and self._record.error.name in _ENDED_JOBS
        if job is None or gone or not (job.id or job.result_id):
            return "submits again" if gone else "nothing was submitted before"
        what = f"job {words.short(job.id)}" if job.id else f"result {words.short(job.result_id or '')}"
        planned = (work.files_planned if work else None) or 0
        files = f", {self._landed()} of {words.count(planned, 'file')} already verified" if planned else ""
        return f"adopts {what}{files}, no submission spent"

    def _landed(self) -> int:
        if isinstance(self._manifest, ExportManifest):
            return self._manifest.totals.files
        result = self._work.job.result_id if self._work else None
        return sum(file.state is FileState.LANDED and file.result_id == result for file in self._files)

    def _advice(self) -> str | None:
        if self._run and self._record.state is RunState.ABANDONED:
            return self._run.advice
        error = self._record.error
        if error is None:
            return None
        connection = self._work.connection if self._work else None
        return notices.advice(
            error.name,
            run_id=self._record.run_id,
            environment=self._environment,
            connection=connection,
            pipeline=self._record.pipeline,
        )

    def _runbook(self) -> str | None:
        return f"docs/runbook.md#{self._record.error.name.lower()}" if self._record.error else None

    def _more(self) -> str:
        own = self._pipeline.runbook if self._pipeline else None
        found = [text for text in (self._runbook(), own) if text]
        return f"   runbook {'   '.join(found)}" if found else ""


def _at(at: datetime | None) -> str:
    return f" at {at:%H:%M:%S}" if at else ""
