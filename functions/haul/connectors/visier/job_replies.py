"""What Visier answers about jobs: an empty string stands for null, and an id has three names."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints, model_validator

from haul.connectors.visier.replies import VisierReply


def _time(value: Any) -> datetime | None:
    """Read a time whose format Visier does not publish: ISO 8601 or epoch milliseconds; None where it is neither."""
    text = str(value)
    try:
        at = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


type Id = Annotated[str, StringConstraints(min_length=1)]
type Time = Annotated[datetime | None, BeforeValidator(_time)]


class JobReply(VisierReply):
    """A JSON object in which an empty string is as good as nothing."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: item for name, item in value.items() if item not in (None, "")}
        return value


class Started(JobReply):
    """`startExtractAndLoad` is documented with `JobId` and answers `jobId`; a transfer's job has a name of its own."""

    job_id: str | None = Field(None, validation_alias=AliasChoices("jobId", "JobId", "dataReceivingJobId"))


class Dispatching(JobReply):
    """A dispatching job: succeeded means that its children were made, and nothing about them."""

    job_id: str = ""
    tenant_code: str | None = None
    status: str
    total_jobs_dispatched: int | None = None


class Child(JobReply):
    """An extraction, receiving or processing job of one tenant."""

    id: Id = Field(validation_alias=AliasChoices("jobId", "extractionJobId", "receivingJobId"))
    tenant: str | None = Field(None, validation_alias=AliasChoices("tenantCode", "tenant"))
    status: str = ""
    current_stage: str | None = None
    data_version: str | None = None
    message: str | None = None


class Children(JobReply):
    """One page of a job's children; `limit` is the page's size where the reply says it."""

    limit: int | None = None
    jobs: list[Child] = Field([], validation_alias=AliasChoices("extractionJobs", "receivingJobs", "processingJobs"))


class Receiving(Children):
    """A receiving job, and one page of those that it made for single tenants."""

    job_id: str = ""
    status: str


class ListedJob(JobReply):
    """A job as the list of all jobs has it."""

    job_id: Id
    tenant: str | None = Field(None, validation_alias=AliasChoices("tenant", "tenantCode"))
    status: str = ""
    job_type: str = ""
    start_time: Time = None
    parent_job_id: str | None = None


class JobList(JobReply):
    job_status: list[ListedJob] = Field([])


class CancelResult(JobReply):
    """What became of one id: `cancel_status` is absent where the job had ended, or is not known."""

    job_id: str = ""
    tenant_code: str | None = None
    job_type: str = ""
    cancel_status: str | None = None
    job_status: str | None = None
    message: str = ""


class CancelResults(JobReply):
    job_cancellation_results: list[CancelResult] = Field([])


class TransferSession(JobReply):
    transfer_session_id: Id


class Pushed(JobReply):
    """What became of one file of a transfer."""

    status: str = ""
    message: str = ""
