"""Making one object of a stream whose length may be unknown: a single PUT if it fits in a part, else of parts.

One part travels while the next is filled, in two buffers that are used again and again: memory is two parts. The whole
object's CRC64NVME is put together from the parts' and S3 refuses the object if it differs.
"""

import base64
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from awscrt.checksums import combine_crc64nvme, crc64nvme

from haul.errors import HaulError
from haul.ports import Landing, Part, PartSender
from haul.transfer.sending import Persistence, pouring

PART_BYTES = 16 << 20
MAX_PARTS = 10_000
_PLAIN_PARTS = 2_000
_DOUBLES_EVERY = 1_000


def part_bytes(number: int, smallest: int = PART_BYTES) -> int:
    """How big part `number` (from 1) is: small up to 32 GB, then doubling every 1,000, such that 10,000 hold 5 TB."""
    return smallest << max(0, (number - 1 - _PLAIN_PARTS) // _DOUBLES_EVERY + 1)


class Upload:
    """An object that is being made. Leaving it by an exception leaves nothing behind.

    Attributes:
        bytes: how long it is so far.
        checksum: the whole object's CRC64NVME, as S3 spells it; once all of it is known.

    Args:
        size: how long the object will be, None if that is not known.
        on_upload: told the id of a multipart upload before its first part, and None when it has ended.
        may_complete: asked when all parts are there and about to become an object.
    """

    def __init__(
        self,
        landing: Landing,
        key: str,
        *,
        content_type: str,
        size: int | None,
        on_upload: Callable[[str | None], None],
        smallest_part: int = PART_BYTES,
        may_complete: Callable[[], None] = lambda: None,
        persistence: Persistence | None = None,
    ) -> None:
        self.key = key
        self.bytes = 0
        self.checksum = ""
        self._landing = landing
        self._content_type = content_type
        self._on_upload = on_upload
        self._smallest_part = smallest_part
        self._may_complete = may_complete
        self._persistence = persistence or Persistence()
        self._upload_id: str | None = None
        self._parts: list[Part] = []
        self._number = 1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._sender: PartSender | None = None
        self._in_flight: tuple[Future[Part], bytearray] | None = None
        self._spare: bytearray | None = None
        # One more than a small file has, so that it never fills its buffer and stays a single PUT.
        self._buffer = bytearray(smallest_part if size is None else min(smallest_part, size + 1))
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._upload_id is not None:
                self._leave(self._upload_id)
        finally:
            self._thread.shutdown()
            if self._sender is not None:
                self._sender.close()

    def space(self, limit: int) -> memoryview:
        """Where the next bytes go, at most `limit`; at least one."""
        if self._used == len(self._buffer):
            self._send_part()
        return memoryview(self._buffer)[self._used : self._used + limit]

    def filled(self, count: int) -> None:
        """Take in the first `count` bytes of `space`."""
        self._used += count
        self.bytes += count

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            with self.space(len(rest)) as space:
                count = len(space)
                space[:] = rest[:count]
            self.filled(count)
            rest = rest[count:]

    def finish(self) -> str | None:
        """Make the object; its version id."""
        if self._upload_id is None:
            del self._buffer[self._used :]
            self.checksum = encoded(crc64nvme(self._buffer))
            return self._landing.put(self.key, self._buffer, checksum=self.checksum, content_type=self._content_type)
        if self._used:
            self._send_part()
        self._land_part()
        self.checksum = combined(self._parts)
        self._may_complete()
        version = self._landing.complete(self.key, self._upload_id, self._parts, checksum=self.checksum)
        self._upload_id = None
        self._on_upload(None)
        return version

    def _send_part(self) -> None:
        """Send the buffer off and go on with another."""
        if self._upload_id is None:
            self._upload_id = self._landing.begin(self.key, content_type=self._content_type)
            self._on_upload(self._upload_id)
        self._land_part()
        part = memoryview(self._buffer)[: self._used]
        self._in_flight = (self._thread.submit(self._sent, self._upload_id, self._number, part), self._buffer)
        self._number += 1
        self._used = 0
        wanted = part_bytes(self._number, self._smallest_part)
        fits = self._spare is not None and len(self._spare) == wanted
        self._buffer = self._spare if fits and self._spare is not None else bytearray(wanted)
        self._spare = None

    def _sent(self, upload_id: str, number: int, part: memoryview) -> Part:
        sender = self._sender = self._sender or self._landing.sender()

        return self._persistence.send(
            self.key, lambda: sender.send(self.key, upload_id, number, length=len(part), fill=pouring(part))
        )

    def _land_part(self) -> None:
        """Wait for the part that is under way; its buffer is free then."""
        if self._in_flight is not None:
            sent, self._spare = self._in_flight
            self._in_flight = None
            self._parts.append(sent.result())

    def _leave(self, upload_id: str) -> None:
        """Abort, once no part can arrive after that. The id stays noted if even that fails."""
        if self._in_flight is not None:
            self._in_flight[0].exception()
        with contextlib.suppress(HaulError):
            self._landing.abort(self.key, upload_id)
            self._on_upload(None)


def combined(parts: Iterable[Part]) -> str:
    """Put the whole object's checksum together from its parts', in their order."""
    checksum = 0
    for part in parts:
        checksum = combine_crc64nvme(checksum, int.from_bytes(base64.b64decode(part.checksum)), part.bytes)
    return encoded(checksum)


def encoded(checksum: int) -> str:
    """Spell a CRC64NVME the way S3 does."""
    return base64.b64encode(checksum.to_bytes(8, "big")).decode()
