"""The state that an export flow hands from step to step, and the vendor's files in our words."""

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


class PlanRef(Document):
    """Where the plan is: too long for a state, so it lies in the ledger.

    `key` holds the list of items that the map reads, `contents_key` what the result consists of.
    """

    bucket: str
    key: str
    contents_key: str
    files: int
    items: int
    concurrency: int


class ExportError(Document):
    """An error as a record keeps it."""

    name: str
    message: str


class Export(Document):
    """One attempt of a run, complete: every step takes it and returns the next one.

    `link` says that a person handed over the links of the finished job; they are a secret, and never in here.
    """

    version: Literal[1] = 1
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
    landing: Landing = Landing()
    limits: Limits = Limits()
    notify: Notify = Notify()
    trigger: Trigger = Trigger()
    source: Source | None = None
    resubmit: bool = False
    link: bool = False

    mode: Literal["full", "delta"] = "full"
    watermark: Watermark = Watermark()
    warnings: list[str] = []

    status: JobStatus = JobStatus.RUNNING
    outcome: Outcome | None = None
    joined: str | None = None
    seller: Seller | None = None
    fingerprint: str | None = None
    job: Job = Job()
    wait_seconds: int = 0
    polls: int = 0
    failed_polls: int = 0
    progress: str | None = None
    plan: PlanRef | None = None
    manifest: str | None = None
    message: str | None = None
    partial: str | None = None
    evidence: list[str] = []
    retries: int = 0

    def follows(self) -> str | None:
        """The version that must be the published one for this delta to fit; None where a person named the base."""
        asked = self.mode == "delta" and "@last-published" in self.request_as_given.values()
        return self.watermark.from_ if asked else None

    def elapsed(self, now: datetime) -> float:
        """Seconds since the job was submitted, or since this attempt began where that is not known."""
        return max(0.0, (now - (self.job.submitted_at or self.started_at)).total_seconds())


_RARE = frozenset({"encoded_as", "generated"})


class Column(Document):
    """A column of a dataset: the vendor's type and the one a table would use."""

    name: str
    vendor_type: str
    type: Literal["string", "bigint", "double", "boolean", "timestamp"]
    nullable: bool = True
    encoded_as: str | None = None
    generated: bool = False

    @model_serializer(mode="wrap")
    def _said_only_where_it_matters(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name not in _RARE or value}


class Format(Document):
    """How the bytes of a dataset are to be read."""

    type: Literal["csv", "json", "ndjson", "parquet"] = "csv"
    compression: Literal["gzip", "none"] = "gzip"
    encoding: str = "utf-8"
    header: bool = True
    delimiter: str = ","
    quote: str = '"'
    null: str = ""
    newline_in_fields: bool = True


class Dataset(Document):
    """What one dataset of a result is: one schema, some files."""

    name: str
    table: str
    columns_of: Literal["all", "common", "new"] = "all"
    change: Literal["full", "table-added", "rows", "rows-and-columns", "columns-added"] = "full"
    format: Format = Format()
    primary_key: list[str] = []
    columns: list[Column] = []
    columns_deleted: list[str] = []


class RemoteFile(Document):
    """A file of a result, by the vendor's name and id: never a link.

    `bytes` is its size where the vendor tells it. Names are as the vendor spells them; `haul.keys` makes them safe.
    """

    dataset: str
    name: str
    part: int
    vendor_file_id: int | str
    vendor_name: str
    bytes: int | None = None


class Contents(Document):
    """Everything that a finished result consists of.

    `evidence` maps a document's name, such as `export-details`, to the vendor's own JSON. `expected_rows` is the
    vendor's counter, where the rows in the files must come to the same.
    """

    datasets: list[Dataset]
    files: list[RemoteFile]
    tables_added: list[str] = []
    tables_dropped: list[str] = []
    evidence: dict[str, Any] = {}
    warnings: list[str] = []
    expected_rows: int | None = None


class PlannedFile(Document):
    """A file to land: its number in the run and the key it lands under."""

    n: int
    key: str
    file: RemoteFile


class PlanItem(Document):
    """What one child of the map downloads."""

    item: int
    files: list[PlannedFile]


class Download(Document):
    """Input of one child of the map: whose run, where to ask, and what to land."""

    run_id: str
    pipeline: str
    execution: str
    vendor: str
    connection: str
    options: dict[str, Any]
    landing: Landing
    job: Job
    link: bool = False
    plan: PlanRef
    item: PlanItem
