"""`haul doctor`: can a connection do what its pipelines need? A tick or a cross each, and what to do."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from haul.cli import accounts, planning
from haul.cli.accounts import Account
from haul.cli.deployment import Deployment
from haul.cli.failures import EXPECTED, CommandError, Exit, explain
from haul.cli.output import Output
from haul.errors import CredentialsRefusedError
from haul.models import vendors
from haul.ports import ConflictError, Connector, CountsCalls, UnclearError

_PROBE = "ledger/_doctor/"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `todo` says what to do if it is not well."""

    what: str
    well: bool
    text: str
    todo: str | None = None


def doctor(connection: str | None, vendor: str | None, deployment: Deployment, out: Output) -> Exit:
    """Look at one connection, or at all that a deployed pipeline uses; and at the landing bucket."""
    chosen = _accounts(connection, vendor, deployment)
    found = {deployment.environment: [_bucket(deployment)]}
    for account in chosen:
        found[_title(account)] = list(_examine(account, deployment))
    for title, findings in found.items():
        out.say(title, style="bold")
        for finding in findings:
            mark = ("✓", "green") if finding.well else ("✗", "red")
            out.say(Text.assemble("  ", mark, f" {finding.what:<20}{finding.text}"))
            if finding.todo:
                out.say(f"    do: {finding.todo}")
    every = [finding for findings in found.values() for finding in findings]
    document = {title: [asdict(finding) for finding in findings] for title, findings in found.items()}
    well = all(finding.well for finding in every)
    out.document({"well": well, "findings": document})
    if not chosen:
        out.say("No pipeline is deployed, so no connection was looked at; name one, with --vendor.")
    return Exit.GOOD if well else Exit.FAILED


def _title(account: Account) -> str:
    return f"{account.connection} ({account.vendor}{f', tenant {account.tenant}' if account.tenant else ''})"


def _accounts(connection: str | None, vendor: str | None, deployment: Deployment) -> list[Account]:
    """A connection of a pipeline that acts for another tenant is looked at for that tenant too."""
    found = accounts.used(deployment)
    if connection is None:
        return found
    chosen = [account for account in found if account.connection == connection]
    if not chosen and vendor:
        chosen = [Account(connection, vendor, {})]
    if not chosen:
        known_names = ", ".join(sorted({account.connection for account in found})) or "none"
        raise CommandError(
            f"no deployed pipeline uses a connection {connection}; used: {known_names}",
            exit_code=Exit.USAGE,
            hint=f"Name its vendor to look at it all the same: --vendor {vendors.names()[0]}",
        )
    return chosen


def _examine(account: Account, deployment: Deployment) -> Iterator[Finding]:
    name = deployment.settings.secret_prefix + account.connection
    set_it = f"haul secret set {account.connection} --env {deployment.environment}"
    try:
        connector = deployment.connect(account.vendor, account.connection, account.options)
    except EXPECTED as error:
        yield _unwell("secret", error, set_it)
        return
    yield Finding("secret", well=True, text=f"{name} is complete")
    yield from _reads(connector, set_it)
    if isinstance(connector, CountsCalls) and (left := connector.calls_left):
        text = ", ".join(f"{number:,} left this {window.lower()}" for window, number in left.items())
        yield Finding("calls", well=all(left.values()), text=text, todo=None if all(left.values()) else "wait for it")
    if spent := planning.submissions(account.vendor, connector, deployment, deployment.clock()):
        left_today = spent.used < spent.limit
        yield Finding("quota", well=left_today, text=str(spent), todo=None if left_today else "wait for tomorrow (UTC)")


def _reads(connector: Connector, set_it: str) -> Iterator[Finding]:
    """Make every read that needs nothing: the first one logs in, each needs its right."""
    for name, operation in connector.operations().items():
        if operation.kind.parameters.model_fields or operation.kind.changes:
            continue
        try:
            answer = operation.run({}).document
        except EXPECTED as error:
            refused = isinstance(error, CredentialsRefusedError)
            yield _unwell(name, error, set_it if refused else "docs/runbook.md has a paragraph on it")
            if refused:
                return
        else:
            yield Finding(name, well=True, text=f"{_how_many(answer)} ({operation.kind.summary})")


def _how_many(answer: Any) -> str:
    lists = [value for value in answer.values() if isinstance(value, Sequence)] if isinstance(answer, Mapping) else []
    return f"{len(lists[0])} there" if len(lists) == 1 else "answered"


def _bucket(deployment: Deployment) -> Finding:
    """Write a document to the landing bucket, and take it away again."""
    key = f"{_PROBE}{uuid.uuid4().hex}"
    try:
        deployment.store.create(key, "{}")
        deployment.store.delete(key)
    except (ConflictError, UnclearError) as error:
        return Finding("landing bucket", well=False, text=f"S3 does not answer: {error}", todo="try again")
    except EXPECTED as error:
        return _unwell("landing bucket", error, "give yourself and Haul's functions the rights, or the key")
    return Finding("landing bucket", well=True, text=f"{deployment.bucket} is writable")


def _unwell(what: str, error: Exception, todo: str) -> Finding:
    explained = explain(error)
    return Finding(what, well=False, text=f"{explained.name}: {explained.message}", todo=explained.hint or todo)
