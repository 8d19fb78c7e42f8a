"""What a load sends: stored objects, unpacked and reshaped while they are read.

What changes on its way is read twice: once to prove it and to count what it comes to, so that nothing is sent of an
object that is damaged at its end, and once to send it. What does not change is as long as S3 says.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from haul.errors import DamagedFileError, DamagedSourceError, InvalidEventError
from haul.models.export import Dataset, Format
from haul.models.load import SourceOptions
from haul.ports import Source
from haul.transfer.json_records import JsonLines
from haul.transfer.verify import GZIP_MAGIC, Findings, GzipCheck

_STEP = 8 << 10
"""Gzip is fed in steps, as each may unpack to a thousand times its size."""
_SPACE = b" \t\r"
_BOM = b"\xef\xbb\xbf"
_PACKED = (".gz", ".gzip")
_LINES = Dataset(name="lines", table="lines", format=Format(type="ndjson", compression="none"))


def outbound(stored: Sequence[Source], options: SourceOptions) -> Source:
    """Make of stored objects what the vendor is to get.

    Raises:
        DamagedSourceError: one is not the gzip that it begins as, or has a line that is no JSON object.
        InvalidEventError: there are several objects, of something that cannot be joined.
    """
    if len(stored) > 1 and options.reshape == "none":
        raise InvalidEventError(
            f"options.reshape: {len(stored)} files are one only where they are JSON lines, "
            'which "ndjson-to-json" makes one array of'
        )
    files = [_File(each, packed=options.decode == "auto" and _is_gzip(each)) for each in stored]
    if options.reshape == "ndjson-to-json":
        return _measured(_array_name(files), lambda: _array(files))
    if not files:
        return _Made("nothing", 0, lambda: iter(()))
    [file] = files
    return _measured(file.name, file.chunks) if file.packed else stored[0]


@dataclass(frozen=True)
class _File:
    """An object, and whether it is to be unpacked."""

    stored: Source
    packed: bool

    @property
    def name(self) -> str:
        name = PurePosixPath(self.stored.name)
        return name.stem if self.packed and name.suffix.lower() in _PACKED else str(name)

    def chunks(self) -> Iterator[bytes]:
        return _unpacked(self.stored) if self.packed else self.stored.chunks()


@dataclass(frozen=True)
class _Made:
    """A source that is made anew each time it is read."""

    name: str
    size: int
    make: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        return self.make()


def _measured(name: str, make: Callable[[], Iterator[bytes]]) -> Source:
    return _Made(name, sum(map(len, make())), make)


def _is_gzip(stored: Source) -> bool:
    start, chunks = b"", stored.chunks()
    while len(start) < len(GZIP_MAGIC) and (chunk := next(chunks, b"")):
        start += chunk[: len(GZIP_MAGIC)]
    if isinstance(chunks, Generator):
        chunks.close()  # the rest of it stays where it is
    return start.startswith(GZIP_MAGIC)


class _Unpacked:
    """Keeps what `GzipCheck` unpacks, until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes | memoryview) -> None:
        self._pieces.append(bytes(data))

    def finish(self) -> Findings:
        return Findings(verified=[])

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


def _unpacked(stored: Source) -> Iterator[bytes]:
    inside = _Unpacked()
    check = GzipCheck(stored.name, inside)
    with _in_words_of_a_source():
        for chunk in stored.chunks():
            for at in range(0, len(chunk), _STEP):
                check.feed(chunk[at : at + _STEP])
                yield from inside.taken()
        check.finish()


def _array(files: Sequence[_File]) -> Iterator[bytes]:
    """One JSON array of all lines of all files; nothing at all where there are none."""
    before = b"["
    for file in files:
        for lines in _lines(file):
            yield before + b",\n".join(lines)
            before = b",\n"
    if before != b"[":
        yield b"]"


def _lines(file: _File) -> Iterator[list[bytes]]:
    """The lines of a file that are not blank, some at a time, each checked to be one JSON object."""
    check, rest, first = JsonLines(file.name, _LINES), b"", True
    with _in_words_of_a_source():
        for chunk in file.chunks():
            check.feed(chunk)
            block, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline and (lines := _split(block.removeprefix(_BOM) if first else block)):
                yield lines
            first = first and not newline
        check.finish()
    if lines := _split(rest.removeprefix(_BOM) if first else rest):
        yield lines


def _split(block: bytes) -> list[bytes]:
    return [line for padded in block.split(b"\n") if (line := padded.strip(_SPACE))]


def _array_name(files: Sequence[_File]) -> str:
    name = PurePosixPath(files[0].name if files else "nothing")
    return f"{name.stem if name.suffix.lower() in ('.ndjson', '.jsonl', '.json') else name}.json"


@contextmanager
def _in_words_of_a_source() -> Iterator[None]:
    """A damaged download is made again; an object of the user's stays as damaged as it is."""
    try:
        yield
    except DamagedFileError as error:
        raise DamagedSourceError(str(error)) from None
