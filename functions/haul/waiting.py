"""How long to wait before the next look at a vendor's job; `docs/waiting.md` has the reasons and the numbers.

    0            begin/64  /16   /4         begin             end
    ├─── early looks ─┴─────┴─────┴───────────┤ learned window  ├─── geometric ───

Without history every wait is a tenth of the time already waited. With history looks are dense where past jobs
ended. A new job is equally likely to end in each of the n + 1 gaps that n past durations leave on the time line,
whatever made them; over a gap of width g that a share S of all jobs reaches, the density of looks that trades
mean delay against their number best is proportional to √(hazard) = √(1 / (g · S)). All widths are logarithmic: a
minute matters as much to a job of ten as an hour to one of six hundred.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

LONGEST = 99_999_999
"""The most seconds that a Wait state takes."""

CONSIDERED = 30
"""How many of the newest durations count: enough to know a spread, few enough to follow a change."""

_A_WEEK = 7 * 24 * 3600
_OUTLIER = 8
_EARLY = (64, 16, 4, 1)
_LOOKS_IN_WINDOW = 20
_LOOKS_EXPECTED = 20
_MEAN_DELAY = 0.0055
_EASE = 0.25


def next_wait(
    elapsed: float,
    *,
    left: float,
    history: Sequence[float] = (),
    floor: int = 5,
    retry_after: float | None = None,
) -> int:
    """Say for how many whole seconds to leave the job alone, all arguments being seconds too.

    Args:
        elapsed: since the job was submitted.
        left: until the deadline, where the last look lands; it alone goes before `floor` and `retry_after`.
        history: how long this pipeline's past jobs took, newest last; what cannot be a duration is passed over.
        floor: the least to wait.
        retry_after: what the vendor asked for, if it did.
    """
    elapsed = min(max(0.0, elapsed), LONGEST)
    wait = max(floor, _rule(elapsed, history), retry_after or 0)
    return math.ceil(max(1, min(wait, left, LONGEST)))


def window(history: Sequence[float]) -> tuple[float, float] | None:
    """Between which two times since submission the next job is likely to end; None without usable history."""
    edges = _edges(history)
    return (edges[0], edges[-1]) if edges else None


def _rule(elapsed: float, history: Sequence[float]) -> float:
    geometric = elapsed // 10
    edges = _edges(history)
    if not edges or elapsed >= edges[-1]:
        return geometric
    if elapsed < edges[0]:
        return next(look for part in _EARLY if (look := edges[0] / part) > elapsed) - elapsed
    return min(geometric, _next_look(elapsed, edges) - elapsed)


def _edges(history: Sequence[float]) -> list[float]:
    """Sort past durations between the earliest and the latest likely end.

    The margin on both sides is three mean gaps, and more while so few jobs are known that gaps say little.
    """
    past = sorted(seconds for seconds in history[-CONSIDERED:] if 0 < seconds <= _A_WEEK)
    if not past:
        return []
    median = past[len(past) // 2]
    past = [min(max(seconds, median / _OUTLIER), median * _OUTLIER) for seconds in past]
    margin = math.exp(max(0.02, (0.3 + 3 * math.log(past[-1] / past[0])) / len(past)))
    return [past[0] / margin, *past, past[-1] * margin]


def _next_look(elapsed: float, edges: list[float]) -> float:
    """Walk the gaps from `elapsed` on until the density of looks adds up to one, at most to the window's end."""
    gaps = [math.log(high / low) for low, high in pairwise(edges)]
    reach = [(len(gaps) - n) / len(gaps) for n in range(len(gaps))]
    # The ease keeps the few jobs that reach the last gaps from taking twice the looks there.
    looks = [math.sqrt(gap / (share + _EASE)) for gap, share in zip(gaps, reach, strict=True)]
    scale = _scale(gaps, looks, reach)
    owed = 1.0
    for low, high, gap, share in zip(edges, edges[1:], gaps, looks, strict=False):
        begin = max(low, elapsed)
        if begin >= high:
            continue
        density = scale * share / gap
        if density * math.log(high / begin) >= owed:
            return begin * math.exp(owed / density)
        owed -= density * math.log(high / begin)
    return edges[-1]


def _scale(gaps: list[float], looks: list[float], reach: list[float]) -> float:
    """Say how many looks the window is worth: a fixed number, more where the spread needs them, up to a mean."""
    fixed = _LOOKS_IN_WINDOW / sum(looks)
    delay_at_one = sum(gap / look for gap, look in zip(gaps, looks, strict=True) if look) / (2 * len(gaps))
    most = _LOOKS_EXPECTED / sum(look * share for look, share in zip(looks, reach, strict=True))
    return min(max(fixed, delay_at_one / _MEAN_DELAY), most)
