"""Files as vendors break them, and good ones that look odd: one `Case` per kind, served by `file_server`.

Every case is made from good files by its own function, so that a kind says what was done to them. The vendor's list
and the reply's framing belong to a case: what cannot be told from bytes alone is told by lengths. A case can be served
by a vendor that honours ranges too, and some are about nothing else.
"""

import bz2
import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from haul.errors import (
    CorruptFileError,
    DamagedFileError,
    ErrorPageError,
    HaulError,
    TruncatedFileError,
    UnexpectedResponseError,
)
from haul.models.export import Column, Dataset, RemoteFile
from tests.fakes.file_server import Reply, Request
from tests.fakes.ranged_file import RangedFile

COLUMNS = ("id", "name", "note", "_DiffAction_")
ROWS = 3_000
NAME = "Employee_part0.csv.gz"
HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
XML = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
JSON = b'{"status":"error","error":"Internal Server Error","error_id":"9eedef5f"}'

_dice = random.Random(20)  # noqa: S311  # bytes that hardly compress
_HEADER = ",".join(COLUMNS).encode() + b"\n"


def _lines(first: int, rows: int) -> bytes:
    return b"".join(
        b'%d,%x,"%x, in ""quotes""",%b\n' % (n, _dice.getrandbits(64), _dice.getrandbits(64), b"+u-"[n % 3 : n % 3 + 1])
        for n in range(first, first + rows)
    )


BODY = _lines(0, ROWS)
CSV = _HEADER + BODY
GZIP = gzip.compress(CSV, mtime=0)
_HALF = BODY.index(b"\n", len(BODY) // 2) + 1
FIRST = gzip.compress(_HEADER + BODY[:_HALF], mtime=0)
SECOND = gzip.compress(BODY[_HALF:], mtime=0)
PAIR = FIRST + SECOND
STORED = gzip.compress(CSV, compresslevel=0, mtime=0)


@dataclass(frozen=True)
class Case:
    """One kind of file.

    Attributes:
        kind: what it is, as a person would say it.
        reply: what the vendor's server sends.
        error: how it is refused, None for a good file.
        listed: the size by the vendor's list, None where that tells none.
        rows: how many a good file has.
        answer: makes what answers the requests, of a case that is about ranges; a good one serves the body of `reply`.
    """

    kind: str
    reply: Reply
    error: type[HaulError] | None = None
    listed: int | None = None
    rows: int | None = None
    answer: Callable[[], Callable[[Request], Reply]] | None = None

    @property
    def good(self) -> bool:
        return self.error is None

    @property
    def body(self) -> bytes:
        return b"".join(self.reply.pieces())

    def served(self, *, ranged: bool) -> Reply:
        """What to put on a server, which is asked for ranges if `ranged`; anew for every download."""
        if self.answer:
            return Reply(answer=self.answer())
        plain = self.reply == Reply(self.reply.body, headers=self.reply.headers)
        return Reply(answer=RangedFile(self.body)) if ranged and plain else self.reply

    @property
    def file(self) -> RemoteFile:
        return RemoteFile(dataset="Employee", name=NAME, part=0, vendor_file_id=3, vendor_name=NAME, bytes=self.listed)


DATASET = Dataset(
    name="Employee",
    table="Employee",
    columns=[Column(name=name, vendor_type="String", type="string") for name in COLUMNS],
)


def damaged() -> list[Case]:
    """Everything that must not land."""
    return [*_cut(), *_changed(), *_misframed(), *_messages(), *_contents(), *_changing()]


def odd() -> list[Case]:
    """Everything that must land, strange as it looks."""
    many = [_HEADER, *BODY.splitlines(keepends=True)[:500]]
    empty = gzip.compress(b"", mtime=0)
    return [
        _good("a member for every row", b"".join(gzip.compress(line) for line in many), rows=500),
        _good("two members", PAIR),
        _good("an empty member first", empty + GZIP),
        _good("an empty member between two", FIRST + empty + SECOND),
        _good("empty members at the end", GZIP + empty * 3),
        _good("a header and no rows", gzip.compress(_HEADER), rows=0),
        _good("nothing inside", empty, rows=0),
        _good("stored blocks", STORED),
        _good("fixed Huffman codes", _deflated(CSV, strategy=zlib.Z_FIXED)),
        _good("Huffman codes and no repeats", _deflated(CSV, strategy=zlib.Z_HUFFMAN_ONLY)),
        _good("a full flush after every kilobyte", _flushed(CSV, 1_000)),
        _good("the smallest window", _deflated(CSV, window=9)),
        _good("a member with name, comment, extra field and a checksum of its header", _with_header(CSV)),
        _good(
            "two members that change within a row", gzip.compress(CSV[: -_HALF - 7]) + gzip.compress(CSV[-_HALF - 7 :])
        ),
        _good("no newline at the end", gzip.compress(CSV[:-1])),
        _good("newlines of Windows", gzip.compress(CSV.replace(b"\n", b"\r\n"))),
        _good("a byte order mark", gzip.compress(b"\xef\xbb\xbf" + CSV)),
        _good("newlines in quotes", gzip.compress(_HEADER + b'1,"a\nb","c\r\nd",+\n' * 900), rows=900),
        _good("columns in another order", gzip.compress(b"note,id,_DiffAction_,name\n" + b"x,1,+,y\n" * 700), rows=700),
        _good("rows like pages", gzip.compress(_HEADER + b'1,<html>,"{""error"": ""no""}",+\n' * 800), rows=800),
        _good("the same row a hundred thousand times", gzip.compress(_HEADER + b"1,a,b,+\n" * 100_000), rows=100_000),
        Case(
            "gzip in chunks of one byte",
            Reply(_singly(FIRST[:3_000], FIRST[3_000:]), framing="chunked"),
            rows=_FIRST_ROWS,
        ),
        Case("gzip without any length", Reply(GZIP, framing="close"), rows=ROWS),
        Case("a reply that says it is packed", Reply(GZIP, headers={"Content-Encoding": "gzip"}), rows=ROWS),
        Case("a reply that says it is a page", Reply(GZIP, headers={"Content-Type": "text/html"}), rows=ROWS),
        Case("unpacked on its way", Reply(CSV), rows=ROWS),
        Case("the size that the vendor's list says", Reply(GZIP, framing="chunked"), listed=len(GZIP), rows=ROWS),
        *_ranged(),
    ]


_FIRST_ROWS = BODY[:_HALF].count(b"\n")


def _cut() -> list[Case]:
    last = len(FIRST)
    return [
        _bad("nothing at all", b"", TruncatedFileError),
        _bad("cut after the first byte", GZIP[:1], TruncatedFileError),
        _bad("cut within the header", GZIP[:7], TruncatedFileError),
        _bad("cut after the header", GZIP[:10], TruncatedFileError),
        _bad("cut in the middle", GZIP[: len(GZIP) // 2], TruncatedFileError),
        _bad("cut in the last block", GZIP[:-40], TruncatedFileError),
        _bad("cut before the trailer", GZIP[:-8], TruncatedFileError),
        _bad("cut within the trailer", GZIP[:-4], TruncatedFileError),
        _bad("cut before the last byte", GZIP[:-1], TruncatedFileError),
        _bad("cut within stored blocks", STORED[: len(STORED) // 2], TruncatedFileError),
        _bad("cut in the second member's header", PAIR[: last + 5], TruncatedFileError),
        _bad("cut in the second member", PAIR[: last + len(SECOND) // 2], TruncatedFileError),
        _bad("cut in the second member's trailer", PAIR[:-3], TruncatedFileError),
        _bad("without its first bytes", GZIP[4_000:], CorruptFileError),
        _bad("without its first member", SECOND, CorruptFileError),
        Case("without its last member, by the vendor's list", Reply(FIRST), CorruptFileError, listed=len(PAIR)),
        Case("cut between two members", Reply(FIRST, announced=len(PAIR)), TruncatedFileError),
    ]


def _changed() -> list[Case]:
    middle = len(GZIP) // 2
    trailer = len(FIRST) + len(SECOND) - 8
    return [
        _bad("a bit flipped in the magic number", _flipped(GZIP, 0), CorruptFileError),
        _bad("a bit flipped in the compression method", _flipped(GZIP, 2), CorruptFileError),
        _bad("a bit flipped in the first block's header", _flipped(GZIP, 10, bit=1), CorruptFileError),
        _bad("a bit flipped early", _flipped(GZIP, 3_000), CorruptFileError),
        _bad("a bit flipped in the middle", _flipped(GZIP, middle), CorruptFileError),
        _bad("a bit flipped in stored blocks", _flipped(STORED, len(STORED) // 2), CorruptFileError),
        _bad("a bit flipped in the second member", _flipped(PAIR, len(FIRST) + 2_000), CorruptFileError),
        _bad("a wrong checksum", _flipped(GZIP, len(GZIP) - 8), CorruptFileError),
        _bad("a wrong size in the trailer", _flipped(GZIP, len(GZIP) - 4), CorruptFileError),
        _bad("a wrong checksum of the first member", _flipped(PAIR, len(FIRST) - 7), CorruptFileError),
        _bad("a wrong checksum of the second member", _flipped(PAIR, trailer + 1), CorruptFileError),
        _bad("a block of zeros", _replaced(GZIP, middle, bytes(4_096)), CorruptFileError),
        _bad("a block twice", GZIP[:middle] + GZIP[middle - 4_096 :], CorruptFileError),
        _bad("a block left out", GZIP[:middle] + GZIP[middle + 4_096 :], CorruptFileError),
        _bad("two blocks swapped", _swapped(GZIP, 8_192, middle, 4_096), CorruptFileError),
        _bad("two stored blocks swapped", _swapped(STORED, 8_192, len(STORED) // 2, 4_096), CorruptFileError),
        _bad("two members swapped", SECOND + FIRST, CorruptFileError),
        _bad("a byte too many in the middle", GZIP[:middle] + b"\0" + GZIP[middle:], CorruptFileError),
        _bad("newlines rewritten as of Windows", GZIP.replace(b"\n", b"\r\n"), CorruptFileError),
        _bad("read as text and written as UTF-8", GZIP.decode("latin-1").encode(), CorruptFileError),
        _bad("garbage at the end", GZIP + b"\0garbage\n", CorruptFileError),
        _bad("zeros at the end", GZIP + bytes(512), CorruptFileError),
        _bad("a page at the end", GZIP + HTML, CorruptFileError),
        _bad("garbage between two members", FIRST + b"garbage" + SECOND, CorruptFileError),
        Case("a member twice, by the vendor's list", Reply(PAIR + SECOND), CorruptFileError, listed=len(PAIR)),
        Case("another version of the same length", Reply(_mixed()), CorruptFileError),
    ]


def _misframed() -> list[Case]:
    half = GZIP[: len(GZIP) // 2]
    return [
        Case("a length announced that is too long", Reply(GZIP, announced=len(GZIP) + 9), TruncatedFileError),
        Case("a length announced that is too short", Reply(GZIP, announced=len(GZIP) - 9), TruncatedFileError),
        Case("a length announced, and half of it", Reply(half, announced=len(GZIP)), TruncatedFileError),
        Case("unpacked, and half of it", Reply(CSV[: len(CSV) // 2], announced=len(CSV)), TruncatedFileError),
        Case("unpacked, and nothing that says where it ends", Reply(CSV, framing="close"), TruncatedFileError),
        Case("chunks without the last", Reply(half, framing="chunked", ending="cut"), TruncatedFileError),
        Case("all of it in chunks, the last missing", Reply(GZIP, framing="chunked", ending="cut"), TruncatedFileError),
        Case("closed early without a length", Reply(half, framing="close"), TruncatedFileError),
        Case("a connection reset", Reply(half, announced=len(GZIP), ending="reset"), TruncatedFileError),
        Case("a connection that falls silent", Reply(half, announced=len(GZIP), ending="stall"), TruncatedFileError),
        Case("a part that nobody asked for", _part(half), UnexpectedResponseError),
        Case("longer than the vendor's list says", Reply(PAIR), CorruptFileError, listed=len(PAIR) - 1),
        Case(
            "shorter than the vendor's list says",
            Reply(GZIP, framing="chunked"),
            TruncatedFileError,
            listed=len(GZIP) + 1,
        ),
    ]


def _messages() -> list[Case]:
    return [
        _bad("a page of HTML with status 200", HTML, ErrorPageError),
        _bad("a message of XML with status 200", XML, ErrorPageError),
        _bad("a message of JSON with status 200", JSON, ErrorPageError),
        _bad("a page of HTML after blank lines", b"\r\n\r\n" + HTML, ErrorPageError),
        _bad("a packed page of HTML", gzip.compress(HTML), ErrorPageError),
        _bad("a packed message of JSON", gzip.compress(JSON), ErrorPageError),
        _bad("a message in plain words", b"Service temporarily unavailable, try again later", CorruptFileError),
        _bad("a page after the first member", FIRST + gzip.compress(HTML), CorruptFileError),
    ]


def _contents() -> list[Case]:
    """Whole gzip, and not what should be inside."""
    rows = BODY.splitlines(keepends=True)
    return [
        _bad("gzip in gzip", gzip.compress(GZIP), CorruptFileError),
        _bad("bzip2", bz2.compress(CSV), CorruptFileError),
        _bad("zlib without gzip's header", zlib.compress(CSV), CorruptFileError),
        _bad("the columns of another table", gzip.compress(b"id,price,_DiffAction_\n1,2,+\n"), CorruptFileError),
        _bad("no header", gzip.compress(BODY), CorruptFileError),
        _bad("the header twice", gzip.compress(_HEADER + CSV), CorruptFileError),
        _bad("a last row cut by whoever packed it", gzip.compress(CSV[:-30]), CorruptFileError),
        _bad("a row without one field", gzip.compress(_HEADER + b"1,a,b,+\n" * 99 + b"1,a,+\n"), CorruptFileError),
        _bad("two rows run together", gzip.compress(CSV.replace(b"\n" + rows[9], rows[9], 1)), CorruptFileError),
        _bad(
            "an action that there is not", gzip.compress(_HEADER + b"1,a,b,+\n" * 99 + b"1,a,b,x\n"), CorruptFileError
        ),
    ]


def _ranged() -> list[Case]:
    """What vendors make of a range that they are asked for; the file is good."""
    stops = [None, Reply(GZIP, headers={"ETag": '"v1"'})]
    kinds: dict[str, Callable[[], RangedFile]] = {
        "ranges ignored": lambda: RangedFile(GZIP, honesty="ignores"),
        "ranges shorter than asked": lambda: RangedFile(GZIP, longest=3_000),
        "another range than asked": lambda: RangedFile(GZIP, honesty="shifts"),
        "a range in several parts": lambda: RangedFile(GZIP, honesty="multipart"),
        "a range of a file of unknown size": lambda: RangedFile(GZIP, honesty="no length"),
        "ranges without a validator": lambda: RangedFile(GZIP, validators={}),
        "ranges with a weak validator": lambda: RangedFile(GZIP, validators={"ETag": 'W/"v1"'}),
        "ranges honoured once": lambda: RangedFile(GZIP, longest=30_000, instead=list(stops)),
    }
    return [Case(kind, Reply(GZIP), rows=ROWS, answer=answer) for kind, answer in kinds.items()]


def _changing() -> list[Case]:
    """A file that is replaced after its first reply broke off."""
    newer = gzip.compress(CSV.swapcase(), compresslevel=0, mtime=0)
    changed: dict[str, Callable[[], Callable[[Request], Reply]]] = {
        "another version between two ranges": lambda: _after_one(
            RangedFile(STORED, cuts=[30_000]), RangedFile(newer, validators={"ETag": '"v2"'})
        ),
        "a longer version between two ranges": lambda: _after_one(
            RangedFile(STORED, cuts=[30_000]), RangedFile(STORED + SECOND)
        ),
        "another version under the same validator": lambda: _after_one(
            RangedFile(STORED, cuts=[30_000]), RangedFile(newer)
        ),
        "ranges that break off again and again": lambda: RangedFile(GZIP, cuts=[3_000] * 200),
    }
    return [Case(kind, Reply(STORED), DamagedFileError, answer=answer) for kind, answer in changed.items()]


def _after_one(first: RangedFile, then: RangedFile) -> Callable[[Request], Reply]:
    files = iter([first])

    def answer(request: Request) -> Reply:
        return next(files, then)(request)

    return answer


def _part(body: bytes) -> Reply:
    return Reply(body, status=206, headers={"Content-Range": f"bytes 0-{len(body) - 1}/{len(GZIP)}"})


def _good(kind: str, body: bytes, *, rows: int = ROWS) -> Case:
    return Case(kind, Reply(body), rows=rows)


def _bad(kind: str, body: bytes, error: type[DamagedFileError]) -> Case:
    return Case(kind, Reply(body), error)


def _flipped(data: bytes, at: int, *, bit: int = 3) -> bytes:
    return _replaced(data, at, bytes([data[at] ^ 1 << bit]))


def _replaced(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _swapped(data: bytes, first: int, second: int, length: int) -> bytes:
    one, other = data[first : first + length], data[second : second + length]
    return _replaced(_replaced(data, first, other), second, one)


def _mixed() -> bytes:
    """The beginning of one version and the end of another, as two requests of a file that changes get them."""
    older, newer = (gzip.compress(text, compresslevel=0, mtime=0) for text in (CSV, CSV.swapcase()))
    return older[: len(older) // 2] + newer[len(newer) // 2 :]


def _deflated(data: bytes, *, strategy: int = zlib.Z_DEFAULT_STRATEGY, window: int = 15) -> bytes:
    packer = zlib.compressobj(wbits=window | 16, strategy=strategy)
    return packer.compress(data) + packer.flush()


def _flushed(data: bytes, every: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    pieces = (
        packer.compress(data[at : at + every]) + packer.flush(zlib.Z_FULL_FLUSH) for at in range(0, len(data), every)
    )
    return b"".join(pieces) + packer.flush()


def _with_header(data: bytes) -> bytes:
    """A member whose header has all that RFC 1952 allows."""
    extra = bytes(range(256)) * 3
    header = b"\x1f\x8b\x08\x1e" + struct.pack("<IBB", 1_700_000_000, 2, 3)
    header += struct.pack("<H", len(extra)) + extra + b"export.csv\0" + b"by night\0"
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    packer = zlib.compressobj(wbits=-15)
    return header + packer.compress(data) + packer.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def _singly(slowly: bytes, rest: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield from (bytes([byte]) for byte in slowly)
        yield rest

    return pieces
