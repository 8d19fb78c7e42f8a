"""Parquet as its footer tells it: read once the last byte has passed, from the end of the file that was kept.

The footer says how many rows there are, which columns, and where in the file each of them lies. What the pages
hold is not looked at, nor what lies where no column does: an index of some writer's own is nobody's business.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NoReturn

from haul.errors import CorruptFileError, TruncatedFileError
from haul.models.export import Dataset
from haul.transfer.pages import is_markup_or_json
from haul.transfer.records import compare_columns
from haul.transfer.thrift import CompactReader

MAX_FOOTER_BYTES = 16 << 20
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_ENDING = 8
"""The footer's length and the magic number."""
_SIGNATURE = 28
"""What stands behind a footer that is signed and not encrypted."""


class ParquetFile:
    """Takes a Parquet file in, and keeps the end that may hold its footer."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        self.rows = 0
        self.actions: dict[str, int] | None = None
        self.header: list[str] | None = None
        self._name = name
        self._columns = [column.name for column in dataset.columns]
        self.verified = ["parquet-footer", *(["parquet-columns"] if self._columns else []), "rows"]
        self._bytes = 0
        self._start = b""
        self._pieces: deque[bytes] = deque()
        self._kept = 0

    def begin(self, start: bytes) -> None:
        if start.startswith(_ENCRYPTED):
            raise CorruptFileError(f"{self._name} is Parquet with an encrypted footer, which cannot be verified")
        if not start.startswith(_MAGIC):
            if _MAGIC.startswith(start):
                raise TruncatedFileError(f"{self._name} ended after {len(start):,} bytes")
            raise CorruptFileError(f"{self._name} is not Parquet")

    def feed(self, data: bytes) -> None:
        if self._bytes < len(_MAGIC):
            self._start += data[: len(_MAGIC) - self._bytes]
            if len(self._start) == len(_MAGIC):
                self.begin(self._start)
        self._bytes += len(data)
        self._pieces.append(data)
        self._kept += len(data)
        while self._kept - len(self._pieces[0]) >= MAX_FOOTER_BYTES + _ENDING:
            self._kept -= len(self._pieces.popleft())

    def finish(self) -> None:
        self.begin(self._start)
        end = b"".join(self._pieces)
        self._pieces.clear()
        if not end.endswith(_MAGIC) or self._bytes <= _ENDING:
            self._refuse_end(end)
        footer = self._footer(end)
        if self._columns:
            compare_columns(self._name, "schema", footer.columns, self._columns)
        self.rows, self.header = footer.rows, footer.columns

    def is_page(self, start: bytes, *, refused: bool) -> bool:
        return refused and is_markup_or_json(start)

    def _refuse_end(self, end: bytes) -> NoReturn:
        """Tell a file that goes on behind its end from one that has none."""
        magic = end.rfind(_MAGIC)
        behind = len(end) - magic - len(_MAGIC)
        try:
            self._footer(end[: magic + len(_MAGIC)], behind)
        except CorruptFileError:
            raise TruncatedFileError(f"{self._name} ended after {self._bytes:,} bytes, without a footer") from None
        raise CorruptFileError(f"{self._name} has {behind:,} bytes behind its end")

    def _footer(self, end: bytes, behind: int = 0) -> "_Footer":
        """Read the footer that `end` ends with, and check it against the file."""
        length = int.from_bytes(end[-_ENDING:-4], "little")
        begin = self._bytes - behind - _ENDING - length
        if begin < len(_MAGIC):
            raise CorruptFileError(
                f"{self._name}: a footer of {length:,} bytes does not fit in its {self._bytes - behind:,} bytes"
            )
        if length > MAX_FOOTER_BYTES:
            raise CorruptFileError(
                f"{self._name}: its footer has {length:,} bytes, more than the {MAX_FOOTER_BYTES:,} that are read"
            )
        try:
            footer = _read(end[-_ENDING - length : -_ENDING])
        except (IndexError, ValueError) as error:
            why = f": {error}" if type(error) is ValueError else ""
            raise CorruptFileError(f"{self._name}: its footer cannot be read{why}") from None
        if problem := _problem(footer, begin):
            raise CorruptFileError(f"{self._name}: {problem}")
        return footer


@dataclass
class _RowGroup:
    """Where the column chunks lie that hold some of the rows; `begin` and `end` are None if none of them says."""

    rows: int = -1
    chunks: int = 0
    begin: int | None = None
    end: int | None = None
    elsewhere: bool = False

    def reach(self, begin: int, end: int) -> None:
        self.begin = begin if self.begin is None else min(begin, self.begin)
        self.end = end if self.end is None else max(end, self.end)


@dataclass
class _Footer:
    """What a FileMetaData says, as far as it is of use here."""

    rows: int = -1
    columns: list[str] = field(default_factory=list)
    leaves: int = -1
    groups: list[_RowGroup] = field(default_factory=list)


def _problem(footer: _Footer, limit: int) -> str | None:
    """Say what cannot be right about a file whose footer begins at `limit`."""
    if footer.rows < 0 or footer.leaves < 0:
        return "its footer says nothing of its rows or columns"
    for number, group in enumerate(footer.groups, 1):
        if group.elsewhere:
            return f"row group {number:,} is kept in another file"
        if group.chunks != footer.leaves:
            return f"row group {number:,} has {group.chunks:,} column chunks where the schema has {footer.leaves:,}"
        if group.begin is not None and group.end is not None and not len(_MAGIC) <= group.begin <= group.end <= limit:
            return (
                f"row group {number:,} reaches from byte {group.begin:,} to {group.end:,} where the footer begins "
                f"at {limit:,}"
            )
    rows = sum(group.rows for group in footer.groups)
    if rows != footer.rows:
        return f"its row groups have {rows:,} rows where its footer says {footer.rows:,}"
    return None


def _read(data: bytes) -> _Footer:
    """Read a FileMetaData.

    Raises:
        ValueError, IndexError: it is none.
    """
    thrift = CompactReader(data)
    footer = _Footer()
    signed = False
    for number, kind in thrift.fields():
        match number:
            case 2:
                footer.columns, footer.leaves = _read_schema(thrift, kind)
            case 3:
                footer.rows = thrift.integer(kind)
            case 4:
                footer.groups = [_read_group(thrift) for _ in thrift.structs(kind)]
            case _:
                signed = signed or number == 8
                thrift.skip(kind)
    if thrift.at + (_SIGNATURE if signed else 0) != len(data):
        raise ValueError(f"it ends after {thrift.at:,} of its {len(data):,} bytes")
    return footer


def _read_schema(thrift: CompactReader, kind: int) -> tuple[list[str], int]:
    """The names of the columns at the top, and how many columns there are at the leaves."""
    columns: list[str] = []
    leaves = 0
    # How many elements each open group still waits for; what is the outermost's is at the top.
    open_groups: list[int] = []
    for at, _ in enumerate(thrift.structs(kind)):
        name, children, is_leaf = _read_element(thrift)
        if at:
            if not open_groups:
                raise ValueError("its schema has an element that belongs to nothing")
            if len(open_groups) == 1:
                columns.append(name)
            open_groups[-1] -= 1
            leaves += is_leaf
        if children:
            open_groups.append(children)
        while open_groups and not open_groups[-1]:
            open_groups.pop()
    if open_groups:
        raise ValueError("its schema lacks elements")
    return columns, leaves


def _read_element(thrift: CompactReader) -> tuple[str, int, bool]:
    """Name, how many elements are right below it, and whether it has a type, as leaves alone do."""
    name, children, is_leaf = None, 0, False
    for number, kind in thrift.fields():
        match number:
            case 1:
                is_leaf = True
                thrift.skip(kind)
            case 4:
                name = thrift.binary(kind).decode()
            case 5:
                children = thrift.integer(kind)
            case _:
                thrift.skip(kind)
    if name is None or children < 0:
        raise ValueError("its schema has an element without a name")
    return name, children, is_leaf


def _read_group(thrift: CompactReader) -> _RowGroup:
    group = _RowGroup()
    for number, kind in thrift.fields():
        match number:
            case 1:
                for _ in thrift.structs(kind):
                    group.chunks += 1
                    _read_chunk(thrift, group)
            case 3:
                group.rows = thrift.integer(kind)
            case _:
                thrift.skip(kind)
    if group.rows < 0:
        raise ValueError("a row group does not say how many rows it has")
    return group


def _read_chunk(thrift: CompactReader, group: _RowGroup) -> None:
    for number, kind in thrift.fields():
        match number:
            case 1:
                group.elsewhere = bool(thrift.binary(kind)) or group.elsewhere
            case 3:
                _read_place(thrift, kind, group)
            case _:
                thrift.skip(kind)


def _read_place(thrift: CompactReader, kind: int, group: _RowGroup) -> None:
    """Where the pages of a column chunk begin and end, by its ColumnMetaData."""
    size, offsets = -1, []
    for number, of in thrift.struct(kind):
        match number:
            case 7:
                size = thrift.integer(of)
            case 9 | 11:
                offsets.append(thrift.integer(of))
            case _:
                thrift.skip(of)
    # Some writers say 0 for a dictionary that is not there.
    begin = min(filter(None, offsets), default=0)
    if size < 0:
        raise ValueError("a column chunk does not say how long it is")
    if size:
        group.reach(begin, begin + size)
