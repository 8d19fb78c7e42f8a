"""The functions' own source, as it is deployed: without the command line, and compiled."""

import atexit
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.bytecode import PYTHON, compile_tree

_SOURCE = Path(__file__).parents[1] / "functions"
_PEOPLE = _SOURCE / "haul" / "cli"
_IN_LAMBDA = "/var/task"


@dataclass(frozen=True)
class Source:
    """A folder to deploy. `fingerprint` stands for its contents."""

    folder: Path
    fingerprint: str


@cache
def staged() -> Source:
    """Copy and compile the source, once in a process; the copy goes with it.

    The fingerprint is of the source alone: bytecode may differ from one time to the next and mean the same.
    """
    root = Path(tempfile.mkdtemp(prefix="haul-source-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    digest = hashlib.sha256(PYTHON.encode())
    for path in sorted(_SOURCE.rglob("*")):
        if not path.is_file() or path.suffix == ".pyc" or path.is_relative_to(_PEOPLE):
            continue
        name, body = path.relative_to(_SOURCE), path.read_bytes()
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
        digest.update(f"{name.as_posix()} {len(body)}\n".encode() + body)
    compile_tree(root, at=_IN_LAMBDA)
    return Source(root, digest.hexdigest())
