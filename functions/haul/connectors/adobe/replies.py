"""What Adobe answers: its documents differ in spelling and types, so what can be read is; unknown fields stay unread.

Absent and null mean empty. Ids are numbers, counters of files texts, times in milliseconds (or seconds, as one document
has it).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
)
from pydantic.alias_generators import to_camel

from haul.errors import UnexpectedResponseError
from haul.replies import VendorReply
from haul.replies import read as read_reply
from haul.rest import Reply, http_date

_SECONDS_ARE_LESS = 100_000_000_000


def _time(value: Any) -> datetime | None:
    if value in ("", None):
        return None
    try:
        number = int(value)
        return datetime.fromtimestamp(number if number < _SECONDS_ARE_LESS else number / 1000, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise ValueError("is no time in milliseconds") from None


def _batches(value: Any) -> Any:
    """A list as it is; an object is one batch, or several by any names."""
    if not isinstance(value, Mapping):
        return value or []
    return [value] if {"batchId", "segmentId"} & value.keys() else list(value.values())


def _link(value: Any) -> Any:
    """The address of a link, whether it stands in an object or not."""
    return (value.get("href") if isinstance(value, Mapping) else value) or ""


type Time = Annotated[datetime | None, BeforeValidator(_time)]
type Id = Annotated[str, StringConstraints(min_length=1)]


class AdobeReply(VendorReply):
    """A JSON object of Adobe's, whose names are in camel case; `told_at` is when, by Adobe's own clock."""

    model_config = ConfigDict(alias_generator=to_camel)

    _told_at: datetime | None = PrivateAttr(default=None)

    @property
    def told_at(self) -> datetime | None:
        return self._told_at


class Token(AdobeReply):
    """`expires_in` is seconds."""

    model_config = ConfigDict(alias_generator=None)

    access_token: Id
    expires_in: Annotated[float, Field(gt=0)]


class Batch(AdobeReply):
    """A batch that a job writes; without a segment it holds them all."""

    batch_id: str = ""
    segment_id: str = ""


class Destination(AdobeReply):
    """Where a job writes. Batch ids are told before anything is in them."""

    segment_per_batch: bool = False
    batch_id: str = ""
    batches: Annotated[list[Batch], BeforeValidator(_batches)] = []

    def written(self) -> list[Batch]:
        """The batches to read: one for each segment where that was asked, otherwise one."""
        if self.segment_per_batch and self.batches:
            found = self.batches
        elif self.batch_id:
            found = [Batch(batchId=self.batch_id)]
        else:
            found = [Batch(batchId=batch.batch_id) for batch in self.batches]
        return list({batch.batch_id: batch for batch in found if batch.batch_id}.values())


class ExportJob(AdobeReply):
    """An export job. A SUCCEEDED one may carry errors too, so its status alone decides."""

    id: Id
    status: str = ""
    destination: Destination = Destination()
    errors: Any = None
    exported: Annotated[
        int | None,
        Field(
            validation_alias=AliasChoices(
                AliasPath("metrics", "totalExportedProfileCounter"), "totalExportedProfileCounter"
            )
        ),
    ] = None
    by_namespace: Annotated[Any, Field(validation_alias=AliasPath("metrics", "exportedProfileByNamespaceCounter"))] = (
        None
    )
    ended: Annotated[Time, Field(validation_alias=AliasPath("metrics", "totalTime", "endTimeInMs"))] = None
    creation_time: Time = None
    update_time: Time = None
    ingested_after: Annotated[Any, Field(validation_alias=AliasPath("filter", "fromIngestTimestamp"))] = None

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, for a job that has."""
        return self.ended or self.update_time

    @property
    def is_delta(self) -> bool:
        """Whether only profiles that changed after some time are in it."""
        return bool(self.ingested_after)

    @property
    def counts(self) -> dict[str, int]:
        """What Adobe counted, under its own names."""
        whole = {} if self.exported is None else {"totalExportedProfileCounter": self.exported}
        parts = self.by_namespace.items() if isinstance(self.by_namespace, Mapping) else ()
        return whole | {f"exportedProfileByNamespaceCounter.{name}": n for name, n in parts if isinstance(n, int)}

    @property
    def reason(self) -> str:
        """Codes and texts of its errors, without their call stacks; empty if there are none."""
        errors = self.errors if isinstance(self.errors, list) else []
        told = (each if isinstance(each, Mapping) else {"msg": each} for each in errors)
        return "; ".join(": ".join(str(each[name]) for name in ("code", "msg") if each.get(name)) for each in told)


class JobPage(AdobeReply):
    """Some jobs, newest first. One of another shape is none that we made, and is left out."""

    records: list[Mapping[str, Any]] = []
    following: Annotated[str, BeforeValidator(_link)] = Field("", validation_alias=AliasPath("link", "next"))

    def jobs(self) -> list[ExportJob]:
        return [job for record in self.records if (job := _readable(record))]


class Entry(AdobeReply):
    """What a list of files has: a part by name and length, or the id of a further list."""

    data_set_file_id: str = ""
    name: str = ""
    length: Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)] = None


class FilePage(AdobeReply):
    """Some entries of a batch or of a file. `_page` counts now this, now that, and stays unread."""

    data: list[Entry] = []
    following: Annotated[str, BeforeValidator(_link)] = Field("", validation_alias=AliasPath("_links", "next"))


def read[M: AdobeReply](model: type[M], reply: Reply) -> M:
    """Read a reply, and when it was given.

    Raises:
        UnexpectedResponseError: it has another shape. The message names the fields and not what they hold.
    """
    found = read_reply(model, reply.what, reply.json())
    found._told_at = http_date(reply.headers.get("Date", ""))  # noqa: SLF001 - its own module
    return found


def _readable(record: Mapping[str, Any]) -> ExportJob | None:
    try:
        return read_reply(ExportJob, "a list of jobs", record)
    except UnexpectedResponseError:
        return None
