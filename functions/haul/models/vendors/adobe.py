# ruff: noqa: N815 - fields have the vendor's own spelling
"""Adobe Experience Platform: segment export jobs."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from haul.models.base import Duration, Written
from haul.models.symbols import Symbols, is_symbol
from haul.models.vendors import Action, OperationKind, SecretField


def _no_symbol(value: str) -> str:
    if is_symbol(value):
        raise ValueError("no symbol is understood here; a value that begins with @ is written with @@")
    return value


def _timestamp(value: str) -> str:
    if is_symbol(value):
        return value
    try:
        zoned = "T" in value and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise ValueError("a time is written as in RFC 3339, such as 2026-01-01T00:00:00Z")
    return value


def _blank_is_none(value: Any) -> Any:
    """Adobe takes blank fields for all fields."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, Field(min_length=1), AfterValidator(_no_symbol)]
Fields = Annotated[
    Text | None,
    BeforeValidator(_blank_is_none),
    Field(description="dotted columns, separated by commas; without it all", examples=["identityMap,_id"]),
]
Timestamp = Annotated[
    Annotated[
        str,
        AfterValidator(_timestamp),
        WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}),
    ],
    Symbols("@last-success.started-at", "@started-at", "@scheduled-at"),
]


class MergePolicy(Written):
    """How fragments of a profile become one."""

    id: Text
    version: Annotated[int, Field(ge=1)] | None = None


class Segment(Written):
    """A segment whose profiles are exported."""

    segmentId: Text
    segmentNs: Annotated[Text | None, Field(description="its namespace; without it ups")] = None
    status: Annotated[
        Annotated[list[Literal["realized", "existing", "exited"]], Field(min_length=1)] | None,
        Field(description="what profiles are to it: without it realized, existing"),
    ] = None


class QualificationTime(Written):
    """Since and until when profiles qualified for their segment."""

    startTime: Timestamp | None = None
    endTime: Timestamp | None = None


class Filter(Written):
    """Which profiles are exported."""

    segments: Annotated[
        Annotated[list[Segment], Field(min_length=1)] | None,
        Field(description="without it every profile there is, which options.whole_store must allow"),
    ] = None
    segmentQualificationTime: QualificationTime | None = None
    fromIngestTimestamp: Annotated[
        Timestamp | None, Field(description="only profiles that changed after this; the export is then a delta")
    ] = None
    emptyProfiles: Annotated[
        bool | None, Field(description="also profiles that have events and no attributes; without it not")
    ] = None


class EventFilter(Written):
    """Which events are exported."""

    fromIngestTimestamp: Timestamp | None = None
    toIngestTimestamp: Timestamp | None = None


class EventList(Written):
    """The events that are exported with their profiles."""

    fields: Fields = None
    filter: EventFilter | None = None


class AdditionalFields(Written):
    """What is exported beside the profiles' own fields."""

    eventList: EventList | None = None


class Destination(Written):
    """The dataset that Adobe writes to: Parquet, on the XDM Individual Profile union schema."""

    datasetId: Text
    segmentPerBatch: Annotated[
        bool | None, Field(description="a batch for each segment, landed as a dataset each; without it one for all")
    ] = None


class Schema(Written):
    """The schema that the profiles have."""

    name: Annotated[Text, Field(examples=["_xdm.context.profile"])]


class EvaluationInfo(Written):
    """What Adobe evaluates before it exports."""

    segmentation: bool | None = None


class SegmentExportRequest(Written):
    """Body of `POST /data/core/ups/export/jobs`."""

    model_config = ConfigDict(title="Adobe segment-export request")

    fields: Fields = None
    mergePolicy: Annotated[
        MergePolicy | None, Field(description="needed with several segments; without it the segment's own")
    ] = None
    filter: Annotated[Filter | None, Field(description="which profiles; without it all")] = None
    additionalFields: Annotated[AdditionalFields | None, Field(description="events, to go with the profiles")] = None
    destination: Annotated[Destination, Field(description="the dataset to export to")]
    schema_: Annotated[Schema, Field(alias="schema", description="the profiles' schema")]
    evaluationInfo: Annotated[EvaluationInfo | None, Field(description="whether segments are evaluated first")] = None

    @model_validator(mode="after")
    def _segments_share_a_policy(self) -> Self:
        segments = (self.filter and self.filter.segments) or []
        if len(segments) > 1 and self.mergePolicy is None:
            raise ValueError(f"{len(segments)} filter.segments need a mergePolicy; Adobe takes one segment's own alone")
        return self


class SegmentExportOptions(Written):
    """What Haul does about an Adobe export."""

    model_config = ConfigDict(title="Adobe segment-export options")

    whole_store: Annotated[
        bool, Field(description="export every profile there is, where filter.segments is missing")
    ] = False
    first_run: Annotated[
        Literal["full", "fail"],
        Field(
            description="what @last-success.started-at means while nothing was published: no such limit, or an error"
        ),
    ] = "full"
    batch_settle: Annotated[
        Duration, Field(description="how long the files of a finished job may take to appear", examples=["PT30M"])
    ] = timedelta(minutes=30)
    profile_count_must_match: Annotated[
        bool, Field(description="compare the rows that landed with Adobe's own count, and fail where they differ")
    ] = True


def all_profiles(request: SegmentExportRequest, options: SegmentExportOptions) -> str | None:
    """Say what is missing where every profile there is would be exported without anybody having said so."""
    if (request.filter and request.filter.segments) or options.whole_store:
        return None
    return (
        "request.filter.segments: missing, so Adobe would export every profile in the sandbox; name segments, or "
        "set options.whole_store: true"
    )


TITLE = "Adobe Experience Platform"

ACTIONS = {"segment-export": Action("export", SegmentExportRequest, SegmentExportOptions, refuses=all_profiles)}

SECRET = (
    SecretField("client_id", "of the OAuth Server-to-Server credential; also called the API key", needed=True),
    SecretField("client_secret", "the credential's", needed=True, hidden=True),
    SecretField("org_id", "the organisation, such as 1BD6382559DF0C130A49422D@AdobeOrg", needed=True),
    SecretField("sandbox", "the name of the sandbox, such as prod", needed=True),
    SecretField("scopes", "of the credential, separated by commas, as the developer console lists them", needed=True),
    SecretField("base_url", "only where it is not https://platform.adobe.io"),
    SecretField("ims_url", "only where it is not https://ims-na1.adobelogin.com"),
)


class OfJob(Written):
    """An export job of Adobe's."""

    job: Annotated[Text, Field(description="the job's id", examples=["11037"])]


class OfBatch(Written):
    """A batch that an export wrote."""

    batch: Annotated[Text, Field(description="the batch's id")]


class OfFile(Written):
    """A file of a batch."""

    file: Annotated[Text, Field(description="the dataSetFileId")]


class WithStatus(Written):
    """Which jobs to list."""

    status: Annotated[
        Literal["NEW", "SUCCEEDED", "FAILED"], Field(description="Adobe can filter by NEW, SUCCEEDED and FAILED alone")
    ]


OPERATIONS = {
    "list-jobs": OperationKind("the newest hundred export jobs"),
    "list-jobs-with-status": OperationKind("the newest hundred with this status", WithStatus),
    "job-status": OperationKind("where a job stands", OfJob),
    "delete-job": OperationKind("delete the record of a job that has ended", OfJob, changes=True),
    "batch-status": OperationKind("what the catalog says of a batch", OfBatch),
    "batch-files": OperationKind("the first hundred files of a batch", OfBatch),
    "batch-failed": OperationKind("what could not be written to a batch", OfBatch),
    "batch-meta": OperationKind("what a batch was made of, and its wrong rows", OfBatch),
    "file-parts": OperationKind("the first hundred parts of a file", OfFile),
}
