"""A connector's operations: their parameters are checked before the vendor is asked."""

from collections.abc import Callable, Mapping
from typing import Any

from haul.errors import InvalidEventError
from haul.ports import Operation


def operation(
    summary: str,
    call: Callable[[Mapping[str, str]], Any],
    parameters: Mapping[str, str] | None = None,
    *,
    changes: str | None = None,
) -> Operation:
    """Make an operation that takes exactly these parameters, all of them needed."""
    needed = dict(parameters or {})

    def checked(given: Mapping[str, str], /) -> Any:
        for name in needed:
            if not given.get(name):
                raise InvalidEventError(f"{name}: missing")
        for name in given:
            if name not in needed:
                takes = f"it takes {', '.join(needed)}" if needed else "it takes none"
                raise InvalidEventError(f"{name}: unknown parameter; {takes}")
        return call(given)

    return Operation(summary, checked, needed, changes)
