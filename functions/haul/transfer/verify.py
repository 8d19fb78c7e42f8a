"""What a file must be to land, checked while its bytes pass.

Full verification takes every gzip member to its end, with its CRC and size, and nothing behind the last but another
member; what is inside goes to the reader of the dataset's format. Which formats there are, and what each asks of a
file, is in `_FORMS` alone.

A file without gzip's first two bytes may be an error page that came with a 200, or the file unpacked on its way: it is
taken as it is only if it begins as its format does, CSV with the dataset's own header.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from isal import igzip_lib
from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

from haul.errors import CorruptFileError, ErrorPageError, TruncatedFileError
from haul.models.export import Dataset
from haul.transfer.csv_records import CsvRecords
from haul.transfer.json_records import JsonArray, JsonLines
from haul.transfer.pages import PAGE_BYTES
from haul.transfer.parquet import ParquetFile
from haul.transfer.records import Records

type Compression = Literal["gzip", "none"]

GZIP_MAGIC = b"\x1f\x8b"
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
_SHORT_HEADER = 512
_LONGEST_HEADER = 128 << 10
"""64 KiB of extra field, and more text than anybody writes there."""
_STEP = 256 << 10
"""How much is unpacked at once: a small file may unpack to a thousand times its size, and counting likes a cache."""


@dataclass(frozen=True)
class Findings:
    """What a check found. `verified` names what it proved, the way the manifest does."""

    verified: list[str]
    bytes_uncompressed: int | None = None
    rows: int | None = None
    row_actions: dict[str, int] | None = None
    header: list[str] | None = None


class Check(Protocol):
    """Takes a file's bytes in order, in pieces of any size. Either call may raise a `DamagedFileError`."""

    def feed(self, data: bytes | memoryview) -> None: ...

    def finish(self) -> Findings: ...


@dataclass(frozen=True)
class _Form:
    """What there is to know of a format.

    Attributes:
        name: what people call it.
        records: its reader.
        content_type: of a file that is not compressed.
        shows_its_end: a file that ended early shows that it did.
        unpacked_by_readers: those who read it look into gzip, also where nobody announced any.
    """

    name: str
    records: Callable[[str, Dataset], Records]
    content_type: str
    shows_its_end: bool = False
    unpacked_by_readers: bool = True


_FORMS = {
    "csv": _Form("CSV", CsvRecords, "text/csv"),
    "json": _Form("JSON", JsonArray, "application/json", shows_its_end=True),
    "ndjson": _Form("JSON lines", JsonLines, "application/x-ndjson"),
    "parquet": _Form(
        "Parquet", ParquetFile, "application/vnd.apache.parquet", shows_its_end=True, unpacked_by_readers=False
    ),
}


class ContentCheck:
    """What is inside: its format's reader, and whether it is an error page after all."""

    def __init__(self, name: str, records: Records) -> None:
        self._name = name
        self._records = records
        self._bytes = 0
        self._start = bytearray()
        self._refused: CorruptFileError | None = None

    def feed(self, data: bytes | memoryview) -> None:
        if len(self._start) < PAGE_BYTES:
            self._start += data[: PAGE_BYTES - len(self._start)]
        self._bytes += len(data)
        if self._refused is None:
            try:
                self._records.feed(bytes(data))
            except CorruptFileError as error:
                self._refused = error
        if self._refused and len(self._start) == PAGE_BYTES:
            self._refuse(self._refused)

    def finish(self) -> Findings:
        try:
            if self._refused is None:
                self._records.finish()
        except CorruptFileError as error:
            self._refused = error
        if self._refused:
            self._refuse(self._refused)
        _refuse_page(self._name, self._records, bytes(self._start), refused=False)
        records = self._records
        return Findings(records.verified, self._bytes, records.rows, records.actions, records.header)

    def _refuse(self, error: CorruptFileError) -> NoReturn:
        """Say what is wrong, once enough has come to tell an error page: those get compressed on their way too."""
        _refuse_page(self._name, self._records, bytes(self._start), refused=True)
        raise error


class GzipCheck:
    """Gzip to the end of its last member; `inside` is told what it unpacks to."""

    def __init__(self, name: str, inside: Check) -> None:
        self._name = name
        self._inside = inside
        self._member: IgzipDecompressor | None = None
        self._reach = _STEP
        self._pending = b""
        self._bytes = 0

    def feed(self, data: bytes | memoryview) -> None:
        self._bytes += len(data)
        rest = memoryview(self._pending + data if self._pending else data)
        self._pending = b""
        while rest:
            header = 0
            if self._member is None:
                header = self._header_bytes(rest)
                if not header:
                    self._pending = bytes(rest)
                    return
                self._member = IgzipDecompressor(flag=DECOMP_GZIP)
            rest = rest[self._unpack(self._member, rest[: max(self._reach, header)]) :]

    def finish(self) -> Findings:
        if self._member or self._pending or not self._bytes:
            raise TruncatedFileError(f"{self._name} ended after {self._bytes:,} bytes, inside a gzip member")
        found = self._inside.finish()
        return Findings(
            ["gzip", *found.verified], found.bytes_uncompressed, found.rows, found.row_actions, found.header
        )

    def _header_bytes(self, rest: memoryview) -> int:
        """How long the header of the member is that begins here, 0 if not all of it is there.

        ISA-L has to get a header in one piece: it loses its place in one that comes in two.
        """
        start = bytes(rest[:_SHORT_HEADER])
        if not start.startswith(GZIP_MAGIC) and not GZIP_MAGIC.startswith(start):
            at = self._bytes - len(rest)
            raise CorruptFileError(f"{self._name} has something that is not gzip after {at:,} bytes")
        length = _header_bytes(start) or _header_bytes(bytes(rest[:_LONGEST_HEADER]))
        if not length and len(rest) >= _LONGEST_HEADER:
            raise CorruptFileError(f"{self._name} has a gzip header of more than {_LONGEST_HEADER:,} bytes")
        return length

    def _unpack(self, member: IgzipDecompressor, piece: memoryview) -> int:
        """Hand on all that a member holds of `piece`; how much of it that was."""
        try:
            unpacked = member.decompress(piece, _STEP)
            while unpacked:
                self._inside.feed(unpacked)
                unpacked = b"" if member.needs_input or member.eof else member.decompress(b"", _STEP)
        except igzip_lib.error as error:  # type: ignore[misc]  # isal's stub takes the class for an instance of it
            raise CorruptFileError(f"{self._name} is damaged within its first {self._bytes:,} bytes: {error}") from None
        used = len(piece)
        if member.eof:
            used -= len(member.unused_data)
            self._member = None
        # What is behind a member's end gets copied: with many small members that would be most of the work.
        self._reach = min(_STEP, max(1_024, 4 * used))
        return used


def _header_bytes(start: bytes) -> int:
    """How long a gzip member's header (RFC 1952) is by what it starts with, 0 if that does not hold all of it."""
    if len(start) < 10:
        return 0
    flags, end = start[3], 10
    if flags & _FEXTRA:
        end += 2 + int.from_bytes(start[10:12], "little")
    for text in (_FNAME, _FCOMMENT):
        if flags & text:
            end = start.find(b"\0", end) + 1
            if not end:
                return 0
    end += 2 if flags & _FHCRC else 0
    return end if len(start) >= end else 0


class LengthCheck:
    """Takes anything: for a file of which the length alone is asked."""

    def feed(self, data: bytes | memoryview) -> None:
        """Nothing to see."""

    def finish(self) -> Findings:
        return Findings(verified=[])


def compression_of(name: str, start: bytes, dataset: Dataset) -> Compression:
    """Tell by its first bytes what a file is.

    Args:
        name: the file's name, for the error.
        start: the whole file or its first 256 KiB.
        dataset: what the file should belong to.

    Raises:
        ErrorPageError: HTML, XML or JSON in place of the file.
        CorruptFileError: neither gzip nor what the dataset's format begins with.
        TruncatedFileError: nothing at all, where an empty file would have had some bytes.
    """
    form = _FORMS[dataset.format.type]
    packed = dataset.format.compression == "gzip"
    if start.startswith(GZIP_MAGIC) or (start and GZIP_MAGIC.startswith(start)):
        if not packed and not form.unpacked_by_readers:
            raise CorruptFileError(f"{name} is {form.name} inside gzip, where nobody who reads it will look")
        return "gzip"
    if not start and packed:
        raise TruncatedFileError(f"{name} ended after 0 bytes")
    records = form.records(name, dataset)
    try:
        records.begin(start)
    except CorruptFileError:
        _refuse_page(name, records, start, refused=True)
        if not packed:
            raise
        columns = f" with the columns of {dataset.name}" if dataset.columns else ""
        raise CorruptFileError(f"{name} is neither gzip nor {form.name}{columns}") from None
    _refuse_page(name, records, start, refused=False)
    return "none"


def check_of(name: str, compression: Compression, dataset: Dataset) -> Check:
    """Choose the full check of a file."""
    inside = ContentCheck(name, _FORMS[dataset.format.type].records(name, dataset))
    return GzipCheck(name, inside) if compression == "gzip" else inside


def shows_its_end(compression: Compression, dataset: Dataset) -> bool:
    """Whether a file that ended early is found out by its content, without a length to compare with."""
    return compression == "gzip" or _FORMS[dataset.format.type].shows_its_end


def content_type(compression: Compression, dataset: Dataset) -> str:
    return "application/gzip" if compression == "gzip" else _FORMS[dataset.format.type].content_type


def _refuse_page(name: str, records: Records, start: bytes, *, refused: bool) -> None:
    if records.is_page(start, refused=refused):
        raise ErrorPageError(f"{name}: an error page or message came in place of the file")
