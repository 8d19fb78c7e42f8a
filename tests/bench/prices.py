"""What three kinds of users pay a month, at AWS's list prices of us-east-1 on arm64."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haul.transfer.mover import HELD_PART_BYTES

TRANSITION_USD = 25e-6
GB_SECOND_USD = 13.3334e-6
S3_WRITE_USD = 5e-6
STORED_GB_USD = 0.023
SECRET_USD, METRIC_USD, ALARMS_USD = 0.40, 0.30, 0.60
METRICS = 8
DOWNLOAD_GB, SMALL_GB, SMALL_SECONDS = 1769 / 1024, 0.5, 0.5
VENDOR_GB_PER_SECOND = 0.025
ITEM_BYTES, ITEM_FILES = 256 << 20, 100
"""A child of the download map gets so much at most, or one larger file."""


@dataclass(frozen=True)
class User:
    """Somebody's month: runs that published and runs that found nothing new, and what one of the former lands."""

    name: str
    connections: int
    published: int
    nothing_new: int
    polls: int
    files: int
    file_bytes: int

    @property
    def run_gb(self) -> float:
        return self.files * self.file_bytes / 1e9


def users(polls: int) -> list[User]:
    """`polls` is what a job of an hour takes that behaves like those before it."""
    return [
        User("a full export every night", 1, 30, 0, polls, 60, 40_000_000),
        User("a delta, looked for every hour", 2, 120, 1_320, 10, 20, 5_000_000),
        User("ten exports of 100 GB every night", 10, 300, 0, polls, 400, 250_000_000),
    ]


@dataclass(frozen=True)
class Month:
    """USD by what they are for."""

    transitions: float
    functions: float
    downloads: float
    requests: float
    standing: float
    storage: float

    @property
    def total(self) -> float:
        return self.transitions + self.functions + self.downloads + self.requests + self.standing + self.storage


def month(user: User, cpu_s_per_gb: float) -> Month:
    """A download lasts as its full check, `cpu_s_per_gb`, or as the vendor's connection lets it."""
    items = math.ceil(user.files / max(1, min(ITEM_FILES, ITEM_BYTES // user.file_bytes)))
    transitions = user.published * (10 + 3 * user.polls + 5 * items) + user.nothing_new * 4
    calls = user.published * (6 + user.polls) + user.nothing_new * 2
    seconds = user.run_gb * max(cpu_s_per_gb, 1 / VENDOR_GB_PER_SECOND)
    parts = user.files * (2 + math.ceil(user.file_bytes / HELD_PART_BYTES))
    writes = user.published * (14 + 2 * user.polls + 4 * user.files + parts) + user.nothing_new * 4
    return Month(
        transitions=transitions * TRANSITION_USD,
        functions=calls * SMALL_SECONDS * SMALL_GB * GB_SECOND_USD,
        downloads=user.published * seconds * DOWNLOAD_GB * GB_SECOND_USD,
        requests=writes * S3_WRITE_USD,
        standing=ALARMS_USD + METRICS * METRIC_USD + user.connections * SECRET_USD,
        storage=user.published * user.run_gb * STORED_GB_USD,
    )


def table(make: Callable[[Sequence[str], Sequence[Sequence[str]]], str], results: Mapping[str, Any]) -> str:
    polls = next(round(row["polls"]) for row in results["waiting"] if row["what"].startswith("like"))
    cpu = float(results["verified_cpu_s_per_gb"])
    head = ("USD a month", "GB", "transitions", "functions", "downloads", "S3 writes", "standing", "storage", "total")
    rows = []
    for user in users(polls):
        paid = month(user, cpu)
        gb = user.published * user.run_gb
        rows.append([user.name, f"{gb:,.0f}", *(f"{usd:,.2f}" for usd in (*vars(paid).values(), paid.total))])
    return make(head, rows)
