"""Counting CSV records at the speed of `bytes.translate`, exactly as RFC 4180 reads them.

Nothing here looks at one record at a time. A block of whole records is first flattened: what is quoted is dropped by
splitting at the quotes, for every other piece lies outside of them. Then everything but delimiters and newlines
is deleted, and what is left must be the same short line over and over.

What readers disagree about is refused rather than counted in one of their ways: a quote inside an unquoted field, a
carriage return that is not part of a newline, a record with more or fewer fields than the header. A blank line
is a record of one empty field, so it is right only in a file of one column.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import NoReturn

from haul.errors import CorruptFileError
from haul.models.export import Dataset
from haul.transfer.pages import is_markup_or_json
from haul.transfer.records import MAX_RECORD_BYTES, compare_columns

ACTION_COLUMN = "_DiffAction_"
ACTIONS = ("+", "u", "-")
_BOM = b"\xef\xbb\xbf"


class CsvRecords:
    """Counts what is fed to it; `rows` leaves the header out, `actions` counts rows by `_DiffAction_`.

    The header must have exactly the dataset's columns, in any order: a reader maps them by name, and the manifest
    gets the order as it came.
    """

    def __init__(self, name: str, dataset: Dataset) -> None:
        form = dataset.format
        self.header: list[str] | None = None
        self.rows = 0
        self.actions: dict[str, int] | None = None
        self._name = name
        self._columns = [column.name for column in dataset.columns]
        self.verified = ["csv-columns", "rows"] if self._columns else ["rows"]
        self._encoding = form.encoding
        self._has_header = form.header
        self._delimiter = form.delimiter.encode()
        self._quote = form.quote.encode()
        self._all_but_structure = bytes(set(range(256)) - {*self._delimiter, *b"\n"})
        self._width = 0
        self._record = b""
        self._action_at = -1
        self._tail = b""

    def feed(self, data: bytes) -> None:
        data = self._tail + data if self._tail else data
        cut = self._end_of_records(data)
        self._tail = data[cut:]
        if len(self._tail) > MAX_RECORD_BYTES:
            raise CorruptFileError(f"{self._name}: record {self._next} is longer than {MAX_RECORD_BYTES:,} bytes")
        if cut:
            self._take(data[:cut])

    def finish(self) -> None:
        """Take in a last record without its newline."""
        if not self._tail:
            return
        if self._tail.count(self._quote) % 2:
            raise CorruptFileError(f"{self._name}: record {self._next} ends inside a quoted field")
        last, self._tail = self._tail + b"\n", b""
        self._take(last)

    def begin(self, start: bytes) -> None:
        """Take in the first record alone, of a file that begins with `start` or is no longer than it."""
        if start:
            cut = self._end_of_first(start)
            self._take(start[:cut] if cut else start + b"\n")

    def is_page(self, start: bytes, *, refused: bool) -> bool:
        # Any text is CSV of some kind, so without columns to compare with nothing else shows what it is.
        return (refused or not self._columns) and is_markup_or_json(start)

    @property
    def _first_row(self) -> int:
        """The number of the first row, the way a person counts records: a header is the first of them."""
        return 1 if self.header is None else 2

    @property
    def _next(self) -> str:
        return f"{self.rows + self._first_row:,}"

    def _end_of_records(self, data: bytes) -> int:
        """Where the last newline outside of quotes ends; `data` begins outside of them."""
        cut = data.rfind(b"\n")
        if cut < 0 or self._quote not in data:
            return cut + 1
        inside = data.count(self._quote, 0, cut) % 2
        while inside and cut >= 0:
            before = data.rfind(b"\n", 0, cut)
            inside = (inside - data.count(self._quote, max(before, 0), cut)) % 2
            cut = before
        return cut + 1

    def _end_of_first(self, data: bytes) -> int:
        """Where the first newline outside of quotes ends, 0 if there is none."""
        at = inside = 0
        while (end := data.find(b"\n", at)) >= 0:
            inside = (inside + data.count(self._quote, at, end)) % 2
            at = end + 1
            if not inside:
                return at
        return 0

    def _take(self, block: bytes) -> None:
        """Count a block of whole records."""
        if not self._width:
            block = self._take_first(block)
        # Looking for one byte costs next to nothing, looking for two as much as all the rest.
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        flat = self._flattened(block) if self._quote in block else block
        if b"\r" in flat:
            raise CorruptFileError(f"{self._name} has a carriage return outside of quotes from record {self._next} on")
        structure = flat.translate(None, self._all_but_structure)
        rows = structure.count(b"\n")
        if structure != self._record * rows:
            self._refuse(structure)
        if self.actions is not None:
            self._count_actions(self.actions, block, flat, rows)
        self.rows += rows

    def _take_first(self, block: bytes) -> bytes:
        """Learn what records look like from the first; what comes after the header."""
        cut = self._end_of_first(block)
        first = self._parsed(block[:cut].removeprefix(_BOM))
        columns = first if self._has_header else self._columns
        if self._has_header:
            if self._columns:
                compare_columns(self._name, "header", first, self._columns)
            self.header = first
        self._width = len(columns) or len(first)
        self._record = self._delimiter * (self._width - 1) + b"\n"
        if ACTION_COLUMN in columns:
            self._action_at = columns.index(ACTION_COLUMN)
            self.actions = dict.fromkeys(ACTIONS, 0)
        return block[cut:] if self._has_header else block

    def _parsed(self, record: bytes) -> list[str]:
        try:
            text = io.StringIO(record.decode(self._encoding), newline="")
            [fields] = csv.reader(text, delimiter=self._delimiter.decode(), quotechar=self._quote.decode(), strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError):
            raise CorruptFileError(f"{self._name}: its first record is not CSV in {self._encoding}") from None
        return fields or [""]

    def _flattened(self, block: bytes) -> bytes:
        """Put quotes alone in place of what they hold, so that each newline and delimiter left ends something."""
        outside = block.split(self._quote)[::2]
        flat = self._quote.join(outside)
        # Nothing but an escaped quote ends and begins a quoted piece at the same place.
        fields = len(outside) - 1 - outside[1:-1].count(b"")
        opened = flat.startswith(self._quote) + flat.count(self._delimiter + self._quote)
        opened += flat.count(b"\n" + self._quote) if opened < fields else 0
        closed = flat.count(self._quote + self._delimiter)
        closed += flat.count(self._quote + b"\n") if closed < fields else 0
        if not opened == closed == fields:
            raise CorruptFileError(f"{self._name} has a quote in the middle of a field from record {self._next} on")
        return flat

    def _refuse(self, structure: bytes) -> NoReturn:
        for ahead, record in enumerate(structure.split(b"\n")):
            if len(record) != self._width - 1:
                number = self.rows + self._first_row + ahead
                fields = len(record) + 1
                raise CorruptFileError(
                    f"{self._name}: record {number:,} has {fields:,} fields where there should be {self._width:,}"
                )
        raise AssertionError("the structure differs, so one of its records does")

    def _count_actions(self, actions: dict[str, int], block: bytes, flat: bytes, rows: int) -> None:
        found = dict.fromkeys(actions, 0)
        if 0 < self._action_at == self._width - 1:
            # What was frequent so far is looked for first: most files have one action only.
            for action in sorted(actions, key=actions.__getitem__, reverse=True):
                if sum(found.values()) < rows:
                    found[action] = self._count_ends(action.encode(), block, flat)
        else:
            values = Counter(self._values(block, flat))
            found = {action: values[action.encode()] for action in actions}
        if unknown := rows - sum(found.values()):
            raise CorruptFileError(
                f"{self._name}: {unknown:,} of the {rows:,} records from {self._next} on have a {ACTION_COLUMN} that "
                f"is none of {' '.join(ACTIONS)}"
            )
        for action, count in found.items():
            actions[action] += count

    def _count_ends(self, value: bytes, block: bytes, flat: bytes) -> int:
        """How many records end with this field. In quotes the delimiter before them says that it is a field."""
        count = flat.count(self._delimiter + value + b"\n")
        if flat is not block:
            count += block.count(self._delimiter + self._quote + value + self._quote + b"\n")
        return count

    def _values(self, block: bytes, flat: bytes) -> Iterator[bytes]:
        """One column, record by record: where it is not the last, there is no faster way."""
        at = self._action_at
        if flat is block:
            return (line.split(self._delimiter, at + 1)[at] for line in block.split(b"\n")[:-1])
        text = io.StringIO(block.decode(self._encoding, errors="replace"), newline="")
        records = csv.reader(text, delimiter=self._delimiter.decode(), quotechar=self._quote.decode())
        return (record[at].encode() for record in records)
