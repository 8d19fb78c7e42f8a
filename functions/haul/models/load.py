"""A load: its state, what became of each part of it, and the options that all who send data share."""

from typing import Annotated, Literal

from pydantic import Field

from haul.models.base import Document, Instant, Written
from haul.models.event import Outcome, S3Object
from haul.models.work import Work


class LoadItem(Document):
    """What became of one tenant, or of the whole load where there are none.

    `outcome` is SUCCEEDED, FAILED or CANCELLED; `message` is the vendor's own, empty where it has none.
    """

    tenant: str | None = None
    outcome: Outcome
    data_version: str | None = None
    message: str = ""


class Items(Document):
    """What became of each part of a load; too long for a state where there are many tenants."""

    items: list[LoadItem]


class Load(Work):
    """One attempt of a run that sends data, or has the vendor work on what it has.

    `objects` are the object versions that are sent. `awaited_since` is when the first look found everything ended but
    for what should still appear. `items_key` is where the ledger keeps what became of each part.
    """

    kind: Literal["load"] = "load"
    objects: list[S3Object] = []
    awaited_since: Instant | None = None
    items_key: str | None = None
    records: int | None = None


class SourceOptions(Written):
    """What Haul does about an object before it sends it."""

    decode: Annotated[
        Literal["auto", "none"], Field(description="auto: what is gzip is unpacked on the way; none: sent as it is")
    ] = "auto"
    reshape: Annotated[
        Literal["none", "ndjson-to-json"],
        Field(description="ndjson-to-json: an object on each line becomes one JSON array"),
    ] = "none"
    empty: Annotated[
        Literal["skip", "fail"], Field(description="when there is nothing to send: end NOTHING_NEW, or fail")
    ] = "skip"
    after: Annotated[
        Literal["keep"], Field(description="what becomes of the object afterwards: it stays where it is")
    ] = "keep"
