"""Pebble's API v1: a key, a token, and tables of made-up orders."""

import argparse
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from infra.local.vendors.server import Bytes, Reply, Request
from infra.local.vendors.simulator import (
    AdminRoute,
    Allowance,
    Knobs,
    Scenario,
    VendorSimulator,
    json_reply,
    ranged,
)


class PebbleKnobs(Knobs):
    """How the simulated Pebble behaves."""

    job_seconds: float = Field(5, ge=0)
    job_ends: Literal["done", "failed", "never"] = "done"
    rows: int = Field(1000, ge=0)
    key: str = "demo"


@dataclass
class Job:
    """An export; `stopped` once somebody has."""

    id: str
    request: Mapping[str, Any]
    created: float
    knobs: PebbleKnobs
    stopped: bool = False

    def state(self, now: float) -> str:
        if self.stopped:
            return "stopped"
        if now < self.created + self.knobs.job_seconds or self.knobs.job_ends == "never":
            return "running"
        return self.knobs.job_ends

    @property
    def content(self) -> bytes:
        lines = ["id,amount", *(f"{number},{number * 17 % 1000}" for number in range(self.knobs.rows))]
        return ("\n".join(lines) + "\n").encode()


class PebbleSimulator(VendorSimulator[PebbleKnobs]):
    """Pebble for one key. Knobs: see `PebbleKnobs`."""

    SCENARIOS: ClassVar[Mapping[str, Scenario]] = {
        "success": Scenario("all goes well"),
        "failed": Scenario("the export fails", {"job_ends": "failed"}),
        "never-finishes": Scenario("the export runs for ever", {"job_ends": "never"}),
    }

    def __init__(self, *, port: int = 0, scenario: str = "success", **knobs: object) -> None:
        super().__init__(PebbleKnobs, port=port, scenario=scenario, given=knobs)
        self._forget()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--job-seconds", type=float, metavar="N", help="how long an export takes (5)")

    # What a test says to it

    def jobs(self) -> list[dict[str, Any]]:
        """Every export, oldest first."""
        return [self._shown(job) for job in self._jobs.values()]

    def truth(self, job_id: str) -> str:
        """The SHA-256 of the file of an export."""
        return hashlib.sha256(self._jobs[job_id].content).hexdigest()

    def invalidate_tokens(self) -> None:
        self._tokens.clear()

    # What a vendor says of itself

    def _forget(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tokens: set[str] = set()

    def _events(self) -> Mapping[str, Callable[[], object]]:
        return {"expire-tokens": self.invalidate_tokens}

    def _admin_routes(self) -> Sequence[AdminRoute]:
        return [AdminRoute("GET", "/jobs", "every export", lambda _: self.jobs())]

    def _meter(self, request: Request) -> Allowance:  # noqa: ARG002 - Pebble counts no calls
        return Allowance({}, exceeded=False)

    def _failure(self, status: int) -> Reply:
        return json_reply(status, {"error": f"error {status}"})

    def _answer(self, request: Request) -> Reply:
        if (request.method, request.path) == ("POST", "/token"):
            return self._log_in(json.loads(request.body))
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return json_reply(401, {"error": "the token is not valid"})
        match request.method, *request.path.split("/")[1:]:
            case "POST", "exports":
                return self._submit(json.loads(request.body))
            case "GET", "exports":
                return json_reply(200, self.jobs()[::-1])
            case method, "exports", job, *rest if job in self._jobs:
                return self._about(method, self._jobs[job], rest, request)
        return json_reply(404, {"error": "there is no such thing"})

    def _log_in(self, body: Mapping[str, Any]) -> Reply:
        if body.get("key") != self._knobs.key:
            return json_reply(401, {"error": "the key is not valid"})
        token = secrets.token_hex(16)
        self._tokens.add(token)
        return json_reply(200, {"token": token, "expires_in": 3600})

    def _submit(self, body: Mapping[str, Any]) -> Reply:
        job = Job(f"p-{len(self._jobs) + 1}", body, self._clock.now(), self._knobs)
        self._jobs[job.id] = job
        return json_reply(202, {"id": job.id})

    def _about(self, method: str, job: Job, rest: Sequence[str], request: Request) -> Reply:
        state = job.state(self._clock.now())
        match method, *rest:
            case ("GET",):
                return json_reply(200, self._shown(job))
            case ("DELETE",):
                job.stopped = job.stopped or state == "running"
                return Reply(204)
            case "GET", "file" if state == "done":
                return ranged(request, Reply(200, {"Content-Type": "text/csv"}, Bytes(job.content)))
        return json_reply(404, {"error": "there is no such thing"})

    def _shown(self, job: Job) -> dict[str, Any]:
        state = job.state(self._clock.now())
        created = datetime.fromtimestamp(job.created, UTC).isoformat()
        rows = job.knobs.rows if state == "done" else None
        return {"id": job.id, "state": state, "rows": rows, "created": created, **job.request}
