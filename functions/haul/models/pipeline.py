"""A pipeline file: `infra/pipelines/<pipeline>.yaml`, read at synth and by the command line only."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from haul.errors import InvalidEventError
from haul.models import vendors
from haul.models.base import Duration, Written, merged, nearest, parse
from haul.models.event import (
    ActionName,
    Connection,
    Event,
    Landing,
    Limits,
    Notify,
    Options,
    Outcome,
    PipelineName,
    Request,
    VendorName,
)

ADDRESSABLE = ("enabled", "connection", "landing", "limits", "notify", "when", "fresh_within", "options")
"""What may differ between environments."""


class Schedule(Written):
    """When EventBridge Scheduler starts the pipeline."""

    cron: Annotated[
        Annotated[str, StringConstraints(pattern=r"^\S+( \S+){5}$")] | None,
        Field(
            description="AWS's six fields: minute, hour, day of month, month, day of week, year",
            examples=["0 5-11 * * ? *"],
        ),
    ] = None
    rate: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[1-9]\d* (minute|hour|day)s?$")] | None,
        Field(description="every so often", examples=["6 hours"]),
    ] = None
    time_zone: Annotated[str, Field(description="IANA name", examples=["Europe/Paris"])] = "UTC"
    flexible: Annotated[
        Duration | None, Field(description="start within this window instead of on the minute; PT1M to PT24H")
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.cron is None) == (self.rate is None):
            raise ValueError("a schedule is either a cron or a rate")
        return self


class S3Arrival(Written):
    """An object created in the inbox bucket starts the pipeline."""

    prefix: str
    suffix: str | None = None


class ManifestArrival(Written):
    """A manifest of another pipeline starts this one."""

    pipeline: PipelineName
    outcomes: Annotated[
        list[Outcome], Field(description="of the upstream run; others end NOTHING_NEW", min_length=1)
    ] = [Outcome.SUCCEEDED]
    dataset: Annotated[
        str | None, Field(description="which dataset of the manifest a load sends; needed where it has several")
    ] = None


class When(Written):
    """What starts the pipeline, besides a person."""

    schedule: Schedule | None = None
    s3: S3Arrival | None = None
    manifest: ManifestArrival | None = None


class Pipeline(Written):
    """A named, configured export or load, with what triggers it."""

    pipeline: Annotated[PipelineName, Field(description="its name, and the file's")]
    description: Annotated[str | None, Field(description="what it delivers, in a sentence")] = None
    owner: Annotated[str | None, Field(description="whom a notice names")] = None
    runbook: Annotated[str | None, Field(description="link to the team's own page, for notices")] = None
    vendor: VendorName
    action: ActionName
    connection: Connection
    request: Request
    options: Options = {}
    landing: Landing = Landing.model_construct()
    limits: Limits = Limits.model_construct()
    notify: Notify = Notify.model_construct()
    when: When = When.model_construct()
    fresh_within: Annotated[
        Duration | None, Field(description="nothing published for so long is told as STALE, also if it never ran")
    ] = None
    enabled: Annotated[bool, Field(description="whether schedule and rules are on")] = True
    environments: Annotated[
        dict[str, dict[str, Any]],
        Field(description=f"what differs, by environment: {', '.join(ADDRESSABLE)}", default_factory=dict),
    ]

    def event(self) -> dict[str, Any]:
        """Make the event that a trigger of this pipeline sends, but for `id` and `trigger`."""
        shared = set(Event.model_fields) & set(Pipeline.model_fields)
        return {"version": 1, **self.model_dump(mode="json", include=shared, exclude_unset=True)}


def read(document: Any, environment: str) -> Pipeline:
    """Validate a pipeline file whole and settle it for one environment.

    Raises:
        InvalidEventError: naming the field, the value and what is allowed.
    """
    pipeline = parse(Pipeline, document)
    vendors.checked(parse(Event, pipeline.event()))
    settled = {}
    for name, differences in pipeline.environments.items():
        at = f"environments.{name}"
        for field in differences:
            if field not in ADDRESSABLE:
                raise InvalidEventError(f"{at}.{field}: {_why_not(field)}")
        settled[name] = parse(Pipeline, merged(document, differences), at=at)
        vendors.checked(parse(Event, settled[name].event(), at=at), at=at)
    return settled.get(environment, pipeline)


def _why_not(field: str) -> str:
    if field in Pipeline.model_fields:
        return f"cannot differ between environments; can: {', '.join(ADDRESSABLE)}"
    return f"unknown field{nearest(field, ADDRESSABLE)}"
