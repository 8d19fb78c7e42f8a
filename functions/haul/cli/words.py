"""How numbers and times are written for people. Times are UTC, as everywhere in Haul."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median


def size(number: int) -> str:
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= one:
            return f"{number / one:,.1f} {unit}"
    return f"{number} bytes"


def size_of(part: int, whole: int) -> str:
    """Write two sizes with one unit: `31.9 of 48.2 MB`."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if whole >= one:
            return f"{part / one:,.1f} of {whole / one:,.1f} {unit}"
    return f"{part} of {whole} bytes"


def span(duration: timedelta | float) -> str:
    """Write a duration by its two largest units: `24m 46s`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    named = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next((index for index, (number, _) in enumerate(named) if number), 3)
    return " ".join(f"{number}{unit}" for number, unit in named[first : first + 2] if number) or "0s"


def day(at: datetime, now: datetime) -> str:
    """Write a time as people say it: `today 05:29`, `yesterday 05:29`, `2026-11-19 05:29`."""
    days = (now.date() - at.date()).days
    named = {0: "today", 1: "yesterday"}.get(days, f"{at:%Y-%m-%d}")
    return f"{named} {at:%H:%M}"


def count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def middle(durations: Sequence[float]) -> str:
    return f"{span(median(durations))} (median of {count(len(durations), 'run')})"


def short(vendor_id: str) -> str:
    """The first part of a UUID tells a person enough; other ids are shown whole."""
    head, dash, _ = vendor_id.partition("-")
    return head if dash and len(head) == 8 and len(vendor_id) == 36 else vendor_id
