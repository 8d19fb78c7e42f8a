"""`haul validate`: everything that can be known to be wrong without asking anybody."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from haul.attempts import read_start
from haul.cli import documents
from haul.cli.documents import ENVIRONMENTS, EVENTS, PIPELINES
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.errors import InvalidEventError
from haul.models import pipeline as pipelines
from haul.models import pipeline_files, vendors
from haul.models.base import merged
from haul.models.event import Event
from haul.models.symbols import symbols_in

# What EventBridge Scheduler fills in, and an example of each.
_ATTRIBUTES = {
    "<aws.scheduler.scheduled-time>": "2026-11-22T05:00:00Z",
    "<aws.scheduler.schedule-arn>": "arn:aws:scheduler:eu-west-1:123456789012:schedule/haul/example",
    "<aws.scheduler.execution-id>": "d32c5kddcf5bb8c3",
    "<aws.scheduler.attempt-number>": "1",
}
_ATTRIBUTE = re.compile(r"<aws\.[^>]*>?")


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file; `environment` where only one has it."""

    file: str
    problem: str
    environment: str | None = None


def validate(files: Sequence[Path], out: Output) -> Exit:
    """Check event and pipeline files: all of the project, or those named."""
    chosen = list(files) or sorted([*EVENTS.glob("*.json"), *PIPELINES.glob("*.yaml")])
    if not chosen:
        message = f"there is nothing in {EVENTS}/ and {PIPELINES}/ to validate"
        raise CommandError(message, exit_code=Exit.USAGE, hint="Go to the project's folder, or name the files.")
    found = {path: list(_problems(path)) for path in chosen}
    wrong = [problem for problems in found.values() for problem in problems]
    for path, problems in found.items():
        if not problems:
            out.say(f"✓ {path}")
        for problem in problems:
            where = f" ({problem.environment})" if problem.environment else ""
            out.say(f"✗ {path}{where}: {problem.problem}", style="red")
    out.document({"files": [str(path) for path in chosen], "problems": [asdict(problem) for problem in wrong]})
    return Exit.FAILED if wrong else Exit.GOOD


def _problems(path: Path) -> Iterator[Problem]:
    try:
        if path.suffix == ".json":
            _check_event(documents.read_json(path))
            return
        if path.suffix not in {".yaml", ".yml"}:
            yield Problem(str(path), "an event is a .json file, a pipeline a .yaml file")
            return
        document = documents.read_pipeline(path)
    except (InvalidEventError, CommandError) as error:
        yield Problem(str(path), str(error).removeprefix(f"{path}: "))
        return
    yield from _pipeline_problems(path, document)


def _check_event(event: dict[str, Any]) -> None:
    filled = _filled(event)
    start = read_start(filled)
    path = PIPELINES / f"{start.pipeline}.yaml"
    if not documents.is_whole(filled) and path.is_file():
        # Which environment it is completed in makes no difference to what is checked here.
        filled = merged(documents.pipeline_at(path, "").event(), filled)
    checked = documents.checked(filled)
    vendors.require_source(checked)
    _check_symbols(checked)


def _filled(value: Any, at: str = "") -> Any:
    """Put examples in for what a schedule fills in."""
    if isinstance(value, dict):
        return {name: _filled(inner, f"{at}.{name}".lstrip(".")) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, f"{at}[{index}]") for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    for attribute in _ATTRIBUTE.findall(value):
        if attribute not in _ATTRIBUTES:
            raise InvalidEventError(f"{at}: {attribute} is none that a schedule fills in: {', '.join(_ATTRIBUTES)}")
        value = value.replace(attribute, _ATTRIBUTES[attribute])
    return value


def _check_symbols(event: Event) -> None:
    """Symbols that need a certain trigger, in an event that says what its trigger is."""
    for field, symbol in symbols_in(event.request, "request"):
        if symbol == "@scheduled-at" and event.trigger.scheduled_at is None:
            raise InvalidEventError(f"{field}: @scheduled-at needs trigger.scheduled_at")
        if symbol.startswith("@upstream.") and (event.source is None or event.source.manifest is None):
            raise InvalidEventError(f"{field}: {symbol} needs source.manifest")


def _pipeline_problems(path: Path, document: Any) -> Iterator[Problem]:
    """A pipeline settled for every environment; what is wrong in all of them is said once."""
    environments = [file.stem for file in sorted(ENVIRONMENTS.glob("*.yaml"))]
    said: dict[str, list[str]] = {}
    for environment in environments or [""]:
        for problem in _wrong_in(path, document, environment):
            said.setdefault(problem, []).append(environment)
    for problem, where in said.items():
        everywhere = len(where) == max(len(environments), 1)
        yield from (
            Problem(str(path), problem, None if everywhere else name) for name in where[: 1 if everywhere else None]
        )


def _wrong_in(path: Path, document: Any, environment: str) -> Iterator[str]:
    try:
        pipeline = pipelines.read(document, environment)
    except InvalidEventError as error:
        yield str(error)
        return
    known = [file.stem for file in ENVIRONMENTS.glob("*.yaml")]
    yield from pipeline_files.problems(path, pipeline, environment, known)
