"""Who moves the file: each a command of its own process, and what may be asked of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from haul.transfer.mover import STREAMED_PART_BYTES
from tests.bench import servers, tools

_OTHERS = Path(__file__).parent / "others.py"


@dataclass(frozen=True)
class Move:
    """One file to move: where it is, where it goes."""

    url: str
    endpoint: str
    key: str
    source: Path
    certificate: Path

    @property
    def target(self) -> str:
        return f"{self.endpoint}/{servers.BUCKET}/{self.key}"


@dataclass(frozen=True)
class Contender:
    """A way to move a file. `part` is how much of the full body it gets: what is slow gets less.

    `signs` says that it speaks S3, so that it can be measured against a real one.
    """

    name: str
    command: Callable[[Move], list[str]]
    part: float = 1.0
    signs: bool = True
    stores: bool = True


def ours(*options: str) -> Callable[[Move], list[str]]:
    return lambda move: [sys.executable, "-m", "tests.bench.client", *options, move.url, move.endpoint, move.key]


def other(way: str) -> Callable[[Move], list[str]]:
    return lambda move: [str(tools.tools().python), str(_OTHERS), way, move.url, move.endpoint, move.key]


def _curl(move: Move) -> list[str]:
    get = f'{tools.program("curl")} -sSf -o /dev/null "$0"'
    return _shell(
        f'{get} && {tools.program("curl")} -sSf -o /dev/null -T "$1" "$2"', move.url, move.source, move.target
    )


def _curl_get(move: Move) -> list[str]:
    return [tools.program("curl"), "-sSf", "-o", "/dev/null", move.url]


def _curl_aws(move: Move) -> list[str]:
    copy = f"{tools.tools().aws} s3 cp --quiet --endpoint-url $1 - s3://{servers.BUCKET}/$2"
    return _shell(f'{tools.program("curl")} -sSf "$0" | {copy}', move.url, move.endpoint, move.key)


def _rclone(move: Move) -> list[str]:
    options = {
        "provider": "Other",
        "endpoint": move.endpoint,
        "access-key-id": servers.ACCESS_KEY,
        "secret-access-key": servers.SECRET_KEY,
        "force-path-style": "true",
        "no-check-bucket": "true",
        "no-head": "true",
    }
    said = [f"--s3-{name}={value}" for name, value in options.items()]
    config = ["--config", "/dev/null", "--ca-cert", str(move.certificate)]
    return [str(tools.tools().rclone), "copyurl", *config, *said, move.url, f":s3:{servers.BUCKET}/{move.key}"]


def _shell(script: str, *arguments: str | Path) -> list[str]:
    return [tools.program("bash"), "-o", "pipefail", "-c", script, *map(str, arguments)]


FLOOR = "curl GET + curl PUT"
OURS = "Haul, streamed"
OURS_HELD = "Haul, held"
OURS_FULL = "Haul, streamed, verified in full"
OURS_SHA256 = "Haul, streamed, SHA-256"
BOTO3 = "boto3 upload_fileobj"
CONTENT = "requests.content + put_object"
AIRBYTE = "Airbyte CDK, gzip and CSV, stores nothing"
CURL_GET = "curl GET, one connection"
RCLONE = "rclone copyurl"
RANGES = {2: "Haul, 2 ranges", 4: "Haul, 4 ranges"}
"""How many connections to one file, and who is called that."""

OUR_PART_BYTES = STREAMED_PART_BYTES

ALL = [
    Contender(FLOOR, _curl, signs=False),
    Contender(OURS, ours("--ranges", "1")),
    Contender(OURS_HELD, ours()),
    Contender(OURS_FULL, ours("--ranges", "1", "--verify", "full"), part=0.4),
    Contender(OURS_SHA256, ours("--ranges", "1", "--sha256")),
    *(Contender(name, ours("--ranges", str(ranges))) for ranges, name in RANGES.items()),
    Contender(BOTO3, other("upload_fileobj")),
    Contender("boto3 upload_fileobj, tuned", other("upload_fileobj_tuned")),
    Contender(CONTENT, other("put_object")),
    Contender("smart_open", other("smart_open")),
    Contender(RCLONE, _rclone),
    Contender("curl piped into aws s3 cp", _curl_aws),
    Contender(AIRBYTE, other("airbyte"), part=0.03, stores=False),
]
BY_NAME = {contender.name: contender for contender in ALL}
THROTTLED = [
    Contender(CURL_GET, _curl_get, stores=False, signs=False),
    *(BY_NAME[name] for name in (OURS, *RANGES.values(), BOTO3)),
]
QUICK = [BY_NAME[name] for name in (FLOOR, OURS, OURS_HELD, BOTO3)]
