"""An export: its state, its plan, and the vendor's files in our words."""

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from haul.models.base import Document
from haul.models.event import Landing
from haul.models.work import Job, Work


class PlanRef(Document):
    """Where the plan is: too long for a state, so it lies in the ledger.

    `key` holds the list of items that the map reads, `contents_key` what the result consists of. `ranges` is how many
    connections a child may open for one file.
    """

    bucket: str
    key: str
    contents_key: str
    files: int
    items: int
    concurrency: int
    ranges: int = 1


class Export(Work):
    """One attempt of a run that brings files.

    `link` says that a person handed over the links of the finished job; they are a secret, and never in here.
    """

    kind: Literal["export"] = "export"
    mode: Literal["full", "delta"] = "full"
    link: bool = False
    plan: PlanRef | None = None

    @property
    def files_planned(self) -> int | None:
        return self.plan.files if self.plan else None

    def follows(self) -> str | None:
        """The version that must be the published one for this delta to fit; None where a person named the base."""
        asked = self.mode == "delta" and "@last-published" in self.request_as_given.values()
        return self.watermark.from_ if asked else None


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
    format: Format = Format.model_construct()
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
    """Input of one child of the map: whose run, where to ask, and what to land.

    `turn` counts the invocations that went before it, each of which ended before its files did, `unfinished` says that
    another one has to follow.
    """

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
    turn: int = 0
    unfinished: bool = False
