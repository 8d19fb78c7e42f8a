"""Visier: data version exports, and the jobs of `loads`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from haul.models.base import Written
from haul.models.symbols import Symbols, is_symbol
from haul.models.vendors import Action, SecretField
from haul.models.vendors.visier.loads import (
    ExtractAndLoadRequest,
    ExtractionJobRequest,
    LoadOptions,
    ProcessingJobRequest,
    StartLoadRequest,
    UploadOptions,
    UploadRequest,
)


def _number(value: str) -> str:
    if not (is_symbol(value) or (value.isascii() and value.isdecimal())):
        raise ValueError("a data version is a number in quotes, or a symbol")
    return value


def _none_if_empty(value: Any) -> Any:
    """Visier itself takes an empty base for none."""
    return None if value == "" else value


VersionNumber = Annotated[str, AfterValidator(_number), WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"})]


class DvExportRequest(Written):
    """Body of `POST /v1alpha/data/data-version-exports/jobs`; without a base it is a full export."""

    model_config = ConfigDict(title="Visier dv-export request")

    dataVersionNumber: Annotated[  # noqa: N815 - the vendor's own spelling
        Annotated[VersionNumber, Symbols("@latest", "@upstream.data_version")],
        Field(description="the data version to export; @latest is the newest", examples=["7000006", "@latest"]),
    ]
    baseDataVersionNumber: Annotated[  # noqa: N815 - the vendor's own spelling
        Annotated[VersionNumber, Symbols("@last-published", "@upstream.base_data_version")] | None,
        BeforeValidator(_none_if_empty),
        Field(
            description="export what changed since this data version; without it, everything",
            examples=["7000005", "@last-published"],
        ),
    ] = None


class DvExportOptions(Written):
    """What Haul does about a Visier export."""

    model_config = ConfigDict(title="Visier dv-export options")

    target_tenant: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        Field(description="the analytic tenant that a partner acts for; without it the connection's own"),
    ] = None
    reuse_available_export: Annotated[
        bool, Field(description="take a finished export of the same versions instead of submitting another")
    ] = True
    spend_reserved_submission: Annotated[
        bool, Field(description="spend a submission of the day's reserve; obeyed for manual starts alone")
    ] = False
    first_run: Annotated[
        Literal["full", "fail"], Field(description="when nothing was published yet and a delta is asked for")
    ] = "full"
    base_gone: Annotated[
        Literal["full", "fail"], Field(description="when Visier no longer has the version that the delta starts from")
    ] = "fail"
    retyped_column: Annotated[
        Literal["warn", "fail"], Field(description="when a column changed its type since the base")
    ] = "warn"


TITLE = "Visier"

ACTIONS = {
    "dv-export": Action("export", DvExportRequest, DvExportOptions),
    "extract-and-load": Action("load", ExtractAndLoadRequest, LoadOptions),
    "extraction-job": Action("load", ExtractionJobRequest, LoadOptions),
    "processing-job": Action("load", ProcessingJobRequest, LoadOptions),
    "start-load": Action("load", StartLoadRequest, LoadOptions),
    "upload": Action("load", UploadRequest, UploadOptions, takes_source=True),
}

SECRET = (
    SecretField("vanity_name", "as in https://<vanity_name>.api.visier.io; needed unless there is a base_url"),
    SecretField("base_url", "only where it is another than the vanity name says"),
    SecretField("username", "an API user that may log in with a password", needed=True),
    SecretField("password", "the user's", needed=True, hidden=True),
    SecretField("api_key", "the tenant's", needed=True, hidden=True),
    SecretField("client_id", "for OAuth"),
    SecretField("client_secret", "for OAuth", hidden=True),
    SecretField("redirect_uri", "for OAuth, if the client has one"),
)
