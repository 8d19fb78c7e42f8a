"""Calls that are left, as Visier's headers tell."""

import pytest

from haul.connectors.visier.budget import CallBudget
from haul.errors import RateLimitedError

AT_20_PAST = "Wed, 21 Oct 2015 07:20:20 GMT"


def remaining(minute: str | None = None, hour: str | None = None, date: str | None = AT_20_PAST) -> dict[str, str]:
    headers = {"X-RateLimit-Remaining-Minute": minute, "X-RateLimit-Remaining-Hour": hour, "Date": date}
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (remaining("0"), 40),
        (remaining("0", "12"), 40),
        (remaining("7", "0"), 40 * 60 - 20),
        (remaining("0", "0"), 40 * 60 - 20),
        (remaining("1", "1"), None),
        (remaining(), None),
        (remaining("many"), None),
        (remaining("0", date=None), 50),
        (remaining("0", date="today"), 50),
    ],
)
def test_the_pause_lasts_to_the_end_of_the_window(headers: dict[str, str], seconds: float | None) -> None:
    budget = CallBudget(clock=lambda: 1_000_000_030.0)

    assert budget.used_up_for(headers) == seconds
    assert budget.pause(headers) == (seconds or 60)


def test_calls_go_on_when_the_window_has_ended() -> None:
    now = 1_000_000_000.0
    budget = CallBudget(clock=lambda: now)
    budget.note(remaining("0"))

    with pytest.raises(RateLimitedError) as limited:
        budget.check()
    now += 40

    budget.check()
    assert limited.value.retry_after == 40


def test_an_answer_with_calls_left_does_not_reopen_a_window() -> None:
    """Answers overtake one another."""
    budget = CallBudget(clock=lambda: 0.0)
    budget.note(remaining("0"))
    budget.note(remaining("1"))

    with pytest.raises(RateLimitedError):
        budget.check()
