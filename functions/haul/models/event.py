"""The event: what an execution's input looks like, whoever starts it.

Shapes and meaning of every field stand in `docs/events.md`; the published schema is made from here.
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from haul.models.base import Duration, Instant, Written

type PipelineName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,47}$")]
type ConnectionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]
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

    verify: Literal["full", "length"] = "full"
    sha256: bool = False
    classification: str | None = None
    retention_days: Annotated[int, Field(ge=1, le=36500)] | None = None


class Limits(Written):
    """How long a run may take."""

    deadline: Duration = timedelta(hours=6)
    late_after: Duration | None = None
    poll_floor_seconds: Annotated[int, Field(ge=1, le=3600)] = 5

    @field_validator("deadline")
    @classmethod
    def _at_most_a_week(cls, deadline: timedelta) -> timedelta:
        if not timedelta(0) < deadline <= timedelta(days=7):
            raise ValueError("a deadline is more than nothing and at most P7D")
        return deadline


class Notify(Written):
    """What people are told about."""

    about: frozenset[About] = frozenset(About) - {About.NOTHING_NEW, About.JOINED}


class Trigger(Written):
    """What started the run; filled in by schedule, rule and command line."""

    type: Literal["manual", "schedule", "s3", "manifest"] = "manual"
    by: str | None = None
    reason: str | None = None
    scheduled_at: Instant | None = None
    event_time: Instant | None = None


class S3Object(Written):
    """One version of one object."""

    bucket: str
    key: str
    version_id: str | None = None
    size: int | None = None
    etag: str | None = None
    sequencer: str | None = None


class Source(Written):
    """What a load takes, or what started a run: an object, or a manifest and a dataset in it."""

    object: S3Object | None = None
    manifest: S3Object | None = None
    dataset: str | None = None

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
    resubmit: bool = False


class Start(Written):
    """The part of an event that says which run it is; enough to claim one.

    A rule sends no more than this; the rest is completed from the deployed pipeline.
    """

    version: Literal[1]
    pipeline: PipelineName
    id: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    source: Source | None = None
    trigger: Trigger = Trigger()
    rerun: Rerun | None = None


class Event(Start):
    """The whole event, after completion. `request` and `options` have a schema per vendor and action."""

    vendor: str
    action: str
    connection: ConnectionName
    request: dict[str, Any]
    options: dict[str, Any] = {}
    landing: Landing = Landing()
    limits: Limits = Limits()
    notify: Notify = Notify()


_UNREPLACED = re.compile(r"<aws\.[^>]*>?")


def unreplaced(value: Any) -> str | None:
    """Find a scheduler attribute that nobody filled in, such as `<aws.scheduler.scheduled-time>`."""
    if isinstance(value, str):
        match = _UNREPLACED.search(value)
        return match.group() if match else None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for item in inner if (found := unreplaced(item))), None)
