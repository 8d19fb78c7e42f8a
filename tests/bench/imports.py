"""What the start of a poll costs: CPU of a fresh interpreter that imports it, against boto3 with two clients."""

import shutil
import sys
from pathlib import Path

from infra.source import staged
from tests.bench import tools
from tests.bench.measuring import Spread, run

BARE = "bare interpreter"
BOTO3 = "boto3 with two clients"
BOTO3_CRT = "boto3 with two clients, awscrt installed beside it"
POLL = "the poll's handler"
POLL_UNCOMPILED = "the poll's handler, if its source were not compiled"

_CLIENTS = "{0}('s3'); {0}('secretsmanager')"
_POLL = """
import haul.handlers.check_export, haul.connectors.visier
from haul import wiring
wiring.landing(); wiring.ledger(); {clients}
"""
_CODE = {
    BARE: "pass",
    BOTO3: "import boto3; " + _CLIENTS.format("boto3.client"),
    BOTO3_CRT: "import boto3; " + _CLIENTS.format("boto3.client"),
    POLL: _POLL.format(clients=_CLIENTS.format("wiring.client")),
    POLL_UNCOMPILED: _POLL.format(clients=_CLIENTS.format("wiring.client")),
}
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "HAUL_ENVIRONMENT": "bench",
    "HAUL_LANDING_BUCKET": "landing",
    "HAUL_NOTICES_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:notices",
    "POWERTOOLS_TRACE_DISABLED": "true",
}


def measure(folder: Path, rounds: int) -> dict[str, Spread]:
    """CPU milliseconds of each, in turn. A deployed function finds its packages and its own source compiled.

    boto3 alone is measured in the environment of the other tools: it imports awscrt wherever that is installed.
    """
    source = folder / "source"
    shutil.copytree(tools.ROOT / "functions", source, ignore=shutil.ignore_patterns("__pycache__"))
    paths = dict.fromkeys(_CODE, staged().folder) | {POLL_UNCOMPILED: source}
    interpreters = dict.fromkeys(_CODE, sys.executable) | {BOTO3: str(tools.tools().python)}
    found: dict[str, list[float]] = {name: [] for name in _CODE}
    for number in range(rounds + 1):
        for name, code in _CODE.items():
            own = {"PYTHONPATH": str(paths[name]), "PYTHONDONTWRITEBYTECODE": "1" if name == POLL_UNCOMPILED else ""}
            took = run([interpreters[name], "-c", code], {**_ENVIRONMENT, **own})
            if number:  # the first compiles what the others find compiled
                found[name].append(took.cpu * 1_000)
    return {name: Spread.of(values) for name, values in found.items()}


def ratios(found: dict[str, Spread], which: str) -> Spread:
    """How much more than boto3 with two clients, both over a bare interpreter."""
    over = {name: spread.median - found[BARE].median for name, spread in found.items()}
    middle = over[which] / over[BOTO3]
    low = (found[which].low - found[BARE].median) / over[BOTO3]
    high = (found[which].high - found[BARE].median) / over[BOTO3]
    return Spread(middle, low, high)
