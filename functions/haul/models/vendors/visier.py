"""Visier: data version exports."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from haul.models.base import Written
from haul.models.symbols import Symbols
from haul.models.vendors import Action


def _number(value: str) -> str:
    if value and not value.startswith("@") and not value.isdecimal():
        raise ValueError("a data version is a number in quotes, or a symbol")
    return value


class DvExportRequest(Written):
    """Body of `POST /v1alpha/data/data-version-exports/jobs`; without a base it is a full export."""

    model_config = ConfigDict(title="Visier dv-export request")

    dataVersionNumber: Annotated[  # noqa: N815 - the vendor's own spelling
        str,
        AfterValidator(_number),
        Symbols("@latest", "@upstream.data_version"),
        Field(min_length=1, examples=["7000006", "@latest"]),
    ]
    baseDataVersionNumber: Annotated[  # noqa: N815 - the vendor's own spelling
        str | None,
        AfterValidator(lambda value: _number(value) or None if value is not None else None),
        Symbols("@last-published", "@upstream.base_data_version"),
        Field(examples=["7000005", "@last-published"]),
    ] = None


class DvExportOptions(Written):
    """What Haul does about a Visier export."""

    target_tenant: Annotated[str, Field(min_length=1)] | None = None
    reuse_available_export: bool = True
    spend_reserved_submission: bool = False
    first_run: Literal["full", "fail"] = "full"
    base_gone: Literal["full", "fail"] = "fail"
    retyped_column: Literal["warn", "fail"] = "warn"


ACTIONS = {"dv-export": Action("export", DvExportRequest, DvExportOptions)}
