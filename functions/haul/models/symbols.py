"""Symbols: values that begin with `@` and are resolved once, at a run's start.

    @latest                    the vendor's newest version
    @last-published            the version this pipeline published last
    @scheduled-at              when the schedule meant to fire
    @started-at                when this run was claimed
    @last-success.started-at   when the last published run was claimed
    @upstream.data_version     the version that the upstream run published (also: base_data_version, run_id)
    @instant:<ISO 8601 time>   epoch milliseconds of a time with its offset

The list is closed, each is valid only in the fields whose schema says so, and `@@` escapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

KNOWN = (
    "@latest",
    "@last-published",
    "@scheduled-at",
    "@started-at",
    "@last-success.started-at",
    "@upstream.data_version",
    "@upstream.base_data_version",
    "@upstream.run_id",
    "@instant:",
)
FILE = "@file:"
"""No symbol: a pipeline file names a file so, and its text is put in before anything else reads the request."""


def is_symbol(value: Any) -> bool:
    """Tell a symbol from a value; `@@` begins a value."""
    return isinstance(value, str) and value.startswith("@") and not value.startswith("@@")


def symbols_in(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every symbol in a value that stands at `at`, with the path of its field."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from symbols_in(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from symbols_in(inner, f"{at}[{index}]")
    elif is_symbol(value):
        yield at, value


def unescaped(value: str) -> str:
    """Take the escape from a value that begins with `@@`."""
    return value.removeprefix("@") if value.startswith("@@") else value


@dataclass(frozen=True)
class Symbols:
    """Marks a field of a request: these symbols are understood here, all others are refused."""

    allowed: tuple[str, ...]

    def __init__(self, *allowed: str) -> None:
        object.__setattr__(self, "allowed", allowed)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        words = [name for name in self.allowed if not name.endswith(":")]
        begins = [{"type": "string", "pattern": f"^{name}"} for name in self.allowed if name.endswith(":")]
        return {"anyOf": [handler(schema), *([{"enum": words}] if words else []), *begins]}

    def _check(self, value: Any) -> Any:
        if is_symbol(value):
            if not _among(value, self.allowed):
                why = "this symbol is not understood here" if _among(value, KNOWN) else "there is no such symbol"
                raise ValueError(f"{why}; allowed: {', '.join(self.allowed)}")
            if value.startswith("@instant:"):
                instant(value)
        return value


def _among(symbol: str, names: tuple[str, ...]) -> bool:
    return any(symbol == name or (name.endswith(":") and symbol.startswith(name)) for name in names)


def instant(symbol: str) -> int:
    """Turn `@instant:<ISO time with offset>` into epoch milliseconds.

    Raises:
        ValueError: the time cannot be read or has no offset.
    """
    try:
        at = datetime.fromisoformat(symbol.removeprefix("@instant:"))
    except ValueError:
        raise ValueError("@instant takes an ISO 8601 time, such as @instant:2021-12-13T00:00:00-08:00") from None
    if at.tzinfo is None:
        raise ValueError("the time of @instant needs its offset, such as 2021-12-13T00:00:00-08:00")
    return round(at.timestamp() * 1000)
