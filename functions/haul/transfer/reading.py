"""Where the bytes of a part come from, and come from again when S3 did not take it."""

from collections.abc import Callable
from typing import Protocol

from haul.errors import DamagedFileError, TruncatedFileError
from haul.transfer.source import Body, Door, Version

_AHEAD_BYTES = 256 << 10


class FinalError(Exception):
    """What went wrong in the middle of a part, and would again if it were sent once more. Never leaves the transfer."""

    def __init__(self, cause: DamagedFileError) -> None:
        super().__init__()
        self.cause = cause


class PartReader(Protocol):
    """Reads the parts of a file, each in order and perhaps several times."""

    def begin(self, start: int, length: int) -> None:
        """Go to the beginning of a part, be it the next or the same again."""
        ...

    def read(self, space: memoryview) -> int:
        """Put the next bytes of the part into `space` and say how many, at least one.

        Raises:
            FinalError: reading the part again would not help.
            HaulError: it might.
        """
        ...

    def failed(self) -> None:
        """Be told that the part has to be read again."""
        ...

    def close(self) -> None: ...


class RangeReader:
    """Reads a file whose server honours ranges: a part that has to be sent again is fetched again.

    Args:
        door: where the file is read.
        version: the one version of it that may be read.
        stretch_end: tells up to where one GET should reach.
        body: the file, open from its beginning,
        start: and what has been read of it.
    """

    def __init__(
        self,
        door: Door,
        version: Version,
        stretch_end: Callable[[], int],
        body: Body | None = None,
        start: bytes = b"",
    ) -> None:
        self._door = door
        self._version = version
        self._stretch_end = stretch_end
        self._body = body
        self._start = memoryview(start)
        self._body_at = len(start)
        self._at = self._stop = 0

    def begin(self, start: int, length: int) -> None:
        self._at, self._stop = start, start + length

    def read(self, space: memoryview) -> int:
        count = self._read(space)
        self._at += count
        return count

    def failed(self) -> None:
        self.close()

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _read(self, space: memoryview) -> int:
        """Read on from where the part is, on the open body as long as it leads there."""
        if self._at < len(self._start):
            return _copied(self._start[self._at :], space)
        if self._body is None or self._body_at != self._at or self._body.received == self._body.length:
            self.close()
            self._body = self._door.stretch(self._at, max(self._stretch_end(), self._stop), self._version)
            self._body_at = self._at
        length = self._body.length
        if length is not None:
            space = space[: length - self._body.received]
        count = self._body.readinto(space)
        if not count:
            raise TruncatedFileError(f"{self._body.name} ended after {self._at:,} bytes of {self._version.size:,}")
        self._body_at += count
        return count


class OnceReader:
    """Reads a body that cannot be asked for again: the part under way is held until S3 has it.

    It is handed on as it comes in. Once S3 did not take a part, perhaps because the vendor made it wait, every part is
    read to its end before it is sent.

    Args:
        body: the file, open from its beginning.
        start: what has been read of it.
        size: how long it is.
        part_bytes: how long a part is at most.
        require_time: raises when the work has to stop.
    """

    def __init__(
        self, body: Body, start: bytes, *, size: int, part_bytes: int, require_time: Callable[[], None]
    ) -> None:
        self._body = body
        self._size = size
        self._require_time = require_time
        self._held = memoryview(bytearray(min(part_bytes, size)))
        self._count = _copied(memoryview(start), self._held)
        self._over = memoryview(start)[self._count :]
        self._part = 0
        self._length = min(part_bytes, size)
        self._at = 0
        self._reads_ahead = False

    def begin(self, start: int, length: int) -> None:
        if start != self._part:
            self._part, self._length = start, length
            self._count = _copied(self._over, self._held[:length])
            self._over = self._over[self._count :]
        self._at = 0
        if self._reads_ahead:
            while self._count < self._length:
                self._require_time()
                self._read_on(min(self._length, self._count + _AHEAD_BYTES))

    def read(self, space: memoryview) -> int:
        if self._at == self._count:
            self._read_on(min(self._length, self._at + len(space)))
        count = _copied(self._held[self._at : self._count], space)
        self._at += count
        return count

    def failed(self) -> None:
        self._reads_ahead = True

    def close(self) -> None:
        """Nothing of the body is ours but its bytes."""

    def _read_on(self, stop: int) -> None:
        try:
            count = self._body.readinto(self._held[self._count : stop])
            if not count:
                raise TruncatedFileError(
                    f"{self._body.name} ended after {self._body.received:,} of {self._size:,} bytes"
                )
        except TruncatedFileError as error:
            raise FinalError(error) from None
        self._count += count


def _copied(data: memoryview, space: memoryview) -> int:
    count = min(len(data), len(space))
    space[:count] = data[:count]
    return count
