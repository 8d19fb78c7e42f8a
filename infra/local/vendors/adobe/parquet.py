"""Parquet files of any size, with nested columns, written with the standard library alone.

A file has one row group. Its column chunks are Snappy pages, PLAIN encoded; a bigger file is the same pages more
often, so that its size costs no memory.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple

from infra.local.vendors.server import Bytes, Content, Repeated

MAGIC = b"PAR1"
_BLOCK_BYTES = 256 * 1024
_BYTE_ARRAY, _UTF8, _SNAPPY = 6, 0, 1
_PLAIN, _RLE = 0, 3
_REPETITIONS = {"required": 0, "optional": 1, "repeated": 2}
_ANNOTATIONS = {"map": 1, "list": 3}


@dataclass(frozen=True)
class Node:
    """A column, or a group of them. One without children holds text."""

    name: str
    children: tuple["Node", ...] = ()
    repetition: Literal["required", "optional", "repeated"] = "optional"
    annotation: Literal["", "map", "list"] = ""


def list_of(name: str, *fields: Node) -> Node:
    """A list of objects: in Parquet a group of a repeated group of an element."""
    element = Node("element", fields)
    return Node(name, (Node("list", (element,), "repeated"),), annotation="list")


def map_of(name: str, value: Node) -> Node:
    """Texts to `value`, whose name is always `value`."""
    entry = Node("key_value", (Node("key", (), "required"), value), "repeated")
    return Node(name, (entry,), annotation="map")


class ParquetFile(NamedTuple):
    content: Content
    rows: int


def written(columns: Sequence[Node], rows: Sequence[Mapping[str, Any]], *, at_least: int = 0) -> ParquetFile:
    """Write `rows`, over and over until the file has `at_least` so many bytes."""
    chunks = [_Chunk(*leaf) for leaf in _leaves(columns)]
    by_path = {chunk.path: chunk for chunk in chunks}
    for row in rows:
        for column in columns:
            _shred(column, row.get(column.name), (column.name,), by_path)
    pages = [chunk.page() for chunk in chunks]
    times = max(-(-at_least // sum(map(len, pages))), 1)
    bodies = [Joined(tuple(_repeated(page, times))) for page in pages]
    footer = _footer(columns, chunks, [body.size for body in bodies], rows=len(rows), times=times)
    tail = footer + struct.pack("<I", len(footer)) + MAGIC
    return ParquetFile(Joined((Bytes(MAGIC), *bodies, Bytes(tail))), len(rows) * times)


def _repeated(page: bytes, times: int) -> Iterator[Content]:
    """A page so many times, in blocks that are worth a write."""
    in_a_block = max(min(_BLOCK_BYTES // len(page), times), 1)
    yield Repeated(b"", page * in_a_block, times // in_a_block)
    yield Repeated(b"", page, times % in_a_block)


@dataclass(frozen=True)
class Joined:
    """Bodies one after another."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        at = 0
        for part in self.parts:
            begin, end = max(start - at, 0), min(stop - at, part.size)
            if begin < end:
                yield from part.chunks(begin, end)
            at += part.size


# Rows to columns: every value comes with how deep it repeats and how much of its path is there


@dataclass
class _Chunk:
    path: tuple[str, ...]
    max_definition: int
    max_repetition: int
    repetitions: list[int] = field(default_factory=list)
    definitions: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    unpacked_bytes: int = 0

    def add(self, value: str | None, *, repetition: int, definition: int) -> None:
        self.repetitions.append(repetition)
        self.definitions.append(definition)
        if value is not None:
            data = value.encode()
            self.values.append(struct.pack("<I", len(data)) + data)

    def page(self) -> bytes:
        """All values as one page."""
        body = _levels(self.repetitions, self.max_repetition) + _levels(self.definitions, self.max_definition)
        body += b"".join(self.values)
        packed = _snappy(body)
        about = _struct({1: _i32(len(self.definitions)), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)})
        header = _struct({1: _i32(0), 2: _i32(len(body)), 3: _i32(len(packed)), 5: about}).data
        self.unpacked_bytes = len(header) + len(body)
        return header + packed


def _leaves(
    nodes: Iterable[Node], path: tuple[str, ...] = (), definition: int = 0, repetition: int = 0
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Every leaf with the most of its levels."""
    for node in nodes:
        here = (*path, node.name)
        defined = definition + (node.repetition != "required")
        repeated = repetition + (node.repetition == "repeated")
        if node.children:
            yield from _leaves(node.children, here, defined, repeated)
        else:
            yield here, defined, repeated


class _Level(NamedTuple):
    """How deep a value repeats, how much of its path is there, and how many repeated groups it is in."""

    repetition: int = 0
    definition: int = 0
    depth: int = 0


def _shred(
    node: Node,
    value: Any,
    path: tuple[str, ...],
    chunks: Mapping[tuple[str, ...], _Chunk],
    level: _Level = _Level(),  # noqa: B008 - it cannot change
) -> None:
    repetition, definition, depth = level
    if node.repetition == "repeated":
        items, definition, depth = value or [None], definition + bool(value), depth + 1
    else:
        items, definition = [value], definition + (node.repetition == "optional" and value is not None)
    for place, item in enumerate(items):
        here = _Level(depth if place else repetition, definition, depth)
        if not node.children:
            chunks[path].add(item, repetition=here.repetition, definition=definition)
        inside = _inside(node, item)
        for child in node.children:
            _shred(child, inside.get(child.name), (*path, child.name), chunks, here)


def _inside(node: Node, value: Any) -> Mapping[str, Any]:
    if value is None or not node.children:
        return {}
    if node.annotation == "list":
        return {"list": [{"element": item} for item in value]}
    if node.annotation == "map":
        return {"key_value": [{"key": key, "value": item} for key, item in value.items()]}
    inside: Mapping[str, Any] = value
    return inside


def _levels(levels: Sequence[int], most: int) -> bytes:
    """Run lengths of levels, none where all are zero by nature."""
    if not most:
        return b""
    runs = b"".join(_varint(len(list(run)) << 1) + bytes([level]) for level, run in groupby(levels))
    return struct.pack("<I", len(runs)) + runs


def _snappy(data: bytes) -> bytes:
    """Snappy that leaves everything as it is: one literal."""
    literal = b"\xfc" + struct.pack("<I", len(data) - 1) + data if data else b""
    return _varint(len(data)) + literal


def _footer(columns: Sequence[Node], chunks: Sequence[_Chunk], sizes: Sequence[int], *, rows: int, times: int) -> bytes:
    metas, at = [], len(MAGIC)
    for chunk, size in zip(chunks, sizes, strict=True):
        meta = {
            1: _i32(_BYTE_ARRAY),
            2: _list([_i32(_PLAIN), _i32(_RLE)]),
            3: _list([_text(name) for name in chunk.path]),
            4: _i32(_SNAPPY),
            5: _i64(len(chunk.definitions) * times),
            6: _i64(chunk.unpacked_bytes * times),
            7: _i64(size),
            9: _i64(at),
        }
        metas.append(_struct({2: _i64(at), 3: _struct(meta)}))
        at += size
    group = _struct(
        {1: _list(metas), 2: _i64(sum(chunk.unpacked_bytes * times for chunk in chunks)), 3: _i64(rows * times)}
    )
    root = _struct({4: _text("spark_schema"), 5: _i32(len(columns))})
    schema = _list([root, *(element for column in columns for element in _elements(column))])
    return _struct({1: _i32(1), 2: schema, 3: _i64(rows * times), 4: _list([group]), 6: _text("simulated")}).data


def _elements(node: Node) -> Iterator["_Thrift"]:
    about = {3: _i32(_REPETITIONS[node.repetition]), 4: _text(node.name)}
    if node.children:
        about[5] = _i32(len(node.children))
    else:
        about |= {1: _i32(_BYTE_ARRAY), 6: _i32(_UTF8)}
    if node.annotation:
        about[6] = _i32(_ANNOTATIONS[node.annotation])
    yield _struct(about)
    for child in node.children:
        yield from _elements(child)


# Thrift's compact protocol, as much of it as a footer takes


class _Thrift(NamedTuple):
    kind: int
    data: bytes


def _i32(number: int) -> _Thrift:
    return _Thrift(5, _varint(number << 1))


def _i64(number: int) -> _Thrift:
    return _Thrift(6, _varint(number << 1))


def _text(text: str) -> _Thrift:
    data = text.encode()
    return _Thrift(8, _varint(len(data)) + data)


def _list(items: Sequence[_Thrift]) -> _Thrift:
    kind, size = items[0].kind, len(items)
    head = bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + _varint(size)
    return _Thrift(9, head + b"".join(item.data for item in items))


def _struct(fields: Mapping[int, _Thrift]) -> _Thrift:
    data, last = b"", 0
    for number, value in sorted(fields.items()):
        data += bytes([number - last << 4 | value.kind]) + value.data
        last = number
    return _Thrift(12, data + b"\0")


def _varint(number: int) -> bytes:
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])
