"""The damage corpus, read by us and by Airbyte's CDK: what of it each refuses, and what good file it gets right."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from haul.errors import DamagedFileError, UnexpectedResponseError
from haul.ports import DownloadSource
from haul.transfer.land import Tuning, land_file
from haul.transfer.source import Patience
from tests.bench import tools
from tests.fakes import damage
from tests.fakes.damage import Case
from tests.fakes.file_server import FileServer, file_server
from tests.fakes.landing import FakeLanding

_READER = Path(__file__).parent / "airbyte_reader.py"
_PATIENCE = Patience(connect=2, stall=0.5)


@dataclass
class Score:
    """Kinds of damage that were refused, good kinds that were taken with the right number of rows; and the others."""

    refused: int = 0
    damaged: int = 0
    taken: int = 0
    good: int = 0
    let_through: list[str] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)

    def count(self, case: Case, rows: int | None) -> None:
        """Count one: `rows` is how many came of it, None if it was refused."""
        if case.good:
            self.good += 1
            self.taken += rows == case.rows
            self.turned_away += [] if rows == case.rows else [case.kind]
        else:
            self.damaged += 1
            self.refused += rows is None
            self.let_through += [] if rows is None else [case.kind]


def ours() -> Score:
    score = Score()
    with file_server() as server:
        for case in _cases():
            score.count(case, _land(case, server))
    return score


def airbyte() -> Score:
    """Its `ResponseToFileExtractor`, the reader of large answers that its connectors share.

    Raises:
        MissingError: it is not installed.
    """
    score = Score()
    cases = _cases()
    with file_server() as server:
        urls = [server.put(f"/{number}", case.served(ranged=False)) for number, case in enumerate(cases)]
        done = subprocess.run(
            [tools.tools().python, _READER, str(_PATIENCE.stall), *urls],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tools.BUILD,
        )
    for case, rows in zip(cases, json.loads(done.stdout.splitlines()[-1]), strict=True):
        score.count(case, rows)
    return score


def _cases() -> Sequence[Case]:
    return [*damage.damaged(), *damage.odd()]


def _land(case: Case, server: FileServer) -> int | None:
    url = server.put("/f", case.served(ranged=False))
    try:
        return land_file(
            lambda: DownloadSource(url, {}, urlsplit(url).netloc),
            FakeLanding(),
            f"raw/{damage.NAME}",
            file=case.file,
            dataset=damage.DATASET,
            tuning=Tuning(patience=_PATIENCE),
        ).rows
    except (DamagedFileError, UnexpectedResponseError):
        return None
