"""Pebble: tables, one at a time."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from haul.models.base import Written
from haul.models.symbols import Symbols
from haul.models.vendors import Action, OperationKind, SecretField


class ExportRequest(Written):
    """Body of `POST /exports`."""

    model_config = ConfigDict(title="Pebble export request")

    table: Annotated[str, Field(min_length=1, description="its name", examples=["orders"])]
    since: Annotated[
        Annotated[str, Symbols("@scheduled-at", "@last-success.started-at")] | None,
        Field(description="only rows that changed after this time"),
    ] = None


class ExportOptions(Written):
    """What Haul does about a Pebble export."""

    model_config = ConfigDict(title="Pebble export options")

    first_run: Annotated[
        Literal["full", "fail"], Field(description="a pipeline that has not published: all rows, or an error")
    ] = "full"


TITLE = "Pebble"

ACTIONS = {"export": Action("export", ExportRequest, ExportOptions)}


class OfExport(Written):
    """One export."""

    export: Annotated[str, Field(min_length=1, description="its id")]


OPERATIONS = {
    "exports": OperationKind("every export, newest first"),
    "stop-export": OperationKind("stop an export that has not ended", OfExport, changes=True),
}

SECRET = (
    SecretField("base_url", "your host, such as https://acme.pebble.example", needed=True),
    SecretField("key", "an API key with the right to export", needed=True, hidden=True),
)
