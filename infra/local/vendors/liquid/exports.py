"""What an export job makes: the items that were asked for, as JSON or CSV, in one file or several."""

import ast
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from infra.local.vendors.liquid.items import FIELDS, Item, QueryError, Value, attendee, queried
from infra.local.vendors.server import Bytes, Content, Repeated

JSON, TEXT = "application/json", "text/plain"
_NONE = ("", "0", "None", "{}")
_REFERENCE = re.compile(r"\$(?P<quiet>!?)(?:\{item\.(?P<braced>\w+)\}|item\.(?P<bare>\w+))")
_BLOCK_ITEMS = 4000


class RejectedError(ValueError):
    """Parameters that no job is made of; its text is the job's reason."""


@dataclass(frozen=True)
class Wanted:
    """What an export was asked for."""

    item_type: str
    content_type: str
    row_header: bool
    template: str
    filters: str
    sql_query: str


@dataclass(frozen=True)
class ExportFile:
    """One file, and how many records are in it."""

    content: Content
    rows: int


@dataclass(frozen=True)
class Joined:
    """Bodies one behind the other."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        for part in self.parts:
            if start < part.size and stop > 0:
                yield from part.chunks(max(start, 0), min(stop, part.size))
            start, stop = start - part.size, stop - part.size


@dataclass(frozen=True)
class Writer:
    """Turns records into text, piece by piece: a file is its head, its records with what is between them, its tail."""

    head: str
    record: Callable[[Item], str]
    between: str
    tail: str

    def text(self, items: Iterable[Item]) -> str:
        return self.head + self.between.join(map(self.record, items)) + self.tail


def is_json(content_type: str) -> bool:
    """Whether it is JSON and not CSV.

    Raises:
        RejectedError: it is neither.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, TEXT, "plain/text"):
        raise RejectedError(f"The contentType {content_type!r} is not supported")
    return kind == JSON


def exported(
    wanted: Wanted, items: Mapping[str, Sequence[Item]], *, files: int, big_file_bytes: int = 0
) -> list[ExportFile]:
    """Make the files of an export.

    Args:
        wanted: what was asked for.
        items: what the community has.
        files: into how many files the records are put.
        big_file_bytes: how large each is, of generated attendees over and over, whatever was asked for; 0: not so.

    Raises:
        RejectedError: the parameters are no good.
    """
    if wanted.item_type not in FIELDS:
        raise RejectedError(f"The item type {wanted.item_type!r} is not known; there are {', '.join(FIELDS)}")
    if wanted.sql_query:
        try:
            fields, chosen = queried(wanted.sql_query, items)
        except QueryError as error:
            raise RejectedError(f"The sqlQuery cannot be run: {error}") from None
    else:
        fields, chosen = FIELDS[wanted.item_type], _filtered(items[wanted.item_type], wanted)
    writer = _writer(wanted, fields)
    if big_file_bytes:
        return [_big_file(writer, big_file_bytes)] * files
    size = max(-(-len(chosen) // files), 1)
    pieces = [chosen[at * size : (at + 1) * size] for at in range(files)]
    return [ExportFile(Bytes(writer.text(piece).encode()), len(piece)) for piece in pieces]


@lru_cache(maxsize=64)
def sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for chunk in content.chunks(0, content.size):
        digest.update(chunk)
    return digest.hexdigest()


def read_filters(text: str) -> Mapping[str, object]:
    """Read filters as clients send them: JSON, or Python's own notation, in which the vendor's examples are.

    Raises:
        RejectedError: they are neither.
    """
    if text.strip() in _NONE:
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            filters = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(filters, dict):
            return filters
    raise RejectedError("The filters cannot be read")


def _filtered(items: Sequence[Item], wanted: Wanted) -> list[Item]:
    filters = read_filters(wanted.filters)
    for name in filters:
        if name not in FIELDS[wanted.item_type]:
            raise RejectedError(f"The filter {name!r} is no field of {wanted.item_type}")
    return [item for item in items if all(item.get(name) == value for name, value in filters.items())]


def _writer(wanted: Wanted, fields: Sequence[str]) -> Writer:
    if is_json(wanted.content_type):
        return Writer("[", lambda item: _json_item(wanted.item_type, item), ",\n", "]\n")
    if wanted.template:
        if "#" in wanted.template:
            raise RejectedError("The template cannot be read: this simulator knows references alone, no directives")
        line = wanted.template.rstrip("\r\n")
        fields = [reference["braced"] or reference["bare"] for reference in _REFERENCE.finditer(line)]
        return Writer(_csv_line(fields) if wanted.row_header else "", lambda item: f"{_merged(line, item)}\r\n", "", "")
    head = _csv_line(fields) if wanted.row_header else ""
    return Writer(head, lambda item: _csv_line([item.get(name) for name in fields]), "", "")


def _json_item(item_type: str, item: Item) -> str:
    document = {"headers": {"category": "item", "type": item_type, "action": "upsert"}, "data": item}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _csv_line(values: Sequence[Value]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _merged(template: str, item: Item) -> str:
    """Fill in a template as Velocity does: what is not there stays as it is written, unless the reference is quiet."""

    def value(reference: re.Match[str]) -> str:
        found = item.get(reference["braced"] or reference["bare"])
        if found is None:
            return "" if reference["quiet"] else reference[0]
        return str(found)

    return _REFERENCE.sub(value, template)


def _big_file(writer: Writer, size: int) -> ExportFile:
    """The same attendees over and over: for measuring, not for reading."""
    block, rows = "".join(writer.between + writer.record(item) for item in _block()), _BLOCK_ITEMS
    first = writer.record(attendee(_BLOCK_ITEMS))
    packed = block.encode()
    times = max(-(-size // len(packed)), 1)
    parts = (Repeated((writer.head + first).encode(), packed, times), Bytes(writer.tail.encode()))
    return ExportFile(Joined(parts), rows * times + 1)


@cache
def _block() -> Sequence[Item]:
    return [attendee(number) for number in range(_BLOCK_ITEMS)]
