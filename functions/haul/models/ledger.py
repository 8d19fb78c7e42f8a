"""The ledger's documents; `haul.ledger` says what each decides."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, RootModel

from haul.models.base import Document, Duration, Instant
from haul.models.event import Outcome
from haul.models.export import Export
from haul.models.landed import LandedFile, Progress
from haul.models.load import Load
from haul.models.work import ErrorRecord

type AnyWork = Annotated[Export | Load, Field(discriminator="kind")]


class GivenWork(RootModel[AnyWork]):
    """The work of a run, of either kind, as the input of a step that serves both."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class LedgerDocument(Document):
    """Every document names its writer and counts its revisions, so equal bodies mean the same write."""

    writer: str = ""
    revision: int = 0


class Claim(LedgerDocument):
    """This trigger is this run."""

    run_id: str
    pipeline: str
    trigger_key: str
    execution: str
    claimed_at: Instant
    event: dict[str, Any] = {}


class RunState(StrEnum):
    """RUNNING → PUBLISHING → PUBLISHED, RUNNING → ENDED (nothing to publish), or RUNNING ⇄ ABANDONED."""

    RUNNING = "RUNNING"
    PUBLISHING = "PUBLISHING"
    PUBLISHED = "PUBLISHED"
    ENDED = "ENDED"
    ABANDONED = "ABANDONED"


class RunRecord(LedgerDocument):
    """Where a run stands. `execution` is the current attempt's; only it may act for the run."""

    run_id: str
    pipeline: str
    state: RunState = RunState.RUNNING
    attempt: int = 1
    execution: str
    executions: list[str] = []
    claimed_at: Instant
    started_at: Instant
    ended_at: Instant | None = None
    event: dict[str, Any] = {}
    work: AnyWork | None = None
    next_poll_at: Instant | None = None
    outcome: Outcome | None = None
    error: ErrorRecord | None = None
    late_told_at: Instant | None = None
    told: bool = False


class FileState(StrEnum):
    """What a file came to."""

    LANDING = "LANDING"
    LANDED = "LANDED"
    FAILED = "FAILED"


class FileRecord(LedgerDocument):
    """One file of a run, over all attempts. `upload_id` is of the multipart upload in progress.

    `result_id` is the vendor's result it came from: a later attempt keeps the file only if it has the same one.
    `token` names the invocation that works on the file: only with it may `progress` and `upload_id` be changed.
    `paused` says that an invocation's time ended inside the file, `restarts` how often its bytes were lost by that.
    """

    n: int
    key: str
    result_id: str | None = None
    state: FileState
    tries: int = 0
    token: str | None = None
    upload_id: str | None = None
    progress: Progress | None = None
    paused: bool = False
    restarts: int = 0
    landed: LandedFile | None = None
    error: ErrorRecord | None = None
    seconds: float = 0.0


class JobPhase(StrEnum):
    """INTENT: somebody may have submitted. SUBMITTED: the job's id is known. ENDED: no usable result."""

    INTENT = "INTENT"
    SUBMITTED = "SUBMITTED"
    ENDED = "ENDED"


class JobRecord(LedgerDocument):
    """The one job for a fingerprint: who may submit, who owns it, who else waits for it.

    What Check learned of a finished job (`counts`, `partial`) is kept for those who only take it up.
    `submissions` counts all that were made for the fingerprint, `by_owner` those of the owner's run.
    `cancelled_id` is the job whose end an owner asked for last: this one, whose end may not have come yet, or one
    before it, which others may still wait for. `shared_by_owner` says that the owner waited for the job while another
    run owned it, so that it is not too old for it.
    `owner` is `<pipeline>/<run_id>`, as is each of `shared_with`; `attempt` is the owner's that submitted or adopted.
    """

    vendor: str
    account: str
    fingerprint: str
    phase: JobPhase
    owner: str
    attempt: int = 1
    shared_with: list[str] = []
    intent_at: Instant
    submissions: int = 0
    by_owner: int = 0
    job_id: str | None = None
    result_id: str | None = None
    submitted_at: Instant | None = None
    result_expires_at: Instant | None = None
    adopted: bool = False
    cancelled_id: str | None = None
    shared_by_owner: bool = False
    counts: dict[str, int] = {}
    partial: str | None = None
    why_ended: str | None = None


class Reservation(Document):
    """The next sequence, kept for the run that is being published."""

    run_id: str
    sequence: int


class Published(Document):
    """The last published run of a pipeline."""

    run_id: str
    sequence: int
    manifest: str
    published_at: Instant
    started_at: Instant


class Latest(LedgerDocument):
    """Pointer and watermark of a pipeline in one; moves forward only."""

    last: Published | None = None
    reserved: Reservation | None = None
    version: str | None = None
    version_created_at: Instant | None = None
    waited_seconds: list[float] = []
    schemas: dict[str, str] = {}


class PipelineRecord(LedgerDocument):
    """A pipeline as deployed: its event without trigger, and what belongs to no single run."""

    pipeline: str
    event: dict[str, Any]
    owner: str | None = None
    description: str | None = None
    runbook: str | None = None
    enabled: bool = True
    fresh_within: Duration | None = None
    manifest_outcomes: list[Outcome] | None = None
    deployed_at: Instant
    stale_told_at: Instant | None = None


class Quota(LedgerDocument):
    """A day's submissions to one account, by fingerprint and number, so that a repeated count is one."""

    day: str
    submissions: list[str] = []


class Draft(LedgerDocument):
    """A manifest but for its place in the sequence: whoever finds the run PUBLISHING can finish it.

    `follows` is the version that must be the published one for this delta to fit, None where that does not matter.
    """

    manifest: dict[str, Any]
    follows: str | None = None
    version: str | None = None
    version_created_at: Instant | None = None
    waited_seconds: float | None = None
    schemas: dict[str, str] = {}
