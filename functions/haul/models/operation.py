"""The operation flow's documents: the input that starts it, and what its execution ends with."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from haul.models.base import Document, Instant, Written
from haul.models.event import Connection, Outcome, Trigger, VendorName


class OperationStart(Written):
    """A vendor's call that answers at once, with a schema for the parameters of each."""

    model_config = ConfigDict(title="Haul operation")

    version: Annotated[Literal[1], Field(description="of this document's shape")]
    vendor: VendorName
    operation: Annotated[str, Field(description="which call; haul call VENDOR lists them")]
    connection: Connection
    parameters: Annotated[dict[str, Any], Field(description="what the call takes")] = {}
    trigger: Annotated[Trigger, Field(description="what started it, and who asked")] = Trigger.model_construct()


class OperationEnd(Document):
    """What an operation came to. A FAILED one has no such document: its execution fails under the error's name."""

    model_config = ConfigDict(title="Haul operation result")

    version: Literal[1] = 1
    vendor: str
    operation: str
    connection: str
    outcome: Annotated[
        Literal[Outcome.SUCCEEDED, Outcome.PARTIAL],
        Field(description="PARTIAL: the vendor did a part of what was asked"),
    ]
    failures: Annotated[list[str], Field(description="what was not done, a line each, the first twenty")] = []
    failed: Annotated[int, Field(description="how many lines there are in all")] = 0
    result: Annotated[
        Any, Field(description="what the vendor answered; null where it is too long for an execution")
    ] = None
    result_uri: Annotated[str | None, Field(description="the S3 object that holds a result that is too long")] = None
    ended_at: Instant
