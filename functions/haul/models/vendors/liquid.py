"""LiquidAnalytics: batch exports and imports of Liquid Decisions."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from haul.models.base import Written
from haul.models.load import SourceOptions
from haul.models.symbols import Symbols, is_symbol
from haul.models.vendors import Action, OperationKind, SecretField


def _plain(value: str) -> str:
    if is_symbol(value):
        raise ValueError("no symbol is understood here; a text that begins with @ is written with @@")
    return value


def _none_if_empty(value: Any) -> Any:
    """The vendor itself takes empty for missing."""
    return None if value in ("", {}) else value


type Text = Annotated[str, Field(min_length=1), AfterValidator(_plain)]
type FilterValue = Annotated[Any, Symbols("@scheduled-at", "@started-at", "@upstream.data_version", "@upstream.run_id")]


class JobRequest(Written):
    """What the form of every batch job has."""

    jobName: Annotated[  # noqa: N815 - the vendor's own spelling
        Annotated[str, Field(min_length=1), Symbols("@scheduled-at", "@started-at", "@upstream.run_id")],
        Field(description="the job's name, which mails and an export's files carry", examples=["attendees-nightly"]),
    ]
    itemType: Annotated[  # noqa: N815 - the vendor's own spelling
        Text, Field(description="an item type of the community's schema", examples=["Attendee"])
    ]
    notificationEmail: Annotated[  # noqa: N815 - the vendor's own spelling
        Text | None,
        BeforeValidator(_none_if_empty),
        Field(description="who gets the vendor's mail when the job ends, with the links of an export"),
    ] = None


class ExportRequest(JobRequest):
    """Form of `POST /ls/api/batch/export`; without `sqlQuery` and `filters` it is every item of the type."""

    model_config = ConfigDict(title="LiquidAnalytics export request")

    contentType: Annotated[  # noqa: N815 - the vendor's own spelling
        Literal["application/json", "text/plain"],
        Field(description="application/json: an array of items; text/plain: CSV"),
    ]
    rowHeader: Annotated[  # noqa: N815 - the vendor's own spelling
        bool, Field(description="CSV: the first row of each file holds the fields' names")
    ] = False
    template: Annotated[
        Text | None,
        BeforeValidator(_none_if_empty),
        Field(
            description="CSV: a Velocity template that makes a row of an item",
            examples=["$item.firstName,$item.lastName"],
        ),
    ] = None
    sqlQuery: Annotated[  # noqa: N815 - the vendor's own spelling
        Text | None,
        BeforeValidator(_none_if_empty),
        Field(description="chooses the items; not together with filters"),
    ] = None
    filters: Annotated[
        dict[str, FilterValue] | None,
        BeforeValidator(_none_if_empty),
        Field(
            description="chooses the items whose fields have these values; not together with sqlQuery",
            examples=[{"processStatus": "/Workflow/processStatus[Editing]"}],
        ),
    ] = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.sqlQuery and self.filters:
            raise ValueError("sqlQuery and filters exclude each other: the vendor would drop the filters silently")
        return self

    @model_validator(mode="after")
    def _csv_is_csv(self) -> Self:
        if self.contentType == "application/json" and (self.template or self.rowHeader):
            field = "template" if self.template else "rowHeader"
            raise ValueError(f"{field} is about CSV, which contentType text/plain makes")
        return self


class ExportOptions(Written):
    """What Haul does about a LiquidAnalytics export."""

    model_config = ConfigDict(title="LiquidAnalytics export options")

    filters_as: Annotated[
        Literal["json", "python"],
        Field(
            description="how filters are spelt for the vendor, whose grammar is not published: its examples are Python"
        ),
    ] = "json"
    empty: Annotated[
        Literal["allow", "warn", "fail"],
        Field(description="when no record was exported: publish, with a warning, or fail"),
    ] = "warn"


class ImportRequest(JobRequest):
    """Form of `POST /ls/api/batch/import`, which the object goes with."""

    model_config = ConfigDict(title="LiquidAnalytics import request")

    contentType: Annotated[  # noqa: N815 - the vendor's own spelling
        Literal["application/json", "plain/text"],
        Field(description="what the object holds; application/json: an array of items; plain/text: CSV"),
    ]
    headerRow: Annotated[  # noqa: N815 - the vendor's own spelling
        bool, Field(description="CSV: the first row holds the fields' names")
    ] = False
    merge: Annotated[
        bool,
        Field(
            description="true: into the items that there are; false: in their place, which is the vendor's default. "
            "To be said, as nobody should overwrite unawares"
        ),
    ]
    template: Annotated[
        Text | None,
        BeforeValidator(_none_if_empty),
        Field(description="CSV: a Velocity template that makes an item of a row"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _merge_is_said(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("merge") is None:
            raise ValueError(
                "merge must be said: true brings the items into those that there are, false puts them in their place, "
                "which is what the vendor does when nothing is said"
            )
        return value

    @model_validator(mode="after")
    def _csv_is_csv(self) -> Self:
        if self.contentType == "application/json" and (self.template or self.headerRow):
            field = "template" if self.template else "headerRow"
            raise ValueError(f"{field} is about CSV, which is contentType plain/text")
        return self


class ImportOptions(SourceOptions):
    """What Haul does about the object of a LiquidAnalytics import."""

    model_config = ConfigDict(title="LiquidAnalytics import options")


TITLE = "LiquidAnalytics"

ACTIONS = {
    "export": Action("export", ExportRequest, ExportOptions),
    "import": Action("load", ImportRequest, ImportOptions, takes_source=True),
}

SECRET = (
    SecretField("base_url", "your host, such as https://acme.example.com", needed=True),
    SecretField("client_id", "the OAuth client's, issued by LiquidAnalytics", needed=True),
    SecretField("client_secret", "the OAuth client's", needed=True, hidden=True),
    SecretField("username", "a user of the community", needed=True),
    SecretField("password", "the user's", needed=True, hidden=True),
    SecretField("community", "the community's name", needed=True),
)


class OfJob(Written):
    """A job of LiquidAnalytics'."""

    job: Annotated[Text, Field(description="the job's id", examples=["e25a5d4b-f9a5-4794-9ac2-4e026c0df40d"])]


OPERATIONS = {
    "token-info": OperationKind("the user and the community of this connection"),
    "job-status": OperationKind("where a job stands, without its links", OfJob),
    "cancel-job": OperationKind("end a job that has not ended", OfJob, changes=True),
}
