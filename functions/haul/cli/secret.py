"""`haul secret set`: a connection's secret, field by field. Values come in and are never shown."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from haul import wiring
from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError, Exit
from haul.cli.output import Output
from haul.errors import InvalidSecretError
from haul.models import vendors
from haul.models.event import ConnectionName
from haul.models.vendors import SecretField


def set_secret(connection: str, vendor: str | None, deployment: Deployment, out: Output) -> Exit:
    """Create or update `haul/<environment>/<connection>`: from answers, or from a JSON object on standard input."""
    _check_name(connection)
    chosen = vendor or _vendor_of(connection, deployment)
    fields = vendors.secret_fields(chosen)
    name = deployment.settings.secret_prefix + connection
    known = deployment.vault.read(name)
    if _at_a_terminal():
        value = _asked(name, chosen, fields, known or {}, out)
    else:
        value = {**(known or {}), **_piped(sys.stdin.read())}
    wiring.check_secret(chosen, value)
    created = deployment.vault.write(name, value, about="A connection of Haul's")
    out.document({"secret": name, "vendor": chosen, "created": created, "fields": sorted(value)})
    out.say(f"{'created' if created else 'updated'} {name}: {', '.join(sorted(value))}")
    out.say(f"  haul doctor {connection} --env {deployment.environment}      says whether it works")
    return Exit.GOOD


def _check_name(connection: str) -> None:
    try:
        TypeAdapter(ConnectionName).validate_python(connection)
    except ValidationError:
        message = f'"{connection}" cannot be a connection: letters, digits and _ . @ - only, such as visier-acme'
        raise CommandError(message, exit_code=Exit.USAGE) from None


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _vendor_of(connection: str, deployment: Deployment) -> str:
    used = {
        str(record.event["vendor"])
        for record in deployment.pipelines().values()
        if record.event.get("connection") == connection
    }
    if len(used) == 1:
        return used.pop()
    known = f"pipelines of {' and '.join(sorted(used))} use it" if used else "no deployed pipeline uses it"
    hint = f"--vendor {' or --vendor '.join(vendors.names())}"
    raise CommandError(f"which vendor is {connection} a connection to? {known}", exit_code=Exit.USAGE, hint=hint)


def _asked(
    name: str, vendor: str, fields: Sequence[SecretField], known: Mapping[str, Any], out: Output
) -> dict[str, Any]:
    out.progress(f"{name}, a connection to {vendor}. Enter alone keeps what is there, or leaves the field out.")
    value = dict(known)
    for field in fields:
        kept = " [kept]" if field.name in known else "" if field.needed else " [none]"
        answer = typer.prompt(
            f"{field.name} ({field.about}){kept}", default="", show_default=False, hide_input=field.hidden, err=True
        )
        if answer:
            value[field.name] = answer
    return value


def _piped(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None  # what it says instead may be a secret
    if not isinstance(value, dict):
        raise InvalidSecretError("standard input is not a JSON object")
    return value
