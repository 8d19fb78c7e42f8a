"""`haul rerun --link`: the links of a mail become a secret. They come in and are never shown."""

import sys

import typer

from haul.adapters.secrets import LINKS
from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.errors import ResultByMailError
from haul.models import vendors
from haul.models.export import Export
from haul.models.ledger import RunRecord
from haul.ports import TakesLinks

_SECRET_BYTES = 60_000
"""Secrets Manager keeps 64 KiB."""


def hand_over(record: RunRecord, deployment: Deployment, out: Output) -> str:
    """Read the links of a run's result from standard input, and keep them as its secret; the secret's name.

    Raises:
        CommandError: the run is not waiting for a link.
        InvalidEventError: what came is not the links of a file.
    """
    export = record.work
    by_mail = record.error is not None and record.error.name == ResultByMailError.__name__
    # An attempt that had links may have failed for them: one forgotten, one damaged, one expired.
    if not isinstance(export, Export) or not (by_mail or export.link):
        ended = record.error.name if record.error else record.outcome
        raise CommandError(
            f"run {record.run_id} ended {ended}: no link is wanted for it, only for a ResultByMailError",
            exit_code=Exit.USAGE,
            hint=f"haul rerun {record.run_id} --env {deployment.environment}",
        )
    connector = deployment.connect(export.vendor, export.connection, export.options)
    if not isinstance(connector, TakesLinks):
        raise CommandError(f"{vendors.title(export.vendor)} sends no links by mail", exit_code=Exit.USAGE)
    links = list(dict.fromkeys(line.strip() for line in _lines(out) if line.strip()))
    connector.with_links(links)
    if (size := sum(len(link) + 4 for link in links)) > _SECRET_BYTES:
        raise CommandError(f"the links have {size:,} characters; a secret can hold {_SECRET_BYTES:,}")
    name = deployment.settings.link_secret(record.run_id)
    deployment.vault.write(name, {LINKS: links}, about="Links that a person handed to a run of Haul's")
    return name


def _lines(out: Output) -> list[str]:
    """One link per line; at a terminal they are asked for one by one, without echo."""
    if not _at_a_terminal():
        return sys.stdin.read().splitlines()
    out.progress("The link in the vendor's mail, or each of them. It is not shown; Enter alone ends.")
    given: list[str] = []
    while answer := typer.prompt("link", default="", show_default=False, hide_input=True, err=True).strip():
        given.append(answer)
    return given


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()
