"""One large file through processes that live for 20 s each, as functions with such a limit would move it.

    python -m tests.bench.continued [MEGABYTES]

The vendor is nginx with TLS, which gives 25 MB/s a connection; the store is LocalStack's S3, which checks sums. What
one process leaves to the next is a document of a few hundred bytes. A process that outlives its limit is killed.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import boto3

from infra.local.localstack import LocalStack
from tests.bench import servers
from tests.bench.client import UNFINISHED
from tests.bench.moving import file_of

LIMIT_SECONDS = 20.0
RANGES = 2
_KEY = "raw/large.csv.gz"
_MOST = 200


@dataclass(frozen=True)
class Moved:
    """What it took: `bytes` of the file, processes, seconds; whether the same bytes are there."""

    bytes: int
    processes: int
    seconds: float
    same: bool


def measure(megabytes: int) -> Moved:
    size = megabytes * 1_000_000
    with servers.place(3 * size) as at, servers.nginx(at, "vendor") as vendor:
        path = file_of(at, size)
        with LocalStack(log=at.folder / "localstack.log") as localstack:
            environment = {**os.environ, **at.trust, **localstack.environment}
            store = boto3.client(
                "s3",
                endpoint_url=localstack.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            store.create_bucket(Bucket=servers.BUCKET)
            begun = time.monotonic()
            processes = _move(
                f"{vendor}/slow/{path.name}", localstack.endpoint_url, at.folder / "progress", environment
            )
            seconds = time.monotonic() - begun
            stored = hashlib.sha256()
            for chunk in store.get_object(Bucket=servers.BUCKET, Key=_KEY)["Body"].iter_chunks(1 << 20):
                stored.update(chunk)
        with path.open("rb") as file:
            same = stored.digest() == hashlib.file_digest(file, "sha256").digest()
        return Moved(path.stat().st_size, processes, seconds, same)


def _move(url: str, endpoint: str, progress: Path, environment: dict[str, str]) -> int:
    """Start one process after another until the file is whole; how many that took."""
    limits = ["--seconds", str(LIMIT_SECONDS), "--progress", str(progress), "--ranges", str(RANGES)]
    for number in range(1, _MOST + 1):
        command = [sys.executable, "-m", "tests.bench.client", *limits, url, endpoint, _KEY]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS + 5, check=False
            )
        except subprocess.TimeoutExpired:
            continue  # killed, as a function would be
        if done.returncode == 0:
            return number
        if done.returncode != UNFINISHED:
            raise RuntimeError(done.stderr[-2_000:])
    raise RuntimeError(f"not whole after {_MOST} processes")


if __name__ == "__main__":
    moved = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
    print(json.dumps(vars(moved)))
    sys.exit(0 if moved.same else 1)
