"""The counters against Python's own json module: the same counts, whatever the pieces, or a refusal."""

import json
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise, repeat
from typing import Any, Literal, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError, DamagedFileError, TruncatedFileError
from haul.models.export import Dataset, Format
from haul.transfer.json_records import JsonArray, JsonLines
from haul.transfer.records import MAX_RECORD_BYTES

type Shape = Literal["json", "ndjson"]

SHAPES: list[Shape] = ["json", "ndjson"]
TEXTS = st.text(alphabet='ab"\\{}[],:\n\r\t é\u2028😀', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=8)
PLACES = st.lists(st.integers(0, 10_000), max_size=8)
ODD = r'{"a":[true,false,null,-1.5e+10,0.25,{}],"b\"\\":"é😀\u00e9\ud83d\ude00\n{[","c":{"d":[[],[{}]]}}'
"""An object with everything that a cut may fall into."""


def read(shape: Shape, *pieces: bytes) -> JsonArray | JsonLines:
    dataset = Dataset(name="export", table="export", format=Format(type=shape))
    records = JsonArray("export.json", dataset) if shape == "json" else JsonLines("export.json", dataset)
    for piece in pieces:
        records.feed(piece)
    records.finish()
    return records


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def outcome(shape: Shape, *pieces: bytes) -> int | type[DamagedFileError]:
    try:
        return read(shape, *pieces).rows
    except DamagedFileError as error:
        return type(error)


@given(rows=OBJECTS, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans(), bom=st.booleans(), places=PLACES)
def test_an_array_in_any_spelling_and_pieces_has_as_many_rows_as_objects(
    *, rows: list[dict[str, Any]], indent: int | None, ascii_only: bool, bom: bool, places: list[int]
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8-sig" if bom else "utf-8")

    assert read("json", *cut(data, places)).rows == len(rows)


@given(
    rows=OBJECTS,
    newline=st.sampled_from(["\n", "\r\n", " \n", "\n\n", "\n \t\n"]),
    last=st.sampled_from(["with", "without"]),
    ascii_only=st.booleans(),
    bom=st.booleans(),
    places=PLACES,
)
def test_lines_in_any_spelling_and_pieces_have_as_many_rows_as_objects(
    *, rows: list[dict[str, Any]], newline: str, last: str, ascii_only: bool, bom: bool, places: list[int]
) -> None:
    text = newline.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    data = (text + newline if last == "with" else text).encode("utf-8-sig" if bom else "utf-8")

    assert read("ndjson", *cut(data, places)).rows == len(rows)


PATCHES = [b"", *(bytes([byte]) for byte in b'{}[]",:1e-.\\\n\r tn\x00\xc3')]


@st.composite
def nearly(draw: st.DrawFn, spelled: Callable[[list[dict[str, Any]]], str]) -> bytes:
    """A good file of which some bytes are lost, replaced or new."""
    data = bytearray(spelled(draw(OBJECTS)).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(PATCHES))
    return bytes(data)


def as_array(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows)


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def no_constant(_: str) -> NoReturn:
    raise ValueError


def python_reads(value: str) -> Any:
    return json.loads(value, parse_constant=no_constant)


def rows_of_array(data: bytes) -> int | None:
    try:
        rows = python_reads(data.decode())
    except ValueError:
        return None
    return len(rows) if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def rows_of_lines(data: bytes) -> int | None:
    try:
        lines = [line.strip(" \t\r") for line in data.decode().split("\n")]
        rows = [python_reads(line) for line in lines if line]
    except ValueError:
        return None
    return len(rows) if all(isinstance(row, dict) for row in rows) else None


@given(data=nearly(as_array), places=PLACES)
def test_an_array_is_taken_exactly_if_python_reads_objects_in_it(data: bytes, places: list[int]) -> None:
    expected = rows_of_array(data)

    found = outcome("json", data)

    assert found == expected or (expected is None and not isinstance(found, int))
    assert outcome("json", *cut(data, places)) == found


@given(data=nearly(as_lines), places=PLACES)
def test_lines_are_taken_exactly_if_python_reads_an_object_in_each(data: bytes, places: list[int]) -> None:
    expected = rows_of_lines(data)

    found = outcome("ndjson", data)

    assert found == expected or (expected is None and not isinstance(found, int))
    assert outcome("ndjson", *cut(data, places)) == found


@pytest.mark.parametrize(
    "text", [f"[{ODD},{ODD}]", f"\n[ {ODD}\n,\r\n  {ODD}\t]", json.dumps([json.loads(ODD)] * 2, indent=2)]
)
def test_an_array_cut_anywhere_is_truncated_and_not_corrupt(text: str) -> None:
    data = text.encode()

    assert [outcome("json", data[:end]) for end in range(len(data))] == [TruncatedFileError] * len(data)
    assert outcome("json", data) == 2


@given(rows=OBJECTS, indent=st.sampled_from([None, 1]), ascii_only=st.booleans(), at=st.integers(0), places=PLACES)
def test_any_array_cut_anywhere_is_truncated_and_not_corrupt(
    *, rows: list[dict[str, Any]], indent: int | None, ascii_only: bool, at: int, places: list[int]
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()

    assert outcome("json", *cut(data[: at % len(data)], places)) is TruncatedFileError


def test_lines_cut_inside_one_are_truncated_and_not_corrupt() -> None:
    line = ODD.encode()
    data = line + b"\n" + line

    inside = [TruncatedFileError] * (len(line) - 1)
    assert [outcome("ndjson", data[:end]) for end in range(len(data) + 1)] == [0, *inside, 1, 1, *inside, 2]


@pytest.mark.parametrize(
    ("shape", "data", "says"),
    [
        ("json", f"[{ODD},{ODD[:40]}", r"ended after \d+ bytes, inside object 2"),
        ("json", f"[{ODD},", r"ended after \d+ bytes, before the end of its array"),
        ("json", f"[{ODD}", r"ended after \d+ bytes, before the end of its array"),
        ("json", "", "ended after 0 bytes"),
        ("ndjson", f"{ODD}\n\n{ODD[:40]}", r"ended after \d+ bytes, inside line 3"),
    ],
)
def test_a_truncated_file_says_where_it_ended(shape: Shape, data: str, says: str) -> None:
    with pytest.raises(TruncatedFileError, match=says):
        read(shape, data.encode())


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"[]", 0, id="no object"),
        pytest.param(b" \r\n[ \t]\n ", 0, id="no object, and space wherever it may be"),
        pytest.param(b"\xef\xbb\xbf[{}]", 1, id="a byte order mark"),
        pytest.param(b'[{"a":"]},{["},{"b":"\\"]"}]', 2, id="brackets and quotes in strings"),
        pytest.param(b'[{"a":1,"a":2}]', 1, id="a name twice"),
        pytest.param(b'[{"a":"\\ud83d"}]', 1, id="half a surrogate pair, escaped"),
        pytest.param(b'[{"a":%d}]' % 10**4_000, 1, id="a number of 4,001 digits"),
        pytest.param(b'[{"a":' + b"9" * 5_000 + b"}]", 1, id="a number of more digits than Python makes an int of"),
        pytest.param(b'[{"a":1e999}]', 1, id="a number beyond any float"),
        pytest.param(b'[{"a":' + b"[" * 900 + b"]" * 900 + b"}]", 1, id="900 arrays in one another"),
        pytest.param(b'[{"a":"' + b"x" * 5_000_000 + b'"},{}]', 2, id="an object of 5 MB"),
        pytest.param(b"[" + b"{}," * 99_999 + b"{}]", 100_000, id="100,000 empty objects"),
    ],
)
def test_good_but_odd_arrays_are_taken(data: bytes, rows: int) -> None:
    assert read("json", data).rows == rows
    assert read("json", *[data[at : at + 4_096] for at in range(0, len(data), 4_096)]).rows == rows


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"\n \n\r\n", 0, id="blank lines alone"),
        pytest.param(b'{"emails":[]}\n{"emails":[]}', 2, id="empty shells, the last without its newline"),
        pytest.param(b"\xef\xbb\xbf{}\n{}\n", 2, id="a byte order mark"),
        pytest.param(b"\xef\xbb\xbf", 0, id="a byte order mark alone"),
        pytest.param(b"{}\r\n{}\r\n", 2, id="CRLF"),
        pytest.param(b" {} \n\t{}\t\n", 2, id="space around"),
        pytest.param('{"a":"\u2028\u0085"}\n'.encode(), 1, id="what other languages call a line end"),
        pytest.param(b'{"a":' + b"9" * 5_000 + b"}\n", 1, id="a number of more digits than Python makes an int of"),
        pytest.param(b'{"a":"' + b"x" * 5_000_000 + b'"}\n{}\n', 2, id="a line of 5 MB"),
    ],
)
def test_good_but_odd_lines_are_taken(data: bytes, rows: int) -> None:
    assert read("ndjson", data).rows == rows
    assert read("ndjson", *[data[at : at + 4_096] for at in range(0, len(data), 4_096)]).rows == rows


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b'{"a":1}', "is not a JSON array", id="an object in place of the array"),
        pytest.param(b'{"a":1}\n{"a":2}\n', "is not a JSON array", id="lines"),
        pytest.param(b'"a"', "is not a JSON array", id="a string"),
        pytest.param(b"null", "is not a JSON array", id="null"),
        pytest.param(b'[1,{"a":1}]', "object 1 is not a JSON object", id="a number among the objects"),
        pytest.param(b"[{},[]]", "object 2 is not a JSON object", id="an array among the objects"),
        pytest.param(b"[{},]", "object 2 is not a JSON object", id="a comma too many"),
        pytest.param(b"[,{}]", "object 1 is not a JSON object", id="a comma before the first"),
        pytest.param(b"[{} {}]", "neither a comma nor the array's end follows object 1", id="a comma missing"),
        pytest.param(b"[{}}", "neither a comma nor the array's end follows object 1", id="the wrong bracket"),
        pytest.param(b'[{},{"a":x}]', "object 2 is not a JSON object", id="a word that is none"),
        pytest.param(b'[{"a":NaN}]', "object 1 is not a JSON object", id="not a number"),
        pytest.param(b'[{"a":-Infinity}]', "object 1 is not a JSON object", id="infinity"),
        pytest.param(b"[{'a':1}]", "object 1 is not a JSON object", id="Python in place of JSON"),
        pytest.param(b'[{"a":"\n"}]', "object 1 is not a JSON object", id="a newline in a string"),
        pytest.param(b'[{"a":"\xff"}]', "object 1 or one soon after it is not UTF-8", id="another encoding"),
        pytest.param(b"[{}]]", "has something behind the end of its array", id="a bracket too many"),
        pytest.param(b"[{}]\n[{}]", "has something behind the end of its array", id="two arrays"),
        pytest.param(b"[{}]\0\0", "has something behind the end of its array", id="zeros behind the end"),
        pytest.param(b"[{}]\xe2\x82", "has something behind the end of its array", id="half a character behind it"),
        pytest.param(b'[{"a":' + b"[" * 200_000, "object 1 is not a JSON object", id="nested without an end"),
    ],
)
def test_wrong_arrays_are_refused_and_say_where(data: bytes, says: str) -> None:
    with pytest.raises(CorruptFileError, match=says):
        read("json", data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b'{}\n{"a":\n', "line 2 is not one JSON object", id="a line that is cut"),
        pytest.param(b'{}\n{"a":\n1}\n', "line 2 is not one JSON object", id="an object on two lines"),
        pytest.param(b"{}\n{}{}\n", "line 2 is not one JSON object", id="two objects on a line"),
        pytest.param(b'{}{}\n{"a":\n1}\n', "line 1 is not one JSON object", id="two on a line, and one on two"),
        pytest.param(b"{},\n{}\n", "line 1 is not one JSON object", id="a comma at the end"),
        pytest.param(b"{}\n\n[]\n", "line 3 is not one JSON object", id="an array"),
        pytest.param(b"{}\n17", "line 2 is not one JSON object", id="a number"),
        pytest.param(b'{"a":NaN}\n', "line 1 is not one JSON object", id="not a number"),
        pytest.param(b"a,b\n1,2\n", "line 1 is not one JSON object", id="CSV"),
        pytest.param(b'{}\n{}\n{"a":"\xff"}\n{}\n', "line 3 is not UTF-8", id="another encoding"),
        pytest.param(b'{}\n{"a":"\xff', "line 2 is not one JSON object", id="another encoding, in the last line"),
        pytest.param(b"{}\n" + bytes(4_096) + b"\n", "line 2 is not one JSON object", id="zeros"),
        pytest.param(b'{"a":' + b"[" * 200_000 + b"\n", "line 1 is not one JSON object", id="nested without an end"),
    ],
)
@pytest.mark.parametrize("before", [0, 10_000])
def test_wrong_lines_are_refused_and_say_where(data: bytes, says: str, before: int) -> None:
    number = int(says.split()[1])
    says = says.replace(str(number), f"{number + before:,}", 1)

    with pytest.raises(CorruptFileError, match=says):
        read("ndjson", b"{}\n" * before, data)


@pytest.mark.parametrize("shape", SHAPES)
def test_errors_show_nothing_of_the_content(shape: Shape) -> None:
    row = b'{"name":"Ada Lovelace","mail":"ada@example.com" "x":1}'
    data = {"json": b"[" + row + b"]", "ndjson": row + b"\n"}[shape]

    with pytest.raises(CorruptFileError) as caught:
        read(shape, data)

    assert "Ada" not in str(caught.value)
    assert "example" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("begin", [b'{"a":"', b'{"a":[', b'[{"a":"', b'[{"a":['])
def test_a_record_without_end_is_given_up_before_it_fills_the_memory(begin: bytes) -> None:
    shape: Shape = "json" if begin.startswith(b"[") else "ndjson"
    filling = b"x" if begin.endswith(b'"') else b"1,"
    pieces = [begin, *[filling * (1 << 19)] * (2 * MAX_RECORD_BYTES // (1 << 19) + 1)]

    with pytest.raises(CorruptFileError, match=r"(line|object) 1 is longer than 16,777,216 (bytes|characters)"):
        read(shape, *pieces)


def peak(shape: Shape, pieces: Iterable[bytes]) -> int:
    tracemalloc.start()
    try:
        read(shape, *pieces)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_does_not_grow_with_the_file(shape: Shape) -> None:
    between = b"," if shape == "json" else b"\n"
    piece = (b'{"id":"17","segments":[{"since":1562595783663}],"name":"x"}' + between) * 2_000
    ends = ([b"["], [b"{}]"]) if shape == "json" else ([], [])

    small = peak(shape, [*ends[0], *repeat(piece, 2), *ends[1]])
    large = peak(shape, [*ends[0], *repeat(piece, 20), *ends[1]])

    assert large < 1.1 * small
