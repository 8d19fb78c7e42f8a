"""One download in a fresh interpreter: lands a URL in a bucket and prints what that took, as JSON.

    python -m tests.bench.client URL S3_ENDPOINT full|length

Memory is what the process grew by after everything was imported and the client made.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from haul import wiring
from haul.adapters.landing import S3Landing
from haul.models.export import Column, Dataset, RemoteFile
from haul.ports import DownloadSource
from haul.transfer import land_file

COLUMNS = ("year", "flight", "tailnum", "origin", "dest", "time_hour", "_DiffAction_")


def peak_bytes() -> int:
    """The most memory that this process ever had resident. (`ru_maxrss` would inherit the parent's.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main(url: str, endpoint: str, verify: Literal["full", "length"]) -> None:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    client = wiring.client("s3")
    name = "flights_part0.csv.gz"
    before, began, cpu = peak_bytes(), time.monotonic(), time.process_time()

    landed = land_file(
        lambda: DownloadSource(url, {}, urlsplit(url).netloc),
        S3Landing("landing", client),
        f"raw/{name}",
        file=RemoteFile(dataset="flights", name=name, part=0, vendor_file_id=1, vendor_name=name),
        dataset=Dataset(
            name="flights",
            table="flights",
            columns=[Column(name=column, vendor_type="String", type="string") for column in COLUMNS],
        ),
        verify=verify,
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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], cast('Literal["full", "length"]', sys.argv[3]))
