"""Moving one file with every contender in turn, round after round, so that a busy machine is busy for all of them."""

import gzip
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from statistics import median

from tests.bench import servers
from tests.bench.client import COLUMNS
from tests.bench.contenders import Contender, Move
from tests.bench.measuring import FailedError, Spread, Took, run
from tests.bench.servers import Place
from tests.bench.tools import MissingError

TINY = 20_000
"""A body that costs nothing: what a run of it takes is starting."""


@dataclass
class Result:
    """What one contender took in one setting; a reason in `skipped` where it could not run."""

    setting: str
    contender: str
    bytes: int = 0
    starts: list[Took] = field(default_factory=list)
    moves: list[Took] = field(default_factory=list)
    skipped: str | None = None

    def cpu_per_gb(self) -> list[float]:
        """CPU seconds for a gigabyte, without what starting takes."""
        start = median(took.cpu for took in self.starts)
        return [max(took.cpu - start, 0.001) / self.bytes * 1e9 for took in self.moves]

    def megabytes_per_second(self) -> list[float]:
        start = median(took.seconds for took in self.starts)
        return [self.bytes / 1e6 / max(took.seconds - start, 0.001) for took in self.moves]

    def row(self) -> dict[str, object]:
        """For `results.json`."""
        named: dict[str, object] = {"setting": self.setting, "contender": self.contender}
        if self.skipped:
            return {**named, "skipped": self.skipped}
        cpu, speed = Spread.of(self.cpu_per_gb()), Spread.of(self.megabytes_per_second())
        return {
            **named,
            "megabytes": round(self.bytes / 1e6, 1),
            "rounds": len(self.moves),
            "cpu_s_per_gb": _rounded(cpu, 2),
            "mb_per_s": _rounded(speed, 1),
            "start_cpu_s": round(median(took.cpu for took in self.starts), 2),
            "peak_mb": round(max(took.peak for took in self.moves) / 1e6),
        }

    def sized(self) -> dict[str, object]:
        """For the pictures: what a whole process gets done, its start included."""
        named: dict[str, object] = {"setting": self.setting, "contender": self.contender}
        if self.skipped:
            return {**named, "skipped": self.skipped}
        megabytes = self.bytes / 1e6
        return {
            **named,
            "megabytes": round(megabytes, 1),
            "mb_per_s": round(megabytes / median(took.seconds for took in self.moves), 2),
            "peak_mb": round(max(took.peak for took in self.moves) / 1e6, 1),
        }


def _rounded(spread: Spread, digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in vars(spread).items()}


def a_file(size: int) -> tuple[Iterator[bytes], int]:
    """A gzip CSV of about `size` bytes in pieces, and how long it is exactly."""
    chance = random.Random(1)  # noqa: S311  # any rows will do
    rows = b"".join(
        b"2013,%d,N%05d,JFK,%c%c%c,%d,+\n"
        % (
            chance.randrange(9_999),
            chance.randrange(99_999),
            *chance.choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3),
            1_357_000_000_000 + chance.randrange(10**9),
        )
        for _ in range(60_000 if size > 1_000_000 else 600)
    )
    header, member = gzip.compress(",".join(COLUMNS).encode() + b"\n"), gzip.compress(rows)
    times = max(1, round(size / len(member)))

    def pieces() -> Iterator[bytes]:
        yield header
        yield from repeat(member, times)

    return pieces(), len(header) + times * len(member)


def file_of(at: Place, size: int) -> Path:
    """That file in the vendor's folder."""
    path = at.files / f"{size}.csv.gz"
    if not path.exists():
        pieces, _ = a_file(size)
        with path.open("wb") as made:
            made.writelines(pieces)
    return path


def compare(
    at: Place,
    setting: str,
    contenders: Sequence[Contender],
    *,
    vendor: str,
    sink: str,
    size: int,
    rounds: int,
    group: Path | None = None,
    plain_bodies: bool = False,
    said: Callable[[str], None] = print,
) -> list[Result]:
    """Let each contender move a file of `size` in every round, and a tiny one before it.

    With `plain_bodies` AWS's clients are told to send bodies as they are, for a store that takes no other.
    """
    results = [Result(setting, contender.name) for contender in contenders]
    ends = {"vendor": vendor, "sink": sink}
    for number in range(1, rounds + 1):
        for contender, result in zip(contenders, results, strict=True):
            if result.skipped:
                continue
            source = file_of(at, max(TINY, round(size * contender.part)))
            result.bytes = source.stat().st_size
            try:
                for taken, moved in ((result.starts, file_of(at, TINY)), (result.moves, source)):
                    taken.append(_move(at, contender, moved, **ends, group=group, plain_bodies=plain_bodies))
            except (MissingError, FailedError) as problem:
                result.skipped = str(problem)
                said(f"  {contender.name}: skipped: {problem}")
        said(f"  round {number} of {rounds}")
    return results


def _move(
    at: Place,
    contender: Contender,
    source: Path,
    *,
    vendor: str,
    sink: str,
    group: Path | None,
    plain_bodies: bool,
) -> Took:
    """One run, whose stored bytes are the source's or it counts for nothing."""
    key = "moved.csv.gz"
    move = Move(f"{vendor}/{source.name}", sink, key, source, at.certificate)
    environment = at.trust | {
        "AWS_ACCESS_KEY_ID": servers.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required" if plain_bodies else "when_supported",
    }
    with ExitStack() as after:
        after.callback(servers.forget, at)
        took = run(contender.command(move), environment, group=group)
        servers.collect(at)
        if contender.stores and not servers.is_stored(at, key, source):
            raise FailedError("what was stored is not what was to be moved")
    return took
