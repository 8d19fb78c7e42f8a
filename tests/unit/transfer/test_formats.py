"""What may land of each format: damage is refused under its own name, an error page never taken for a file."""

import gzip
import json
from pathlib import Path
from typing import Literal

import pytest

from haul.errors import CorruptFileError, DamagedFileError, ErrorPageError, TruncatedFileError
from haul.models.export import Column, Dataset, Format
from haul.transfer.verify import Compression, Findings, check_of, compression_of, content_type, shows_its_end

type Kind = Literal["csv", "json", "ndjson", "parquet"]

ROWS = [{"id": str(n), "emails": [{"id": f"{n * 7919:x}@example.com"}] if n % 3 else []} for n in range(4_000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS).encode()
CSV = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n * 7919) for n in range(4_000))
PARQUET = (Path(__file__).parent / "files" / "profiles.parquet").read_bytes()
GOOD: dict[Kind, bytes] = {"csv": CSV, "json": ARRAY, "ndjson": LINES, "parquet": PARQUET}

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
XML = b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>'
FAILURE = b'{"status":"error","error":"Resource Not Found","error_id":"9eedef5f-8b2c"}'
GATEWAY = b'{"error_code":"401013","message":"Oauth token is not valid"}'
PROBLEM = b'{"type":"about:blank","status":400,"title":"BadRequestError","detail":"Please log in"}'
LOGIN = b'{"error":"invalid_grant","error_description":"Please log in"}'
PRETTY = json.dumps(json.loads(FAILURE), indent=2).encode()
PAGES = {
    "HTML": HTML,
    "HTML after blank lines": b"\r\n\r\n  " + HTML,
    "XML with a byte order mark": XML,
    "a status and an error": FAILURE,
    "the same with a newline": FAILURE + b"\n",
    "the same on several lines": PRETTY,
    "an error code": GATEWAY,
    "a problem": PROBLEM,
    "a refused login": LOGIN,
    "a list of one error": b"[" + FAILURE + b"]",
    "a long error": b'{"error":"' + b"x" * 40_000 + b'"}',
}


def a_dataset(kind: Kind, compression: Literal["gzip", "none"] = "none", columns: list[str] | None = None) -> Dataset:
    named = [Column(name=name, vendor_type="string", type="string") for name in columns or []]
    form = Format(type=kind, compression=compression)
    return Dataset(name="profiles", table="profiles", columns=named, format=form)


def check(data: bytes, dataset: Dataset, step: int = 256 << 10) -> Findings:
    """Everything that `land_file` does to a file's bytes, without the file."""
    return fed(data, dataset, compression_of("export", data[: 256 << 10], dataset), step)


def fed(data: bytes, dataset: Dataset, compression: Compression = "none", step: int = 256 << 10) -> Findings:
    """Everything but the look at how the file starts."""
    checked = check_of("export", compression, dataset)
    for begin in range(0, len(data), step):
        checked.feed(memoryview(data)[begin : begin + step])
    return checked.finish()


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


PROVED: dict[Kind, tuple[list[str], int]] = {
    "csv": (["rows"], 4_000),
    "json": (["json", "rows"], 4_000),
    "ndjson": (["ndjson", "rows"], 4_000),
    "parquet": (["parquet-footer", "rows"], 10),
}


@pytest.mark.parametrize("step", [7, 4_096, 256 << 10])
@pytest.mark.parametrize("kind", GOOD)
def test_each_format_is_proved_and_counted(kind: Kind, step: int) -> None:
    verified, rows = PROVED[kind]

    found = check(GOOD[kind], a_dataset(kind), step)

    assert (found.verified, found.rows, found.bytes_uncompressed) == (verified, rows, len(GOOD[kind]))


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("kind", ["csv", "json", "ndjson"])
def test_gzip_is_looked_into_whether_it_was_announced_or_not(kind: Kind, compression: Literal["gzip", "none"]) -> None:
    verified, rows = PROVED[kind]
    packed = gzip.compress(GOOD[kind])

    found = check(packed, a_dataset(kind, compression))

    assert compression_of("export", packed, a_dataset(kind, compression)) == "gzip"
    assert (found.verified, found.rows, found.bytes_uncompressed) == (["gzip", *verified], rows, len(GOOD[kind]))


def test_gzip_around_parquet_is_taken_only_where_it_was_announced() -> None:
    packed = gzip.compress(PARQUET)

    assert check(packed, a_dataset("parquet", "gzip")).verified == ["gzip", "parquet-footer", "rows"]
    with pytest.raises(CorruptFileError, match="export is Parquet inside gzip, where nobody who reads it will look"):
        check(packed, a_dataset("parquet"))


@pytest.mark.parametrize("kind", GOOD)
def test_a_file_unpacked_on_its_way_is_taken_as_it_is(kind: Kind) -> None:
    assert compression_of("export", GOOD[kind], a_dataset(kind, "gzip")) == "none"
    assert check(GOOD[kind], a_dataset(kind, "gzip")).verified == PROVED[kind][0]


@pytest.mark.parametrize("around", ["nothing", "gzip"])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", GOOD)
def test_an_error_page_is_never_taken_for_a_file(kind: Kind, page: str, around: str) -> None:
    data = PAGES[page]
    dataset = a_dataset(kind, "none" if around == "nothing" else "gzip")

    with pytest.raises(ErrorPageError) as caught:
        check(data if around == "nothing" else gzip.compress(data), dataset)

    assert str(caught.value) == "export: an error page or message came in place of the file"


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize("page", [name for name in PAGES if name != "a long error"])
@pytest.mark.parametrize("kind", GOOD)
def test_an_error_page_is_one_in_whatever_pieces_it_comes(kind: Kind, page: str, step: int) -> None:
    with pytest.raises(ErrorPageError):
        fed(PAGES[page], a_dataset(kind), step=step)


@pytest.mark.parametrize("kind", ["json", "ndjson"])
@pytest.mark.parametrize(
    "row",
    [
        {"emails": []},
        {"status": "failed"},
        {"code": 404},
        {"message": "hello", "code": 200},
        {"error": None, "message": "hello"},
        {"error": "none of ours", "customer": 17},
        {"errors": [], "type": "survey"},
        {"title": "Dr", "status": 17},
        {},
    ],
)
def test_a_single_row_that_only_resembles_an_error_is_a_row(kind: Kind, row: dict[str, object]) -> None:
    data = json.dumps([row] if kind == "json" else row).encode()

    assert check(data, a_dataset(kind)).rows == 1


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_rows_about_errors_are_rows(kind: Kind) -> None:
    error = json.loads(FAILURE)
    data = json.dumps([error, error]).encode() if kind == "json" else FAILURE + b"\n" + FAILURE

    assert check(data, a_dataset(kind)).rows == 2


def test_an_object_in_place_of_the_array_is_an_error_only_if_it_says_so() -> None:
    with pytest.raises(CorruptFileError, match="export is not a JSON array"):
        check(b'{"items": [{"id": 1}], "error": null}', a_dataset("json"))
    with pytest.raises(ErrorPageError):
        check(b'{"items": [], "error": {"code": 7}}', a_dataset("json"))
    with pytest.raises(ErrorPageError):
        check(b'{"message": "Internal server error"}', a_dataset("json"))


DAMAGED: dict[Kind, dict[str, tuple[bytes, type[DamagedFileError]]]] = {
    "json": {
        "empty": (b"", TruncatedFileError),
        "space alone": (b" \n", TruncatedFileError),
        "the bracket alone": (b"[", TruncatedFileError),
        "cut in an object": (ARRAY[:30_010], TruncatedFileError),
        "cut before the end": (ARRAY[:-1], TruncatedFileError),
        "cut, and a page behind": (ARRAY[:30_010] + HTML, DamagedFileError),
        "a block left out": (ARRAY[:10_007] + ARRAY[20_003:], CorruptFileError),
        "a block twice": (ARRAY[:20_003] + ARRAY[10_007:], CorruptFileError),
        "zeros in the middle": (patched(ARRAY, 50_000, bytes(4_096)), CorruptFileError),
        "no UTF-8": (ARRAY.replace(b"@", b"\xe9", 1), CorruptFileError),
        "a page behind": (ARRAY + HTML, CorruptFileError),
        "a second array": (ARRAY + ARRAY, CorruptFileError),
        "lines": (LINES, CorruptFileError),
        "CSV": (CSV, CorruptFileError),
        "Parquet": (PARQUET, CorruptFileError),
        "a line of text": (b"upstream connect error", CorruptFileError),
        "gzip cut in the middle": (gzip.compress(ARRAY)[:9_000], TruncatedFileError),
        "gzip of a cut array": (gzip.compress(ARRAY[:30_010]), TruncatedFileError),
        "gzip with text behind": (gzip.compress(ARRAY) + b"bye", CorruptFileError),
    },
    "ndjson": {
        "cut in a line": (LINES[:30_010], TruncatedFileError),
        "cut by two bytes": (LINES[:-2], TruncatedFileError),
        "cut, and a page behind": (LINES[:30_010] + HTML, CorruptFileError),
        "a block left out": (LINES[:10_007] + LINES[20_003:], CorruptFileError),
        "a newline lost": (LINES.replace(b"\n", b"", 1), CorruptFileError),
        "zeros in the middle": (patched(LINES, 50_000, bytes(4_096)), CorruptFileError),
        "no UTF-8": (LINES.replace(b"@", b"\xe9", 1), CorruptFileError),
        "a page behind": (LINES + HTML, CorruptFileError),
        "an error behind, on two lines": (LINES + PRETTY, CorruptFileError),
        "an array": (ARRAY, CorruptFileError),
        "CSV": (CSV, CorruptFileError),
        "Parquet": (PARQUET, CorruptFileError),
        "a line of text": (b"upstream connect error", CorruptFileError),
        "gzip of nothing, cut": (gzip.compress(b"")[:-1], TruncatedFileError),
        "gzip of cut lines": (gzip.compress(LINES[:30_010]), TruncatedFileError),
        "gzip with a wrong CRC": (
            patched(gzip.compress(LINES), len(gzip.compress(LINES)) - 8, b"\0\0"),
            CorruptFileError,
        ),
    },
    "parquet": {
        "empty": (b"", TruncatedFileError),
        "half the magic number": (PARQUET[:2], TruncatedFileError),
        "the magic number alone": (PARQUET[:4], TruncatedFileError),
        "cut in the pages": (PARQUET[:1_000], TruncatedFileError),
        "cut in the footer": (PARQUET[:-1_000], TruncatedFileError),
        "cut by one byte": (PARQUET[:-1], TruncatedFileError),
        "cut, and a page behind": (PARQUET[:-1_000] + HTML, TruncatedFileError),
        "a block left out": (PARQUET[:1_000] + PARQUET[1_500:], CorruptFileError),
        "zeros over the footer": (patched(PARQUET, len(PARQUET) - 2_000, bytes(1_500)), CorruptFileError),
        "a footer that is too long": (PARQUET[:-8] + b"\xff\xff\x00\x00PAR1", CorruptFileError),
        "a footer of nothing": (PARQUET[:-8] + b"\0\0\0\0PAR1", CorruptFileError),
        "a page behind": (PARQUET + HTML, CorruptFileError),
        "an encrypted footer": (b"PARE" + PARQUET[4:], CorruptFileError),
        "lines": (LINES, ErrorPageError),
        "CSV": (CSV, CorruptFileError),
        "text": (b"upstream connect error", CorruptFileError),
    },
    "csv": {
        "a ragged record": (CSV + b"1\n", CorruptFileError),
        "an open quote": (CSV + b'1,"a\n', CorruptFileError),
        "a block left out": (CSV[:1_003] + CSV[2_010:].replace(b",", b"", 1), CorruptFileError),
        "an array": (ARRAY, ErrorPageError),
        "lines": (LINES, ErrorPageError),
        "gzip cut in the middle": (gzip.compress(CSV)[:9_000], TruncatedFileError),
    },
}
CASES = [(kind, damage) for kind, cases in DAMAGED.items() for damage in cases]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_damage_is_refused_and_nothing_of_the_content_shown(kind: Kind, damage: str) -> None:
    data, error = DAMAGED[kind][damage]

    with pytest.raises(error) as caught:
        check(data, a_dataset(kind))

    said = str(caught.value)
    assert said.startswith("export")
    assert not any(secret in said for secret in ("example", "log in", "upstream", "user-", "name "))


@pytest.mark.parametrize("step", [1, 1_021])
@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_damage_has_the_same_name_in_whatever_pieces_it_comes(kind: Kind, damage: str, step: int) -> None:
    data, _ = DAMAGED[kind][damage]
    with pytest.raises(DamagedFileError) as whole:
        check(data, a_dataset(kind))

    with pytest.raises(DamagedFileError) as in_pieces:
        check(data, a_dataset(kind), max(step, len(data) // 5_000))

    assert in_pieces.type is whole.type


@pytest.mark.parametrize("data", [b"", b"\n", b"id,name\n", b"\xef\xbb\xbfid,name\r\n", b"id,name"])
def test_csv_of_no_rows_is_a_file(data: bytes) -> None:
    assert check(data, a_dataset("csv")).rows == 0


def test_an_empty_file_is_no_row_of_ndjson_and_no_file_where_gzip_was_to_be() -> None:
    assert check(b"", a_dataset("ndjson")).rows == 0
    for kind in GOOD:
        with pytest.raises(TruncatedFileError, match="export ended after 0 bytes"):
            check(b"", a_dataset(kind, "gzip"))


@pytest.mark.parametrize(
    ("kind", "packed", "plain", "by_itself"),
    [
        ("csv", "application/gzip", "text/csv", False),
        ("json", "application/gzip", "application/json", True),
        ("ndjson", "application/gzip", "application/x-ndjson", False),
        ("parquet", "application/gzip", "application/vnd.apache.parquet", True),
    ],
)
def test_each_format_has_its_type_and_shows_its_end_or_not(
    kind: Kind, packed: str, plain: str, *, by_itself: bool
) -> None:
    dataset = a_dataset(kind)

    assert (content_type("gzip", dataset), content_type("none", dataset)) == (packed, plain)
    assert (shows_its_end("gzip", dataset), shows_its_end("none", dataset)) == (True, by_itself)
