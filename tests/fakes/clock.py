"""Time in a test: moved by hand, or waited for where a real thread must get on."""

import time
from collections.abc import Callable


class Clock:
    """The time, moved by hand."""

    def __init__(self) -> None:
        self._at = time.time()

    def __call__(self) -> float:
        return self._at

    def advance(self, seconds: float) -> None:
        self._at += seconds


def wait_until(holds: Callable[[], bool], *, seconds: float = 5) -> bool:
    """Wait for what another thread brings about; whether it came."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()
