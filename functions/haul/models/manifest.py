"""The manifest: the document that publishes a run. Created once, never rewritten."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from haul.models.base import Document, Instant
from haul.models.event import Outcome, S3Object, Source, Trigger
from haul.models.export import Dataset
from haul.models.landed import LandedFile
from haul.models.load import LoadItem
from haul.models.work import Job, Watermark


class Previous(Document):
    """The run that this pipeline published before."""

    run_id: str
    manifest: str


class Vendor(Document):
    """Who was asked for what."""

    name: str
    action: str
    connection: str
    tenant: str | None = None
    api: str | None = None


class Totals(Document):
    """Sums over all files; sizes in bytes."""

    datasets: int
    files: int
    bytes: int
    bytes_uncompressed: int | None = None
    rows: int | None = None


class ManifestFile(LandedFile):
    """A landed file and what the vendor calls it. `header` is there only if its order is not that of `columns`."""

    part: int
    vendor_file_id: int | str
    vendor_name: str

    @model_serializer(mode="wrap")
    def _without_a_needless_header(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name != "header" or value is not None}


class ManifestDataset(Dataset):
    """A dataset with its files."""

    rows: int | None = None
    row_actions: dict[str, int] | None = None
    location: str
    schema_fingerprint: str
    schema_changed: bool
    columns_uri: str | None = None
    files: list[ManifestFile]


class Evidence(Document):
    """A document of the vendor, kept."""

    what: str
    uri: str


class RunFacts(Document):
    """How the run went; times in seconds."""

    started_at: Instant
    waited_s: int
    downloaded_s: int | None = None
    polls: int
    attempts: int
    executions: list[str]
    code_version: str
    trigger: Trigger


class Freshness(Document):
    """How old the vendor's data was when readers got it."""

    vendor_created_to_published_s: int | None = None


class CostEstimate(Document):
    """What the run cost at AWS list prices, estimated, and what it spent of the vendor's quota."""

    usd: float
    transitions: int
    gb_seconds: float
    s3_requests: int
    submissions_today: int | None = None
    submissions_limit: int | None = None


class Manifest(Document):
    """What the manifests of exports and loads both say."""

    version: Literal[1] = 1
    kind: str
    outcome: Outcome
    warnings: list[str] = []
    pipeline: str
    environment: str
    run_id: str
    sequence: int
    published_at: Instant
    previous: Previous | None = None
    vendor: Vendor
    request: dict[str, Any]
    request_as_given: dict[str, Any]
    watermark: Watermark
    job: Job
    evidence: list[Evidence] = []
    classification: str | None = None
    run: RunFacts
    cost_estimate: CostEstimate


class ExportManifest(Manifest):
    """One delivery of files, complete and verified."""

    kind: Literal["export"] = "export"
    mode: Literal["full", "delta"]
    totals: Totals
    datasets: list[ManifestDataset]
    tables_added: list[str] = []
    tables_dropped: list[str] = []
    expires_on: str | None = None
    freshness: Freshness


class LoadTotals(Document):
    """How many parts of a load went well; `records` is what the vendor took in, where it counts."""

    succeeded: int
    failed: int
    records: int | None = None


class LoadManifest(Manifest):
    """What the vendor took in, or made of what it had, part by part.

    `source` is what started the run, `objects` the object versions that were sent. Where `items` would be too long,
    they are in the document at `items_uri`.
    """

    kind: Literal["load"] = "load"
    source: Source | None = None
    objects: list[S3Object] = []
    items: list[LoadItem]
    items_uri: str | None = None
    totals: LoadTotals


type AnyManifest = Annotated[ExportManifest | LoadManifest, Field(discriminator="kind")]

_EITHER: TypeAdapter[ExportManifest | LoadManifest] = TypeAdapter(AnyManifest, config=ConfigDict(defer_build=True))


def read_manifest(document: Any) -> ExportManifest | LoadManifest:
    """Make a manifest of JSON text or of the document that it stands for."""
    return _EITHER.validate_json(document) if isinstance(document, str | bytes) else _EITHER.validate_python(document)
