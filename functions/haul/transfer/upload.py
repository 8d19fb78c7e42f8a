"""Making one object of a stream: a single PUT if it fits in a part, else a multipart upload.

One part travels while the next is filled, in two buffers that are used again and again: memory is two parts at any
size of file. The whole object's CRC64NVME is put together from the parts' and S3 refuses the object if it differs.
"""

import base64
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from awscrt.checksums import combine_crc64nvme, crc64nvme

from haul.errors import HaulError
from haul.ports import Landing, Part

PART_BYTES = 8 << 20
MAX_PARTS = 10_000
_PLAIN_PARTS = 4_000
_DOUBLES_EVERY = 1_000


def part_bytes(number: int, size: int | None, smallest: int = PART_BYTES) -> int:
    """How big part `number` (from 1) is, such that 10,000 of them hold the file.

    Where the size is unknown parts stay small up to 32 GB, then double every 1,000: 10,000 hold 1 TB.
    """
    if size is not None:
        return max(smallest, -(-size // MAX_PARTS))
    return smallest << max(0, (number - 1 - _PLAIN_PARTS) // _DOUBLES_EVERY + 1)


class Upload:
    """An object that is being made. Leaving it by an exception leaves nothing behind.

    Args:
        size: how long the object will be, None if that is not known.
        on_upload: told the id of a multipart upload before its first part, and None when it has ended.
        may_complete: asked when all parts are there and about to become an object.
        keeps: tells by what went wrong whether the upload is left for somebody who goes on with it.
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
        keeps: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        self.key = key
        self.bytes = 0
        self.checksum = 0
        self.part_bytes = part_bytes(1, size, smallest_part)
        self._landing = landing
        self._content_type = content_type
        self._size = size
        self._on_upload = on_upload
        self._smallest_part = smallest_part
        self._may_complete = may_complete
        self._keeps = keeps
        self._upload_id: str | None = None
        self._parts: list[Part] = []
        self._number = 1
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._in_flight: tuple[Future[Part], bytearray] | None = None
        self._spare: bytearray | None = None
        # One more than a small file has, so that it never fills its buffer and stays a single PUT.
        self._buffer = bytearray(min(self._part_bytes(), self._part_bytes() if size is None else size + 1))
        self._used = 0
        self._part_checksum = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._upload_id is not None:
                self._leave(self._upload_id, error)
        finally:
            self._sender.shutdown()

    def space(self, limit: int) -> memoryview:
        """Where the next bytes go, at most `limit`; at least one."""
        if self._used == len(self._buffer):
            self._send_part()
        return memoryview(self._buffer)[self._used : self._used + limit]

    def filled(self, view: memoryview) -> None:
        """Take in what was written to the beginning of `space`."""
        self._part_checksum = crc64nvme(view, self._part_checksum)
        self._used += len(view)

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            with self.space(len(rest)) as space:
                space[:] = rest[: len(space)]
                self.filled(space)
                rest = rest[len(space) :]

    def finish(self) -> str | None:
        """Make the object; its version id."""
        if self._upload_id is None:
            self._count_part()
            return self._landing.put(
                self.key, self._cut(), checksum=encoded(self.checksum), content_type=self._content_type
            )
        if self._used:
            self._send_part()
        self._land_part()
        self._may_complete()
        version = self._landing.complete(self.key, self._upload_id, self._parts, checksum=encoded(self.checksum))
        self._upload_id = None
        self._on_upload(None)
        return version

    def settle(self) -> int:
        """Wait for the part that is under way; how many bytes are in S3 then."""
        self._land_part()
        return sum(part.bytes for part in self._parts)

    def _part_bytes(self) -> int:
        return part_bytes(self._number, self._size, self._smallest_part)

    def _send_part(self) -> None:
        """Send the buffer off and go on with another."""
        if self._upload_id is None:
            self._upload_id = self._landing.begin(self.key, content_type=self._content_type)
            self._on_upload(self._upload_id)
        self._land_part()
        checksum = encoded(self._part_checksum)
        self._count_part()
        body = self._cut()
        sent = self._sender.submit(
            self._landing.upload, self.key, self._upload_id, self._number, body, checksum=checksum
        )
        self._in_flight = (sent, body)
        self._number += 1
        self._used = 0
        self._part_checksum = 0
        wanted = self._part_bytes()
        fits = self._spare is not None and len(self._spare) == wanted
        self._buffer = self._spare if fits and self._spare is not None else bytearray(wanted)
        self._spare = None

    def _land_part(self) -> None:
        """Wait for the part that is under way; its buffer is free then."""
        if self._in_flight is not None:
            sent, self._spare = self._in_flight
            self._in_flight = None
            self._parts.append(sent.result())

    def _count_part(self) -> None:
        self.checksum = combine_crc64nvme(self.checksum, self._part_checksum, self._used)
        self.bytes += self._used

    def _cut(self) -> bytearray:
        """The buffer without what was not used, in place: only the last part is cut."""
        if self._used < len(self._buffer):
            del self._buffer[self._used :]
        return self._buffer

    def _leave(self, upload_id: str, error: BaseException) -> None:
        """Abort, once no part can arrive after that, unless it is kept. An id stays noted if even that fails."""
        if self._in_flight is not None:
            self._in_flight[0].exception()
        if self._keeps(error):
            return
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
