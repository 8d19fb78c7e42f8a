"""Waiting costs almost nothing, and nothing ends unnoticed: watched here against jobs of every length."""

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from haul.waiting import LONGEST, next_wait, window

A_WEEK = 7 * 24 * 3600
POLL_SECONDS = 0.3
"""What a poll takes on top of the wait before it: the transitions and the function."""

EVENTS_A_POLL = 9
"""Wait entered, exited; task entered, scheduled, started, succeeded, exited; choice entered, exited."""

lengths = st.one_of(st.floats(10, 600), st.floats(10, A_WEEK))
garbage = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-9, 1e30])
histories = st.lists(st.one_of(st.floats(10, A_WEEK), st.floats(3000, 4000), garbage), max_size=50)


@dataclass(frozen=True)
class Watched:
    """How a job was noticed: after how many polls and how late."""

    length: float
    polls: int
    noticed: float

    @property
    def delay(self) -> float:
        return self.noticed - self.length


def watch(length: float, history: Sequence[float] = (), *, floor: int = 5) -> Watched:
    """Play the loop of the state machine: wait, look, and again until the job has ended."""
    elapsed, polls = 0.0, 0
    while elapsed < length:
        elapsed += next_wait(elapsed, left=math.inf, history=history, floor=floor) + POLL_SECONDS
        polls += 1
    return Watched(length, polls, elapsed)


# Without history


@given(length=lengths, floor=st.integers(1, 60))
def test_without_history_an_end_is_noticed_within_a_tenth_of_the_length(length: float, floor: int) -> None:
    seen = watch(length, floor=floor)

    assert seen.delay <= max(floor, 0.1 * length) + POLL_SECONDS


def test_an_hour_without_history_takes_at_most_60_polls() -> None:
    assert watch(3600).polls <= 60


def test_history_that_holds_no_duration_is_no_history() -> None:
    assert next_wait(1000, left=A_WEEK, history=[math.nan, -5, 0, math.inf, 8 * A_WEEK]) == 100
    assert window([math.nan, -5, 0]) is None


# With history


@given(length=lengths, history=histories)
def test_an_end_from_the_windows_begin_on_is_noticed_within_a_tenth_whatever_the_history(
    length: float, history: list[float]
) -> None:
    """Inside the learned window and after it, history only ever makes the looks denser."""
    learned = window(history)
    length = max(length, learned[0]) if learned else length

    seen = watch(length, history)

    assert seen.delay <= max(5, 0.1 * length) + POLL_SECONDS + 1


@given(length=lengths, history=histories.filter(lambda history: window(history) is not None))
def test_a_job_far_shorter_than_its_history_is_noticed_before_four_times_its_length(
    length: float, history: list[float]
) -> None:
    """Or at the first early look, a 64th of the way to the earliest likely end."""
    begin, _ = window(history) or (0, 0)
    length = min(length, begin)

    seen = watch(length, history)

    assert seen.noticed <= max(4 * length, begin / 64, length + 5) + 2 * POLL_SECONDS + 1


def test_the_last_look_of_the_window_is_at_its_end() -> None:
    history = [3500.0, 3600.0, 3700.0]
    _, end = window(history) or (0, 0)

    assert next_wait(end - 20, left=A_WEEK, history=history, floor=60) == 60
    assert watch(end, history).delay <= 1 + POLL_SECONDS


@given(history=histories)
def test_one_wild_duration_moves_the_window_by_no_more_than_eight_times(history: list[float]) -> None:
    steady = [3600.0] * 28
    begin, end = window([*steady, *history[:2]]) or (0, 0)

    assert 3600 / 8 / 1.6 < begin < 3600 < end < 3600 * 8 * 1.6


def test_only_the_newest_durations_count() -> None:
    """A pipeline that became slower is learned anew."""
    assert window([60.0] * 20 + [7200.0] * 30) == window([7200.0] * 30)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_a_few_durations_are_enough_to_profit(known: int) -> None:
    history = [3600.0, 3500.0, 3750.0][:known]

    seen = [watch(length, history) for length in range(3300, 3950, 7)]

    assert max(job.polls for job in seen) <= 30
    assert mean(job.delay / job.length for job in seen) <= 0.015


# The promise of guarantee 5, in numbers

HISTORY = 30
JOBS = 600

SPREADS: dict[str, Callable[[random.Random], float]] = {
    "all alike": lambda _: 1.0,
    "normal, 3 %": lambda dice: dice.gauss(1, 0.03),
    "normal, 10 %": lambda dice: dice.gauss(1, 0.1),
    "lognormal, 10 %": lambda dice: dice.lognormvariate(0, 0.1),
    "uniform, ±20 %": lambda dice: dice.uniform(0.8, 1.2),
    "two kinds, 1 : 2": lambda dice: dice.choice([0.5, 1.0]) * dice.gauss(1, 0.05),
}
WIDE_SPREADS: dict[str, Callable[[random.Random], float]] = {
    "normal, 15 %": lambda dice: dice.gauss(1, 0.15),
    "lognormal, 30 %": lambda dice: dice.lognormvariate(0, 0.3),
    "lognormal, 100 %": lambda dice: dice.lognormvariate(0, 1.0),
}


@cache
def simulated(spread: str, *, learning: bool = False) -> list[Watched]:
    """Watch many jobs of about an hour, each behaving like the 30 before it.

    With `learning` the history is what the polls themselves saw, each duration too long by its delay.
    """
    dice = random.Random(20261122)  # noqa: S311 - dice, not keys
    lengths_of = (SPREADS | WIDE_SPREADS)[spread]
    history = [3600 * lengths_of(dice) for _ in range(HISTORY)]
    seen = []
    for _ in range(JOBS):
        seen.append(watch(3600 * lengths_of(dice), history))
        seconds = [seen[-1].noticed] if learning else [3600 * lengths_of(dice) for _ in range(HISTORY)]
        history = [*history, *seconds][-HISTORY:]
    return seen


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("spread", SPREADS)
def test_jobs_that_behave_as_before_take_25_polls_and_one_percent(spread: str, *, learning: bool) -> None:
    seen = simulated(spread, learning=learning)

    assert mean(job.polls for job in seen) <= 25
    assert mean(job.delay / job.length for job in seen) <= 0.01


@pytest.mark.parametrize("spread", ["all alike", "normal, 3 %"])
def test_jobs_that_hardly_vary_take_25_polls_each(spread: str) -> None:
    """Not only in the mean."""
    seen = simulated(spread)

    assert max(job.polls for job in seen) <= 25


def test_an_uninformative_history_is_no_worse_than_none() -> None:
    seen = simulated("lognormal, 100 %")
    blind = [watch(job.length) for job in seen]

    assert mean(job.polls for job in seen) < mean(job.polls for job in blind)
    assert mean(job.delay / job.length for job in seen) < 0.06


# Limits


@given(
    elapsed=st.one_of(st.floats(0, A_WEEK), garbage),
    left=st.one_of(st.floats(-10, A_WEEK), garbage),
    history=histories,
    floor=st.integers(1, 3600),
    retry_after=st.one_of(st.none(), st.floats(0, 10 * A_WEEK), garbage),
)
@example(elapsed=0, left=math.inf, history=[], floor=5, retry_after=math.inf)
def test_every_wait_is_one_that_a_wait_state_takes(
    elapsed: float, left: float, history: list[float], floor: int, retry_after: float | None
) -> None:
    seconds = next_wait(elapsed, left=left, history=history, floor=floor, retry_after=retry_after)

    assert type(seconds) is int
    assert 1 <= seconds <= LONGEST


@given(
    elapsed=st.floats(0, A_WEEK),
    left=st.floats(1, A_WEEK),
    history=histories,
    floor=st.integers(1, 3600),
    retry_after=st.floats(0, A_WEEK),
)
def test_floor_and_retry_after_are_kept_and_only_the_deadline_is_nearer(
    elapsed: float, left: float, history: list[float], floor: int, retry_after: float
) -> None:
    seconds = next_wait(elapsed, left=left, history=history, floor=floor, retry_after=retry_after)

    assert seconds >= min(left, max(floor, retry_after))
    assert seconds <= math.ceil(left)


@given(deadline=st.floats(10, A_WEEK), history=histories)
def test_the_last_look_lands_at_the_deadline(deadline: float, history: list[float]) -> None:
    elapsed = 0.0
    while elapsed < deadline:
        elapsed += next_wait(elapsed, left=deadline - elapsed, history=history) + POLL_SECONDS

    assert elapsed < deadline + 1 + 2 * POLL_SECONDS


@given(history=histories)
@example(history=[])
@example(history=[A_WEEK - 100.0 * n for n in range(50)])
def test_a_week_stays_far_below_20_000_history_events(history: list[float]) -> None:
    assert watch(A_WEEK, history).polls * EVENTS_A_POLL < 2_500


# The page

PAGE = Path(__file__).parents[2] / "docs" / "waiting.md"


@pytest.mark.parametrize("spread", SPREADS | WIDE_SPREADS)
def test_the_page_shows_what_the_simulation_says(spread: str) -> None:
    seen = simulated(spread)
    polls = sorted(job.polls for job in seen)
    late = 100 * mean(job.delay / job.length for job in seen)

    row = f"| {spread} | {mean(polls):.0f} | {polls[int(0.95 * len(polls))]} | {late:.1f} % |"

    assert row in PAGE.read_text(encoding="utf-8")


def test_the_page_shows_the_looks_without_history() -> None:
    rows = re.findall(r"^\| (\d+) s \| (\d+) \| (\d+) s \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    measured = [(seconds, watch(float(seconds)).polls, worst_delay(float(seconds))) for seconds, _, _ in rows]

    assert len(rows) >= 5
    assert [(seconds, str(polls), str(delay)) for seconds, polls, delay in measured] == rows


def worst_delay(length: float) -> int:
    """How late an end is noticed that comes right after a look, near `length`."""
    looks = [0.0]
    while looks[-1] < length:
        looks.append(looks[-1] + next_wait(looks[-1], left=math.inf) + POLL_SECONDS)
    return round(max(later - earlier for earlier, later in pairwise(looks)))
