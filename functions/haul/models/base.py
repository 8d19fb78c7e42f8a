"""Two kinds of document: what people write is strict, what Haul writes may gain fields.

Neither shows what it holds in an error of pydantic's own: where one escapes, its text stands in a log and in a notice.
What reads and writes one is built when it is first needed: a function imports them all and meets a few. A default is
made by `model_construct`, which does not need it.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, to_json

from haul.errors import InvalidEventError

_DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)


def _duration(value: Any) -> Any:
    """Read ISO 8601 without its years and months, whose length nobody can tell."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration is written as in ISO 8601, such as PT6H or P2D")
    try:
        return timedelta(**{unit: float(count) for unit, count in match.groupdict("0").items()})
    except OverflowError:
        raise ValueError("a duration is at most P999999999D") from None


def _some(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration is more than nothing")
    return value


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, such as 2026-11-22T05:00:00Z")
    return value.astimezone(UTC)


def iso(at: datetime) -> str:
    """Write a time the way every document here has it: UTC, to the second, `2026-11-22T05:00:03Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


type Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_some),
    WithJsonSchema(
        {
            "type": "string",
            "format": "duration",
            "pattern": r"^P(\d+W)?(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$",
            "examples": ["PT6H", "P2D"],
        }
    ),
]
type Instant = Annotated[
    datetime,
    AfterValidator(_with_zone),
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T05:00:00Z"]}),
]


class Written(BaseModel):
    """A document that people write: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class Document(BaseModel):
    """A document that Haul writes: readers ignore fields they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)

    def to_json(self) -> str:
        """One line, as it is stored."""
        return self.model_dump_json(by_alias=True)


def digest(value: Any) -> str:
    """Hash any JSON value, the same for equal values: 64 hex digits of SHA-256."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse[M: BaseModel](model: type[M], value: Any, *, at: str = "") -> M:
    """Validate `value`, or say which field is wrong, what it holds and what is allowed.

    Types are taken as JSON has them: what people write is not read as something it could be made into, such as
    "400" as a number or "no" as false.

    Raises:
        InvalidEventError: every problem in one message, each with its path below `at`.
    """
    try:
        return model.model_validate_json(to_json(value, fallback=str), strict=True)
    except ValidationError as error:
        refuse(error, model, at=at)


def refuse(error: ValidationError, model: type[BaseModel], *, at: str = "") -> NoReturn:
    problems = [_problem(details, model, at) for details in error.errors(include_url=False)]
    raise InvalidEventError("; ".join(dict.fromkeys(problems))) from None


def _problem(details: ErrorDetails, model: type[BaseModel], at: str) -> str:
    path = [str(part) for part in details["loc"]]
    where = ".".join([*([at] if at else []), *path]) or "the document"
    match details["type"]:
        case "extra_forbidden":
            return f"{where}: unknown field{nearest(path[-1], fields_at(model, path[:-1]))}"
        case "missing":
            return f"{where}: missing"
        case "value_error":
            return f"{where}: {details['ctx']['error']}{_shown(details['input'])}"
        case _:
            return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}{_shown(details['input'])}"


_SHOWN = 120


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) > _SHOWN:
        return f" (found {json.dumps(value[:_SHOWN], ensure_ascii=False)} and more)"
    scalar = isinstance(value, str | int | float | bool | None)
    return f" (found {json.dumps(value, ensure_ascii=False)})" if scalar else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Guess what a misspelt word was to be, or list what is known, for the end of a message."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""


def fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Name the fields that `model` knows at `path`, under the names people write."""
    if not path:
        return [field.alias or name for name, field in model.model_fields.items()]
    for name, field in model.model_fields.items():
        if path[0] in (name, field.alias):
            for inner in (field.annotation, *get_args(field.annotation)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    return fields_at(inner, path[1:])
    return []


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Complete `over` from `base`: maps merge, lists replace, `over` wins."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        both_maps = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[key] = merged(known, value) if both_maps else value  # type: ignore[arg-type]  # both_maps says so
    return result


def duration_text(value: timedelta) -> str:
    """Write a duration as people write it in an event: `PT6H`."""
    return str(TypeAdapter(timedelta).dump_python(value, mode="json"))


def span(duration: timedelta) -> str:
    """Write a duration by its largest unit and the next: `2 h 20 min`."""
    total = round(duration.total_seconds())
    if total >= 3600:
        total = round(total / 60) * 60
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    named = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((place for place, (number, _) in enumerate(named) if number), len(named) - 1)
    return " ".join(f"{number} {unit}" for number, unit in named[first : first + 2] if number) or "0 s"
