"""One run of one command: its time, CPU with its children and peak memory; with less CPU where that is asked."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.tools import MissingError

_LAUNCH = Path(__file__).parent / "launch.py"
_PERIOD = 100_000


@dataclass(frozen=True)
class Took:
    """What a run took: seconds, CPU seconds (user and system, with children), peak bytes of its largest process."""

    seconds: float
    cpu: float
    peak: int
    said: str = ""


class FailedError(Exception):
    """A run that ended badly; says how."""


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, *, group: Path | None = None
) -> Took:
    """Run a command to its end.

    Raises:
        FailedError: it did not end well.
    """
    told, telling = os.pipe()
    launch: list[str | Path] = [sys.executable, "-I", "-S", _LAUNCH, str(telling), str(group or "-")]
    with os.fdopen(told) as answer:
        try:
            done = subprocess.run(
                [*launch, *command],
                env={**os.environ, **(environment or {})},
                pass_fds=[telling],
                capture_output=True,
                text=True,
                timeout=1_800,
                check=False,
            )
        finally:
            os.close(telling)
        status, seconds, cpu, peak = (answer.read() or "127 0 0 0").split()
    if status != "0":
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise FailedError(f"exit status {status}: {last[0][:200]}")
    return Took(float(seconds), float(cpu), int(peak), done.stdout)


@contextlib.contextmanager
def limited(share: float) -> Iterator[Path]:
    """A control group whose processes get so much of one CPU, as a Lambda function of little memory does.

    Raises:
        MissingError: this machine does not let us.
    """
    root = Path("/sys/fs/cgroup")
    old = (root / "cpu" / "cpu.cfs_quota_us").exists() or (root / "cpu" / "cgroup.procs").exists()
    group = (root / "cpu" if old else root) / f"haul-bench-{os.getpid()}"
    try:
        if not old:
            (root / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
    except OSError as error:
        raise MissingError(f"no CPU quota: {group.parent} cannot be written ({error.strerror})") from None
    try:
        quota = round(share * _PERIOD)
        try:
            if old:
                (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        except OSError as error:
            raise MissingError(f"no CPU quota: {error.strerror}") from None
        yield group
    finally:
        group.rmdir()


@dataclass(frozen=True)
class Spread:
    """Several values of the same thing: the middle one, and how far the others are from it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2
