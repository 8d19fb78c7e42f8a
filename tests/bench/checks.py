"""What each check costs by itself: `python -m tests.bench.checks WHICH FILE` prints its CPU seconds.

The file is read in the pieces in which a download gets it. zlib gets the same reader of rows behind it as ISA-L, so
that what differs is the unpacking.
"""

import hashlib
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from awscrt.checksums import crc64nvme

from haul.models.export import Column, Dataset
from haul.transfer.verify import check_of
from tests.bench.client import COLUMNS

_PIECE = 256 << 10

type Feed = Callable[[memoryview], object]


def _nothing(_: memoryview) -> None:
    """Reading alone."""


def _crc64nvme() -> Feed:
    state = 0

    def feed(piece: memoryview) -> None:
        nonlocal state
        state = crc64nvme(piece, state)

    return feed


def _dataset() -> Dataset:
    columns = [Column(name=column, vendor_type="String", type="string") for column in COLUMNS]
    return Dataset(name="flights", table="flights", columns=columns)


def _zlib() -> Feed:
    rows = check_of("flights.csv.gz", "none", _dataset())
    member = zlib.decompressobj(31)

    def feed(piece: memoryview) -> None:
        nonlocal member
        rest = bytes(piece)
        while rest:
            if unpacked := member.decompress(rest, _PIECE):
                rows.feed(unpacked)
            rest = member.unconsumed_tail
            if member.eof:
                rest = member.unused_data
                member = zlib.decompressobj(31)

    return feed


CHECKS: dict[str, Callable[[], Feed]] = {
    "read": lambda: _nothing,
    "crc64nvme": _crc64nvme,
    "sha256": lambda: hashlib.sha256().update,
    "isal": lambda: check_of("flights.csv.gz", "gzip", _dataset()).feed,
    "zlib": _zlib,
}


def main(which: str, path: Path) -> None:
    feed = CHECKS[which]()
    space = memoryview(bytearray(_PIECE))
    began = time.process_time()
    with path.open("rb", buffering=0) as source:
        while count := source.readinto(space):
            feed(space[:count])
    print(time.process_time() - began)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
