"""`haul call`: a vendor's calls that answer at once, by name."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from haul.cli import accounts, parameters
from haul.cli.accounts import Account
from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.models import vendors
from haul.models.event import Outcome
from haul.models.vendors import OperationKind
from haul.operating import switch_on
from haul.ports import Answer, Operation

_WIDEST = 60
_EXITS = {Outcome.PARTIAL: Exit.PARTIAL, Outcome.FAILED: Exit.FAILED}


def list_calls(vendor: str, out: Output) -> Exit:
    """List the calls that there are, which needs no deployment."""
    _list(vendors.operations(vendor), out)
    return Exit.GOOD


def call(
    vendor: str,
    operation: str,
    arguments: Sequence[str],
    deployment: Deployment,
    out: Output,
    *,
    connection: str | None,
    pipeline: str | None,
    yes: bool,
) -> Exit:
    """Make one call and show the answer."""
    kinds = vendors.operations(vendor)
    if operation not in kinds:
        hint = f"There are: {', '.join(kinds)}"
        raise CommandError(f"{vendor} has no operation {operation}", exit_code=Exit.USAGE, hint=hint)
    kind = kinds[operation]
    given = parameters.read(arguments, operation, kind)
    if kind.handles_credentials and deployment.read_credential is None:
        raise CommandError(switch_on(operation, deployment.environment))
    chosen = _account(vendor, connection, pipeline, deployment)
    wanted = deployment.connect(vendor, chosen.connection, chosen.options).operations()[operation]
    if kind.changes and not yes:
        _ask(wanted, given, out)
    answer = wanted.run(given, deployment.read_credential)
    out.document(answer.document)
    _show(answer, out)
    return _judge(answer, out)


def _ask(operation: Operation, given: Mapping[str, Any], out: Output) -> None:
    """Show what would change and ask; with `--json` standard output is not for questions."""
    shown = operation.shown(given)
    gap = "\n" if "\n" in shown else "  "
    question = f"{shown}{gap}Continue?"
    if out.as_json:
        out.progress(f"{question} [y/N]")
        wanted = sys.stdin.readline().strip().lower() in ("y", "yes")
    else:
        wanted = typer.confirm(question)
    if not wanted:
        raise CommandError("nothing was changed")


def _judge(answer: Answer, out: Output) -> Exit:
    """Say what was not done. With `--json` the vendor's document says it too, and this goes to standard error."""
    if answer.outcome is Outcome.SUCCEEDED:
        return Exit.GOOD
    done = "a part of it was done" if answer.outcome is Outcome.PARTIAL else "nothing was done"
    out.progress(f"{answer.outcome}: {done}, and this was not:")
    for line in answer.failures:
        out.progress(f"  {line}")
    return _EXITS[answer.outcome]


def _list(kinds: Mapping[str, OperationKind], out: Output) -> None:
    out.document(
        {
            name: {
                "summary": kind.summary,
                "parameters": parameters.described(kind),
                "changes": kind.changes,
                "handles_credentials": kind.handles_credentials,
            }
            for name, kind in kinds.items()
        }
    )
    marks = {name: "changes" if kind.changes else "" for name, kind in kinds.items()}
    out.table([[name, kind.summary, marks[name], parameters.usage(kind)] for name, kind in kinds.items()])


def _account(vendor: str, connection: str | None, pipeline: str | None, deployment: Deployment) -> Account:
    """The account to call for: the only one of the vendor's pipelines, or the only one that goes with what is named.

    Raises:
        CommandError: it is none or several, and nobody guesses which of several tenants is meant.
    """
    known = [account for account in accounts.used(deployment) if account.vendor == vendor]
    chosen = [
        account
        for account in known
        if connection in {None, account.connection} and (pipeline is None or pipeline in account.pipelines)
    ]
    if not chosen and connection and pipeline is None:
        return Account(connection, vendor, {})
    if len(chosen) == 1:
        return chosen[0]
    names = sorted(_described(account) for account in chosen or known)
    used = f"used by pipelines: {'; '.join(names)}" if names else "no deployed pipeline uses one"
    raise CommandError(
        f"which connection to {vendor}? {used}", exit_code=Exit.USAGE, hint="--connection NAME, or --pipeline NAME"
    )


def _described(account: Account) -> str:
    tenant = f" for tenant {account.tenant}" if account.tenant else ""
    return f"{account.connection}{tenant} ({', '.join(account.pipelines)})"


def _show(answer: Answer, out: Output) -> None:
    """A list of objects as a table; everything else as it came."""
    if out.as_json:
        return
    document = answer.document
    inner = [value for value in document.values() if isinstance(value, list)] if isinstance(document, dict) else []
    simple = inner[0] if isinstance(document, dict) and len(document) == 1 and len(inner) == 1 else document
    rows = simple if answer.rows is None else answer.rows
    if not (isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows)):
        out.print_json(document)
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
