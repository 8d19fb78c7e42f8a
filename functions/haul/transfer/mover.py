"""A file of known length: from the vendor's socket straight into S3's parts.

A part has a known length, so its bytes are handed on as they come in. Where the vendor has proved to honour byte
ranges, nothing is kept of them: a part that breaks off, on either side, is fetched and sent again, and parts may be
large at no cost in memory. Elsewhere the part under way is held, as it cannot be fetched again.

One connection takes the parts in order, and the file is checked on the way. Where the vendor is slow on each connection
and allows several, they share the parts: every one takes a stretch of them, read by one GET, and one that is done takes
half of the longest stretch that is left. Bytes out of order cannot be checked on the way, so the object is read then.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from haul.errors import DamagedFileError
from haul.ports import Landing, OutOfTimeError, Part
from haul.transfer.reading import FinalError, OnceReader, PartReader, RangeReader
from haul.transfer.sending import Persistence
from haul.transfer.source import Body, Door, Version
from haul.transfer.upload import MAX_PARTS

STREAMED_PART_BYTES = 64 << 20
HELD_PART_BYTES = 32 << 20
SMALLEST_PART_BYTES = 5 << 20
"""S3 takes no smaller part, but for the last."""
_ROUND = 1 << 20
_PARTS_PER_CONNECTION = 4


@dataclass(frozen=True)
class Layout:
    """Which bytes each part of an upload holds: all are of one length but the last."""

    size: int
    part_bytes: int

    @classmethod
    def of(cls, size: int, connections: int = 1, part_bytes: int = STREAMED_PART_BYTES) -> "Layout":
        """Lay a file out so that 10,000 parts suffice, and so that several connections all have something to do."""
        smallest = min(part_bytes, SMALLEST_PART_BYTES)
        if connections > 1:
            part_bytes = min(part_bytes, max(smallest, -(-size // (_PARTS_PER_CONNECTION * connections))))
        needed = -(-size // MAX_PARTS)
        return cls(size, part_bytes if needed <= part_bytes else -(-needed // _ROUND) * _ROUND)

    @property
    def count(self) -> int:
        return -(-self.size // self.part_bytes)

    @property
    def is_coarse(self) -> bool:
        """Whether the file could be laid out in smaller parts."""
        return self.count < Layout.of(self.size, part_bytes=SMALLEST_PART_BYTES).count

    def start(self, number: int) -> int:
        return (number - 1) * self.part_bytes

    def length(self, number: int) -> int:
        return min(self.part_bytes, self.size - self.start(number))

    def kept(self, parts: Sequence[Part]) -> dict[int, Part]:
        """Those of an upload's parts that are parts of this layout, with a checksum."""
        return {
            part.number: part
            for part in parts
            if part.number <= self.count and part.bytes == self.length(part.number) and part.checksum
        }


@dataclass(frozen=True)
class Pacing:
    """When to open more connections, when to try again and when to stop.

    Attributes:
        connections: how many one file may have.
        enough: bytes a second; a connection that brings them is left alone, as more would not be faster.
        read_again: bytes a second at which an object can be read that was not checked on its way.
        look_after_bytes: when the first connection's speed is looked at,
        look_after_seconds: whichever comes first.
        persistence: how often a part is sent.
        time_left: seconds until the invocation has to stop.
    """

    connections: int
    enough: float
    read_again: float
    look_after_bytes: int
    look_after_seconds: float
    persistence: Persistence
    time_left: Callable[[], float]


class Mover:
    """Moves the parts that an upload lacks.

    Args:
        door: where the file is read.
        landing: where it goes.
        key: under which name.
        upload_id: the upload that is to be completed.
        layout: its parts.
        version: the one version of the file that may be in it; None where the vendor's ranges are not to be used.
        have: the parts that are there.
        see: given all bytes in order as long as there is one connection, None if nobody looks.
    """

    def __init__(
        self,
        door: Door,
        landing: Landing,
        key: str,
        upload_id: str,
        *,
        layout: Layout,
        version: Version | None,
        pacing: Pacing,
        have: Mapping[int, Part] | None = None,
        see: Callable[[memoryview], None] | None = None,
    ) -> None:
        self.landing = landing
        self.key = key
        self.upload_id = upload_id
        self.layout = layout
        self.pacing = pacing
        self.parts = dict(have or {})
        self.seen = 0
        self.stopping = False
        self._door = door
        self._version = version
        self._see = None if self.parts else see
        self._moved = 0
        self._shares = _Shares([number for number in range(1, layout.count + 1) if number not in self.parts])
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """How many bytes are in safety."""
        return sum(part.bytes for part in self.parts.values())

    @property
    def moved(self) -> bool:
        return self._moved > 0

    @property
    def is_ranged(self) -> bool:
        return self._version is not None

    @property
    def saw_all(self) -> bool:
        return self._see is not None and self.seen == self.layout.size

    def run(self, body: Body | None = None, start: bytes = b"") -> list[Part]:
        """Move what is missing; all parts, by number.

        Args:
            body: the file, open from its beginning.
            start: what has been read of it.

        Raises:
            OutOfTimeError: the time is over; what is there can be gone on with.
            NotRangedError: the server does not honour ranges (any more).
            FileChangedError: it is another file now.
            DamagedFileError: as `see` says.
            HaulError: a part could not be moved.
        """
        first = _Connection(self, body, start, is_first=True)
        try:
            self._work(first)
        finally:
            for thread in self._threads:
                thread.join()
        if self._errors:
            # Whatever went wrong stops the others, and they say that their time is over.
            for error in self._errors:
                if not isinstance(error, OutOfTimeError):
                    raise error
            raise self._out_of_time()
        return [self.parts[number] for number in range(1, self.layout.count + 1)]

    def look(self, bytes_per_second: float) -> None:
        """Give the first connection company if that makes the file land sooner.

        What is checked on its way by one connection has to be read again if there are several.
        """
        pacing, left = self.pacing, self.layout.size - self.done
        if self._see is None:
            slow = bytes_per_second < pacing.enough
        else:
            saved = left * (1 - 1 / pacing.connections)
            slow = saved * pacing.read_again > self.layout.size * bytes_per_second
        if slow and self._shares.any_left:
            self._see = None
            self._widen()

    def _widen(self) -> None:
        for number in range(1, self.pacing.connections):
            thread = threading.Thread(target=self._work, args=(_Connection(self),), name=f"range-{number}")
            self._threads.append(thread)
            thread.start()

    def next(self, connection: "_Connection") -> int | None:
        return self._shares.next(connection)

    def reader(self, connection: "_Connection", body: Body | None, start: bytes) -> PartReader:
        """Make what a connection reads its parts with; the first one has the file open."""
        layout = self.layout
        if self._version:

            def stretch_end() -> int:
                return min(layout.size, layout.start(self._shares.end(connection)))

            return RangeReader(self._door, self._version, stretch_end, body, start)
        assert body is not None  # noqa: S101 - without ranges there is one way to have it
        return OnceReader(body, start, size=layout.size, part_bytes=layout.part_bytes, require_time=self.require_time)

    def landed(self, part: Part) -> None:
        with self._lock:
            self.parts[part.number] = part
            self._moved += 1

    def show(self, at: int, data: memoryview) -> None:
        """Let the file be checked, once even where a part of it is fetched again."""
        if self._see is not None and at <= self.seen < at + len(data):
            self._see(data[self.seen - at :])
            self.seen = at + len(data)

    def require_time(self, seconds: float = 0.0) -> None:
        if self.stopping or self.pacing.time_left() <= seconds:
            raise self._out_of_time()

    def _out_of_time(self) -> OutOfTimeError:
        return OutOfTimeError(advanced=self._moved > 0, done=self.done)

    def _work(self, connection: "_Connection") -> None:
        try:
            connection.run()
        except BaseException as error:  # noqa: BLE001 - it is raised where the threads have ended
            with self._lock:
                self._errors.append(error)
            self.stopping = True
        finally:
            connection.close()


class _Connection:
    """One GET at a time at the vendor, one PUT at a time in S3."""

    def __init__(self, mover: Mover, body: Body | None = None, start: bytes = b"", *, is_first: bool = False) -> None:
        self._mover = mover
        self._reader = mover.reader(self, body, start)
        self._at = 0
        self._sender = mover.landing.sender()
        self._began = time.monotonic()
        self._brought = 0
        self._alone = is_first and mover.pacing.connections > 1
        self._seconds_per_byte = 0.0

    def run(self) -> None:
        mover = self._mover
        while (number := mover.next(self)) is not None:
            length = mover.layout.length(number)
            # What can be fetched again is not begun where it will not come to its end.
            mover.require_time(self._seconds_per_byte * length if mover.is_ranged else 0.0)
            began = time.monotonic()
            mover.landed(self._moved(number))
            self._seconds_per_byte = (time.monotonic() - began) / length

    def close(self) -> None:
        self._reader.close()
        self._sender.close()

    def _moved(self, number: int) -> Part:
        mover = self._mover
        start, length = mover.layout.start(number), mover.layout.length(number)

        def send() -> Part:
            self._at = start
            self._reader.begin(start, length)
            return self._sender.send(mover.key, mover.upload_id, number, length=length, fill=self._fill)

        def again() -> None:
            self._reader.failed()
            mover.require_time()

        try:
            return mover.pacing.persistence.send(mover.key, send, again=again)
        except FinalError as error:
            raise error.cause from None

    def _fill(self, space: memoryview) -> None:
        """Put the next bytes of the part into all of `space`."""
        mover = self._mover
        mover.require_time()
        at, rest = self._at, space
        while rest:
            count = self._reader.read(rest)
            self._at += count
            rest = rest[count:]
        try:
            mover.show(at, space)
        except DamagedFileError as error:
            raise FinalError(error) from None
        self._brought += len(space)
        self._look()

    def _look(self) -> None:
        """Look once whether this connection, which is the first, is slow enough for others to help."""
        if not self._alone:
            return
        pacing, seconds = self._mover.pacing, time.monotonic() - self._began
        if self._brought >= pacing.look_after_bytes or seconds >= pacing.look_after_seconds:
            self._alone = False
            self._mover.look(self._brought / max(seconds, 1e-6))


class _Shares:
    """Which parts each connection takes: a stretch of them, so that one GET serves many.

    A connection without any takes a stretch that nobody has, or the second half of the longest that another has left.
    """

    def __init__(self, missing: Sequence[int]) -> None:
        self._free: list[range] = []
        for number in missing:
            if self._free and self._free[-1].stop == number:
                self._free[-1] = range(self._free[-1].start, number + 1)
            else:
                self._free.append(range(number, number + 1))
        self._held: dict[object, range] = {}
        self._lock = threading.Lock()

    def next(self, who: object) -> int | None:
        """The next part of `who`, None if none is left."""
        with self._lock:
            if not self._held.get(who):
                self._held[who] = self._another()
            mine = self._held[who]
            self._held[who] = mine[1:]
            return mine[0] if mine else None

    @property
    def any_left(self) -> bool:
        with self._lock:
            return bool(self._free) or any(self._held.values())

    def end(self, who: object) -> int:
        """The number behind the last part of the stretch that `who` works on."""
        with self._lock:
            return self._held[who].stop

    def _another(self) -> range:
        if self._free:
            longest = max(self._free, key=len)
            self._free.remove(longest)
            return longest
        victim = max(self._held, key=lambda who: len(self._held[who]), default=None)
        if victim is None:
            return range(0)
        theirs = self._held[victim]
        middle = len(theirs) // 2
        self._held[victim] = theirs[:middle]
        return theirs[middle:]
