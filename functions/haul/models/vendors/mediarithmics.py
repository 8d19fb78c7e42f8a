"""mediarithmics: query exports."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from haul.models.base import Written
from haul.models.symbols import is_symbol
from haul.models.threshold import Threshold
from haul.models.vendors import Action, OperationKind, SecretField


def _plain(value: str) -> str:
    if is_symbol(value):
        raise ValueError("no symbol is understood here; a value that begins with @ is written @@")
    return value


type Id = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+$"),
    Field(description="an id of mediarithmics: digits in quotes", examples=["1426"]),
]
type Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_plain)]


class Query(Written):
    """Body of `POST /v1/datamarts/{datamart_id}/queries`."""

    query_language: Annotated[
        Literal["OTQL", "JSON_OTQL", "SELECTORQL"], Field(description="only OTQL can be checked before it runs")
    ] = "OTQL"
    query_text: Annotated[
        Text,
        Field(description="the whole query", examples=["SELECT { emails { id } } FROM UserPoint"]),
    ]


class ExportDefinition(Written):
    """Body of `POST /v1/exports`, but for the query's id: an export that is found by its name, or created."""

    name: Annotated[Text, Field(description="its name in the organisation", examples=["haul mics-active-emails"])]
    type: Annotated[Literal["QUERY"], Field(description="there is no other")] = "QUERY"
    output_format: Annotated[Literal["JSON", "CSV"], Field(description="JSON is one object on each line")] = "JSON"


class QueryExportRequest(Written):
    """What is executed: a query, by an export that has it, or an export that exists already."""

    model_config = ConfigDict(
        title="mediarithmics query-export request",
        json_schema_extra={"oneOf": [{"required": ["datamart_id", "query", "export"]}, {"required": ["exportId"]}]},
    )

    organisation_id: Annotated[Id, Field(description="the organisation that has the export")]
    datamart_id: Annotated[Id | None, Field(description="the datamart that is queried; goes with query")] = None
    query: Annotated[Query | None, Field(description="what is exported")] = None
    export: Annotated[ExportDefinition | None, Field(description="what the export is called; goes with query")] = None
    exportId: Annotated[  # noqa: N815 - the vendor's own spelling
        Id | None, Field(description="an export that exists, in place of datamart_id, query and export")
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        parts = {"datamart_id": self.datamart_id, "query": self.query, "export": self.export}
        given = [name for name, part in parts.items() if part is not None]
        if self.exportId is not None and given:
            raise ValueError(f"exportId names an export that has its query already; leave out {', '.join(given)}")
        if self.exportId is None and len(given) < len(parts):
            missing = [name for name in parts if name not in given]
            raise ValueError(f"without exportId, {', '.join(parts)} are needed; missing: {', '.join(missing)}")
        return self


class QueryExportOptions(Written):
    """What Haul does about a mediarithmics export."""

    model_config = ConfigDict(title="mediarithmics query-export options")

    check_query: Annotated[
        bool, Field(description="have mediarithmics check an OTQL query first: a wrong one would export nothing")
    ] = True
    on_query_change: Annotated[
        Literal["new-export", "fail"],
        Field(description="when the export of that name has another query: make a new one of that name, or fail"),
    ] = "new-export"
    max_erroneous_tasks: Annotated[
        Threshold | None,
        Field(
            description="how many tasks may go wrong before the run is PARTIAL, a share or a number; without it any",
            examples=["10%", 0],
        ),
    ] = None
    empty: Annotated[
        Literal["fail", "warn", "allow"], Field(description="when the export succeeds with files of 0 bytes")
    ] = "warn"
    retry_if_retryable: Annotated[
        int,
        Field(ge=0, le=3, description="how many further executions to start where a failed one is_retryable"),
    ] = 0


TITLE = "mediarithmics"

ACTIONS = {"query-export": Action("export", QueryExportRequest, QueryExportOptions)}

SECRET = (
    SecretField("api_token", "a long-lived API token; or e-mail and password in its place", hidden=True),
    SecretField("email", "of a technical user, unless there is an api_token"),
    SecretField("password", "the user's", hidden=True),
    SecretField("base_url", "only if it is another than https://api.mediarithmics.com"),
)

type Filled = Annotated[str, Field(min_length=1)]


class OfOrganisation(Written):
    """An organisation of mediarithmics'."""

    organisation: Annotated[Filled, Field(description="the organisation's id", examples=["1426"])]


class OfExport(Written):
    """An export's definition."""

    export: Annotated[Filled, Field(description="the export's id", examples=["9879"])]


class OfExecution(Written):
    """An execution of an export."""

    job: Annotated[
        str,
        Field(
            min_length=1,
            description="as runs show it: the export's id, a slash, the execution's id",
            examples=["9879/7897897"],
        ),
    ]


class OfQuery(Written):
    """A query to be looked at."""

    datamart: Annotated[Filled, Field(description="the datamart's id", examples=["1509"])]
    query: Annotated[Filled, Field(description="the query's text", examples=["SELECT { id } FROM UserPoint"])]


OPERATIONS = {
    "connected-user": OperationKind("who the token is, and for which organisations"),
    "list-exports": OperationKind("the exports of an organisation", OfOrganisation),
    "export-details": OperationKind("one export", OfExport),
    "list-executions": OperationKind("the executions of an export", OfExport),
    "execution-status": OperationKind("where an execution stands", OfExecution),
    "check-query": OperationKind("whether an OTQL query is right", OfQuery),
}
