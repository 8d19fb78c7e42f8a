"""Peak memory of a download, which must not grow with the file.

    python -m tests.bench.memory [MEGABYTES ...]

A fresh interpreter lands a generated file of each size (10 and 1,000 MB if none is said) with the real S3 client in a
store that keeps nothing. Nobody holds the file: it is the same gzip member of rows over and over.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.bench.moving import a_file
from tests.bench.sink import sink
from tests.fakes.file_server import Reply, file_server


@dataclass(frozen=True)
class Result:
    """What one download took; sizes in bytes, times in seconds."""

    bytes: int
    rows: int | None
    seconds: float
    cpu: float
    imports: int
    peak: int


def measure(size: int, verify: Literal["full", "length"] = "full") -> Result:
    """Land a file of about `size` bytes in a process of its own."""
    pieces, length = a_file(size)
    with file_server() as server, sink() as endpoint:
        url = server.put("/flights_part0.csv.gz", Reply(lambda: pieces, announced=length))
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.client", "--verify", verify, url, endpoint],
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
        )
    result = Result(**json.loads(done.stdout))
    if result.bytes != length:
        raise RuntimeError(f"{result.bytes:,} of {length:,} bytes landed")
    return result


def table(megabytes: Sequence[int]) -> Iterator[tuple[Result, Literal["full", "length"]]]:
    """Every size, verified in full and by its length alone."""
    for size in megabytes:
        yield measure(size * 1_000_000, "full"), "full"
        yield measure(size * 1_000_000, "length"), "length"


def main(megabytes: Sequence[int]) -> None:
    print(f"{'file':>9} {'verify':>7} {'peak over imports':>18} {'imports':>9} {'time':>8} {'CPU s/GB':>9}")
    for took, verify in table(megabytes):
        print(
            f"{took.bytes / 1e6:>6,.0f} MB {verify:>7} {took.peak / 1e6:>15.1f} MB {took.imports / 1e6:>6.0f} MB"
            f" {took.seconds:>6.1f} s {took.cpu / took.bytes * 1e9:>9.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10, 1_000])
