"""What mediarithmics answers: an envelope around one object or a list; ids are strings, times epoch milliseconds.

Absent and null mean empty, counters may be numbers or text, and unknown fields stay unread.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ModelWrapValidatorHandler,
    StringConstraints,
    model_validator,
)

from haul.errors import UnexpectedResponseError
from haul.replies import VendorReply
from haul.replies import read as read_reply
from haul.rest import Reply, excerpt


def _from_millis(value: Any) -> datetime | None:
    """Read a time; what is none counts as not told, so that one odd execution does not hide the others."""
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _count(value: Any) -> int | None:
    """Read a counter, which may be text; what is none counts as not told."""
    try:
        return None if isinstance(value, bool) else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


type Millis = Annotated[datetime | None, BeforeValidator(_from_millis)]
type Count = Annotated[int | None, BeforeValidator(_count)]
type Id = Annotated[str, StringConstraints(min_length=1)]


class MediarithmicsReply(VendorReply):
    """A JSON object of mediarithmics'; one within another keeps its document too."""

    @model_validator(mode="wrap")
    @classmethod
    def _keep_document(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        read = handler(value)
        if isinstance(value, Mapping):
            read._document = value  # noqa: SLF001 - its own class
        return read


class Token(MediarithmicsReply):
    access_token: Annotated[str, StringConstraints(min_length=1)]
    expires_in: float | None = None


class Listed(MediarithmicsReply):
    """Anything that has an id and so can be in a list."""

    id: Id


class Query(Listed):
    datamart_id: str = ""
    query_language: str = ""
    query_text: str = ""


class QueryCheck(MediarithmicsReply):
    """`status` is `ok` or `error`; `error` says what and where."""

    type: str = ""
    status: str = ""
    error: Any = None

    @property
    def problem(self) -> str | None:
        """What is wrong with the query, None if nothing is."""
        if self.status == "ok" or (not self.status and self.type == "VALID"):
            return None
        error = self.error if isinstance(self.error, Mapping) else {"message": self.error}
        at = error.get("position")
        where = f" at row {at.get('row')}, column {at.get('col')}" if isinstance(at, Mapping) else ""
        return f"{excerpt(str(error.get('message') or self.type or 'no reason given'))}{where}"


class Export(Listed):
    """A reusable definition. `output_format` is JSON by the documentation."""

    organisation_id: str = ""
    name: str = ""
    query_id: str = ""
    datamart_id: str = ""
    output_format: str = "JSON"


class Execution(Listed):
    """One run of an export. Its `result`, `error` and `cancel_status` are any JSON: they differ by age and end."""

    status: str = ""
    organisation_id: str = ""
    creation_date: Millis = None
    end_date: Millis = None
    result: Any = None
    error: Any = None
    is_retryable: Any = False
    cancel_status: Any = None
    num_tasks: Count = None
    completed_tasks: Count = None
    erroneous_tasks: Count = None

    @property
    def kept(self) -> Mapping[str, Any]:
        """The execution as evidence: its permalink is left out, as whoever has a link may have what it leads to."""
        return {name: value for name, value in self.document.items() if name != "permalink_uri"}

    @property
    def age(self) -> tuple[datetime, int, str]:
        """Orders executions, oldest first: by creation, then id."""
        return self.creation_date or datetime.min.replace(tzinfo=UTC), len(self.id), self.id

    @property
    def output_files(self) -> Sequence[str]:
        """The technical names of its files. Where none is named there is one, `export`."""
        named = self.result.get("output_files") if isinstance(self.result, Mapping) else None
        names = [name for name in named if isinstance(name, str) and name] if isinstance(named, Sequence) else []
        return list(dict.fromkeys(names)) or ["export"]

    @property
    def problem(self) -> str | None:
        """Why it failed, in the vendor's words."""
        error = self.error
        text = error.get("message") if isinstance(error, Mapping) else error
        return excerpt(str(text), 500) if text else None


class One[D: MediarithmicsReply](MediarithmicsReply):
    """An envelope around one object."""

    data: D


class Many[I: Listed](MediarithmicsReply):
    """A page of a list. Its size goes by two names; older lists do not tell their total."""

    data: list[I]
    total: Count = None
    max_result: Count = None
    max_results: Count = None

    @property
    def size(self) -> int | None:
        return self.max_results or self.max_result


def read[M: MediarithmicsReply](model: type[M], reply: Reply) -> M:
    """Read an answer.

    Raises:
        UnexpectedResponseError: it has another shape. The message names the fields and not what they hold.
    """
    body, what = reply.json(), reply.what
    if isinstance(body, Mapping) and body.get("status") == "error":
        told = excerpt(reply.without_secrets(str(body.get("error"))))
        raise UnexpectedResponseError(f"{what} answered {reply.status} with an error in it: {told}")
    return read_reply(model, what, body)
