"""Polls and delay of one-hour jobs, by `haul.waiting` alone: no time passes."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from haul.waiting import next_wait

_HOUR = 3600.0
_POLL_SECONDS = 0.3
_KNOWN, _JOBS = 30, 600


@dataclass(frozen=True)
class Watched:
    """How jobs were noticed: looks, and delay as a share of their length; of many jobs the means."""

    polls: float
    delay: float


def watch(length: float, history: Sequence[float] = ()) -> Watched:
    elapsed, polls = 0.0, 0
    while elapsed < length:
        elapsed += next_wait(elapsed, left=math.inf, history=history) + _POLL_SECONDS
        polls += 1
    return Watched(polls, (elapsed - length) / length)


def without_history() -> Watched:
    """An hour, and the worst delay of all jobs within half an hour of it."""
    around = range(round(_HOUR / 2), round(_HOUR * 1.5), 7)
    return Watched(watch(_HOUR).polls, max(watch(length).delay for length in around))


def fixed(every: float) -> Watched:
    """Looking at even intervals, as most do."""
    return Watched(math.ceil(_HOUR / every), every / 2 / _HOUR)


def behaving_as_before(spread: float) -> Watched:
    """Jobs whose lengths are spread as those of the thirty before each."""
    dice = random.Random(20261122)  # noqa: S311  # dice, not keys
    seen = []
    for _ in range(_JOBS):
        history = [_HOUR * dice.gauss(1, spread) for _ in range(_KNOWN)]
        seen.append(watch(_HOUR * dice.gauss(1, spread), history))
    return Watched(mean(one.polls for one in seen), mean(one.delay for one in seen))
