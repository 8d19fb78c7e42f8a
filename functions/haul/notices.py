"""Every text that a person reads about a run: subjects, bodies, advice. Nothing here reads a clock or a store."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from haul.models import vendors
from haul.models.base import iso, span
from haul.models.event import About, Outcome
from haul.models.manifest import AnyManifest, ExportManifest, LoadManifest
from haul.models.run import Run
from haul.models.work import Watermark
from haul.ports import Notice

_SUBJECT_LENGTH = 99
"""SNS documents its limit as less than 100 characters."""
_LINE_LENGTH = 1000
_SHOWN = 10
_UNPRINTED = re.compile(r"[^ -~]+")
# Line ends and what turns text around: a vendor's column name could otherwise write lines of its own.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_GAP = "      "
"""Sets the remark of an advice off from its command, so that one is copied without the other."""
_REMARK = re.compile(rf"{_GAP}\([^()]*\)$")
_SUPPORT_ID = re.compile(r"\((rci [^\s()]{1,80})\)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
_WORDS = {
    Outcome.SUCCEEDED: "OK",
    Outcome.NOTHING_NEW: "NOTHING NEW",
}

_RERUN = "haul rerun {run_id} --env {environment}"
_RUN = "haul run {pipeline} --env {environment}"
_CONNECT = "haul secret set {connection} --env {environment}"
_DOCTOR = "haul doctor {connection} --env {environment}"

ADVICE: dict[str, str] = {
    "RateLimitedError": _RERUN + "      (later is better: the vendor wanted us slower)",
    "VendorUnavailableError": _RERUN + "      (when the vendor answers again)",
    "UnreachableError": "start the operation again      (nothing was sent)",
    "LedgerBusyError": _RERUN,
    "TruncatedFileError": _RERUN + "      (spends no submission)",
    "CorruptFileError": _RERUN + "      (spends no submission; the same again: add --resubmit)",
    "ErrorPageError": _RERUN + "      (spends no submission)",
    "FileChangedError": _RERUN + "      (spends no submission)",
    "InvalidEventError": "correct the event or the pipeline file, check it with haul validate, and start it again",
    "UnknownConnectionError": _CONNECT + ", then " + _RERUN,
    "InvalidSecretError": _CONNECT + ", then " + _RERUN,
    "UnknownVersionError": "start it again with a version that the vendor lists      (the message names the newest)",
    "BaseVersionGoneError": _RUN + " --set options.base_gone=full      (a full export)",
    "LandingNotWritableError": "give Haul its rights to the landing bucket and its key back, then " + _RERUN,
    "SourceGoneError": "put the object there again, which starts it anew      (nothing was sent to the vendor)",
    "SourceNotReadableError": "give Haul its rights to the object and its key, then " + _RERUN,
    "DamagedSourceError": "correct the object and put it there again, which starts it anew      (nothing was sent)",
    "SourceTooSlowError": "send less at once, or "
    + _RERUN
    + " when the vendor is faster      (nothing was made of it)",
    "RunNotFoundError": "haul runs {pipeline} --env {environment}      (the runs that there are)",
    "CredentialsRefusedError": _CONNECT + ", check it with " + _DOCTOR + ", then " + _RERUN,
    "MissingCapabilityError": "have the vendor's administrator grant it, check with " + _DOCTOR + ", then " + _RERUN,
    "QuotaExceededError": _RERUN + "      (after midnight UTC, when the day's submissions begin anew)",
    "RequestRejectedError": "correct what the vendor names, then start it again",
    "LoadRefusedError": "have what the vendor names put right, then " + _RERUN + "      (nothing was loaded)",
    "UnexpectedResponseError": _RERUN + "      (the same again: report it, with the message)",
    "UnsafeLinkError": "ask the vendor why its link leads there      (nothing was sent to it)",
    "SubmissionInDoubtError": "look at the vendor whether the job runs; if it does not, " + _RERUN + " --resubmit",
    "ExportFailedError": _RERUN + "      (submits once more)",
    "LoadFailedError": _RERUN + "      (submits once more)",
    "PollingFailedError": _RERUN + "      (adopts the job, spends no submission)",
    "DeadlineExceededError": _RERUN + "      (adopts the job, if there is one; is limits.deadline long enough?)",
    "ResultExpiredError": _RERUN + "      (submits once more)",
    "ResultByMailError": _RERUN + " --link      (asks for the link in the vendor's mail; spends no submission)",
    "EmptyResultError": _RUN + " --set options.empty=warn      (publishes it, if it is right that there is nothing)",
    "RetypedColumnError": _RUN + " --set options.retyped_column=warn      (once readers are ready for the new type)",
    "BaseMovedError": _RUN + "      (a new run starts from what is published now)",
    "IncompleteDownloadError": _RERUN + "      (spends no submission)",
    "DownloadTooSlowError": _RERUN + "      (when the vendor is faster; smaller files help, or landing.verify length)",
    "RowCountError": "ask the vendor which number is right; " + _RERUN + " --resubmit      (exports it anew)",
    "RunAbandonedError": "nothing      (a later attempt acts for the run)",
    "ExecutionLostError": _RERUN + "      (adopts the job, if there is one)",
    "CancelledError": _RERUN + "      (adopts the job, unless the vendor could cancel it)",
}
"""What to do, by error name: one command or one sentence, and perhaps a remark at its end."""


@dataclass(frozen=True)
class Place:
    """Where a person reads on: Haul's runbook and the pipeline's own."""

    runbook: str = "docs/runbook.md"
    pipeline_runbook: str | None = None


def advice(error: str, *, run_id: str, environment: str, connection: str | None, pipeline: str) -> str:
    """Say what to do about an error by its name."""
    return _filled(ADVICE.get(error, _RERUN), run_id, environment, connection, pipeline)


def _filled(known: str, run_id: str, environment: str, connection: str | None, pipeline: str) -> str:
    """Put names into an advice; what could not be one, as an event may hold it, must not get into a command."""
    return known.format(
        run_id=run_id,
        environment=environment,
        connection=connection if connection and _NAME.fullmatch(connection) else "CONNECTION",
        pipeline=pipeline if _NAME.fullmatch(pipeline) else "PIPELINE",
    )


def ended(run: Run, manifest: AnyManifest | None, about: frozenset[About], place: Place) -> Notice:
    """Tell that a run ended: programs always, people if the pipeline wants this outcome told."""
    told = About(run.outcome) in about
    detail = {
        "version": 1,
        "environment": run.environment,
        "pipeline": run.pipeline,
        "vendor": run.vendor,
        "action": run.action,
        "run_id": run.run_id,
        "outcome": run.outcome.value,
        "error": run.error.name if run.error else None,
        "message": run.error.message if run.error else None,
        "advice": _REMARK.sub("", run.advice) if run.advice else None,
        "published": run.published,
        "manifest": run.manifest,
        "run": None,
        "replay": False,
    }
    subject = _subject(_WORDS.get(run.outcome, run.outcome.value), run.pipeline, run.environment, _gist(run, manifest))
    return Notice(
        detail_type="Haul Run Ended",
        detail=detail,
        subject=subject if told else None,
        body=_published(run, manifest) if manifest else _not_published(run, place),
        attributes=_attributes(run.environment, run.pipeline, run.vendor, run.outcome.value),
    )


def late(run: Run, about: frozenset[About], *, waited: timedelta, now: datetime, place: Place) -> Notice:
    """Tell that a run takes longer than its pipeline expects; it goes on."""
    subject = _subject("LATE", run.pipeline, run.environment, f"still running after {span(waited)}")
    job = run.job.id or ("in doubt" if run.job.in_doubt else "not submitted yet")
    lines = [
        f"{run.pipeline} is taking longer than it should; nothing has failed.",
        "",
        f"  What   run {run.run_id} has been running for {span(waited)} (since {iso(run.started_at)}).",
        f"  Vendor job {job}, {run.polls} polls.",
        f"  Watch  haul watch {run.run_id} --env {run.environment}",
        f"  Stop   haul cancel {run.run_id} --env {run.environment}",
        _more(run, place),
    ]
    detail = {
        "version": 1,
        "environment": run.environment,
        "pipeline": run.pipeline,
        "vendor": run.vendor,
        "action": run.action,
        "run_id": run.run_id,
        "started_at": iso(run.started_at),
        "told_at": iso(now),
    }
    return Notice(
        detail_type="Haul Run Late",
        detail=detail,
        subject=subject if About.LATE in about else None,
        body=_body(lines),
        attributes=_attributes(run.environment, run.pipeline, run.vendor, "LATE"),
    )


def stale(
    pipeline: str, environment: str, vendor: str | None, about: frozenset[About], *, last: datetime | None,
    fresh_within: timedelta, now: datetime, owner: str | None,
) -> Notice:  # fmt: skip
    """Tell that a pipeline has published nothing for longer than it promises."""
    since = f"since {iso(last)}" if last else "ever"
    subject = _subject("STALE", pipeline, environment, f"nothing published {since}")
    lines = [
        f"{pipeline} has published nothing {since}; it should publish every {span(fresh_within)}.",
        "",
        f"  Look   haul runs {pipeline} --env {environment}",
        f"  Try    haul plan {pipeline} --env {environment}      (spends nothing)",
        *([f"  Owner  {owner}"] if owner else []),
    ]
    detail = {
        "version": 1,
        "environment": environment,
        "pipeline": pipeline,
        "vendor": vendor,
        "last_published_at": iso(last) if last else None,
        "fresh_within_s": round(fresh_within.total_seconds()),
        "told_at": iso(now),
    }
    return Notice(
        detail_type="Haul Pipeline Stale",
        detail=detail,
        subject=subject if About.STALE in about else None,
        body=_body(lines),
        attributes=_attributes(environment, pipeline, vendor, "STALE"),
    )


def unclaimed(*, pipeline: str, environment: str, error: str, message: str, execution: str) -> Notice:
    """Tell of an execution that ended before it had a run, mostly because its event does not say which one."""
    subject = _subject("FAILED", pipeline, environment, f"{error} (nothing was started)")
    # There is no run to rerun.
    again = ADVICE.get(error, _RERUN).replace(_RERUN, "start it again")
    do = _filled(again, "", environment, None, pipeline)
    lines = [
        f"An execution of {pipeline} ended before it had a run, so nothing was started.",
        "",
        f"  What   {message}",
        f"  Do     {do}",
        f"  More   {Place().runbook}#{error.lower()}   execution {console_link(execution)}",
    ]
    detail = {
        "version": 1, "environment": environment, "pipeline": pipeline, "vendor": None, "action": None, "run_id": None,
        "outcome": Outcome.FAILED.value, "error": error, "message": message, "advice": _REMARK.sub("", do),
        "published": False, "manifest": None, "run": None, "replay": False,
    }  # fmt: skip
    return Notice(
        detail_type="Haul Run Ended",
        detail=detail,
        subject=subject,
        body=_body(lines),
        attributes=_attributes(environment, pipeline, None, Outcome.FAILED.value),
    )


def console_link(execution: str) -> str:
    """Where a person looks at an execution."""
    parts = execution.split(":")
    region = parts[3] if len(parts) > 3 else ""
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"


def _gist(run: Run, manifest: AnyManifest | None) -> str:
    if isinstance(manifest, LoadManifest):
        return ", ".join([*_versions(manifest.watermark), *taken_in(manifest)])
    if manifest:
        counted = [_plural(manifest.totals.datasets, "dataset")]
        if manifest.totals.rows is not None:
            counted.append(f"{manifest.totals.rows:,} rows")
        return ", ".join([*_versions(manifest.watermark), *counted])
    if run.outcome is Outcome.JOINED:
        return f"run {run.joined} does exactly this"
    if run.outcome is Outcome.NOTHING_NEW:
        return f"nothing to {_verb(run)}"
    return f"{run.error.name if run.error else run.outcome} (nothing published)"


def _published(run: Run, manifest: AnyManifest) -> str:
    return _loaded(run, manifest) if isinstance(manifest, LoadManifest) else _landed(run, manifest)


def _landed(run: Run, manifest: ExportManifest) -> str:
    mark, totals, vendor = manifest.watermark, manifest.totals, _vendor(run)
    part = "a part of " if manifest.outcome is Outcome.PARTIAL else ""
    what = f"{vendor} data version {mark.to}" if mark.to else f"{_of(vendor)} {manifest.vendor.action}"
    how = f"as a delta from {mark.from_}" if manifest.mode == "delta" else "in full"
    unpacked = f" ({_size(totals.bytes_uncompressed)} unpacked)" if totals.bytes_uncompressed is not None else ""
    rows = f", {totals.rows:,} rows" if totals.rows is not None else ""
    lines = [
        f"{run.pipeline} published {part}{what} {how}.",
        "",
        f"  {_plural(totals.files, 'file')}, {_size(totals.bytes)}{unpacked}{rows}{_changes(manifest)}",
    ]
    if schema := _schema(manifest):
        lines.append(f"  Schema:  {_cut(schema, _LINE_LENGTH - 100)}   <- look here first")
    age = manifest.freshness.vendor_created_to_published_s
    if age is not None:
        lines.append(f"  Fresh:   {span(timedelta(seconds=age))} after {vendor} made it")
    lines += [f"  Warning: {warning}" for warning in _some(manifest.warnings)]
    lines += ["", f"  Manifest  {run.manifest}"]
    return _body(lines)


def _loaded(run: Run, manifest: LoadManifest) -> str:
    part = "a part of " if manifest.outcome is Outcome.PARTIAL else ""
    made = f" as data version {manifest.watermark.to}" if manifest.watermark.to else ""
    lines = [
        f"{run.pipeline} loaded {part}{manifest.vendor.action} into {_vendor(run)}{made}.",
        "",
        f"  {', '.join(taken_in(manifest)) or 'done'}",
    ]
    failed = [item for item in manifest.items if item.outcome is not Outcome.SUCCEEDED]
    lines += _some([f"  {item.outcome.title():<9}{item.tenant or 'all of it'}: {item.message}" for item in failed])
    lines += [f"  Warning: {warning}" for warning in _some(manifest.warnings)]
    lines += ["", f"  Manifest  {run.manifest}"]
    return _body(lines)


def taken_in(manifest: LoadManifest) -> list[str]:
    """How much of a load went well, in words."""
    totals = manifest.totals
    tenants = totals.succeeded + totals.failed
    several = tenants > 1 or any(item.tenant for item in manifest.items)
    of = f"{totals.succeeded:,} of " if totals.failed else ""
    counted = [f"{of}{_plural(tenants, 'tenant')}"] if several else []
    return counted + ([_plural(totals.records, "record")] if totals.records is not None else [])


def _verb(run: Run) -> str:
    return "load" if run.kind == "load" else "export"


def _not_published(run: Run, place: Place) -> str:
    match run.outcome:
        case Outcome.JOINED:
            first = f"{run.pipeline}: run {run.joined} is doing exactly this already; this trigger joined it."
        case Outcome.NOTHING_NEW:
            first = f"{run.pipeline} had nothing new to {_verb(run)}, and spent nothing."
        case Outcome.CANCELLED:
            first = f"{run.pipeline} was stopped before it published."
        case _:
            target = f" data version {run.watermark.to}" if run.watermark.to else ""
            failed = f"load into {_vendor(run)}" if run.kind == "load" else f"land {_vendor(run)}{target}"
            first = f"{run.pipeline} could not {failed}."
    lines = [first, ""]
    if run.error:
        lines.append(f"  What   {run.error.message}")
        since = f" from {run.readers_since:%Y-%m-%d %H:%M}" if run.readers_since else ""
        seen = f"Readers still see {run.readers_see}{since}." if run.readers_see else "Readers see nothing of it yet."
        if run.kind == "load":
            seen = "What the vendor took in before, if anything, stays there."
        lines.append(f"  Effect nothing was published. {seen}")
        lines.append(f"  Vendor {_vendor_job(run)}{_submissions(run)}")
    lines += [f"  Warning {warning}" for warning in _some(run.warnings)]
    if run.advice:
        lines.append(f"  Do     {run.advice}")
    if run.error and (quoted := _SUPPORT_ID.search(run.error.message)):
        lines.append(f"         Again the same? Quote {quoted[1]} to {_vendor(run)} support.")
    lines.append(_more(run, place))
    return _body(lines)


def _vendor(run: Run) -> str:
    return vendors.title(run.vendor) if run.vendor else "its vendor"


def _of(name: str) -> str:
    return f"{name}'" if name.endswith("s") else f"{name}'s"


def _vendor_job(run: Run) -> str:
    job = f"job {run.job.id}" if run.job.id else "the result"
    if run.job.in_doubt:
        return "a submission's reply was lost: a job may or may not exist."
    if run.outcome is Outcome.EXPIRED:
        return f"{job} was finished, and its result is gone."
    if run.job.result_id and run.kind == "load":
        return f"{job} succeeded."
    if run.job.result_id:
        until = f"; its files stay until {run.job.result_expires_at:%Y-%m-%d}" if run.job.result_expires_at else ""
        return f"{job} succeeded and is kept{until}."
    if run.job.id and run.error and run.error.name in {"ExportFailedError", "LoadFailedError"}:
        return f"{job} failed."
    return f"{job} was submitted." if run.job.id else "nothing was submitted."


def _submissions(run: Run) -> str:
    if run.submissions_limit is None:
        return ""
    return f" {run.submissions_today} of {run.submissions_limit} submissions used today."


def _more(run: Run, place: Place) -> str:
    anchor = f"{place.runbook}#{run.error.name.lower()}   " if run.error else ""
    own = f"{place.pipeline_runbook}   " if place.pipeline_runbook else ""
    owner = f"   owner {run.owner}" if run.owner else ""
    return f"  More   {anchor}{own}execution {console_link(run.executions[-1])}{owner}"


def _body(lines: Sequence[str]) -> str:
    return "".join(f"{_cut(_CONTROLS.sub(' ', line))}\n" for line in lines)


def _cut(text: str, length: int = _LINE_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _some(texts: Sequence[str]) -> list[str]:
    more = [f"and {len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]


def _changes(manifest: ExportManifest) -> str:
    if manifest.mode == "full":
        return ""
    for dataset in sorted(manifest.datasets, key=lambda each: -(each.rows or 0)):
        actions = dataset.row_actions
        if actions and dataset.columns_of == "common":
            new, changed, gone = (actions.get(action, 0) for action in "+u-")
            others = " ..." if len(manifest.datasets) > 1 else ""
            return f": {new:,} in, {changed:,} changed, {gone:,} out in {dataset.table}{others}"
    return ""


def _schema(manifest: ExportManifest) -> str:
    by_table: dict[str, list[str]] = {}
    for dataset in manifest.datasets:
        if dataset.columns_deleted:
            by_table.setdefault(dataset.table, []).append(f"lost {_names(dataset.columns_deleted)}")
        if dataset.columns_of == "new":
            generated = {column.name for column in dataset.columns if column.generated}
            keys = {*dataset.primary_key, *generated}
            gained = [column.name for column in dataset.columns if column.name not in keys]
            by_table.setdefault(dataset.table, []).append(f"gained {_names(gained)}")
    changes = [f"{table} {', '.join(changed)}" for table, changed in by_table.items()]
    if manifest.mode == "delta":
        changes += [f"new table {table}" for table in manifest.tables_added]
    changes += [f"dropped table {table}" for table in manifest.tables_dropped]
    return "; ".join(_some(changes))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _versions(mark: Watermark) -> list[str]:
    if mark.to is None:
        return []
    return [f"{mark.from_} -> {mark.to}" if mark.from_ else mark.to]


def _subject(word: str, pipeline: str, environment: str, gist: str) -> str:
    """SNS takes no line ends, control characters or text beyond ASCII in a subject."""
    subject = _UNPRINTED.sub("?", f"{word} {pipeline} {environment}: {gist}")
    return _cut(subject, _SUBJECT_LENGTH)


def _attributes(environment: str, pipeline: str, vendor: str | None, outcome: str) -> dict[str, str]:
    named: dict[str, Any] = {
        "environment": environment,
        "pipeline": pipeline,
        "vendor": vendor,
        "outcome": outcome,
    }
    return {name: _UNPRINTED.sub("?", value) for name, value in named.items() if value}


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}" if number < 10 * size else f"{number / size:,.0f} {unit}"
    return f"{number} bytes"
