"""Visier's calls per minute and hour: what is left is in every answer, and none is made when none is left."""

import time
from collections.abc import Callable, Mapping

from haul.errors import RateLimitedError
from haul.rest import http_date

DEFAULT_PAUSE_SECONDS = 60.0
_WINDOWS = {"Minute": 60.0, "Hour": 3600.0}


class CallBudget:
    """What the last answer said is left. Shared by threads: a late answer at worst costs one refused call."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._empty_until = 0.0
        self.left: Mapping[str, int] = {}

    def check(self) -> None:
        """Be sure that a call is left.

        Raises:
            RateLimitedError: none is, until the minute or the hour ends.
        """
        left = self._empty_until - self._clock()
        if left > 0:
            raise RateLimitedError("Visier's calls for now are used up; this one was not made", retry_after=left)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer says is left."""
        left = {name: headers.get(f"X-RateLimit-Remaining-{name}", "").strip() for name in _WINDOWS}
        self.left = {name: int(number) for name, number in left.items() if number.isdecimal()}
        pause = self.used_up_for(headers)
        if pause is not None:
            self._empty_until = self._clock() + pause

    def used_up_for(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until the used-up window ends, None while calls are left.

        Visier does not say when its windows begin. Whole minutes and hours of its own clock are taken; if that is
        wrong, the next answer says so.
        """
        ends = [
            size for name, size in _WINDOWS.items() if headers.get(f"X-RateLimit-Remaining-{name}", "").strip() == "0"
        ]
        if not ends:
            return None
        at = http_date(headers.get("Date", ""))
        now = at.timestamp() if at else self._clock()
        return max(size - now % size for size in ends)

    def pause(self, headers: Mapping[str, str]) -> float:
        """Seconds to wait after a 429."""
        return self.used_up_for(headers) or DEFAULT_PAUSE_SECONDS
