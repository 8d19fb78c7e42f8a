"""How fast a vendor may be asked: so many calls in any minute."""

import threading
from collections import deque
from collections.abc import Callable

_WINDOW = 60.0


class Pace:
    """At most `calls` of them in any minute, from any thread.

    Args:
        calls: how many, None without a limit.
        clock: seconds, from anywhere.
    """

    def __init__(self, calls: int | None, clock: Callable[[], float]) -> None:
        self._calls = calls
        self._clock = clock
        self._made: deque[float] = deque()
        self._lock = threading.Lock()

    def seconds_to_wait(self) -> float:
        """Take the next place in the line; how long to wait until it is one's turn."""
        if self._calls is None:
            return 0.0
        with self._lock:
            now = self._clock()
            turn = max(now, self._made[0] + _WINDOW) if len(self._made) == self._calls else now
            if len(self._made) == self._calls:
                self._made.popleft()
            self._made.append(turn)
            return turn - now


def share(calls_per_minute: int | None, children: int) -> int | None:
    """How many calls one of the children that run beside each other may make a minute.

    A tenth is left for the polls of other runs: the vendor counts all of them together.
    """
    return None if calls_per_minute is None else max(1, calls_per_minute * 9 // 10 // max(1, children))
