"""A pipeline file: `infra/pipelines/<pipeline>.yaml`, read at synth and by the command line only."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from haul.errors import InvalidEventError
from haul.models import vendors
from haul.models.base import Duration, Written, merged, parse
from haul.models.event import ConnectionName, Event, Landing, Limits, Notify, Outcome, PipelineName

ADDRESSABLE = ("enabled", "connection", "landing", "limits", "notify", "when", "fresh_within", "options")


class Schedule(Written):
    """When EventBridge Scheduler starts the pipeline; `cron` has AWS's six fields."""

    cron: Annotated[str, StringConstraints(pattern=r"^\S+( \S+){5}$")] | None = None
    rate: Annotated[str, StringConstraints(pattern=r"^\d+ (minute|hour|day)s?$")] | None = None
    time_zone: str = "UTC"
    flexible: Duration | None = None

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
    outcomes: list[Outcome] = [Outcome.SUCCEEDED]


class When(Written):
    """What starts the pipeline, besides a person."""

    schedule: Schedule | None = None
    s3: S3Arrival | None = None
    manifest: ManifestArrival | None = None


class Pipeline(Written):
    """A named, configured export or load, with what triggers it."""

    pipeline: PipelineName
    description: str | None = None
    owner: str | None = None
    runbook: str | None = None
    vendor: str
    action: str
    connection: ConnectionName
    request: dict[str, Any]
    options: dict[str, Any] = {}
    landing: Landing = Landing()
    limits: Limits = Limits()
    notify: Notify = Notify()
    when: When = When()
    fresh_within: Duration | None = None
    enabled: bool = True
    environments: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]

    def event(self) -> dict[str, Any]:
        """Make the event that a trigger of this pipeline sends, but for `id` and `trigger`."""
        shared = {
            "pipeline",
            "vendor",
            "action",
            "connection",
            "request",
            "options",
            "landing",
            "limits",
            "notify",
        }
        return {"version": 1, **self.model_dump(mode="json", include=shared, exclude_unset=True)}


def read(document: Any, environment: str) -> Pipeline:
    """Validate a pipeline file whole and settle it for one environment.

    Raises:
        InvalidEventError: naming the field, the value and what is allowed.
    """
    pipeline = parse(Pipeline, document)
    for name, differences in pipeline.environments.items():
        wrong = sorted(set(differences) - set(ADDRESSABLE))
        if wrong:
            where = f"environments.{name}.{wrong[0]}"
            raise InvalidEventError(f"{where}: cannot differ between environments; can: {', '.join(ADDRESSABLE)}")
        parse(Pipeline, merged(document, differences), at=f"environments.{name}")
    settled = parse(Pipeline, merged(document, pipeline.environments.get(environment, {})))
    vendors.checked(parse(Event, settled.event()))
    return settled
