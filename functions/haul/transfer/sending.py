"""Sending a part until S3 has it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from haul.errors import CorruptFileError, LedgerBusyError, TruncatedFileError, VendorUnavailableError
from haul.ports import Part, UploadEndedError


@dataclass(frozen=True)
class Persistence:
    """How often a part is sent, resting in between by `pause`, which is given seconds."""

    tries: int = 4
    pause: Callable[[float], None] = time.sleep

    def send(self, key: str, send: Callable[[], Part], *, again: Callable[[], None] = lambda: None) -> Part:
        """Send a part of `key`; `again` is called before each further try.

        Raises:
            LedgerBusyError: the upload was ended by somebody else, or S3 takes nothing now.
            HaulError: what the last try came to.
        """
        for tried in range(1, self.tries + 1):
            try:
                return send()
            except UploadEndedError:
                raise LedgerBusyError(f"the upload of {key} was ended by another writer") from None
            except (CorruptFileError, TruncatedFileError, VendorUnavailableError, LedgerBusyError):
                if tried == self.tries:
                    raise
            again()
            self.pause(0.2 * 2**tried)
        raise AssertionError("a part is tried at least once")


def pouring(data: bytes | memoryview) -> Callable[[memoryview], None]:
    """Fill spaces with `data`, one after the other."""
    rest = memoryview(data)

    def fill(space: memoryview) -> None:
        nonlocal rest
        space[:] = rest[: len(space)]
        rest = rest[len(space) :]

    return fill
