"""The counter against Python's own csv module: the same counts, whatever the pieces, or a refusal."""

import csv
import io
from collections import Counter
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError
from haul.models.export import Column, Dataset, Format
from haul.transfer.csv_records import ACTION_COLUMN, ACTIONS, CsvRecords
from haul.transfer.records import MAX_RECORD_BYTES

NASTY = st.text(alphabet='ab,"\n\r é+-u', max_size=6)


def a_dataset(*columns: str, form: Format | None = None) -> Dataset:
    named = [Column(name=name, vendor_type="String", type="string") for name in columns]
    return Dataset(name="Employee", table="Employee", columns=named, format=form or Format())


def read(dataset: Dataset, *pieces: bytes) -> CsvRecords:
    records = CsvRecords("Employee.csv", dataset)
    for piece in pieces:
        records.feed(piece)
    records.finish()
    return records


def as_python_reads(data: bytes) -> list[list[str]]:
    return [record or [""] for record in csv.reader(io.StringIO(data.decode(), newline=""))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header with `_DiffAction_` somewhere, and rows of anything that a CSV writer can write."""
    width = draw(st.integers(0, 4))
    at = draw(st.integers(0, width))
    header = [f"column {n}" for n in range(width)]
    rows = draw(
        st.lists(st.tuples(st.lists(NASTY, min_size=width, max_size=width), st.sampled_from(ACTIONS)), max_size=20)
    )
    header.insert(at, ACTION_COLUMN)
    return header, [[*cells[:at], action, *cells[at:]] for cells, action in rows]


@given(
    table=tables(),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    last=st.sampled_from(["with", "without"]),
    places=st.lists(st.integers(0, 10_000), max_size=8),
)
def test_any_csv_in_any_pieces_counts_as_the_csv_module_counts(
    table: tuple[list[str], list[list[str]]], newline: str, quoting: Literal[0, 1], last: str, places: list[int]
) -> None:
    header, rows = table
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=newline, quoting=quoting).writerows([header, *rows])
    data = text.getvalue().encode()
    data = data if last == "with" else data.removesuffix(newline.encode())
    at = header.index(ACTION_COLUMN)

    records = read(a_dataset(*header), *cut(data, places))

    assert records.header == header
    assert records.rows == len(rows) == len(as_python_reads(data)) - 1
    assert records.actions == {action: Counter(row[at] for row in rows)[action] for action in ACTIONS}


@given(data=st.text(alphabet='a,"\n\r', max_size=40).map(str.encode), places=st.lists(st.integers(0, 40), max_size=4))
def test_what_is_accepted_is_what_the_csv_module_reads(data: bytes, places: list[int]) -> None:
    """Any text: refused, or as many records as any other reader finds, each as long as the first."""
    try:
        records = read(a_dataset(), *cut(data, places))
    except CorruptFileError:
        return

    read_by_python = as_python_reads(data)
    assert records.rows == max(0, len(read_by_python) - 1)
    assert len({len(record) for record in read_by_python}) <= 1


@given(data=st.text(alphabet='a,"\n\r', max_size=40).map(str.encode), places=st.lists(st.integers(0, 40), max_size=6))
def test_pieces_change_nothing(data: bytes, places: list[int]) -> None:
    def outcome(*pieces: bytes) -> tuple[int, list[str] | None] | None:
        try:
            records = read(a_dataset(), *pieces)
        except CorruptFileError:
            return None
        return records.rows, records.header

    assert outcome(data) == outcome(*cut(data, places))


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"", 0, id="nothing at all"),
        pytest.param(b"a,b\n", 0, id="a header only"),
        pytest.param(b"a,b", 0, id="a header only, without its newline"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", 1, id="a byte order mark"),
        pytest.param(b'\xef\xbb\xbf"a","b"\n1,2\n', 1, id="a byte order mark before a quote"),
        pytest.param(b"b,a\n1,2\n", 1, id="columns in another order"),
        pytest.param(b"a,b\r\n1,2\n3,4\r\n", 2, id="mixed newlines"),
        pytest.param(b'a,b\n"x\ny","p,q"\n', 1, id="newline and delimiter in quotes"),
        pytest.param(b'a,b\n"say ""yes""",""\n"""",""""""\n', 2, id="quotes in quotes"),
        pytest.param(b'a,b\n"\r",2\n', 1, id="a carriage return in quotes"),
        pytest.param(b"a,b\n,\n,\n", 2, id="empty fields"),
        pytest.param("a,b\nÄpfel,東京\n".encode(), 1, id="other scripts"),
        pytest.param(b"a,b\n" + b"x" * 5_000_000 + b",1\n", 1, id="a field of 5 MB"),
    ],
)
def test_good_but_odd_files_are_taken(data: bytes, rows: int) -> None:
    assert read(a_dataset("a", "b"), data).rows == rows


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"a,b\n1,2\n1\n", "record 3 has 1 fields where there should be 2", id="a field missing"),
        pytest.param(b"a,b\n1,2,3\n", "record 2 has 3 fields", id="a field too many"),
        pytest.param(b"a,b\n1,2,3\n4\n", "record 2 has 3 fields", id="one too many and one too few"),
        pytest.param(b"a,b\n1,2\n\n3,4\n", "record 3 has 1 fields", id="a blank line"),
        pytest.param(b'a,b\n1,"2\n3,4\n', "record 2 ends inside a quoted field", id="an open quote"),
        pytest.param(b'a,b\n1,x"y"\n', "a quote in the middle of a field", id="a quote inside"),
        pytest.param(b'a,b\n1,"x"y\n', "a quote in the middle of a field", id="text behind a quoted field"),
        pytest.param(b"a,b\n1,2\r3,4\n", "a carriage return outside of quotes", id="a bare carriage return"),
        pytest.param(b"a,b\r1,2\r", "first record is not CSV", id="carriage returns alone"),
        pytest.param(b"a\n1\n", "its header lacks b", id="a column missing"),
        pytest.param(b"a,b,c\n1,2,3\n", "its header has 3 columns where the export has 2", id="a column too many"),
        pytest.param(b"a,b,b\n1,2,3\n", "its header has 3 columns", id="a column twice"),
        pytest.param(b"17,Ada\n1,2\n", "its header lacks a, b", id="a row in place of the header"),
        pytest.param(b"a,\xff\xfeb\n", "first record is not CSV in utf-8", id="a header in another encoding"),
    ],
)
def test_wrong_csv_is_refused_and_says_where(data: bytes, says: str) -> None:
    with pytest.raises(CorruptFileError, match=says):
        read(a_dataset("a", "b"), data)


def test_a_row_in_place_of_the_header_is_not_repeated_in_the_error() -> None:
    with pytest.raises(CorruptFileError) as caught:
        read(a_dataset("a", "b"), b"17,Ada Lovelace\n")

    assert "Ada" not in str(caught.value)


def test_many_missing_columns_are_not_all_named() -> None:
    with pytest.raises(CorruptFileError, match="lacks c0, c1, c2, c3, c4 and 95 more"):
        read(a_dataset(*(f"c{n}" for n in range(100))), b"x\n")


def test_a_record_without_end_is_given_up_before_it_fills_the_memory() -> None:
    megabytes = [b"x" * (1 << 20)] * (MAX_RECORD_BYTES // (1 << 20) + 1)

    with pytest.raises(CorruptFileError, match="record 1 is longer than 16,777,216 bytes"):
        read(a_dataset(), *megabytes)


@pytest.mark.parametrize("value", [b"x", b"", b"++", b" +", b"x+", b'"x"', b'"+ "'])
@pytest.mark.parametrize(
    ("header", "row"), [(b"a,_DiffAction_", b"1,%b"), (b"_DiffAction_,a", b"%b,1"), (b"_DiffAction_", b"%b")]
)
def test_an_unknown_action_is_refused(header: bytes, row: bytes, value: bytes) -> None:
    data = b"\n".join([header, row % b"+", row % value, b""])
    columns = header.decode().split(",")

    with pytest.raises(CorruptFileError, match="1 of the 2 records from 2 on have a _DiffAction_"):
        read(a_dataset(*columns), data)


def test_records_without_a_header_are_all_rows() -> None:
    form = Format(header=False, delimiter=";")

    records = read(a_dataset("a", "b", form=form), b"1;2\n3;4\n")

    assert (records.rows, records.header) == (2, None)
    with pytest.raises(CorruptFileError, match="record 1 has 3 fields where there should be 2"):
        read(a_dataset("a", "b", form=form), b"1;2;3\n")


def test_blank_lines_are_rows_where_there_is_one_column() -> None:
    """A null in the only column is an empty line; Python's module calls it a record too."""
    assert read(a_dataset("a"), b"a\n1\n\n2\n").rows == 3
