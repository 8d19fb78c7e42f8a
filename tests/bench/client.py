"""One download in a fresh interpreter: lands a URL in a bucket and prints what that took, as JSON.

    python -m tests.bench.client [--verify full|length] [--sha256] [--ranges N] [--seconds N --progress FILE]
        URL S3_ENDPOINT [KEY]

Without `--ranges` the vendor is not asked for any, as one that has none.
With `--seconds` it stops in time with exit status 3, and FILE holds what the next one goes on with.
Memory is what the process grew by after everything was imported and the client made.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from haul import wiring
from haul.adapters.landing import S3Landing
from haul.models.export import Column, Dataset, RemoteFile
from haul.models.landed import Progress
from haul.ports import DownloadSource, OutOfTimeError
from haul.transfer.land import land_file

COLUMNS = ("year", "flight", "tailnum", "origin", "dest", "time_hour", "_DiffAction_")
_NAME = "flights_part0.csv.gz"
UNFINISHED = 3
_RESERVE = 2.0
"""Seconds that are kept for what has to be done at the end, as a function keeps some."""
_STANDING = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def peak_bytes() -> int:
    """The most memory that this process ever had resident. (`ru_maxrss` would inherit the parent's.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main(asked: argparse.Namespace) -> None:
    for name, value in _STANDING.items():
        os.environ.setdefault(name, value)
    os.environ["AWS_ENDPOINT_URL"] = asked.endpoint
    client = wiring.client("s3")
    before, began, cpu = peak_bytes(), time.monotonic(), time.process_time()

    landed = land_file(
        lambda: DownloadSource(asked.url, {}, urlsplit(asked.url).netloc, honours_range=asked.ranges > 0),
        S3Landing("landing", client, wiring.session().get_credentials),
        asked.key,
        file=RemoteFile(dataset="flights", name=_NAME, part=0, vendor_file_id=1, vendor_name=_NAME),
        dataset=Dataset(
            name="flights",
            table="flights",
            columns=[Column(name=column, vendor_type="String", type="string") for column in COLUMNS],
        ),
        verify=asked.verify,
        sha256=asked.sha256,
        ranges=asked.ranges,
        resume=_kept(asked.progress),
        on_progress=lambda progress: _keep(asked.progress, progress),
        time_left=lambda: began + asked.seconds - _RESERVE - time.monotonic(),
    )

    print(
        json.dumps(
            {
                "bytes": landed.bytes,
                "rows": landed.rows,
                "seconds": time.monotonic() - began,
                "cpu": time.process_time() - cpu,
                "imports": before,
                "peak": peak_bytes() - before,
            }
        )
    )


def _kept(place: Path | None) -> Progress | None:
    return Progress.model_validate_json(place.read_text()) if place and place.exists() else None


def _keep(place: Path | None, progress: Progress | None) -> None:
    if place and progress:
        place.write_text(progress.to_json())
    elif place:
        place.unlink(missing_ok=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--verify", choices=["full", "length"], default="length")
    parser.add_argument("--sha256", action="store_true")
    parser.add_argument("--ranges", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--progress", type=Path)
    parser.add_argument("url")
    parser.add_argument("endpoint")
    parser.add_argument("key", nargs="?", default=f"raw/{_NAME}")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(_arguments())
    except OutOfTimeError:
        sys.exit(UNFINISHED)
