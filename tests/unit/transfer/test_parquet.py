"""Parquet footers of real writers, and of our own where they must be wrong."""

import tracemalloc
from itertools import pairwise, repeat
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError, DamagedFileError, TruncatedFileError
from haul.models.export import Column, Dataset, Format
from haul.transfer.parquet import MAX_FOOTER_BYTES, ParquetFile

FILES = Path(__file__).parent / "files"
PROFILES = (FILES / "profiles.parquet").read_bytes()
COLUMNS = ["_id", "identityMap", "personalEmail", "visits", "lastSeen"]


def read(*pieces: bytes, columns: list[str] | None = None) -> ParquetFile:
    named = [Column(name=name, vendor_type="string", type="string") for name in columns or []]
    form = Format(type="parquet", compression="none")
    records = ParquetFile("part-00000.parquet", Dataset(name="profiles", table="profiles", format=form, columns=named))
    for piece in pieces:
        records.feed(piece)
    records.finish()
    return records


# Thrift's compact protocol, written: a value is its kind and its bytes.
type Value = tuple[int, bytes]


def varint(number: int) -> bytes:
    return (bytes([number & 0x7F | 0x80]) + varint(number >> 7)) if number > 0x7F else bytes([number])


def integer(number: int) -> Value:
    return 6, varint(number << 1 if number >= 0 else ~(number << 1))


def text(value: str | bytes) -> Value:
    data = value.encode() if isinstance(value, str) else value
    return 8, varint(len(data)) + data


def listing(*items: Value) -> Value:
    kind = items[0][0] if items else 12
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + varint(len(items))
    return 9, head + b"".join(data for _, data in items)


def struct(fields: dict[int, Value]) -> Value:
    data, last = b"", 0
    for number, (kind, value) in fields.items():
        step = number - last
        data += (bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + integer(number)[1]) + value
        last = number
    return 12, data + b"\0"


def element(name: str | bytes, children: int = 0) -> Value:
    return struct({4: text(name), 5: integer(children)} if children else {1: integer(6), 4: text(name)})


def chunk(begin: int = 4, size: int = 100, **also: Value) -> Value:
    fields = {7: integer(size), 9: integer(begin)} | {int(name[1:]): value for name, value in also.items()}
    return struct({2: integer(0), 3: struct(fields)})


def group(*chunks: Value, rows: int = 5) -> Value:
    return struct({1: listing(*chunks), 2: integer(1_000), 3: integer(rows)})


ROOT = element("schema", 2)
GOOD: dict[int, Value] = {
    1: integer(2),
    2: listing(ROOT, element("id"), element("name")),
    3: integer(10),
    4: listing(group(chunk(4), chunk(104)), group(chunk(204), chunk(304, f11=integer(0)))),
}


def a_file(changes: dict[int, Value | None] | None = None, footer: bytes | None = None, pages: int = 400) -> bytes:
    fields = {number: value for number, value in (GOOD | (changes or {})).items() if value}
    footer = struct(fields)[1] if footer is None else footer
    return b"PAR1" + bytes(pages) + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@given(places=st.lists(st.integers(0, len(PROFILES)), max_size=8))
def test_rows_and_columns_are_read_in_whatever_pieces_the_file_comes(places: list[int]) -> None:
    edges = sorted({0, *places, len(PROFILES)})

    found = read(*(PROFILES[begin:end] for begin, end in pairwise(edges)))

    assert (found.rows, found.header, found.verified) == (10, COLUMNS, ["parquet-footer", "rows"])


def test_no_rows_are_rows_too() -> None:
    found = read((FILES / "no-rows.parquet").read_bytes())

    assert (found.rows, found.header) == (0, COLUMNS)


@pytest.mark.parametrize("rows", [0, 1, 50_000])
@pytest.mark.parametrize(
    "options", ["compression snappy", "compression zstd, row_group_size 2048", "parquet_version v2"]
)
def test_another_writer_is_read_as_well(tmp_path: Path, rows: int, options: str) -> None:
    path = tmp_path / "x.parquet"
    query = "select i, 'x' || i % 7 as s, {'a': i, 'b': {'c': [i]}} as st, map([i], ['v']) as m, null as n"
    duckdb.sql(f"copy ({query} from range({rows}) r(i)) to '{path}' (format parquet, {options})")

    found = read(path.read_bytes())

    assert (found.rows, found.header) == (rows, ["i", "s", "st", "m", "n"])


def test_known_columns_are_held_against_the_schema_in_any_order() -> None:
    assert read(PROFILES, columns=COLUMNS[::-1]).verified == ["parquet-footer", "parquet-columns", "rows"]
    with pytest.raises(CorruptFileError, match=r"its schema lacks segmentMembership$"):
        read(PROFILES, columns=[*COLUMNS, "segmentMembership"])
    with pytest.raises(CorruptFileError, match="its schema has 5 columns where the export has 4"):
        read(PROFILES, columns=COLUMNS[:4])


def test_a_signed_footer_is_read_and_an_encrypted_one_is_named() -> None:
    assert read((FILES / "signed.parquet").read_bytes()).rows == 10
    with pytest.raises(CorruptFileError, match="an encrypted footer, which cannot be verified"):
        read((FILES / "encrypted.parquet").read_bytes())


def test_a_file_cut_anywhere_is_truncated_and_says_where() -> None:
    for end in range(len(PROFILES)):
        with pytest.raises(TruncatedFileError, match=rf"part-00000\.parquet ended after {end:,} bytes"):
            read(PROFILES[:end])


@given(at=st.integers(0, 3_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_footer_never_changes_how_many_rows_there_are(at: int, bit: int) -> None:
    changed = bytearray(PROFILES)
    changed[-1 - at] ^= 1 << bit

    try:
        found = read(bytes(changed))
    except DamagedFileError:
        return

    assert found.rows == 10


def test_the_footer_that_the_other_tests_spoil_is_good() -> None:
    found = read(a_file())

    assert (found.rows, found.header) == (10, ["id", "name"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"PK\x03\x04" + PROFILES[4:], "is not Parquet", id="another magic number"),
        pytest.param(PROFILES + b"\n", "has 1 bytes behind its end", id="a newline behind the end"),
        pytest.param(PROFILES + bytes(512), "has 512 bytes behind its end", id="zeros behind the end"),
        pytest.param(PROFILES[:1_000] + PROFILES[2_000:], "its footer begins|footer begins at", id="a block left out"),
        pytest.param(a_file(footer=b""), "its footer cannot be read", id="a footer of nothing"),
        pytest.param(a_file(footer=bytes(100)), "it ends after 1 of its 100 bytes", id="zeros in place of the footer"),
        pytest.param(a_file(footer=b"\xff" * 100), "its footer cannot be read", id="noise in place of the footer"),
        pytest.param(PROFILES[:-8] + b"\xff\xff\xff\x7fPAR1", "2,147,483,647 bytes does not fit in", id="too long"),
        pytest.param(
            a_file(footer=bytes(MAX_FOOTER_BYTES + 1)), "more than the 16,777,216 that are read", id="longer than kept"
        ),
        pytest.param(a_file({3: integer(11)}), "its row groups have 10 rows where its footer says 11", id="rows"),
        pytest.param(a_file({3: None}), "says nothing of its rows or columns", id="no rows said"),
        pytest.param(a_file({2: None}), "says nothing of its rows or columns", id="no schema"),
        pytest.param(a_file({2: integer(1)}), "a field of another kind", id="a number for the schema"),
        pytest.param(a_file({2: listing(ROOT, element("id"))}), "its schema lacks elements", id="a column missing"),
        pytest.param(
            a_file({2: listing(ROOT, *[element("id")] * 3)}), "an element that belongs to nothing", id="one too many"
        ),
        pytest.param(a_file({2: listing(struct({5: integer(1)}))}), "an element without a name", id="no name"),
        pytest.param(a_file({2: listing(element(b"\xff\xfe"))}), r"its footer cannot be read$", id="no UTF-8"),
        pytest.param(a_file(pages=300), "row group 2 reaches from byte 204 to 404 where", id="beyond the footer"),
        pytest.param(
            a_file({4: listing(group(chunk(0), chunk(), rows=10))}), "reaches from byte 0 to", id="over the start"
        ),
        pytest.param(a_file({4: listing(group(chunk(-9), chunk(), rows=10))}), "reaches from byte -9", id="negative"),
        pytest.param(
            a_file({4: listing(group(chunk(), rows=10))}),
            "row group 1 has 1 column chunks where the schema has 2",
            id="a chunk missing",
        ),
        pytest.param(
            a_file({4: listing(group(chunk(size=-5), chunk(), rows=10))}), "does not say how long", id="no length"
        ),
        pytest.param(a_file({4: listing(struct({1: listing()}))}), "does not say how many rows", id="a group's rows"),
        pytest.param(
            a_file({4: listing(group(struct({1: text("part-0.parquet")}), chunk(), rows=10))}),
            "row group 1 is kept in another file",
            id="a summary of other files",
        ),
        pytest.param(
            a_file({5: listing(integer(1), integer(2)), 9: (14, b"")}), "of another kind", id="a kind that is none"
        ),
        pytest.param(a_file({5: (6, b"\xff" * 11)}), "a number that is too long", id="a number without end"),
        pytest.param(a_file({5: (9, b"\x19" * 99)}), "it nests too deep", id="lists in lists"),
        pytest.param(a_file({5: (8, varint(10**9))}), "its footer cannot be read$", id="a text without end"),
        pytest.param(a_file({5: (9, b"\xf1" + varint(10**15))}), "its footer cannot be read$", id="a list without end"),
    ],
)
def test_wrong_files_are_refused_and_say_where(data: bytes, says: str) -> None:
    with pytest.raises(CorruptFileError, match=says):
        read(data)


def test_what_a_footer_may_hold_besides_is_passed_over() -> None:
    deep = struct({1: struct({1: (9, b"\x00")}), 400: (1, b"")})
    known = {
        5: listing(struct({1: text("org.apache.spark.version"), 2: text("3.5")})),
        6: text("parquet-mr"),
        7: listing(*[(2, b"\x02")] * 20),
        10: (7, bytes(8)),
        11: (13, bytes(16)),
        12: (11, varint(2) + b"\x81" + b"\x01a\x01\x01b\x02"),
        13: (11, varint(0)),
        14: (10, b"\x23\x01\x02"),
        15: (2, b""),
        500: deep,
    }

    found = read(a_file(dict(known)))

    assert (found.rows, found.header) == (10, ["id", "name"])


def test_a_column_without_pages_may_lie_anywhere() -> None:
    empty = listing(group(chunk(0, 0), chunk(), rows=10))

    assert read(a_file({4: empty})).rows == 10


def test_memory_is_that_of_the_longest_footer_at_any_size() -> None:
    """What comes is kept only as far as a footer may reach back: of 128 MB no more than that."""
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        records = ParquetFile("f", Dataset(name="d", table="d", format=Format(type="parquet", compression="none")))
        for data in (b"PAR1", *repeat(piece, 128)):
            records.feed(bytes(bytearray(data)))  # a copy, which counts as new memory
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert MAX_FOOTER_BYTES <= held < MAX_FOOTER_BYTES + (3 << 20)
    assert peak < MAX_FOOTER_BYTES + (4 << 20)
