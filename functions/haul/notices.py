"""Every text that a person reads about a run: subjects, bodies, advice. Nothing here reads a clock or a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from haul.models.base import iso
from haul.models.event import About, Outcome
from haul.models.export import Watermark
from haul.models.manifest import Manifest
from haul.models.run import Run
from haul.ports import Notice

_SUBJECT_LENGTH = 100
_WORDS = {
    Outcome.SUCCEEDED: "OK",
    Outcome.NOTHING_NEW: "NOTHING NEW",
}

_RERUN = "haul rerun {run_id} --env {environment}"
_RESUBMIT = _RERUN + " --resubmit"
_DOCTOR = "haul doctor {connection} --env {environment}"

ADVICE: dict[str, str] = {
    "RateLimitedError": _RERUN + "      (the vendor wanted us slower; later is better)",
    "VendorUnavailableError": _RERUN + "      (when the vendor answers again)",
    "LedgerBusyError": _RERUN,
    "TruncatedFileError": _RERUN + "      (spends no submission)",
    "CorruptFileError": _RERUN + "      (spends no submission; the same again: add --resubmit)",
    "ErrorPageError": _RERUN + "      (spends no submission)",
    "InvalidEventError": "correct the event or the pipeline file, check it with haul validate, and start it again",
    "UnknownConnectionError": "haul secret set {connection} --env {environment}, then " + _RERUN,
    "InvalidSecretError": "haul secret set {connection} --env {environment}, then " + _RERUN,
    "UnknownVersionError": "haul call visier list-data-versions --connection {connection} --env {environment}, "
    "then start it with a version that exists",
    "BaseVersionGoneError": "start it once without baseDataVersionNumber, or set options.base_gone to full",
    "LandingNotWritableError": "give Haul its rights to the landing bucket and its key back, then " + _RERUN,
    "RunNotFoundError": "haul runs {pipeline} --env {environment} lists the runs there are",
    "CredentialsRefusedError": _DOCTOR + ", haul secret set {connection}, then " + _RERUN,
    "MissingCapabilityError": "have the vendor's administrator grant it, check with " + _DOCTOR + ", then " + _RERUN,
    "QuotaExceededError": "wait for the next day (UTC), then " + _RERUN,
    "RequestRejectedError": "correct what the vendor names, then start it again",
    "UnexpectedResponseError": _RERUN + "      (the same again: report it, with the reply it shows)",
    "UnsafeLinkError": "ask the vendor why its link leads there; nothing was sent to it",
    "SubmissionInDoubtError": "look at the vendor whether the job runs; if it does not, " + _RESUBMIT,
    "ExportFailedError": _RERUN + "      (submits once more)",
    "PollingFailedError": _RERUN + "      (adopts the job, spends no submission)",
    "DeadlineExceededError": _RERUN + "      (adopts the job, spends no submission; is limits.deadline long enough?)",
    "ResultExpiredError": _RERUN + "      (submits once more)",
    "RetypedColumnError": "make readers ready for the new type, then set options.retyped_column to warn and start it",
    "IncompleteDownloadError": _RERUN + "      (spends no submission)",
    "RunAbandonedError": "nothing: a later attempt acts for the run",
    "ExecutionLostError": _RERUN + "      (adopts the job, spends no submission)",
    "CancelledError": _RERUN + "      (adopts the job where the vendor could not cancel it)",
}
"""What to do, by error name: one command or one sentence."""


@dataclass(frozen=True)
class Place:
    """Where a run is looked at: console links and names that no document of the run has."""

    runbook: str = "docs/runbook.md"
    pipeline_runbook: str | None = None
    region: str = ""


def advice(error: str, *, run_id: str, environment: str, connection: str | None, pipeline: str) -> str:
    """Say what to do about an error by its name."""
    known = ADVICE.get(error, _RERUN)
    return known.format(
        run_id=run_id, environment=environment, connection=connection or "CONNECTION", pipeline=pipeline
    )


def ended(run: Run, manifest: Manifest | None, about: frozenset[About], place: Place) -> Notice:
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
        "advice": run.advice,
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
    subject = _subject("LATE", run.pipeline, run.environment, f"still running after {_span(waited)}")
    job = run.job.id or ("in doubt" if run.job.in_doubt else "not submitted yet")
    lines = [
        f"{run.pipeline} is taking longer than it should; nothing has failed.",
        "",
        f"  What   run {run.run_id} has been running for {_span(waited)} (since {iso(run.started_at)}).",
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
        body="\n".join(lines) + "\n",
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
        f"{pipeline} has published nothing {since}; it should publish every {_span(fresh_within)}.",
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
        body="\n".join(lines) + "\n",
        attributes=_attributes(environment, pipeline, vendor, "STALE"),
    )


def unclaimed(*, pipeline: str, environment: str, error: str, message: str, execution: str) -> Notice:
    """Tell of an execution whose event was too wrong to say which run it is."""
    subject = _subject("FAILED", pipeline, environment, f"{error} (nothing was started)")
    lines = [
        "An execution's input does not say which run it is, so nothing was started.",
        "",
        f"  What   {message}",
        f"  Do     {advice(error, run_id='', environment=environment, connection=None, pipeline=pipeline)}",
        f"  More   {Place().runbook}#{error.lower()}   execution {console_link(execution)}",
    ]
    detail = {
        "version": 1, "environment": environment, "pipeline": pipeline, "vendor": None, "action": None, "run_id": None,
        "outcome": Outcome.FAILED.value, "error": error, "message": message, "advice": ADVICE.get(error),
        "published": False, "manifest": None, "run": None, "replay": False,
    }  # fmt: skip
    return Notice(
        detail_type="Haul Run Ended",
        detail=detail,
        subject=subject,
        body="\n".join(lines) + "\n",
        attributes=_attributes(environment, pipeline, None, Outcome.FAILED.value),
    )


def console_link(execution: str) -> str:
    """Where a person looks at an execution."""
    parts = execution.split(":")
    region = parts[3] if len(parts) > 3 else ""
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"


def _gist(run: Run, manifest: Manifest | None) -> str:
    if manifest:
        versions = _versions(manifest.watermark)
        rows = f", {manifest.totals.rows:,} rows" if manifest.totals.rows is not None else ""
        return f"{versions}, {_plural(manifest.totals.datasets, 'dataset')}{rows}"
    if run.outcome is Outcome.JOINED:
        return f"run {run.joined} does exactly this"
    if run.outcome is Outcome.NOTHING_NEW:
        return "nothing to export"
    return f"{run.error.name if run.error else run.outcome} (nothing published)"


def _published(run: Run, manifest: Manifest) -> str:
    mark, totals = manifest.watermark, manifest.totals
    what = f"as a delta from {mark.from_}" if manifest.mode == "delta" else "in full"
    size = _size(totals.bytes)
    unpacked = f" ({_size(totals.bytes_uncompressed)} unpacked)" if totals.bytes_uncompressed is not None else ""
    rows = f", {totals.rows:,} rows" if totals.rows is not None else ""
    lines = [
        f"{run.pipeline} published {(run.vendor or '').title()} data version {mark.to} {what}.",
        "",
        f"  {_plural(totals.files, 'file')}, {size}{unpacked}{rows}{_changes(manifest)}",
        *([f"  Schema:  {schema}   <- look here first"] if (schema := _schema(manifest)) else []),
    ]
    age = manifest.freshness.vendor_created_to_published_s
    if age is not None:
        lines.append(f"  Fresh:   {_span(timedelta(seconds=age))} after {(run.vendor or '').title()} made it")
    lines += [f"  Warning: {warning}" for warning in manifest.warnings]
    lines += ["", f"  Manifest  {run.manifest}"]
    return "\n".join(lines) + "\n"


def _not_published(run: Run, place: Place) -> str:
    match run.outcome:
        case Outcome.JOINED:
            first = f"{run.pipeline}: run {run.joined} is doing exactly this already; this trigger joined it."
        case Outcome.NOTHING_NEW:
            first = f"{run.pipeline} had nothing new to export, and spent nothing."
        case Outcome.CANCELLED:
            first = f"{run.pipeline} was stopped before it published."
        case _:
            target = f" data version {run.watermark.to}" if run.watermark.to else ""
            first = f"{run.pipeline} could not land {(run.vendor or 'its vendor').title()}{target}."
    lines = [first, ""]
    if run.error:
        lines.append(f"  What   {run.error.message}")
        seen = f"Readers still see {run.readers_see}." if run.readers_see else "Readers see nothing of it yet."
        lines.append(f"  Effect nothing was published. {seen}")
        lines.append(f"  Vendor {_vendor_job(run)}")
    lines += [f"  Warning {warning}" for warning in run.warnings]
    if run.advice:
        lines.append(f"  Do     {run.advice}")
    lines.append(_more(run, place))
    return "\n".join(lines) + "\n"


def _vendor_job(run: Run) -> str:
    if run.job.in_doubt:
        return "a submission's reply was lost: a job may or may not exist."
    if run.job.result_id:
        until = f"; its files stay until {run.job.result_expires_at:%Y-%m-%d}" if run.job.result_expires_at else ""
        return f"{'job ' + run.job.id if run.job.id else 'the result'} succeeded and is kept{until}."
    if run.job.id:
        return f"job {run.job.id} was submitted."
    return "nothing was submitted."


def _more(run: Run, place: Place) -> str:
    anchor = f"{place.runbook}#{run.error.name.lower()}   " if run.error else ""
    own = f"{place.pipeline_runbook}   " if place.pipeline_runbook else ""
    owner = f"   owner {run.owner}" if run.owner else ""
    return f"  More   {anchor}{own}execution {console_link(run.executions[-1])}{owner}"


def _changes(manifest: Manifest) -> str:
    if manifest.mode == "full":
        return ""
    for dataset in sorted(manifest.datasets, key=lambda each: -(each.rows or 0)):
        actions = dataset.row_actions
        if actions and dataset.columns_of == "common":
            new, changed, gone = (actions.get(action, 0) for action in "+u-")
            others = " ..." if len(manifest.datasets) > 1 else ""
            return f": {new:,} in, {changed:,} changed, {gone:,} out in {dataset.table}{others}"
    return ""


def _schema(manifest: Manifest) -> str:
    changes = []
    for dataset in manifest.datasets:
        if dataset.columns_deleted:
            changes.append(f"{dataset.table} lost {_names(dataset.columns_deleted)}")
        if dataset.columns_of == "new":
            keys = {*dataset.primary_key, "_DiffAction_"}
            gained = [column.name for column in dataset.columns if column.name not in keys]
            changes.append(f"{dataset.table} gained {_names(gained)}")
    if manifest.mode == "delta":
        changes += [f"new table {_names([table])}" for table in manifest.tables_added]
    changes += [f"dropped table {_names([table])}" for table in manifest.tables_dropped]
    return "; ".join(changes)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _versions(mark: Watermark) -> str:
    return f"{mark.from_} -> {mark.to}" if mark.from_ else f"{mark.to}"


def _subject(word: str, pipeline: str, environment: str, gist: str) -> str:
    subject = f"{word} {pipeline} {environment}: {gist}".encode("ascii", "replace").decode()
    return subject if len(subject) <= _SUBJECT_LENGTH else subject[: _SUBJECT_LENGTH - 3] + "..."


def _attributes(environment: str, pipeline: str, vendor: str | None, outcome: str) -> dict[str, str]:
    named: dict[str, Any] = {
        "environment": environment,
        "pipeline": pipeline,
        "vendor": vendor,
        "outcome": outcome,
    }
    return {name: value for name, value in named.items() if value}


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}" if number < 10 * size else f"{number / size:,.0f} {unit}"
    return f"{number} bytes"


def _span(duration: timedelta) -> str:
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    named = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{number} {unit}" for number, unit in named if number]
    return " ".join(shown[:2]) or "0 s"
