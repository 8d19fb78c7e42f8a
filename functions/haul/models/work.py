"""The state that a flow hands from step to step, whether it exports or loads."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from haul.models.base import Document, Instant
from haul.models.event import Landing, Limits, Notify, Outcome, Source, Trigger


class JobStatus(StrEnum):
    """Where the vendor's job stands. RUNNING also covers a job that we cannot see yet."""

    RUNNING = "RUNNING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class Job(Document):
    """The vendor's work on a run, as far as we know it.

    `id` is None where only the finished result was found; `result_id` until there is a result. `in_doubt` is a job
    that may or may not exist: its submission's reply was lost. `kind` and `family` are of loads: which of the vendor's
    kinds of job it is, and how many it started of each.
    """

    id: str | None = None
    kind: str | None = None
    family: dict[str, int] = {}
    result_id: str | None = None
    adopted: bool = False
    in_doubt: bool = False
    submitted_at: Instant | None = None
    finished_seen_at: Instant | None = None
    result_expires_at: Instant | None = None
    vendor_counts: dict[str, int] = {}
    submissions: int = 0

    @model_serializer(mode="wrap")
    def _of_loads_alone(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name not in {"kind", "family"} or value}


class Watermark(Document):
    """From where to where a run brings its readers."""

    from_: str | None = Field(default=None, alias="from", serialization_alias="from")
    to: str | None = None
    to_created_at: Instant | None = None

    model_config = {"populate_by_name": True}


class Seller(Document):
    """Whose API it is that the run uses: whose quota and jobs `account` names, and what its capabilities say."""

    account: str
    tenant: str | None = None
    api: str
    submissions_per_day: int | None = None


class ErrorRecord(Document):
    """An error as a record keeps it."""

    name: str
    message: str


class Work(Document):
    """One attempt of a run, complete: every step takes it and returns the next one."""

    version: Literal[1] = 1
    kind: str
    run_id: str
    pipeline: str
    environment: str
    attempt: int = 1
    execution: str
    claimed_at: Instant
    started_at: Instant
    deadline: Instant

    vendor: str
    action: str
    connection: str
    request: dict[str, Any]
    request_as_given: dict[str, Any]
    options: dict[str, Any]
    landing: Landing = Landing.model_construct()
    limits: Limits = Limits.model_construct()
    notify: Notify = Notify.model_construct()
    trigger: Trigger = Trigger.model_construct()
    source: Source | None = None
    resubmit: bool = False

    watermark: Watermark = Watermark.model_construct()
    warnings: list[str] = []

    status: JobStatus = JobStatus.RUNNING
    outcome: Outcome | None = None
    joined: str | None = None
    seller: Seller | None = None
    fingerprint: str | None = None
    job: Job = Job.model_construct()
    wait_seconds: int = 0
    polls: int = 0
    failed_polls: int = 0
    progress: str | None = None
    manifest: str | None = None
    message: str | None = None
    partial: str | None = None
    evidence: list[str] = []
    retries: int = 0

    @property
    def files_planned(self) -> int | None:
        """How many files the run brings; None where it brings none, or that is not known yet."""
        return None

    def elapsed(self, now: datetime) -> float:
        """Seconds since the job was submitted, or since this attempt began where that is not known."""
        return max(0.0, (now - (self.job.submitted_at or self.started_at)).total_seconds())
