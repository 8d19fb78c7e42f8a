"""`haul plan`: what a run would do now. It reads, and neither submits nor writes anything."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from haul import attempts, jobs
from haul.cli import documents, words
from haul.cli.deployment import Deployment
from haul.cli.failures import Exit
from haul.cli.output import Output
from haul.exports import ExportFlow
from haul.ledger import Ledger
from haul.loads import LoadFlow
from haul.models import vendors
from haul.models.event import Event
from haul.models.export import Export
from haul.models.ledger import JobPhase, JobRecord, Latest, RunRecord
from haul.models.work import Work
from haul.ports import Connector


class _ReadOnlyLedger(Ledger):
    """A ledger that leaves a publishing that stopped half-way to those who publish."""

    def settled_latest(self, pipeline: str, bucket: str, *, now: datetime) -> Latest:  # noqa: ARG002 - the ledger's own
        return self.latest(pipeline)


@dataclass(frozen=True)
class Outlook:
    """Where the run's job would come from. `exit_code` is what the plan as a whole says to a script."""

    text: str
    available: bool = False
    submissions: int = 0
    exit_code: Exit = Exit.GOOD


@dataclass(frozen=True)
class Submissions:
    """The vendor's day: what is spent, what there is, and what of it is kept for people."""

    used: int
    limit: int
    reserve: int

    def __str__(self) -> str:
        kept = f", {self.reserve} reserved for manual runs" if self.reserve else ""
        return f"{self.used} of {self.limit} used today{kept}"


def plan(event: Mapping[str, Any], deployment: Deployment, out: Output) -> Exit:
    """Resolve an event as the flow would, and say what would come of it."""
    now = deployment.clock()
    ledger = _ReadOnlyLedger(deployment.store)
    whole = documents.completed(event, ledger)
    checked = documents.checked(whole)
    if vendors.kind_of(whole) == "load":
        return _plan_load(_record(checked, whole, now), ledger, deployment, out, now)
    export = _prepared(checked, whole, ledger, deployment, now)
    connector = deployment.connect(export.vendor, export.connection, export.options)
    latest = ledger.latest(export.pipeline)
    spent = submissions(export.vendor, connector, deployment, now)
    outlook = _outlook(export, connector, ledger, spent, now)
    cost = _last_cost(export.pipeline, latest, ledger)
    expected = words.middle(latest.waited_seconds) if latest.waited_seconds else None
    out.document(
        {
            "pipeline": export.pipeline,
            "vendor": export.vendor,
            "action": export.action,
            "connection": export.connection,
            "request_as_given": export.request_as_given,
            "request": export.request,
            "mode": export.mode,
            "watermark": export.watermark.model_dump(mode="json", by_alias=True),
            "nothing_new": export.message,
            "warnings": export.warnings,
            "available": outlook.available,
            "outlook": outlook.text,
            "submissions": outlook.submissions,
            "quota": asdict(spent) if spent else None,
            "waited_seconds": latest.waited_seconds,
            "cost_estimate_usd": cost,
        }
    )
    out.say(f"{export.pipeline}  {export.action}  connection {export.connection}")
    out.table(list(_fields(export, latest, now)), indent="  ")
    if export.message:
        out.say(f"  {export.message}")
    else:
        yes = "yes" if outlook.available else "no"
        out.say(f"  export available already?  {yes}  -> {outlook.text}")
        took = expected or "unknown, nothing was published yet"
        out.say(f"  expected  {took}{f', about ${cost:.4f}' if cost is not None else ''}")
    for warning in export.warnings:
        out.say(f"  Warning: {warning}", style="yellow")
    out.say("Nothing was submitted.")
    return Exit.NOTHING_NEW if export.message else outlook.exit_code


def _prepared(event: Event, whole: Mapping[str, Any], ledger: Ledger, deployment: Deployment, now: datetime) -> Export:
    """Do what "Schedule export" does before it gets a job, for a run that is in no ledger."""
    record = _record(event, whole, now)
    flow = ExportFlow(ledger, deployment.site, connect=deployment.connect)
    return attempts.prepared(record, flow, now=now)


def _record(event: Event, whole: Mapping[str, Any], now: datetime) -> RunRecord:
    return RunRecord(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-000000",
        pipeline=event.pipeline,
        execution="plan",
        claimed_at=now,
        started_at=now,
        event=dict(whole),
    )


def _plan_load(record: RunRecord, ledger: Ledger, deployment: Deployment, out: Output, now: datetime) -> Exit:
    """What a load would send or start; it looks at the objects and proves their content."""
    flow = LoadFlow(
        ledger,
        deployment.site,
        connect=deployment.connect_load,
        objects=deployment.objects,
        landing=deployment.landing,
    )
    load = attempts.prepared(record, flow, now=now)
    latest = ledger.latest(load.pipeline)
    expected = words.middle(latest.waited_seconds) if latest.waited_seconds else None
    size = deployment.objects.open(load.objects, load.options).size if load.objects else None
    out.document(
        {
            "pipeline": load.pipeline,
            "vendor": load.vendor,
            "action": load.action,
            "connection": load.connection,
            "request_as_given": load.request_as_given,
            "request": load.request,
            "nothing_new": load.message,
            "warnings": load.warnings,
            "objects": [each.model_dump(mode="json", exclude_none=True) for each in load.objects],
            "bytes": size,
            "waited_seconds": latest.waited_seconds,
        }
    )
    out.say(f"{load.pipeline}  {load.action}  connection {load.connection}")
    out.table(list(_fields(load, latest, now)), indent="  ")
    for each in load.objects:
        version = f"  version {each.version_id}" if each.version_id else ""
        out.say(f"  sends s3://{each.bucket}/{each.key}{version}")
    if size is not None:
        out.say(f"  {words.size(size)} as the vendor gets it")
    out.say(f"  {load.message}" if load.message else "  one job at the vendor")
    out.say(f"  expected  {expected or 'unknown, nothing was published yet'}")
    for warning in load.warnings:
        out.say(f"  Warning: {warning}", style="yellow")
    out.say("Nothing was submitted.")
    return Exit.NOTHING_NEW if load.message else Exit.GOOD


def submissions(vendor: str, connector: Connector, deployment: Deployment, now: datetime) -> Submissions | None:
    """What the ledger counted of the vendor's day; None where the vendor counts none."""
    limit = connector.capabilities.submissions_per_day
    if limit is None:
        return None
    used = deployment.ledger().submissions(vendor, connector.account, now=now)
    return Submissions(used, limit, deployment.settings.quota_reserve)


def _outlook(export: Export, connector: Connector, ledger: Ledger, spent: Submissions | None, now: datetime) -> Outlook:
    """Where the job would come from, as `haul.jobs` decides it."""
    export = export.model_copy(update={"fingerprint": jobs.fingerprint(export, connector)})
    known = ledger.job(export.vendor, connector.account, export.fingerprint or "")
    if known and known[0].phase is not JobPhase.ENDED:
        pipeline, run_id = known[0].owner.split("/")
        if not jobs.is_spent(ledger.run(pipeline, run_id), connector):
            return _outlook_of(known[0], export, ledger)
    can = connector.capabilities
    lists = can.lists_finished_jobs or can.lists_running_jobs
    if export.options.get("reuse_available_export", True) and can.content_fixed_by_request and lists:
        for shown in connector.find(export.request):
            if jobs.is_whole(shown, connector, now=now):
                until = f", there until {shown.result_expires_at:%Y-%m-%d}" if shown.result_expires_at else ""
                return Outlook(f"adopts {words.short(shown.result_id or '')}{until}: no submission", available=True)
    if spent is None:
        return Outlook("one submission", submissions=1)
    people = bool(export.options.get("spend_reserved_submission"))
    if spent.used >= spent.limit - (0 if people else spent.reserve):
        aid = "" if people else "; options.spend_reserved_submission lets a person spend a reserved one"
        return Outlook(f"refused: {spent}{aid}", exit_code=Exit.REFUSED)
    return Outlook(f"one submission ({spent})", submissions=1)


def _outlook_of(record: JobRecord, export: Export, ledger: Ledger) -> Outlook:
    """There is a job for exactly this request, or somebody had the right to make one."""
    pipeline, run_id = record.owner.split("/")
    what = f"job {words.short(record.job_id)}" if record.job_id else f"result {words.short(record.result_id or '')}"
    done = record.result_id is not None
    if ledger.is_live(record.owner):
        if pipeline == export.pipeline:
            return Outlook(f"joins run {run_id}, which is doing exactly this: no submission", available=done)
        return Outlook(f"shares {what} of {record.owner}: no submission", available=done)
    if record.phase is JobPhase.INTENT:
        return Outlook(f"looks for the job of run {run_id}, whose reply was lost: no submission")
    return Outlook(f"adopts {what} of run {run_id}: no submission", available=done)


def _fields(work: Work, latest: Latest, now: datetime) -> Iterator[list[str]]:
    """Each field of the request: as it was given, and what it stands for."""
    given, resolved = dict(_flat(work.request_as_given)), dict(_flat(work.request))
    for name in [*given, *(name for name in resolved if name not in given)]:
        was, now_is = given.get(name, ""), resolved.get(name, "(left out)")
        if was == now_is:
            yield [name, was, "", ""]
        else:
            yield [name, was, f"-> {now_is}", _note(now_is, work, latest, now)]


def _note(value: str, work: Work, latest: Latest, now: datetime) -> str:
    mark = work.watermark
    if value == mark.to and mark.to_created_at:
        return f"created {mark.to_created_at:%Y-%m-%d %H:%M} UTC"
    if value == latest.version and latest.last:
        return f"published {words.day(latest.last.published_at, now)}"
    return ""


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{at}[{index}]")
    else:
        yield at, str(value)


def _last_cost(pipeline: str, latest: Latest, ledger: Ledger) -> float | None:
    """What the last published run cost, as its manifest has it."""
    manifest = ledger.manifest(pipeline, latest.last.run_id) if latest.last else None
    return manifest.cost_estimate.usd if manifest else None
