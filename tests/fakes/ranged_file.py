"""A file at a vendor that honours byte ranges, or says so, or does something else to order."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.fakes.file_server import Reply, Request

type Honesty = Literal["honest", "ignores", "shifts", "multipart", "no length"]


@dataclass
class RangedFile:
    """Serves `body` to `Reply(answer=...)`.

    Attributes:
        validators: headers by which the server tells this version of the file from others.
        honesty: what it does about a Range: what was asked, nothing, another stretch, several in one, or it does not
            tell the size of the whole.
        longest: a range is cut to so many bytes.
        instead: what the next requests get in place of the file; None is the file.
        cuts: after how many bytes the next replies break off; None is not at all.
        on_bytes: told of each piece before it is sent, by its place in the file.
    """

    body: bytes
    validators: dict[str, str] = field(default_factory=lambda: {"ETag": '"v1"'})
    honesty: Honesty = "honest"
    longest: int | None = None
    instead: list[Reply | None] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    on_bytes: Callable[[int], None] = lambda _: None
    asked: list[tuple[int, int] | None] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            wanted = self._wanted(request)
            self.asked.append(wanted)
            instead = self.instead.pop(0) if self.instead else None
            cut = self.cuts.pop(0) if self.cuts else None
        if instead is not None:
            return instead
        size = len(self.body)
        if wanted is None or self.honesty == "ignores" or request.headers.get("if-range", self._tag) != self._tag:
            return self._reply(200, 0, size, {}, cut)
        start, stop = wanted
        if start >= size:
            return Reply(status=416, headers={"Content-Range": f"bytes */{size}"})
        if self.honesty == "shifts":
            start, stop = start + 1, min(stop + 1, size)
        stop = min(stop, start + self.longest) if self.longest else stop
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{'*' if self.honesty == 'no length' else size}"}
        if self.honesty == "multipart":
            headers = {"Content-Type": "multipart/byteranges; boundary=x"}
        return self._reply(206, start, stop, headers, cut)

    @property
    def _tag(self) -> str | None:
        return self.validators.get("ETag") or self.validators.get("Last-Modified")

    def _wanted(self, request: Request) -> tuple[int, int] | None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if not found:
            return None
        return int(found[1]), min(int(found[2]) + 1 if found[2] else len(self.body), len(self.body))

    def _reply(self, status: int, start: int, stop: int, headers: dict[str, str], cut: int | None) -> Reply:
        end = stop if cut is None else min(stop, start + cut)

        def pieces() -> Iterator[bytes]:
            for at in range(start, end, 1_000):
                self.on_bytes(at)
                yield self.body[at : min(at + 1_000, end)]

        return Reply(
            pieces,
            status=status,
            headers={**self.validators, **headers},
            announced=stop - start,
        )
