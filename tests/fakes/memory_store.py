"""S3's conditional semantics in memory, and any store with faults to order."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Literal

from haul.ports import ConflictError, Store, Stored, UnclearError

type Fault = Literal["lost-request", "lost-reply", "conflict", "kill-before", "kill-after"]


class KilledError(BaseException):
    """The process died here; no handler of the code under test may catch it."""


class MemoryStore:
    """A `Store`."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}

    def get(self, key: str) -> Stored | None:
        body = self.objects.get(key)
        return None if body is None else Stored(body, _etag(body))

    def create(self, key: str, body: str) -> str:
        if key in self.objects:
            raise ConflictError(key)
        self.objects[key] = body
        return _etag(body)

    def replace(self, key: str, body: str, etag: str) -> str:
        if key not in self.objects or _etag(self.objects[key]) != etag:
            raise ConflictError(key)
        self.objects[key] = body
        return _etag(body)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def folders(self, prefix: str) -> Iterator[str]:
        rest = (key.removeprefix(prefix) for key in self.keys(prefix))
        return iter(sorted({name.split("/")[0] for name in rest if "/" in name}))


class FaultyStore:
    """A store whose `before_write` is asked before every write and may order what becomes of it.

    It may also do something else first: that is how another writer gets in between.
    """

    def __init__(self, inner: Store, before_write: Callable[[str], Fault | None]) -> None:
        self._inner = inner
        self._before_write = before_write

    def get(self, key: str) -> Stored | None:
        return self._inner.get(key)

    def create(self, key: str, body: str) -> str:
        return self._write(key, lambda: self._inner.create(key, body))

    def replace(self, key: str, body: str, etag: str) -> str:
        return self._write(key, lambda: self._inner.replace(key, body, etag))

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._inner.keys(prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        return self._inner.folders(prefix)

    def _write(self, key: str, write: Callable[[], str]) -> str:
        fault = self._before_write(key)
        match fault:
            case "kill-before":
                raise KilledError(key)
            case "lost-request":
                raise UnclearError(key)
            case "conflict":
                raise ConflictError(key)
        etag = write()
        match fault:
            case "kill-after":
                raise KilledError(key)
            case "lost-reply":
                raise UnclearError(key)
        return etag


def _etag(body: str) -> str:
    return f'"{hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}"'
