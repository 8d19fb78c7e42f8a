"""What a load sends of what is stored, and what it refuses to send."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import DamagedSourceError, InvalidEventError
from haul.models.load import SourceOptions
from haul.ports import Source
from haul.transfer.outbound import outbound

ARRAY = SourceOptions(reshape="ndjson-to-json")
LINES = b'{"id": 1, "name": "N\xc3\xba\xc3\xb1ez"}\n{"id": 2}\n'


@dataclass
class Stored:
    """An object that comes in chunks of `step` bytes."""

    body: bytes
    name: str = "attendees.ndjson"
    step: int = 7
    reads: int = field(default=0, init=False)

    @property
    def size(self) -> int:
        return len(self.body)

    def chunks(self) -> Iterator[bytes]:
        self.reads += 1
        for at in range(0, len(self.body), self.step):
            yield self.body[at : at + self.step]


def whole(source: Source) -> bytes:
    """All of it, as long as it said."""
    body = b"".join(source.chunks())
    assert len(body) == source.size
    return body


def test_what_stays_as_it_is_is_not_read_to_be_measured() -> None:
    stored = Stored(b"id,name\r\n1,a\r\n", "attendees.csv")

    source = outbound([stored], SourceOptions(decode="none"))

    assert (source.size, source.name, stored.reads) == (14, "attendees.csv", 0)
    assert whole(source) == stored.body


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_gzip_is_told_by_its_first_bytes_and_unpacked_every_member(step: int) -> None:
    packed = gzip.compress(b"id,name\r\n") + gzip.compress(b"") + gzip.compress(b"1,a\r\n" * 3000)
    stored = Stored(packed, "attendees.csv.gz", step)

    source = outbound([stored], SourceOptions())

    assert source.name == "attendees.csv"
    assert whole(source) == whole(source) == b"id,name\r\n" + b"1,a\r\n" * 3000


def test_gzip_is_sent_as_it_is_where_that_is_wanted() -> None:
    stored = Stored(gzip.compress(b"id"), "attendees.csv.gz")

    source = outbound([stored], SourceOptions(decode="none"))

    assert (whole(source), source.name) == (stored.body, "attendees.csv.gz")


@pytest.mark.parametrize("body", [b"", b"\x1f", b"x", b"\x1e\x8b\x00"])
def test_what_does_not_begin_as_gzip_is_sent_as_it_is(body: bytes) -> None:
    assert whole(outbound([Stored(body)], SourceOptions())) == body


def broken_gzip(how: str) -> bytes:
    good = gzip.compress(b"secret-row,1\r\n" * 1000)
    return {
        "cut": good[:-9],
        "cut in the second member": good + good[:20],
        "another sum": good[:-8] + bytes(4) + good[-4:],
        "another size": good[:-4] + bytes(4),
        "a flipped byte": good[:30] + bytes([good[30] ^ 0xFF]) + good[31:],
        "something behind it": good + b"and more",
        "no more than its begin": good[:2],
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "cut in the second member",
        "another sum",
        "another size",
        "a flipped byte",
        "something behind it",
        "no more than its begin",
    ],
)
def test_damaged_gzip_is_refused_before_anything_of_it_could_be_sent(how: str) -> None:
    with pytest.raises(DamagedSourceError, match=r"attendees\.csv\.gz") as refused:
        outbound([Stored(broken_gzip(how), "attendees.csv.gz")], SourceOptions())

    assert "secret-row" not in str(refused.value)


def test_gzip_that_holds_nothing_is_empty() -> None:
    assert outbound([Stored(gzip.compress(b""))], SourceOptions()).size == 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("step", [1, 5, 100_000])
def test_lines_become_one_array(pack: type[bytes], step: int) -> None:
    source = outbound([Stored(pack(LINES), "attendees.ndjson", step)], ARRAY)

    assert json.loads(whole(source)) == [{"id": 1, "name": "Núñez"}, {"id": 2}]
    assert source.name == "attendees.json"


@pytest.mark.parametrize("name", ["export-0001.ndjson.gz", "export-0001.jsonl.gz", "export-0001.json.gz"])
def test_the_array_is_named_after_the_first_file(name: str) -> None:
    source = outbound([Stored(gzip.compress(LINES), name), Stored(LINES, "other")], ARRAY)

    assert source.name == "export-0001.json"


def test_several_files_are_one_array_in_their_order() -> None:
    files = [
        Stored(gzip.compress(b'{"id": 1}'), "1.gz"),
        Stored(b"\n"),
        Stored(b'\xef\xbb\xbf{"id": 2}\r\n\r\n{"id": 3}'),
    ]

    assert json.loads(whole(outbound(files, ARRAY))) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize("bodies", [[], [b""], [b"\n \r\n"], [b"", gzip.compress(b"\n")]])
def test_no_lines_are_nothing_to_send(bodies: list[bytes]) -> None:
    """An empty array would be a load of nothing, and with `merge: false` perhaps more than that."""
    source = outbound([Stored(body) for body in bodies], ARRAY)

    assert source.size == 0
    assert whole(source) == b""


def test_no_objects_are_nothing_to_send() -> None:
    assert outbound([], SourceOptions()).size == 0


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"id": 1}\n{"id": "secret\n{"id": 3}\n', "line 2"),
        (b'{"id": 1}\n\n"secret"\n', "line 3"),
        (b'{"id": 1} {"id": "secret"}\n', "line 1"),
        (b'[{"id": "secret"}]', "not a JSON object"),
        (b'{"id": 1}\n{"id": "secret"', "line 2"),
        (b'{"id": NaN, "name": "secret"}\n', "line 1"),
        (b'{"id": 1}\n{"id": "secret\xff"}\n', "line 2"),
        (b'{"id": 1}\n{"id": 2},\n', "line 2"),
        (b"id,name\r\n1,secret\r\n", "line"),
    ],
)
@pytest.mark.parametrize("step", [3, 100_000])
def test_a_line_that_is_no_object_is_named_by_its_number_and_not_shown(body: bytes, line: str, step: int) -> None:
    with pytest.raises(DamagedSourceError, match=r"attendees\.ndjson") as refused:
        outbound([Stored(body, "attendees.ndjson", step)], ARRAY)

    assert "secret" not in str(refused.value)
    assert line.replace("not a JSON object", "line 1") in str(refused.value)


def test_files_that_are_not_lines_cannot_be_joined() -> None:
    with pytest.raises(InvalidEventError, match=r"options\.reshape: 2 files"):
        outbound([Stored(b"a"), Stored(b"b")], SourceOptions())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
records = st.dictionaries(st.text(), json_values, max_size=4)
blanks = st.sampled_from(["", "\n", "\r\n", " \n", "\t\r\n"])
packings: list[Literal["plain", "gzip"]] = ["plain", "gzip"]


@given(
    st.lists(st.lists(st.tuples(blanks, records), max_size=5), min_size=1, max_size=3),
    st.sampled_from(packings),
    st.integers(1, 60),
    st.sampled_from(["", "\n"]),
)
def test_the_array_holds_every_line_once_however_it_comes(
    files: list[list[tuple[str, dict[str, object]]]], packing: str, step: int, end: str
) -> None:
    stored = []
    for lines in files:
        text = "\n".join(f"{blank}{json.dumps(record, ensure_ascii=False)}" for blank, record in lines)
        body = (text + end).encode()
        stored.append(Stored(gzip.compress(body) if packing == "gzip" else body, "lines", step))

    source = outbound(stored, ARRAY)

    wanted = [record for lines in files for _, record in lines]
    assert (json.loads(whole(source)) if source.size else []) == wanted


@pytest.mark.parametrize("options", [SourceOptions(), ARRAY])
def test_memory_does_not_grow_with_what_is_inside(options: SourceOptions) -> None:
    """100 MB in 100 kB of gzip: a thousand times its size, so that any heap of it would show."""
    line = b'{"id": "' + b"0" * 1014 + b'"}\n'
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(line * 1024) for _ in range(100)) + packer.flush()
    tracemalloc.start()

    source = outbound([Stored(packed, "lines.gz", 1 << 20)], options)
    sent = sum(map(len, source.chunks()))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent == source.size > 100_000_000
    assert peak < 30_000_000
