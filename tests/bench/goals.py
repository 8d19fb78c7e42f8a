"""What was promised, held against what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from haul.transfer.mover import HELD_PART_BYTES
from tests.bench import contenders, imports
from tests.bench.measuring import Spread
from tests.bench.moving import Result
from tests.bench.waiting import Watched

_PART_REQUEST_USD = 5e-6
_TB = 1e12
_CPU_S_PER_GB_USD_PER_TB = 0.0000133334 * 1.769 / 1.024 * 1_000
"""Lambda's list price on arm64 of a CPU second for each gigabyte of a terabyte: 1,769 MB are one CPU."""


@dataclass(frozen=True)
class Goal:
    """One promise: `value` is at most `limit`, at least where `least`; `spread` is how far rounds differ."""

    what: str
    limit: float
    value: float
    spread: float = 0.0
    unit: str = "x"
    least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def missed_clearly(self) -> bool:
        """Missed by more than rounds differ."""
        beyond = self.limit - self.value if self.least else self.value - self.limit
        return beyond > self.spread

    def row(self) -> dict[str, object]:
        return {**vars(self), "value": round(self.value, 4), "spread": round(self.spread, 4), "kept": self.kept}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How one compares with another that took its turn in the same rounds."""
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def _goal(what: str, limit: float, spread: Spread, **more: object) -> Goal:
    return Goal(what, limit, spread.median, spread.half, **more)  # type: ignore[arg-type]  # unit and least


def of_moves(results: Sequence[Result]) -> list[Goal]:
    """What the plain setting says of CPU and price; what did not run says nothing."""
    ran = {result.contender: result.cpu_per_gb() for result in results if not result.skipped and result.moves}
    ways = {contenders.OURS: contenders.OUR_PART_BYTES, contenders.OURS_HELD: HELD_PART_BYTES}
    floor, boto3 = ran.get(contenders.FLOOR), ran.get(contenders.BOTO3)
    goals = []
    for way, part_bytes in ways.items():
        cpu = ran.get(way)
        if cpu and floor:
            goals.append(_goal(f"CPU: {way}, against curl GET + curl PUT", 1.3, ratio(cpu, floor)))
        if cpu and boto3:
            goals.append(_goal(f"CPU: {way}, against boto3 upload_fileobj", 0.70, ratio(cpu, boto3)))
            prices = ratio(
                [price_per_tb(one, part_bytes) for one in cpu], [price_per_tb(one, 8 << 20) for one in boto3]
            )
            goals.append(_goal(f"list price landed: {way}, against boto3 upload_fileobj", 0.35, prices))
    return goals


def of_checks(checks: dict[str, Spread], results: Sequence[Result]) -> list[Goal]:
    found = []
    ours = next((one for one in results if one.contender == contenders.OURS and not one.skipped), None)
    if ours:
        cost = checks["crc64nvme"].median - checks["read"].median
        whole = Spread.of(ours.cpu_per_gb()).median
        found.append(
            Goal("CRC64NVME, of a download's CPU", 0.05, cost / (whole - cost), checks["crc64nvme"].half / whole)
        )
    read = checks["read"].median
    isal, zlib = checks["isal"], checks["zlib"]
    against = Spread(
        (isal.median - read) / (zlib.median - read),
        (isal.low - read) / (zlib.median - read),
        (isal.high - read) / (zlib.median - read),
    )
    return [*found, _goal("gzip check and row count, against the same with zlib", 0.7, against)]


def of_memory(peaks: Sequence[int]) -> list[Goal]:
    return [Goal("peak memory of a download over its imports", 64, max(peaks) / 1e6, unit="MB")]


def of_ranges(results: Sequence[Result]) -> list[Goal]:
    """How much faster several connections to a slow vendor are, each against as many times one."""
    ran = {result.contender: result.megabytes_per_second() for result in results if not result.skipped and result.moves}
    one = ran.get(contenders.CURL_GET)
    return [
        _goal(
            f"{ranges} ranges of a throttled vendor, against {ranges} times one connection",
            0.85,
            ratio(ran[name], [ranges * speed for speed in one]),
            least=True,
        )
        for ranges, name in contenders.RANGES.items()
        if one and name in ran
    ]


def of_waiting(blind: Watched, learned: Watched) -> list[Goal]:
    return [
        Goal("polls of an hour without history", 60, blind.polls, unit="polls"),
        Goal("delay of any job without history", 0.10, blind.delay, unit="of its length"),
        Goal("polls of an hour like the last thirty, mean", 25, learned.polls, unit="polls"),
        Goal("delay of an hour like the last thirty, mean", 0.01, learned.delay, unit="of its length"),
    ]


def of_imports(found: dict[str, Spread]) -> list[Goal]:
    cold = imports.ratios(found, imports.POLL)
    return [_goal("CPU to import the poll's handler, against boto3 with two clients", 1.6, cold)]


def price_per_tb(cpu_s_per_gb: float, part_bytes: int) -> float:
    """Lambda and S3 requests for a terabyte, USD at list prices."""
    return cpu_s_per_gb * _CPU_S_PER_GB_USD_PER_TB + _TB / part_bytes * _PART_REQUEST_USD
