"""`haul run`, `haul cancel`, `haul rerun`: what starts and stops executions."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from haul.attempts import read_start
from haul.cli import documents, handing, watching
from haul.cli.deployment import Deployment, link
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.cli.watching import FindRun, Progress
from haul.ledger import LIVE
from haul.models import vendors
from haul.models.base import parse
from haul.models.event import Event, Outcome, Start
from haul.models.ledger import RunRecord, RunState

_APPEARS_WITHIN = 60.0
_CANCELLED_WITHIN = 20.0
_PAUSE = 0.5


def run(
    named: str,
    deployment: Deployment,
    out: Output,
    *,
    settings: Sequence[str] = (),
    reason: str | None = None,
    watch: bool = False,
) -> Exit:
    """Start a run of a pipeline or an event; everything that can be known to be wrong is refused before."""
    event = documents.event_of(named, deployment)
    event = {**event, "trigger": _trigger(deployment, reason or event.get("trigger", {}).get("reason"))}
    whole, checked = documents.settled(event, settings, deployment.ledger())
    documents.check_meaning(checked, deployment)
    sent = parse(Event, whole).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _started(sent, deployment, out, watch=watch)


def rerun(
    record: RunRecord, deployment: Deployment, out: Output, *, resubmit: bool = False, link: bool = False, watch: bool
) -> Exit:
    """Start the next attempt of a run that ended without publishing; `link` asks for the links of its result."""
    run_id, environment = record.run_id, deployment.environment
    if resubmit and link:
        raise CommandError(
            "--resubmit makes a new job, and --link is of the one that there is: one of the two", exit_code=Exit.USAGE
        )
    match record.state:
        case RunState.RUNNING | RunState.PUBLISHING:
            raise CommandError(
                f"run {run_id} still goes on (attempt {record.attempt}): there is nothing to do again",
                hint=f"haul watch {run_id} --env {environment}, or haul cancel {run_id} --env {environment} first.",
            )
        case RunState.PUBLISHED | RunState.ENDED:
            raise CommandError(
                f"run {run_id} ended {record.outcome}: there is nothing to do again",
                hint=f"A new run: haul run {record.pipeline} --env {environment}",
            )
    event = {
        "version": 1,
        "pipeline": record.pipeline,
        "rerun": {"run_id": run_id, "resubmit": resubmit, "link": link},
        "trigger": _trigger(deployment, None),
    }
    if not link:
        return _started(event, deployment, out, watch=watch)
    secret = handing.hand_over(record, deployment, out)
    try:
        execution = _start(event, deployment)
    except BaseException:
        deployment.vault.delete(secret)  # nobody else would
        raise
    return _followed(event, execution, deployment, out, watch=watch)


def cancel(record: RunRecord, deployment: Deployment, out: Output, *, reason: str | None = None) -> Exit:
    """Stop a run's execution, and wait until the run is settled as CANCELLED."""
    run_id, environment = record.run_id, deployment.environment
    if record.state not in LIVE:
        raise CommandError(f"run {run_id} ended {record.outcome} already: there is nothing to stop")
    why = f": {reason}" if reason else ""
    deployment.flow.stop(record.execution, cause=f"cancelled by {deployment.who()}{why}")
    out.progress(f"stopped {link(record.execution)}")
    ledger = deployment.ledger()
    waited = 0.0
    current = record
    while waited < _CANCELLED_WITHIN:
        current = ledger.run(record.pipeline, run_id) or current
        if current.state not in LIVE:
            break
        deployment.pause(_PAUSE)
        waited += _PAUSE
    out.document({"run_id": run_id, "pipeline": record.pipeline, "state": current.state, "outcome": current.outcome})
    if current.state in LIVE:
        out.say("The execution is stopped; that the run was cancelled is settled by the Sweep, within the hour.")
        out.say(f"  haul show {run_id} --env {environment}")
        return Exit.GOOD
    if current.outcome is Outcome.CANCELLED:
        kept = current.work is not None and bool(current.work.job.id or current.work.job.in_doubt)
        out.say(f"run {run_id} is CANCELLED; nothing was published", style="bold yellow")
        if kept:
            out.say("  The vendor's job is cancelled where it can be, and else kept: a rerun adopts it.")
        out.say(f"  Next: haul rerun {run_id} --env {environment}")
        return Exit.GOOD
    out.say(f"run {run_id} had ended {current.outcome} before it could be stopped")
    return Exit.FAILED


def _trigger(deployment: Deployment, reason: Any) -> dict[str, Any]:
    return {"type": "manual", "by": deployment.who(), **({"reason": reason} if reason else {})}


def _started(event: Mapping[str, Any], deployment: Deployment, out: Output, *, watch: bool) -> Exit:
    return _followed(event, _start(event, deployment), deployment, out, watch=watch)


def _start(event: Mapping[str, Any], deployment: Deployment) -> str:
    name = f"{read_start(event).pipeline}-{deployment.clock():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return deployment.flow.start(event, kind=_kind_of(event, deployment), name=name)


def _kind_of(event: Mapping[str, Any], deployment: Deployment) -> str:
    """Whose flow an event is: by its action, its run's, or its deployed pipeline's."""
    start, ledger = read_start(event), deployment.ledger()
    record = ledger.run(start.pipeline, start.rerun.run_id) if start.rerun else None
    if record and record.work:
        return record.work.kind
    deployed = ledger.pipeline(start.pipeline)
    known = [event, record.event if record else {}, deployed.event if deployed else {}]
    return vendors.kind_of(next((each for each in known if "action" in each), {}))


def _followed(event: Mapping[str, Any], execution: str, deployment: Deployment, out: Output, *, watch: bool) -> Exit:
    start = read_start(event)
    find = finder(start, execution, deployment)
    if not watch:
        return _told_of(_appeared(find, execution, deployment), execution, deployment, out)
    progress = watching.watch(deployment, execution, find, out)
    out.document(_facts(progress, execution))
    return watching.exit_code(progress)


def finder(start: Start, execution: str, deployment: Deployment) -> FindRun:
    """Look up the run that `execution` acts for; of a rerun, not the attempt before."""
    ledger = deployment.ledger()

    def find() -> RunRecord | None:
        record = ledger.look_up(start, execution)
        if record and start.rerun and execution not in record.executions:
            return None
        return record

    return find


def _appeared(find: FindRun, execution: str, deployment: Deployment) -> Progress:
    """Wait until the execution has claimed its run, or failed to."""
    waited = 0.0
    while True:
        record = find()
        state = deployment.flow.describe(execution) if record is None else None
        progress = Progress(at=deployment.clock(), record=record, execution=state)
        if record or progress.lost or waited >= _APPEARS_WITHIN:
            return progress
        deployment.pause(_PAUSE)
        waited += _PAUSE


def _told_of(progress: Progress, execution: str, deployment: Deployment, out: Output) -> Exit:
    out.document(_facts(progress, execution))
    record, environment = progress.record, deployment.environment
    if record is None:
        if progress.lost:
            for line in watching.ending(progress, environment):
                out.say(line)
            return Exit.FAILED
        out.say(f"started, and not yet known by its run id: {link(execution)}")
        return Exit.GOOD
    out.say(watching.headline(progress))
    if record.execution != execution:
        out.say(f"  this trigger was that run's already, which is {record.outcome or record.state}")
    out.say(f"  haul watch {record.run_id} --env {environment}")
    return Exit.GOOD


def _facts(progress: Progress, execution: str) -> dict[str, Any]:
    record = progress.record
    error = record.error if record else None
    if error is None and progress.lost and progress.execution:
        shown: Any = {"name": progress.execution.error, "message": progress.execution.cause}
    else:
        shown = error.model_dump() if error else None
    return {
        "run_id": record.run_id if record else None,
        "pipeline": record.pipeline if record else None,
        "attempt": record.attempt if record else None,
        "state": record.state if record else None,
        "outcome": progress.outcome,
        "error": shown,
        "manifest": record.work.manifest if record and record.work else None,
        "joined": record.work.joined if record and record.work else None,
        "repeats": record is not None and record.execution != execution,
        "execution": execution,
    }


def watch(record: RunRecord, deployment: Deployment, out: Output) -> Exit:
    """Follow a run that is known to its end."""
    ledger = deployment.ledger()

    def find() -> RunRecord | None:
        return ledger.run(record.pipeline, record.run_id)

    progress = watching.watch(deployment, record.execution, find, out)
    out.document(_facts(progress, record.execution))
    return watching.exit_code(progress)
