"""All measurements: `make bench`.

python -m tests.bench                 everything; writes results.json and the generated parts of docs/performance.md
python -m tests.bench --quick         the main ratios within three minutes; exit status 1 if one is clearly missed
python -m tests.bench --docs          the generated parts alone, from results.json
"""

import argparse
import json
import platform
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count, getloadavg
from pathlib import Path
from typing import Any

from tests.bench import checks, contenders, corpus, goals, imports, memory, report, servers, tools, waiting
from tests.bench.contenders import Contender
from tests.bench.measuring import Spread, limited, run
from tests.bench.moving import Result, compare, file_of
from tests.bench.servers import Place
from tests.bench.tools import MissingError

MEGABYTE = 1_000_000
SMALL_LAMBDA = 0.29
"""Of a CPU, which a function of 512 MB has."""

PLAIN = "nginx to nginx"
REAL = "nginx to rclone serve s3"
SLOW = "25 MB/s a connection"
QUOTA = "0.29 vCPU"
SIZED = (
    contenders.OURS,
    contenders.OURS_HELD,
    contenders.OURS_FULL,
    contenders.BOTO3,
    contenders.CONTENT,
    contenders.RCLONE,
)

SMALL = (contenders.FLOOR, contenders.OURS, contenders.OURS_HELD, contenders.OURS_FULL, contenders.BOTO3)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def full() -> int:
    found = Measured()
    with ExitStack() as open_until_the_end:
        at, vendor, sink = _ends(open_until_the_end, 1_000)
        plain = found.compare(at, PLAIN, contenders.ALL, vendor=vendor, sink=sink, megabytes=1_000, rounds=3)
        speaking = [contender for contender in contenders.ALL if contender.signs and contender.stores]
        try:
            real = open_until_the_end.enter_context(servers.rclone(at))
            found.compare(at, REAL, speaking, vendor=vendor, sink=real, megabytes=500, rounds=3)
        except MissingError as missing:
            found.skip(REAL, "everything", missing)
        slow = found.compare(
            at, SLOW, contenders.THROTTLED, vendor=f"{vendor}/slow", sink=sink, megabytes=300, rounds=3
        )
        try:
            group = open_until_the_end.enter_context(limited(SMALL_LAMBDA))
            few = [contenders.BY_NAME[name] for name in SMALL]
            found.compare(at, QUOTA, few, vendor=vendor, sink=sink, megabytes=100, rounds=3, group=group)
        except MissingError as missing:
            found.skip(QUOTA, "everything", missing)
        for megabytes in (1, 10, 100, 1_000):
            found.size(at, megabytes, vendor=vendor, sink=sink, rounds=1 if megabytes >= 100 else 3)
        found.check(file_of(at, 100 * MEGABYTE), rounds=5)
        found.imports(at.folder, rounds=11)
    found.memory([10, 100, 1_000])
    found.corpus()
    found.wait()
    found.judge(plain, slow)
    report.save(found.results())
    print(report.text(found.results()))
    report.write_docs(found.results())
    return 0


def quick() -> int:
    """The main ratios. What is missing on this machine is said, and not held against it."""
    found = Measured()
    with ExitStack() as open_until_the_end:
        at, vendor, sink = _ends(open_until_the_end, 300)
        plain = found.compare(at, PLAIN, contenders.QUICK, vendor=vendor, sink=sink, megabytes=300, rounds=3)
        found.check(file_of(at, 20 * MEGABYTE), rounds=3)
        found.imports(at.folder, rounds=5)
    found.memory([10, 150])
    found.wait()
    found.judge(plain, [])
    print(report.summary(found.results()))
    missed = [goal for goal in found.goals if goal.missed_clearly]
    for goal in missed:
        say(f"missed by more than rounds differ: {goal.what}")
    return 1 if missed else 0


def _ends(open_until_the_end: ExitStack, megabytes: int) -> tuple[Place, str, str]:
    """The vendor and the store, without which there is nothing to measure."""
    at = open_until_the_end.enter_context(servers.place(3 * megabytes * MEGABYTE))
    vendor = open_until_the_end.enter_context(servers.nginx(at, "vendor"))
    return at, vendor, open_until_the_end.enter_context(servers.nginx(at, "sink"))


class Measured:
    """Everything that one run of the bench found."""

    def __init__(self) -> None:
        self.goals: list[goals.Goal] = []
        self._moves: list[Result] = []
        self._found: dict[str, Any] = {"machine": _machine(), "sizes": [], "missing": [], "corpus": {}}
        self._checks: dict[str, Spread] = {}
        self._imports: dict[str, Spread] = {}
        self._peaks: list[int] = []

    def results(self) -> dict[str, Any]:
        return {
            **self._found,
            "moves": [result.row() for result in self._moves],
            "goals": [goal.row() for goal in self.goals],
        }

    def skip(self, setting: str, contender: str, why: MissingError) -> None:
        say(f"{setting}: {contender}: skipped: {why}")
        self._found["missing"].append({"setting": setting, "contender": contender, "skipped": str(why)})

    def compare(
        self,
        at: Place,
        setting: str,
        among: Sequence[Contender],
        *,
        vendor: str,
        sink: str,
        megabytes: int,
        rounds: int,
        group: Path | None = None,
    ) -> list[Result]:
        say(f"{setting}, {megabytes:,} MB")
        results = compare(
            at,
            setting,
            among,
            vendor=vendor,
            sink=sink,
            size=megabytes * MEGABYTE,
            rounds=rounds,
            group=group,
            said=say,
            plain_bodies=setting == REAL,
        )
        self._moves += results
        for result in results:
            self._peaks += [json.loads(took.said)["peak"] for took in result.moves if took.said.startswith("{")]
            if result.contender == contenders.OURS_FULL and setting == PLAIN and result.moves:
                self._found["verified_cpu_s_per_gb"] = round(Spread.of(result.cpu_per_gb()).median, 2)
        return results

    def size(self, at: Place, megabytes: int, *, vendor: str, sink: str, rounds: int) -> None:
        """One size of the pictures, at which every contender gets all of it."""
        say(f"{megabytes:,} MB")
        among = [Contender(one, contenders.BY_NAME[one].command) for one in SIZED]
        size = megabytes * MEGABYTE
        for result in compare(
            at, f"{megabytes:,} MB", among, vendor=vendor, sink=sink, size=size, rounds=rounds, said=say
        ):
            self._found["sizes"].append(result.sized())

    def check(self, source: Path, rounds: int) -> None:
        say("checks")
        taken: dict[str, list[float]] = {which: [] for which in checks.CHECKS}
        for _ in range(rounds):
            for which, values in taken.items():
                took = run([sys.executable, "-m", "tests.bench.checks", which, source])
                values.append(float(took.said) / source.stat().st_size * 1e9)
        self._checks = {which: Spread.of(values) for which, values in taken.items()}
        self._found["checks"] = {which: _plain(spread, 3) for which, spread in self._checks.items()}

    def imports(self, folder: Path, rounds: int) -> None:
        say("imports")
        self._imports = imports.measure(folder, rounds)
        self._found["imports"] = {name: _plain(spread, 1) for name, spread in self._imports.items()}

    def memory(self, megabytes: Sequence[int]) -> None:
        say("memory")
        rows = []
        for result, verify in memory.table(megabytes):
            self._peaks.append(result.peak)
            sizes = {"megabytes": round(result.bytes / 1e6), "peak_mb": round(result.peak / 1e6, 1)}
            rows.append({**sizes, "verify": verify, "imports_mb": round(result.imports / 1e6)})
        self._found["memory"] = rows

    def corpus(self) -> None:
        say("damage corpus")
        for name, score in (("Haul", corpus.ours), ("Airbyte CDK", corpus.airbyte)):
            try:
                self._found["corpus"][name] = vars(score())
            except MissingError as missing:
                self.skip("damage corpus", name, missing)

    def wait(self) -> None:
        blind, learned = waiting.without_history(), waiting.behaving_as_before(0.1)
        rows = {
            "looked at every 30 s": waiting.fixed(30),
            "without history; the delay is the worst of all lengths": blind,
            "like the last thirty, spread of 10 %; means": learned,
            "like the last thirty, spread of 3 %; means": waiting.behaving_as_before(0.03),
        }
        self._found["waiting"] = [{"what": what, **vars(watched)} for what, watched in rows.items()]
        self.goals += goals.of_waiting(blind, learned)

    def judge(self, plain: Sequence[Result], slow: Sequence[Result]) -> None:
        self.goals = [
            *goals.of_moves(plain),
            *goals.of_ranges(slow),
            *goals.of_memory(self._peaks),
            *goals.of_checks(self._checks, plain),
            *goals.of_imports(self._imports),
            *self.goals,
        ]


def _plain(spread: Spread, digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in vars(spread).items()}


def _machine() -> dict[str, Any]:
    said = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    cpu = next((line.partition(": ")[2] for line in said.splitlines() if line.startswith("model name")), "unknown")
    pinned = [line.partition("==") for line in tools.REQUIREMENTS.read_text().splitlines() if "==" in line]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": cpu_count(),
        "cpu": cpu,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load": round(getloadavg()[0], 1),
        "versions": {"Haul's botocore": version("botocore"), **{name.partition("[")[0]: of for name, _, of in pinned}},
    }


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with their blocks
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="the main ratios within three minutes")
    parser.add_argument("--docs", action="store_true", help="only write the page anew from results.json")
    asked = parser.parse_args()
    try:
        if asked.docs:
            report.write_docs(report.load())
            return 0
        return quick() if asked.quick else full()
    except MissingError as missing:
        say(f"nothing can be measured here: {missing}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
