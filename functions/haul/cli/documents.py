"""What a person names on the command line, settled into an event: a pipeline, or a file."""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from haul import symbols
from haul.attempts import upstream_of
from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError, Exit
from haul.errors import InvalidEventError
from haul.ledger import Ledger
from haul.models import pipeline as pipelines
from haul.models import pipeline_files, vendors
from haul.models.base import merged, parse
from haul.models.event import Event, unreplaced
from haul.models.pipeline import Pipeline

EVENTS = Path("events")
PIPELINES = Path("infra/pipelines")
ENVIRONMENTS = Path("infra/environments")

_WHOLE = {"vendor", "action", "connection", "request"}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InvalidEventError: it is none, and where it stops being one.
    """
    try:
        document = json.loads(_text(path))
    except ValueError as error:
        raise InvalidEventError(f"{path}: not JSON: {error}") from None
    except RecursionError:
        raise InvalidEventError(f"{path}: is nested too deep") from None
    if not isinstance(document, dict):
        raise InvalidEventError(f"{path}: must be a JSON object")
    return document


def read_pipeline(path: Path) -> Any:
    """Read a pipeline file, with the files that it names put in.

    Raises:
        InvalidEventError: it is none, and what is wrong.
    """
    try:
        return pipeline_files.document(path)
    except InvalidEventError as error:
        raise InvalidEventError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {_why(error)}", exit_code=Exit.USAGE) from None


def pipeline_at(path: Path, environment: str) -> Pipeline:
    """Read a pipeline file and settle it for one environment."""
    return pipelines.read(read_pipeline(path), environment)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {_why(error)}", exit_code=Exit.USAGE) from None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "is not text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"


def event_of(named: str, deployment: Deployment) -> dict[str, Any]:
    """Find what `named` is, a file or a pipeline, and make its event; a trigger is yet to be put in.

    Raises:
        CommandError: there is nothing of that name, or only a schedule can send it.
        InvalidEventError: the file is wrong.
    """
    path = Path(named)
    if path.suffix in {".json", ".yaml", ".yml"} or "/" in named:
        if path.suffix != ".json":
            return pipeline_at(path, deployment.environment).event()
        event = read_json(path)
        if attribute := unreplaced(event):
            hint = f"Start its pipeline, haul run {event.get('pipeline', 'PIPELINE')}, or fire its schedule."
            message = f"{path}: {attribute} is filled in by a schedule alone"
            raise CommandError(message, exit_code=Exit.USAGE, hint=hint)
        return event
    if deployed := deployment.ledger().pipeline(named):
        return deployed.event
    path = PIPELINES / f"{named}.yaml"
    if path.is_file():
        return pipeline_at(path, deployment.environment).event()
    raise unknown_pipeline(named, list(deployment.pipelines()), deployment.environment)


def unknown_pipeline(named: str, known: Sequence[str], environment: str) -> CommandError:
    close = difflib.get_close_matches(named, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Deployed: {', '.join(known) or 'none'}."
    return CommandError(f"{environment} has no pipeline {named}", exit_code=Exit.USAGE, hint=hint)


def with_settings(
    event: Mapping[str, Any], assignments: Sequence[str], *, numbers: Collection[str] = ()
) -> dict[str, Any]:
    """Put `path=value` into an event. Objects, lists, quoted text, true, false and null are JSON, all else is text.

    So is a number, as a data version is one in quotes, unless its path is among `numbers`.
    """
    result = dict(event)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = path.split(".")
        if not equals or not all(names):
            message = f"--set {assignment}: must be a field's path and its value"
            raise CommandError(message, exit_code=Exit.USAGE, hint="Such as --set request.dataVersionNumber=7000004")
        change: Any = int(text) if path in numbers else _value(text, assignment)
        for name in reversed(names):
            change = {name: change}
        result = merged(result, change)
    return result


def _value(text: str, assignment: str) -> Any:
    if text not in {"null", "true", "false"} and not text.startswith(("{", "[", '"')):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"--set {assignment}: not JSON: {error}", exit_code=Exit.USAGE) from None


def settled(event: Mapping[str, Any], assignments: Sequence[str], ledger: Ledger) -> tuple[dict[str, Any], Event]:
    """Put `assignments` in, complete the event and check it: whole, and as the models have it.

    A number is text where the field takes text, and a number where it takes none.

    Raises:
        InvalidEventError: naming each wrong field.
    """
    given = dict(assignment.partition("=")[::2] for assignment in assignments)
    numeric = {path for path, text in given.items() if text.isdecimal()}
    numbers: set[str] = set()
    while True:
        whole = completed(with_settings(event, assignments, numbers=numbers), ledger)
        try:
            return whole, checked(whole)
        except InvalidEventError as error:
            refused = {path for path in numeric - numbers if f"{path}: " in str(error)}
            if not refused:
                raise
            numbers |= refused


def is_whole(event: Mapping[str, Any]) -> bool:
    """Whether an event says everything; one that a rule sends leaves it to its pipeline."""
    return event.keys() >= _WHOLE


def completed(event: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """Complete a short event from its deployed pipeline, as the flow will."""
    if is_whole(event):
        return dict(event)
    deployed = ledger.pipeline(str(event.get("pipeline")))
    return merged(deployed.event, event) if deployed else dict(event)


def checked(event: Mapping[str, Any]) -> Event:
    """Validate a whole event: fields, types, symbols, the vendor's own request.

    Raises:
        InvalidEventError: naming each wrong field.
    """
    return vendors.checked(parse(Event, event))


def check_meaning(event: Event, deployment: Deployment) -> None:
    """Be sure that a run that starts now has what it needs; what the vendor's own symbols stand for is its to answer.

    Raises:
        InvalidEventError: one stands for nothing, or there is nothing to send.
    """
    vendors.require_source(event)
    ledger = deployment.ledger()
    latest = ledger.latest(event.pipeline)
    facts = symbols.Facts(
        started_at=deployment.clock(),
        scheduled_at=event.trigger.scheduled_at,
        last_success_started_at=latest.last.started_at if latest.last else None,
        upstream=upstream_of(event, ledger),
        tenant=event.options.get("target_tenant"),
    )
    symbols.resolve(event.request, facts, first_run=event.options.get("first_run", "fail"))
