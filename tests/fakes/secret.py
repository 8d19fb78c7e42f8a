"""A connection's secret that can be rotated behind its reader's back."""

from collections.abc import Mapping
from typing import Any


class FakeSecret:
    """Holds what was read until it is read anew."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._read = dict(values)
        self._stored = dict(values)
        self.reads = 0

    def current(self) -> Mapping[str, Any]:
        return self._read

    def fresh(self) -> Mapping[str, Any]:
        self.reads += 1
        self._read = dict(self._stored)
        return self._read

    def rotate(self, **changes: Any) -> None:
        self._stored |= changes
