"""Faults to order: which calls, how many, and what becomes of them.

    {"match": {"method": "GET", "path": "/jobs/"}, "skip": 1, "times": 3, "do": {"status": 503}}

lets the first matching call through and answers the next three with 503. Faults are looked at in the order they
were made; a call meets at most one, and one that is taken does not count towards the `skip` of a later fault.
"""

import json
import re
import threading
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from infra.local.vendors.server import Bytes, Reply, Request


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Order):
    """Which calls: a method (any, if left out), a regular expression to find in the path, a name in the query."""

    method: str | None = None
    path: Annotated[str, AfterValidator(_regex)] = ""
    query: str | None = None

    def covers(self, request: Request) -> bool:
        if self.method not in (None, request.method) or (self.query is not None and self.query not in request.query):
            return False
        return re.search(self.path, request.path) is not None


class Effect(_Order):
    """What to do to a call.

    `status` and `body` answer in the vendor's place, and the vendor does nothing unless `work` is set; a `status`
    without a `body` is the vendor's own error of that status, a `body` without a `status` is a 200. `reset` breaks the
    connection before anything is done, or after `truncate_after`. `drop_reply` does the work and hangs up. Everything
    else lets the vendor work and alters its answer.
    """

    status: int | None = Field(None, ge=200, le=599)
    body: str | dict[str, Any] | list[Any] | None = None
    work: bool = False
    headers: dict[str, str | None] = {}  # null takes one away
    reset: bool = False
    drop_reply: bool = False
    delay_seconds: float = Field(0, ge=0)
    truncate_after: int | float | None = Field(None, ge=0)  # bytes, or a fraction of the body below 1
    content_length: Literal["full", "cut", "none"] = "full"  # of a truncated body: as if whole; what is sent; not told
    flip_byte: int | None = None  # counted from the end if negative
    rate_bytes_per_second: float | None = Field(None, gt=0)
    also: str | None = None  # something the vendor does first, by its name

    @property
    def replaces(self) -> bool:
        """Whether the vendor never sees the call."""
        return not self.work and (
            self.status is not None or self.body is not None or (self.reset and self.truncate_after is None)
        )

    @property
    def forges(self) -> bool:
        """Whether the vendor's own answer, if there is one, is thrown away."""
        return self.status is not None or self.body is not None

    def forged(self) -> Reply:
        """The answer given in the vendor's place; a `status` without a `body` is the caller's to fill."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        kind = "text/html; charset=utf-8" if isinstance(self.body, str) else "application/json"
        return Reply(self.status or 200, {"Content-Type": kind}, Bytes(text.encode()))

    def applied(self, reply: Reply) -> Reply:
        cut = self.truncate_after
        if isinstance(cut, float):
            cut = int(cut * reply.content.size) if cut < 1 else int(cut)
        return replace(
            reply,
            headers={**reply.headers, **self.headers},
            framing="close" if cut is not None and self.content_length == "none" else reply.framing,
            delivery=replace(
                reply.delivery,
                delay_seconds=reply.delivery.delay_seconds + self.delay_seconds,
                drop=self.drop_reply,
                reset=self.reset,
                cut_after=cut,
                declare_whole=self.content_length == "full",
                flip_byte=self.flip_byte,
                bytes_per_second=self.rate_bytes_per_second or reply.delivery.bytes_per_second,
            ),
        )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"empty: name what to do, one of {', '.join(type(self).model_fields)}")
        return self


class Fault(_Order):
    """An order for trouble. `times` null is for ever."""

    match: Match = Match()
    skip: int = Field(0, ge=0)
    times: int | None = Field(1, ge=1)
    do: Effect


class Orders:
    """The faults ordered so far, and how often each has struck."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        self._seen: dict[int, int] = {}
        self._number = 0

    def add(self, fault: Fault) -> int:
        with self._lock:
            self._number += 1
            self._faults[self._number] = fault
            self._seen[self._number] = 0
            return self._number

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, request: Request) -> tuple[int, Effect] | None:
        """The fault that this call meets, if any, counted as struck."""
        with self._lock:
            for number, fault in self._faults.items():
                if not fault.match.covers(request) or self._struck(number) == fault.times:
                    continue
                self._seen[number] += 1
                if self._seen[number] > fault.skip:
                    return number, fault.do
            return None

    def struck(self, number: int) -> int:
        """How many calls met this fault."""
        with self._lock:
            return self._struck(number)

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {"id": number, "struck": self._struck(number), **fault.model_dump(exclude_defaults=True)}
                for number, fault in self._faults.items()
            ]

    def _struck(self, number: int) -> int:
        fault = self._faults.get(number)
        return max(self._seen[number] - fault.skip, 0) if fault else 0
