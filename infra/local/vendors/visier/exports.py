"""What an export of one data version holds, whole or as a delta against another, and its files.

A full export is the delta against nothing: every table is new, every row inserted. Computed from the rows by primary
key, the same bytes each time.
"""

import csv
import gzip
import hashlib
import io
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from infra.local.vendors.server import Bytes, Content, Repeated
from infra.local.vendors.visier.tables import Column, Row, Table, Tables, tables

ACTION = Column("_DiffAction_", nullable=False)
AWKWARD_NAME = "Plane Note: été/2013"
BIG_TABLE = "Sensor_Reading"
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ExportFile:
    """One file, and what is true of it."""

    file_id: int
    name: str
    table: str
    columns_of: str  # "common" or "new", as the export details have it
    content: Content
    rows: int
    actions: Mapping[str, int]


@dataclass(frozen=True)
class ColumnSet:
    columns: Sequence[Column] = ()
    files: Sequence[ExportFile] = ()


@dataclass(frozen=True)
class TableExport:
    name: str
    common: ColumnSet
    new: ColumnSet
    deleted_columns: Sequence[str]


@dataclass(frozen=True)
class ExportContent:
    tables: Sequence[TableExport]
    new_tables: Sequence[str]
    deleted_tables: Sequence[str]

    @property
    def files(self) -> dict[int, ExportFile]:
        sets = (columns for table in self.tables for columns in (table.common, table.new))
        return {file.file_id: file for columns in sets for file in columns.files}


@dataclass(frozen=True)
class Shape:
    """How an export is cut into files."""

    split_rows: int
    header_only_files: bool = False
    awkward_names: bool = False
    only: frozenset[str] | None = None  # the tables that there are
    big_file_bytes: int = 0
    big_files: int = 1


@lru_cache(maxsize=32)
def contents(version: int, base: int | None, shape: Shape) -> ExportContent:
    """The content of an export of `version`, as a delta against `base` unless that is None."""
    there = {} if base is None else _some(tables(base), shape.only)
    return _Builder(shape).export(_some(tables(version), shape.only), there, full=base is None)


@lru_cache(maxsize=256)
def sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for chunk in content.chunks(0, content.size):
        digest.update(chunk)
    return digest.hexdigest()


class _Builder:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._next_id = 1

    def export(self, version: Tables, base: Tables, *, full: bool) -> ExportContent:
        made = [self._table(table, base.get(name)) for name, table in version.items()]
        new = [self._named(name) for name in version if name not in base]
        if self._shape.big_file_bytes:
            made.append(self._big(full=full))
            new += [BIG_TABLE] if full else []
        return ExportContent(made, new, [self._named(name) for name in base if name not in version])

    def _table(self, table: Table, base: Table | None) -> TableExport:
        name = self._named(table.name)
        if base is None:
            rows = [(*row, "+") for row in table.rows.values()]
            new = self._files(f"{name}-newColumns", name, "new", (*table.columns, ACTION), rows)
            return TableExport(name, ColumnSet(), new, [])
        common = [column for column in table.columns if column in base.columns]
        added = [column for column in table.columns if column not in base.columns]
        deleted = [column.name for column in base.columns if column not in table.columns]
        changes = list(_changes(_project(table, common), _project(base, common)))
        keeps_file = changes or self._shape.header_only_files
        columns = (*common, ACTION)
        return TableExport(
            name,
            self._files(name, name, "common", columns, changes) if keeps_file else ColumnSet(columns),
            self._new_columns(name, table, added) if added else ColumnSet(),
            deleted,
        )

    def _new_columns(self, name: str, table: Table, added: list[Column]) -> ColumnSet:
        columns = [*table.columns[: table.key_size], *added]
        rows = [(*row, "+") for row in _project(table, columns).values()]
        return self._files(f"{name}-newColumns", name, "new", (*columns, ACTION), rows)

    def _files(
        self, stem: str, table: str, columns_of: str, columns: Sequence[Column], rows: Sequence[Row]
    ) -> ColumnSet:
        parts = [rows[at : at + self._shape.split_rows] for at in range(0, len(rows), self._shape.split_rows)]
        files = [
            self._file(
                f"{stem}_part{number}.csv.gz",
                table,
                columns_of,
                Bytes(gzip.compress(_csv([[column.name for column in columns], *part]), 6, mtime=0)),
                Counter(row[-1] for row in part),
            )
            for number, part in enumerate(parts or [[]])
        ]
        return ColumnSet(columns, files)

    def _file(self, name: str, table: str, columns_of: str, content: Content, actions: Mapping[str, int]) -> ExportFile:
        file_id, self._next_id = self._next_id, self._next_id + 1
        counted = {action: actions.get(action, 0) for action in "+u-"}
        return ExportFile(file_id, name, table, columns_of, content, sum(counted.values()), counted)

    def _big(self, *, full: bool) -> TableExport:
        action = "+" if full else "u"
        head, block, rows = _big_members(action)
        times = max(-(-(self._shape.big_file_bytes - len(head)) // len(block)), 1)
        columns_of, stem = ("new", f"{BIG_TABLE}-newColumns") if full else ("common", BIG_TABLE)
        files = [
            self._file(
                f"{stem}_part{number}.csv.gz",
                BIG_TABLE,
                columns_of,
                Repeated(head, block, times),
                {action: rows * times},
            )
            for number in range(self._shape.big_files)
        ]
        made = ColumnSet((*_BIG_COLUMNS, ACTION), files)
        return TableExport(BIG_TABLE, *((ColumnSet(), made) if full else (made, ColumnSet())), [])

    def _named(self, table: str) -> str:
        return AWKWARD_NAME if self._shape.awkward_names and table == "Plane_Note" else table


def _some(tables: Tables, only: frozenset[str] | None) -> Tables:
    return {name: table for name, table in tables.items() if only is None or name in only}


def _project(table: Table, columns: Iterable[Column]) -> dict[Row, Row]:
    places = [table.columns.index(column) for column in columns]
    return {key: tuple(row[at] for at in places) for key, row in table.rows.items()}


def _changes(version: Mapping[Row, Row], base: Mapping[Row, Row]) -> Iterable[Row]:
    """Every row that differs, with what happened to it; a deleted one as it was."""
    for key, row in version.items():
        if key not in base:
            yield (*row, "+")
        elif base[key] != row:
            yield (*row, "u")
    for key, row in base.items():
        if key not in version:
            yield (*row, "-")


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


_BIG_COLUMNS = (
    Column("PlaneID", key=True, nullable=False),
    Column("Read_On", "Date", key=True, nullable=False),
    Column("EventIndexOnDate", "Integer", key=True, nullable=False),
    Column("Sensor"),
    Column("Reading", "Number"),
    Column("Comment"),
)


@cache
def _big_members(action: str) -> tuple[bytes, bytes, int]:
    """A gzip member with the header row, one of about a MiB with rows, and how many.

    The same rows over and over, so keys repeat: this table is for measuring, not for merging.
    """
    rows, chance, index = list[list[str]](), random.Random(2013), 0  # noqa: S311 - no secret is made of it
    packer, packed = zlib.compressobj(6, zlib.DEFLATED, 31), bytearray()
    while len(packed) < _BLOCK_BYTES:
        rows = [
            [
                f"N{chance.randrange(100, 999)}UW",
                str(1_357_000_000_000 + 86_400_000 * chance.randrange(365)),
                str(index := index + 1),
                chance.choice(("egt", "n1", "n2", "oil pressure", "vibration, left")),
                f"{chance.uniform(0, 1000):.6f}",
                "" if chance.random() < 0.9 else 'checked, "fine"',
                action,
            ]
            for _ in range(1000)
        ]
        packed += packer.compress(_csv(rows)) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed += packer.flush()
    header = [column.name for column in (*_BIG_COLUMNS, ACTION)]
    return gzip.compress(_csv([header]), mtime=0), bytes(packed), index
