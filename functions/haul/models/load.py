"""What belongs to loads alone: what became of each part of one, and the options that all who send data share."""

from typing import Annotated, Literal

from pydantic import Field

from haul.models.base import Document, Written
from haul.models.event import Outcome


class LoadItem(Document):
    """What became of one tenant, or of the whole load where there are none.

    `outcome` is SUCCEEDED, FAILED or CANCELLED; `message` is the vendor's own, empty where it has none.
    """

    tenant: str | None = None
    outcome: Outcome
    data_version: str | None = None
    message: str = ""


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
