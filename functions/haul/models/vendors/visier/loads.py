# ruff: noqa: N815 - fields have the vendor's own spelling
"""Visier: jobs that extract, load and process data, and the upload of a file."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from haul.models.base import Duration, Written
from haul.models.load import SourceOptions
from haul.models.symbols import Symbols, is_symbol
from haul.models.threshold import Threshold

_SFTP_SUFFIX = ".zip.gpg"


def _plain(value: str) -> str:
    if is_symbol(value):
        raise ValueError("no symbol is understood here; a value that begins with @ is written @@")
    return value


def _millis(value: int | str) -> int | str:
    if is_symbol(value) or (str(value).isascii() and str(value).isdecimal()):
        return value
    raise ValueError("a time is a number of epoch milliseconds, or @instant:<ISO time with offset>")


def _encrypted(name: str) -> str:
    if not name.endswith(_SFTP_SUFFIX) or name.rpartition("/")[2] == _SFTP_SUFFIX:
        raise ValueError(f"a file's name ends in {_SFTP_SUFFIX}: zipped, then encrypted with Visier's PGP key")
    return name


type Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_plain)]
type TenantCode = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]+$"),
    AfterValidator(_plain),
    Field(examples=["WFF_j1r~c7o"]),
]
type Int32 = Annotated[int, Field(ge=1, le=2**31 - 1)]
# No `type` statement: `Symbols` looks for the schema that it widens.
Millis = Annotated[
    Annotated[
        int | str,
        AfterValidator(_millis),
        WithJsonSchema(
            {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]},
        ),
    ],
    Symbols("@instant:"),
]


class TenantsRequest(Written):
    """Whose jobs an administrating tenant starts; without any of the three, the caller's own."""

    tenants: Annotated[
        Annotated[list[TenantCode], Field(min_length=1)] | None,
        Field(description="the analytic tenants, by their codes", examples=[["WFF_j1r~c7o"]]),
    ] = None
    allTenants: Annotated[bool | None, Field(description="every analytic tenant that the user may act for")] = None
    excludedTenants: Annotated[
        list[TenantCode] | None, Field(description="all but these; means something only with allTenants")
    ] = None

    @model_validator(mode="after")
    def _tenants_are_named_one_way(self) -> Self:
        if self.tenants is not None and self.allTenants:
            raise ValueError("tenants names some and allTenants means all: one of the two")
        if self.excludedTenants is not None and not self.allTenants:
            raise ValueError("excludedTenants means something only with allTenants: true")
        return self


class ExtractionRequest(TenantsRequest):
    """What is extracted from the source systems, and what becomes of it."""

    dataCategoryId: Annotated[
        Text | None, Field(description="the data category's UUID; without it the primary category")
    ] = None
    connectorIds: Annotated[
        Annotated[list[Text], Field(min_length=1)] | None,
        Field(description="only these connectors; without it all that there are"),
    ] = None
    overrideLastExtractionTimestamp: Annotated[
        Millis | None,
        Field(
            description="extract what changed since then, in place of since the last extraction: epoch milliseconds",
            examples=["@instant:2021-12-13T00:00:00-08:00"],
        ),
    ] = None
    extractToTimeOverride: Annotated[
        Millis | None, Field(description="extract what changed until then: epoch milliseconds")
    ] = None
    lastExtractionTimeOffsetMode: Annotated[
        Literal["WEEK", "MONTH"] | None, Field(description="go back by weeks or by months; Visier takes MONTH")
    ] = None
    lastExtractionTimeOffsetWeeks: Annotated[
        Int32 | None, Field(description="go back so many weeks before the last extraction")
    ] = None
    lastExtractionTimeOffsetMonths: Annotated[
        Int32 | None, Field(description="go back so many months before the last extraction")
    ] = None
    offsetWeekOption: Annotated[
        Literal["CURRENT_DAY_OF_WEEK", "FIRST_OF_WEEK", "LAST_OF_WEEK"] | None,
        Field(description="which day of the week that leads to"),
    ] = None
    offsetMonthOption: Annotated[
        Literal["CURRENT_DAY_OF_MONTH", "FIRST_OF_MONTH", "LAST_OF_MONTH"] | None,
        Field(description="which day of the month that leads to"),
    ] = None
    monthsToExtract: Annotated[Int32 | None, Field(description="how many months of snapshot data to extract")] = None
    batchSizeOverride: Annotated[Int32 | None, Field(description="at most so many subjects in a batch")] = None
    sqlBatchSize: Annotated[Int32 | None, Field(description="at most so many SQL records in a batch")] = None
    credentialId: Annotated[
        Text | None, Field(description="the connector credential's UUID; for the Databricks connector")
    ] = None
    outputTarget: Annotated[
        Literal["Receiving", "SQL"] | None,
        Field(description="Receiving, which is Visier's default: a receiving job; SQL: table sources"),
    ] = None
    runProcessingJob: Annotated[
        bool | None, Field(description="make a data version of each tenant's data when it is extracted")
    ] = None
    publishDataLoadArtifacts: Annotated[
        bool | None, Field(description="publish what the extraction generates to production at once")
    ] = None
    disableArtifactGeneration: Annotated[bool | None, Field(description="generate no data load artifacts")] = None
    forceUpdateExistingArtifacts: Annotated[
        bool | None, Field(description="update artifacts that exist, also over what people changed in them")
    ] = None
    spillDebugInfoPartitionsDTO: Annotated[
        Literal["spillNone", "spillStagesAndRecords", "spillAll"] | None,
        Field(description="which debugging information Visier keeps"),
    ] = None
    spillDebugInfoDetailLevelDTO: Annotated[
        Literal["fileAndLine", "mappingName"] | None, Field(description="how detailed that information is")
    ] = None


class ExtractAndLoadRequest(ExtractionRequest):
    """Body of `POST /v1/op/data/startExtractAndLoad`."""

    model_config = ConfigDict(title="Visier extract-and-load request")


class ExtractionJobRequest(ExtractionRequest):
    """Body of `POST /v1alpha/op/jobs/extraction-jobs`."""

    model_config = ConfigDict(title="Visier extraction-job request")


class ProcessingJobRequest(TenantsRequest):
    """Body of `POST /v1alpha/op/jobs/processing-jobs`."""

    model_config = ConfigDict(title="Visier processing-job request")

    dataCategoryId: Annotated[
        Text | None, Field(description="the data category's UUID; without it the primary category")
    ] = None
    publishToProduction: Annotated[
        bool | None, Field(description="publish the data version to production; Visier's default is not to")
    ] = None


class StartLoadRequest(Written):
    """Model of `POST /v1/op/data/startload`: files that are on Visier's SFTP server already."""

    model_config = ConfigDict(title="Visier start-load request")

    files: Annotated[
        Annotated[
            list[
                Annotated[
                    Text,
                    AfterValidator(_encrypted),
                    WithJsonSchema({"type": "string", "pattern": r"[^/]\.zip\.gpg$"}),
                ]
            ],
            Field(min_length=1),
        ],
        Field(
            description="names on the SFTP server, ending in .zip.gpg; unpacked below 5 GB, at most 5000 tenants",
            examples=[["WFF_j1r_hcm_files_20181030102030.zip.gpg"]],
        ),
    ]
    skipDataLoad: Annotated[bool | None, Field(description="receive the files and make no data version of them")] = None


class UploadRequest(Written):
    """A file through a data transfer session, and the receiving job that takes it in."""

    model_config = ConfigDict(title="Visier upload request")

    sourceId: Annotated[
        Text | None, Field(description="the source's UUID; without it the file's name says which source it is for")
    ] = None
    tenantCode: Annotated[
        TenantCode | None, Field(description="whose data it is; without it the connection's or options.target_tenant's")
    ] = None
    processingData: Annotated[
        bool | None, Field(description="make a data version of it once it is received; Visier's default is not to")
    ] = None


class LoadOptions(Written):
    """What Haul does about a Visier job."""

    model_config = ConfigDict(title="Visier load options")

    target_tenant: Annotated[
        TenantCode | None,
        Field(description="the analytic tenant that a partner acts for; without it the connection's own"),
    ] = None
    tolerate_failed_tenants: Annotated[
        Threshold,
        Field(
            description="how many tenants may fail before the run is PARTIAL, a share or a number", examples=["5%", 0]
        ),
    ] = 0
    children_appear_within: Annotated[
        Duration,
        Field(description="how long jobs that should follow may take to appear in Visier's lists"),
    ] = timedelta(minutes=20)
    cancel_on_abort: Annotated[
        bool, Field(description="cancel the job, and all that it started, when the run is given up")
    ] = True


class UploadOptions(LoadOptions, SourceOptions):
    """What Haul does about an upload to Visier."""

    model_config = ConfigDict(title="Visier upload options")
