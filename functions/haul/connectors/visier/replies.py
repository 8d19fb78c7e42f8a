"""What Visier answers: absent and null mean empty, 64-bit numbers are strings, unknown fields stay unread."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from haul.replies import VendorReply


def _from_millis(value: Any) -> datetime | None:
    if value in ("", None):
        return None
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise ValueError("is no time in milliseconds") from None


type Millis = Annotated[datetime | None, BeforeValidator(_from_millis)]
type Number = Annotated[str, StringConstraints(pattern=r"^\d+$")]


class VisierReply(VendorReply):
    """A JSON object of Visier's, whose names are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel)


class DataVersion(VisierReply):
    """A version of the tenant's data. The default category is empty."""

    data_version: Number
    data_category: str = ""
    created: Millis = None

    @property
    def age(self) -> tuple[datetime, int]:
        """Orders versions, oldest first: by creation, then number."""
        return self.created or datetime.min.replace(tzinfo=UTC), int(self.data_version)


class DataVersions(VisierReply):
    data_versions: list[DataVersion] = []


class JobCreated(VisierReply):
    job_uuid: Annotated[str, StringConstraints(min_length=1)]


class JobState(VisierReply):
    """Two flags and no status word. They are any JSON here, so that a word in their place is seen and not refused."""

    job_uuid: str = ""
    completed: Any = None
    failed: Any = None
    export_uuid: str = ""


class ExportColumn(VisierReply):
    name: Annotated[str, StringConstraints(min_length=1)]
    data_type: str = ""
    allows_null: bool | None = None
    is_primary_key_component: bool = False


class ExportFile(VisierReply):
    file_id: int
    filename: Annotated[str, StringConstraints(min_length=1)]


class ColumnSet(VisierReply):
    """Some columns of a table, and the files that hold them."""

    columns: list[ExportColumn] = []
    files: list[ExportFile] = []


class ExportTable(VisierReply):
    name: Annotated[str, StringConstraints(min_length=1)]
    common_columns: ColumnSet = ColumnSet()
    new_columns: ColumnSet = ColumnSet()
    deleted_columns: list[str] = []


class ExportDetails(VisierReply):
    """A finished export; `timestamp` is when it was made. A full one has no base."""

    uuid: Annotated[str, StringConstraints(min_length=1)]
    timestamp: Millis = None
    data_version_number: str = ""
    base_data_version_number: str = ""
    tables: list[ExportTable] = []
    new_tables: list[str] = []
    deleted_tables: list[str] = []


class Exports(VisierReply):
    data_version_exports: list[ExportDetails] = []


class OAuthToken(VisierReply):
    model_config = ConfigDict(alias_generator=None)

    access_token: Annotated[str, StringConstraints(min_length=1)]
    expires_in: float | None = None
