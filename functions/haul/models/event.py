"""The event: what an execution's input looks like, whoever starts it.

Shapes and meaning of every field stand in `docs/events.md`; the published schema is made from here.
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from haul.models.base import Duration, Instant, Written

type PipelineName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,47}$")]
type ConnectionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]
type Filled = Annotated[
    Instant,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": r"^<aws\.[a-z.-]+>$", "description": "filled in by the scheduler"},
            ]
        }
    ),
]
type RunId = Annotated[str, StringConstraints(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")]


class About(StrEnum):
    """What a pipeline's people can be told: how runs end, and two states that are no end."""

    SUCCEEDED = "SUCCEEDED"
    NOTHING_NEW = "NOTHING_NEW"
    JOINED = "JOINED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    LATE = "LATE"
    STALE = "STALE"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    NOTHING_NEW = "NOTHING_NEW"
    JOINED = "JOINED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class Landing(Written):
    """How thoroughly files are checked, and what they are."""

    verify: Annotated[
        Literal["full", "length"],
        Field(description="full: length, every gzip member to its end, columns, rows; length: length alone"),
    ] = "full"
    sha256: Annotated[bool, Field(description="hash each file too, for those who compare with other systems")] = False
    classification: Annotated[
        str | None, Field(description="what the data is, such as pii; the manifest says so too")
    ] = None
    retention_days: Annotated[
        Annotated[int, Field(ge=1, le=36500)] | None,
        Field(description="delete landed files after so many days, noncurrent versions too; without it never"),
    ] = None


class Limits(Written):
    """How long a run may take."""

    deadline: Annotated[
        Duration, Field(description="from the attempt's start until it is given up; at most P7D", examples=["PT6H"])
    ] = timedelta(hours=6)
    late_after: Annotated[
        Duration | None, Field(description="tell LATE when a run is not done after so long; without it never")
    ] = None
    poll_floor_seconds: Annotated[
        int, Field(ge=1, le=3600, description="look at the vendor's job no more often than this")
    ] = 5

    @field_validator("deadline")
    @classmethod
    def _at_most_a_week(cls, deadline: timedelta) -> timedelta:
        if deadline > timedelta(days=7):
            raise ValueError("a deadline is at most P7D")
        return deadline


def _in_order(about: frozenset[About]) -> list[str]:
    """Without this a deployed document would differ with each synth's hash seed."""
    return [str(word) for word in About if word in about]


class Notify(Written):
    """What people are told about."""

    about: Annotated[
        frozenset[About],
        PlainSerializer(_in_order, when_used="json"),
        Field(description="the outcomes that are told, and LATE and STALE; without it all but NOTHING_NEW and JOINED"),
    ] = frozenset(About) - {About.NOTHING_NEW, About.JOINED}


class Trigger(Written):
    """What started the run; filled in by schedule, rule and command line."""

    type: Literal["manual", "schedule", "s3", "manifest"] = "manual"
    by: Annotated[str | None, Field(description="who asked")] = None
    reason: Annotated[str | None, Field(description="why, in a person's words")] = None
    scheduled_at: Annotated[Filled | None, Field(description="when the schedule meant to fire")] = None
    event_time: Annotated[Filled | None, Field(description="when the object or manifest was created")] = None


class S3Object(Written):
    """One version of one object."""

    bucket: str
    key: str
    version_id: str | None = None
    size: int | None = None
    etag: str | None = None
    sequencer: str | None = None

    @field_validator("version_id", "size", "etag", "sequencer", mode="before")
    @classmethod
    def _none_where_the_event_had_none(cls, value: Any) -> Any:
        """A rule's input transformer writes an empty text for what is missing, and LocalStack's for a 0 too."""
        return None if value == "" else value


class Source(Written):
    """What a load takes, or what started a run: an object, or a manifest and a dataset in it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["object"]}, {"required": ["manifest"]}]})

    object: S3Object | None = None
    manifest: S3Object | None = None
    dataset: Annotated[str | None, Field(description="which dataset of the manifest")] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.object is None) == (self.manifest is None):
            raise ValueError("a source is either an object or a manifest")
        if self.dataset is not None and self.manifest is None:
            raise ValueError("a dataset is named only together with a manifest")
        return self


class Rerun(Written):
    """The next attempt of a run that ended without publishing; written by `haul rerun`."""

    run_id: RunId
    resubmit: Annotated[
        bool, Field(description="submit anew although a job may exist: a person's decision, and a submission spent")
    ] = False
    link: Annotated[
        bool,
        Field(description="the result came by mail alone: use the links that a person handed over, which are a secret"),
    ] = False

    @model_validator(mode="after")
    def _a_link_is_of_a_job_that_there_is(self) -> Self:
        if self.link and self.resubmit:
            raise ValueError("resubmit makes a new job, and link is of the one that there is: one of the two")
        return self


type VendorName = Annotated[str, Field(description="the SaaS that is asked")]
type ActionName = Annotated[str, Field(description="what it is asked to do")]
type Connection = Annotated[
    ConnectionName,
    Field(description="the secret haul/<environment>/<connection>; no environment here, so one file works in each"),
]
type Request = Annotated[dict[str, Any], Field(description="what is asked, in the vendor's own field names")]
type Options = Annotated[dict[str, Any], Field(description="what Haul does about it")]


class Start(Written):
    """The part of an event that says which run it is; enough to claim one.

    A rule sends no more than this; the rest is completed from the deployed pipeline.
    """

    version: Annotated[Literal[1], Field(description="of this document's shape")]
    pipeline: Annotated[PipelineName, Field(description="names ledger, folders and notices; a one-off has a name too")]
    id: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=512)] | None,
        Field(description="the trigger's idempotency key: one id is one run; without it every start is a new run"),
    ] = None
    source: Annotated[Source | None, Field(description="the object or manifest that started the run")] = None
    trigger: Annotated[Trigger, Field(description="what started the run, and who asked")] = Trigger.model_construct()
    rerun: Annotated[Rerun | None, Field(description="written by haul rerun: the run whose next attempt this is")] = (
        None
    )


class Event(Start):
    """The whole event, after completion. `request` and `options` have a schema per vendor and action."""

    vendor: VendorName
    action: ActionName
    connection: Connection
    request: Request
    options: Options = {}
    landing: Landing = Landing.model_construct()
    limits: Limits = Limits.model_construct()
    notify: Notify = Notify.model_construct()


_UNREPLACED = re.compile(r"<aws\.[^>]*>?")


def unreplaced(value: Any) -> str | None:
    """Find an attribute that EventBridge would have filled in, such as `<aws.scheduler.scheduled-time>`."""
    if isinstance(value, str):
        match = _UNREPLACED.search(value)
        return match.group() if match else None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for item in inner if (found := unreplaced(item))), None)
