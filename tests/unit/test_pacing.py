"""No more calls in any minute than a vendor allows."""

from hypothesis import given
from hypothesis import strategies as st

from haul.pacing import Pace, share


@given(calls=st.integers(1, 5), steps=st.lists(st.floats(0, 90), max_size=40))
def test_no_minute_has_more_calls_than_are_allowed(calls: int, steps: list[float]) -> None:
    now = 0.0
    made: list[float] = []
    pace = Pace(calls, lambda: now)

    for step in steps:
        now += step
        made.append(now + pace.seconds_to_wait())

    assert made == sorted(made)
    for first, over in zip(made, made[calls:], strict=False):
        assert over - first >= 59.999


def test_a_vendor_that_counts_nothing_waits_for_nobody() -> None:
    pace = Pace(None, lambda: 0.0)

    assert [pace.seconds_to_wait() for _ in range(500)] == [0.0] * 500


def test_calls_within_the_limit_do_not_wait() -> None:
    pace = Pace(22, lambda: 7.0)

    assert [pace.seconds_to_wait() for _ in range(22)] == [0.0] * 22
    assert pace.seconds_to_wait() == 60.0


def test_children_beside_each_other_share_what_is_allowed() -> None:
    assert [share(100, children) for children in (1, 4, 100, 1_000)] == [90, 22, 1, 1]
    assert share(None, 4) is None
