"""What the start of a poll costs: CPU of a fresh interpreter that imports it, against boto3 with two clients."""

import os
import shutil
from pathlib import Path

from infra import layer
from infra.environment import machine
from infra.source import staged
from tests.bench import tools
from tests.bench.measuring import Spread, run

BARE = "bare interpreter"
BOTO3 = "boto3 with two clients"
BOTO3_CRT = "boto3 with two clients, awscrt installed beside it"
POLL = "the poll's handler"
POLL_UNCOMPILED = "the poll's handler, if its source were not compiled"

_PYTHON = tools.ROOT / ".venv-lambda" / "bin" / "python"
_CLIENTS = "{0}('s3'); {0}('secretsmanager')"
_POLL = """
import haul.handlers.check_export, haul.connectors.visier
from haul import wiring
wiring.documents(); wiring.ledger(); {clients}
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
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}


def measure(folder: Path, rounds: int) -> dict[str, Spread]:
    """CPU milliseconds of each, in turn, where all find what they find in Lambda.

    That is an interpreter with what the runtime offers, boto3 among it, and the function's layers and own source,
    compiled.
    """
    source = folder / "source"
    shutil.copytree(tools.ROOT / "functions", source, ignore=shutil.ignore_patterns("__pycache__"))
    layers = layer.built(machine())
    common, download = (each.unpacked / "python" for each in layers)
    paths: dict[str, tuple[Path, ...]] = {
        BARE: (),
        BOTO3: (),
        BOTO3_CRT: (download,),
        POLL: (staged().folder, common),
        POLL_UNCOMPILED: (source, common),
    }
    found: dict[str, list[float]] = {name: [] for name in _CODE}
    for number in range(rounds + 1):
        for name, code in _CODE.items():
            own = {
                "PYTHONPATH": os.pathsep.join(map(str, paths[name])),
                "PYTHONDONTWRITEBYTECODE": "1" if name == POLL_UNCOMPILED else "",
            }
            took = run([_PYTHON, "-c", code], {**_ENVIRONMENT, **own})
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
