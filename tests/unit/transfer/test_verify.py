"""What may land: every kind of damage is refused under its own name, good files in odd shapes are taken."""

import gzip
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError, DamagedFileError, ErrorPageError, TruncatedFileError
from haul.models.export import Column, Dataset, Format
from haul.transfer.verify import Findings, check_of, compression_of

ROWS = b"".join(b"%d,name %d,%b\n" % (n, n * 7919, b"+u-"[n % 3 : n % 3 + 1]) for n in range(5_000))
CSV = b"id,name,_DiffAction_\n" + ROWS
GZIP = gzip.compress(CSV, mtime=0)
HALF = len(CSV) // 2
TWO_MEMBERS = gzip.compress(CSV[:HALF], mtime=0) + gzip.compress(CSV[HALF:], mtime=0)
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
MESSAGE = b'{"localizedMessage": "Something went wrong", "rci": "8f1c-22"}'
COLUMNS = ["id", "name", "_DiffAction_"]


def a_dataset(columns: list[str] | None = None, form: Format | None = None) -> Dataset:
    names = COLUMNS if columns is None else columns
    return Dataset(
        name="Employee",
        table="Employee",
        columns=[Column(name=name, vendor_type="String", type="string") for name in names],
        format=form or Format(),
    )


def check(data: bytes, dataset: Dataset | None = None, step: int = 256 << 10) -> Findings:
    """Everything that `land_file` does to a file's bytes, without the file."""
    dataset = dataset or a_dataset()
    checked = check_of("Employee.csv.gz", compression_of("Employee.csv.gz", data[:step], dataset), dataset)
    for begin in range(0, len(data), step):
        checked.feed(memoryview(data)[begin : begin + step])
    return checked.finish()


def flipped(data: bytes, at: int, bits: int = 0xFF) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bits
    return bytes(changed)


def with_trailer(crc: int | None = None, size: int | None = None) -> bytes:
    """The file, with a CRC or size at its end that is not its own."""
    crc = zlib.crc32(CSV) if crc is None else crc
    return GZIP[:-8] + struct.pack("<II", crc, len(CSV) if size is None else size)


DAMAGED: dict[str, tuple[bytes, type[DamagedFileError]]] = {
    "empty": (b"", TruncatedFileError),
    "half a magic number": (GZIP[:1], TruncatedFileError),
    "the magic number alone": (GZIP[:2], TruncatedFileError),
    "cut in the header": (GZIP[:7], TruncatedFileError),
    "cut after the header": (GZIP[:10], TruncatedFileError),
    "cut in the data": (GZIP[: len(GZIP) // 2], TruncatedFileError),
    "cut before the trailer": (GZIP[:-8], TruncatedFileError),
    "cut in the trailer": (GZIP[:-4], TruncatedFileError),
    "cut by one byte": (GZIP[:-1], TruncatedFileError),
    "cut in the second member's magic number": (TWO_MEMBERS[: len(gzip.compress(CSV[:HALF])) + 1], TruncatedFileError),
    "cut in the second member": (TWO_MEMBERS[:-100], TruncatedFileError),
    "cut after the first member, within a record": (gzip.compress(CSV[:-4]), CorruptFileError),
    "wrong CRC": (with_trailer(crc=zlib.crc32(CSV) ^ 1), CorruptFileError),
    "wrong size": (with_trailer(size=len(CSV) + 1), CorruptFileError),
    "another compression method": (flipped(GZIP, 2), CorruptFileError),
    "a block type that does not exist": (GZIP[:10] + b"\x07" + GZIP[11:], CorruptFileError),
    "a bit flipped in the data": (flipped(GZIP, len(GZIP) // 2, 1), CorruptFileError),
    "zeros in the data": (GZIP[:5_000] + bytes(4_096) + GZIP[9_096:], CorruptFileError),
    "a block of the file twice": (GZIP[:8_192] + GZIP[4_096:], CorruptFileError),
    "a block of the file left out": (GZIP[:4_096] + GZIP[8_192:], CorruptFileError),
    "the wrong CRC in the first of two members": (
        flipped(TWO_MEMBERS, len(gzip.compress(CSV[:HALF])) - 8),
        CorruptFileError,
    ),
    "text behind the last member": (GZIP + b"\nConnection lost\n", CorruptFileError),
    "zeros behind the last member": (GZIP + bytes(512), CorruptFileError),
    "an error page behind the last member": (GZIP + PAGE, CorruptFileError),
    "half a file and a page": (GZIP[:9_000] + PAGE, DamagedFileError),
    "compressed twice": (gzip.compress(GZIP), CorruptFileError),
    "zip, not gzip": (b"PK\x03\x04" + GZIP[4:], CorruptFileError),
    "random bytes": (bytes(range(256)) * 40, CorruptFileError),
    "zeros alone": (bytes(10_000), CorruptFileError),
    "an HTML page": (PAGE, ErrorPageError),
    "an HTML page after blank lines": (b"\r\n\r\n  " + PAGE, ErrorPageError),
    "an XML error": (b'<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>', ErrorPageError),
    "a JSON message": (MESSAGE, ErrorPageError),
    "a JSON message with a byte order mark": (b"\xef\xbb\xbf" + MESSAGE, ErrorPageError),
    "a JSON list": (b'[{"error": "too many requests"}]', ErrorPageError),
    "a compressed HTML page": (gzip.compress(PAGE), ErrorPageError),
    "a compressed JSON message": (gzip.compress(MESSAGE), ErrorPageError),
    "a line of text": (b"upstream connect error or disconnect/reset before headers", CorruptFileError),
    "another table": (gzip.compress(b"code,name\nUA,United\n"), CorruptFileError),
    "another table, unpacked": (b"code,name\nUA,United\n", CorruptFileError),
    "a column fewer": (gzip.compress(b"id,name\n1,a\n"), CorruptFileError),
    "no header": (gzip.compress(ROWS), CorruptFileError),
    "an unknown action": (gzip.compress(CSV + b"1,a,x\n"), CorruptFileError),
    "a ragged record": (gzip.compress(CSV + b"1,+\n"), CorruptFileError),
    "an open quote": (gzip.compress(CSV + b'1,"a,+\n'), CorruptFileError),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_refused(damage: str) -> None:
    data, error = DAMAGED[damage]

    with pytest.raises(error):
        check(data)


@pytest.mark.parametrize("step", [1, 7, 4_096])
@pytest.mark.parametrize("damage", [name for name, (data, _) in DAMAGED.items() if data.startswith(GZIP[:2])])
def test_damage_is_refused_in_whatever_pieces_it_comes(damage: str, step: int) -> None:
    data, error = DAMAGED[damage]

    with pytest.raises(error):
        check(data, step=step)


@pytest.mark.parametrize("damage", DAMAGED)
def test_errors_show_nothing_of_the_content(damage: str) -> None:
    data, _ = DAMAGED[damage]

    with pytest.raises(DamagedFileError) as caught:
        check(data)

    said = str(caught.value)
    assert said.startswith("Employee.csv.gz")
    assert not any(secret in said for secret in ("log in", "wrong", "7919", "United", "ExpiredToken", "upstream"))


def test_a_cut_file_says_where_it_ended() -> None:
    with pytest.raises(TruncatedFileError, match=r"Employee.csv.gz ended after 20,000 bytes, inside a gzip member"):
        check(GZIP[:20_000])


@given(
    members=st.lists(st.integers(0, len(CSV)), max_size=6),
    places=st.lists(st.integers(0, len(CSV)), max_size=6),
)
def test_members_and_pieces_change_nothing(members: list[int], places: list[int]) -> None:
    data = b"".join(gzip.compress(CSV[begin:end], 1) for begin, end in pairwise([0, *sorted(members), len(CSV)]))
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    checked = check_of("Employee.csv.gz", "gzip", a_dataset())

    for piece in pieces:
        checked.feed(piece)
    found = checked.finish()

    assert found == Findings(
        verified=["gzip", "csv-columns", "rows"],
        bytes_uncompressed=len(CSV),
        rows=5_000,
        row_actions={"+": 1_667, "u": 1_667, "-": 1_666},
        header=COLUMNS,
    )


@given(at=st.integers(0, len(GZIP) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_taken_for_the_file(at: int, bit: int) -> None:
    """Refused, or one of the few bits of the gzip header (time, flags, system) that change nothing of the content."""
    try:
        found = check(flipped(GZIP, at, 1 << bit))
    except DamagedFileError:
        return

    assert at in range(3, 10)
    assert (found.rows, found.bytes_uncompressed) == (5_000, len(CSV))


def named(data: bytes) -> bytes:
    """Gzip with every optional field of its header."""
    extra = b"XX\x04\x00haul"
    header = b"\x1f\x8b\x08" + bytes([2 | 4 | 8 | 16]) + bytes(4) + b"\x00\x03"
    header += struct.pack("<H", len(extra)) + extra + b"Employee.csv\x00" + b"a comment\x00"
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    return header + gzip.compress(data, mtime=0)[10:]


@pytest.mark.parametrize("step", [1, 5, 256 << 10])
@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(gzip.compress(b""), 0, id="gzip of nothing"),
        pytest.param(gzip.compress(b"id,name,_DiffAction_\n"), 0, id="a header only"),
        pytest.param(gzip.compress(b"id,name,_DiffAction_"), 0, id="a header without its newline"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + CSV), 5_000, id="a byte order mark"),
        pytest.param(gzip.compress(CSV.replace(b"\n", b"\r\n")), 5_000, id="CRLF"),
        pytest.param(gzip.compress(CSV, 0), 5_000, id="stored, not compressed"),
        pytest.param(gzip.compress(CSV, 9), 5_000, id="compressed hard"),
        pytest.param(gzip.compress(b"") + GZIP + gzip.compress(b""), 5_000, id="empty members around it"),
        pytest.param(
            b"".join(gzip.compress(CSV[n : n + 997]) for n in range(0, len(CSV), 997)), 5_000, id="many members"
        ),
        pytest.param(named(CSV), 5_000, id="every optional field of the gzip header"),
        pytest.param(gzip.compress(b'"id","name","_DiffAction_"\n"1","a, b","+"\n'), 1, id="all fields quoted"),
    ],
)
def test_good_but_odd_files_are_taken(data: bytes, rows: int, step: int) -> None:
    found = check(data, step=step)

    assert found.rows == rows


def test_a_file_unpacked_on_its_way_is_taken_as_it_is() -> None:
    found = check(CSV)

    assert compression_of("Employee.csv.gz", CSV, a_dataset()) == "none"
    assert found.verified == ["csv-columns", "rows"]
    assert (found.rows, found.bytes_uncompressed) == (5_000, len(CSV))


def test_csv_without_known_columns_is_counted_but_its_columns_are_not_vouched_for() -> None:
    found = check(gzip.compress(b"x,y\n1,2\n"), a_dataset([]))

    assert (found.verified, found.rows, found.header) == (["gzip", "rows"], 1, ["x", "y"])


@pytest.mark.parametrize("page", [PAGE, MESSAGE])
def test_a_page_is_a_page_also_where_no_columns_are_known(page: bytes) -> None:
    with pytest.raises(ErrorPageError):
        check(page, a_dataset([]))


def test_nothing_is_a_file_only_where_nothing_was_to_be_unpacked() -> None:
    assert check(b"", a_dataset(form=Format(compression="none"))).rows == 0


def test_a_small_file_that_unpacks_to_much_is_checked_in_small_steps() -> None:
    """A thousand to one: 200 MB of zeros would be unpacked at once by a decompressor without a limit."""
    header = b"id,name,_DiffAction_\n"
    data = gzip.compress(header + b"1,a,+\n" * 2_000_000)

    assert check(data).rows == 2_000_000
