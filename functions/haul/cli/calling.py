"""`haul call`: a vendor's own reads, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.models import vendors
from haul.ports import Operation

_WIDEST = 60


def call(
    vendor: str,
    operation: str | None,
    arguments: Sequence[str],
    deployment: Deployment,
    out: Output,
    *,
    connection: str | None,
    yes: bool,
) -> Exit:
    """Make one call and show the answer, or list the calls that there are."""
    vendors.actions(vendor)
    chosen, options = _connection(vendor, connection, deployment)
    operations = deployment.connect(vendor, chosen, options).operations()
    if operation is None:
        out.document({name: _described(known) for name, known in operations.items()})
        rows = [
            [name, " ".join(f"{each}=..." for each in known.parameters), known.summary]
            for name, known in operations.items()
        ]
        out.table(rows)
        return Exit.GOOD
    if operation not in operations:
        hint = f"There are: {', '.join(operations)}"
        raise CommandError(f"{vendor} has no operation {operation}", exit_code=Exit.USAGE, hint=hint)
    wanted = operations[operation]
    given = _parameters(arguments, operation, wanted)
    if wanted.changes and not (yes or typer.confirm(f"{wanted.changes}  Continue?")):
        raise CommandError("nothing was changed")
    answer = wanted.run(given)
    out.document(answer)
    _show(answer, out)
    return Exit.GOOD


def _described(operation: Operation) -> dict[str, Any]:
    return {"summary": operation.summary, "parameters": dict(operation.parameters), "changes": operation.changes}


def _connection(vendor: str, named: str | None, deployment: Deployment) -> tuple[str, Mapping[str, Any]]:
    """The connection to call over: the one named, or the only one that the vendor's pipelines use."""
    used = {
        record.event["connection"]: record.event.get("options", {})
        for record in deployment.pipelines().values()
        if record.event.get("vendor") == vendor
    }
    if named:
        return named, used.get(named, {})
    if len(used) == 1:
        return next(iter(used.items()))
    known = f"used by pipelines: {', '.join(sorted(used))}" if used else "no deployed pipeline uses one"
    raise CommandError(f"which connection to {vendor}? {known}", exit_code=Exit.USAGE, hint="--connection NAME")


def _parameters(arguments: Sequence[str], name: str, operation: Operation) -> dict[str, str]:
    """Read `name=value`, `--name value` and `--name=value`."""
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        field, equals, value = word.removeprefix("--").partition("=")
        if not equals and word.startswith("--") and rest:
            value, equals = rest.pop(0), "="
        if not equals:
            hint = f"{name} takes {_taken(operation)}."
            raise CommandError(f"{word}: must be name=value", exit_code=Exit.USAGE, hint=hint)
        given[field] = value
    wrong = [field for field in given if field not in operation.parameters]
    missing = [field for field in operation.parameters if field not in given]
    if wrong or missing:
        what = f"{wrong[0]}: unknown" if wrong else f"{missing[0]}: missing"
        raise CommandError(f"{name}: {what}", exit_code=Exit.USAGE, hint=f"It takes {_taken(operation)}.")
    return given


def _taken(operation: Operation) -> str:
    return ", ".join(f"{name}=... ({about})" for name, about in operation.parameters.items()) or "no parameters"


def _show(answer: Any, out: Output) -> None:
    """A list of objects as a table; everything else as it came."""
    if out.as_json:
        return
    lists = [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else [answer]
    rows = lists[0] if len(lists) == 1 and isinstance(lists[0], list) else []
    simple = isinstance(answer, list) or (isinstance(answer, dict) and len(answer) == 1)
    if not (simple and rows and all(isinstance(row, dict) for row in rows)):
        out.print_json(answer)
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    out.table([[_cell(row.get(name)) for name in names] for row in rows], header=names)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case list() | dict():
            return f"({len(value)})"
        case _:
            text = str(value)
            return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
