"""S3's conditional semantics in memory, with faults to order."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Literal

from haul.ports import ConflictError, Stored, UnclearError

type Fault = Literal["lost-request", "lost-reply", "conflict", "kill-before", "kill-after"]


class KilledError(BaseException):
    """The process died here; no handler of the code under test may catch it."""


class MemoryStore:
    """A `Store`. `fault` is asked before every write and may order what happens to it."""

    def __init__(self, fault: Callable[[str, str], Fault | None] | None = None) -> None:
        self.objects: dict[str, str] = {}
        self.writes: list[tuple[str, str]] = []
        self.fault = fault

    def get(self, key: str) -> Stored | None:
        body = self.objects.get(key)
        return None if body is None else Stored(body, _etag(body))

    def create(self, key: str, body: str) -> str:
        return self._write("create", key, body, lambda: key not in self.objects)

    def replace(self, key: str, body: str, etag: str) -> str:
        return self._write("replace", key, body, lambda: key in self.objects and _etag(self.objects[key]) == etag)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def folders(self, prefix: str) -> Iterator[str]:
        rest = (key.removeprefix(prefix) for key in self.keys(prefix))
        return iter(sorted({name.split("/")[0] for name in rest if "/" in name}))

    def _write(self, verb: str, key: str, body: str, holds: Callable[[], bool]) -> str:
        fault = self.fault(verb, key) if self.fault else None
        match fault:
            case "kill-before":
                raise KilledError(key)
            case "lost-request":
                raise UnclearError(key)
            case "conflict":
                raise ConflictError(key)
        if not holds():
            raise ConflictError(key)
        self.objects[key] = body
        self.writes.append((verb, key))
        match fault:
            case "kill-after":
                raise KilledError(key)
            case "lost-reply":
                raise UnclearError(key)
        return _etag(body)


def _etag(body: str) -> str:
    return f'"{hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}"'
