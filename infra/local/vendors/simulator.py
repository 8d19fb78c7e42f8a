"""What every vendor's simulator has: scenarios, faults, a call log, call limits, a clock, and the admin path.

A vendor is a package beside this module that defines `SIMULATOR`, a `VendorSimulator`. Whatever a test can say in
Python (`visier.fault(...)`) it can also say over HTTP (`POST /_admin/faults`); `GET /_admin` lists how. The admin path
takes no credentials, and the log keeps none.
"""

import argparse
import json
import re
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.local.vendors.faults import Effect, Fault, Orders
from infra.local.vendors.server import Bytes, LocalServer, Part, Reply, Request


class AdminError(ValueError):
    """The simulator was told to do something it can't."""


class Knobs(BaseModel):
    """How a simulator behaves; a vendor adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls_per_minute: int = 100
    calls_per_hour: int = 6000


class Scenario(NamedTuple):
    """A way for things to go: knobs turned and faults ordered."""

    summary: str
    knobs: Mapping[str, object] = {}
    faults: Sequence[Mapping[str, object]] = ()


@dataclass
class Call:
    """A call that was made. `status` is None while it runs, and for good if its client was never told one."""

    method: str
    path: str
    at: float
    fault: int | None = None
    status: int | None = None
    bytes_sent: int = 0
    done: bool = False

    def telling(self, status: int) -> None:
        self.status = status

    def sending(self, size: int) -> None:
        self.bytes_sent += size

    def ended(self) -> None:
        self.done = True


class Clock:
    """The time, which can be moved forward."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds


class Allowance(NamedTuple):
    """What is left to a caller after this call."""

    headers: Mapping[str, str]
    exceeded: bool


@dataclass
class CallCounters:
    """Calls per key, in windows that open with the first call after the last one closed."""

    _windows: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def count(self, key: str, now: float, limits: Mapping[str, tuple[float, int]]) -> Allowance:
        """Count a call against `limits`: the seconds and calls of each window, by its name in the headers."""
        headers, exceeded = {}, False
        for name, (seconds, limit) in limits.items():
            opened, used = self._windows.get((key, name), (now, 0))
            if now >= opened + seconds:
                opened, used = now, 0
            exceeded = exceeded or used >= limit
            used = min(used + 1, limit)
            self._windows[key, name] = (opened, used)
            headers[f"X-RateLimit-Limit-{name}"] = str(limit)
            headers[f"X-RateLimit-Remaining-{name}"] = str(limit - used)
        return Allowance(headers, exceeded)

    def clear(self) -> None:
        self._windows.clear()


class Told(NamedTuple):
    """One call of the admin path."""

    where: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._field(name, str, default))

    def number(self, name: str) -> float:
        return float(str(self._field(name, (int, float), None)))

    def _field(self, name: str, kind: type | tuple[type, ...], default: object) -> object:
        value = self.body.get(name, default)
        if not isinstance(value, kind):
            raise AdminError(f"the body must be a JSON object with {name!r}; got {self.body}")
        return value


class AdminRoute(NamedTuple):
    """A thing to ask or tell; `path` is a regular expression whose named groups are `where`."""

    method: str
    path: str
    summary: str
    act: Callable[[Told], object]


class VendorSimulator[K: Knobs](ABC):
    """A vendor on 127.0.0.1, from `start` to `stop` or as a context manager.

    Keyword arguments are the fields of the vendor's knobs.
    """

    SCENARIOS: ClassVar[Mapping[str, Scenario]]
    _knobs: K

    def __init__(self, knobs: type[K], *, port: int, scenario: str, given: Mapping[str, object]) -> None:
        self._knobs_type = knobs
        self._given = dict(given)
        self._first_scenario = scenario
        self._lock = threading.RLock()
        self._clock = Clock()
        self._orders = Orders()
        self._counters = CallCounters()
        self._log: list[Call] = []
        self._server = LocalServer(self._serve, port=port)
        self._routes = [
            (route, re.compile(rf"/_admin{route.path}")) for route in (*self._own_routes(), *self._admin_routes())
        ]
        self.scenario(scenario)

    # What a vendor says of itself

    @classmethod
    @abstractmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the vendor's own options; what they leave in the namespace are knobs."""

    @abstractmethod
    def _answer(self, request: Request) -> Reply:
        """The vendor's answer to one call."""

    @abstractmethod
    def _failure(self, status: int) -> Reply:
        """The vendor's own kind of error body, for an error that was ordered."""

    @abstractmethod
    def _meter(self, request: Request) -> Allowance:
        """Count the call against the vendor's limits."""

    @abstractmethod
    def _events(self) -> Mapping[str, Callable[[], object]]:
        """What a fault can have happen first, by the name it gives as `also`."""

    @abstractmethod
    def _admin_routes(self) -> Sequence[AdminRoute]: ...

    @abstractmethod
    def _forget(self) -> None:
        """Start afresh: no jobs, no tokens."""

    # What a test says to it

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def log(self) -> list[Call]:
        """Every call so far, oldest first, the admin path's left out."""
        return list(self._log)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def scenario(self, name: str) -> None:
        """Play this scenario from now on. Knobs turned and faults ordered before are undone."""
        if name not in self.SCENARIOS:
            raise AdminError(f"unknown scenario {name!r}; there are {', '.join(self.SCENARIOS)}")
        chosen = self.SCENARIOS[name]
        knobs = _checked(self._knobs_type, {**self._given, **chosen.knobs}, "knob")
        with self._lock:
            self._knobs = knobs
            self._orders.clear()
            for order in chosen.faults:
                self._order(_checked(Fault, order, "fault"))

    def configure(self, **knobs: object) -> None:
        """Turn single knobs, until the next scenario or reset."""
        with self._lock:
            self._knobs = _checked(self._knobs_type, {**self._knobs.model_dump(), **knobs}, "knob")

    def fault(
        self,
        method: str | None,
        path: str,
        *,
        query: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        **do: object,
    ) -> int:
        """Order a fault for calls of `method` (None: any) whose path has a match of the regular expression `path`.

        Where `query` is given, only calls with a query parameter of that name count.

        Returns:
            Its number, which `struck` takes.
        """
        order = {"match": {"method": method, "path": path, "query": query}, "times": times, "skip": skip, "do": do}
        return self._order(_checked(Fault, order, "fault"))

    def struck(self, fault: int) -> int:
        """How many calls met this fault."""
        return self._orders.struck(fault)

    def clear_faults(self) -> None:
        self._orders.clear()

    def calls(self, method: str | None = None, path: str = "", *, faulted: bool | None = None) -> int:
        """Count the calls of `method` whose path contains `path`: all, or only those that met a fault, or did not."""
        return len(self._calls(method, path, faulted=faulted))

    def clear_log(self) -> None:
        self._log.clear()

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock forward: jobs finish, tokens and exports expire, days pass."""
        self._clock.advance(seconds)

    def reset(self) -> None:
        """As it was at the start: its first scenario, no jobs, no log. The clock keeps what it was moved by."""
        with self._lock:
            self._counters.clear()
            self._log.clear()
            self.scenario(self._first_scenario)
            self._forget()

    # One call

    def _serve(self, request: Request) -> tuple[Reply, Call | None]:
        try:
            if request.path == "/_admin" or request.path.startswith("/_admin/"):
                return self._administer(request), None
            call = Call(request.method, request.path, self._clock.now())
            with self._lock:
                taken = self._orders.take(request)
                call.fault = taken[0] if taken else None
                self._log.append(call)
                allowance = self._meter(request)
            reply = self._worked(request, taken[1] if taken else None, exceeded=allowance.exceeded)
            return replace(reply, headers={**allowance.headers, **reply.headers}), call
        except Exception:  # noqa: BLE001 - a mistake of the simulator's own must be seen, not hang its client
            traceback.print_exc(file=sys.stderr)
            return json_reply(500, {"error": "a mistake in the simulator: its standard error says which"}), None

    def _worked(self, request: Request, effect: Effect | None, *, exceeded: bool) -> Reply:
        if effect is None:
            return self._failure(429) if exceeded else self._answer(request)
        if effect.also:
            self._events()[effect.also]()
        reply = Reply()
        if not effect.replaces:
            reply = self._failure(429) if exceeded else self._answer(request)
        if effect.forges:
            reply = effect.forged() if effect.body is not None else self._failure(effect.status or 500)
        return effect.applied(reply)

    def _calls(self, method: str | None, path: str, *, faulted: bool | None) -> list[Call]:
        return [
            call
            for call in self._log
            if method in (None, call.method) and path in call.path and faulted in (None, call.fault is not None)
        ]

    def _order(self, fault: Fault) -> int:
        if fault.do.also and fault.do.also not in self._events():
            raise AdminError(f"nothing happens by the name {fault.do.also!r}; there are {', '.join(self._events())}")
        return self._orders.add(fault)

    # The admin path

    def _administer(self, request: Request) -> Reply:
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return json_reply(400, {"error": "the body is not JSON"})
        if not isinstance(body, dict):
            return json_reply(400, {"error": "the body must be a JSON object"})
        for route, path in self._routes:
            found = path.fullmatch(request.path)
            if found and route.method == request.method:
                try:
                    answer = route.act(Told(found.groupdict(), request.query, body))
                except AdminError as error:
                    return json_reply(400, {"error": str(error)})
                return json_reply(200, {"ok": True} if answer is None else answer)
        return json_reply(404, {"error": f"no {request.method} {request.path}: GET /_admin lists what there is"})

    def _own_routes(self) -> Sequence[AdminRoute]:
        return [
            AdminRoute("GET", "", "what can be asked and told here", lambda _: self._help()),
            AdminRoute("GET", "/scenarios", "the scenarios", lambda _: self._summaries()),
            AdminRoute("POST", "/scenario", "{name}: play it", lambda told: self.scenario(told.text("name"))),
            AdminRoute("GET", "/knobs", "the knobs", lambda _: self._knobs.model_dump(mode="json")),
            AdminRoute("POST", "/knobs", "{name: value, ...}: turn them", lambda told: self.configure(**told.body)),
            AdminRoute("GET", "/faults", "the faults, and how often each struck", lambda _: self._orders.listed()),
            AdminRoute("POST", "/faults", "{match, skip, times, do}: order one", self._admin_order),
            AdminRoute("DELETE", "/faults", "forget them", lambda _: self.clear_faults()),
            AdminRoute("GET", "/calls", "?method=&path=&faulted=: the log, and its length", self._admin_calls),
            AdminRoute("DELETE", "/calls", "empty the log", lambda _: self.clear_log()),
            AdminRoute("POST", "/advance", "{seconds}: the clock", lambda told: self.advance(told.number("seconds"))),
            AdminRoute("POST", "/reset", "as at the start", lambda _: self.reset()),
        ]

    def _help(self) -> dict[str, str]:
        return {f"{route.method} /_admin{route.path}": route.summary for route, _ in self._routes}

    def _summaries(self) -> dict[str, str]:
        return {name: scenario.summary for name, scenario in self.SCENARIOS.items()}

    def _admin_order(self, told: Told) -> dict[str, int]:
        return {"id": self._order(_checked(Fault, told.body, "fault"))}

    def _admin_calls(self, told: Told) -> dict[str, object]:
        faulted = {"true": True, "false": False}.get(told.query.get("faulted", ""))
        calls = self._calls(told.query.get("method"), told.query.get("path", ""), faulted=faulted)
        return {"count": len(calls), "calls": [asdict(call) for call in calls]}


def json_reply(status: int, document: object) -> Reply:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Reply(status, {"Content-Type": "application/json"}, Bytes(text.encode()))


def ranged(request: Request, reply: Reply, *, etag: str | None = None, longest: int | None = None) -> Reply:
    """The reply, or the stretch of it that the request asks for, cut to `longest` bytes."""
    size, validator = reply.content.size, {"ETag": etag} if etag else {}
    reply = replace(reply, headers={**reply.headers, **validator, "Accept-Ranges": "bytes"})
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", "").strip())
    if not wanted or wanted[0] == "bytes=-" or request.headers.get("If-Range", etag) != etag:
        return reply
    if wanted[1]:
        start, stop = int(wanted[1]), min(int(wanted[2] or size) + (wanted[2] != ""), size)
    else:
        start, stop = max(size - int(wanted[2]), 0), size
    if start >= stop:
        return replace(json_reply(416, {}), headers={"Content-Range": f"bytes */{size}"})
    stop = min(stop, start + longest) if longest else stop
    headers = {**reply.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return replace(reply, status=206, headers=headers, content=Part(reply.content, start, stop))


def _checked[M: BaseModel](model: type[M], document: Mapping[str, object], what: str) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors(include_url=False))
        raise AdminError(f"bad {what}: {'; '.join(faults)}") from error
