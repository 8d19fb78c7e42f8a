"""The command line against a deployment in memory: `World`'s flow, or the real connector on the Visier simulator."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from haul import connectors
from haul.cli.app import app
from haul.cli.deployment import Deployment
from haul.cli.failures import CommandError
from haul.cli.invocation import Invocation
from haul.errors import UnknownConnectionError
from haul.models import vendors
from haul.models.ledger import PipelineRecord
from haul.ports import Connector, ExecutionState, Stored
from haul.settings import Settings
from infra.local.vendors.visier import VisierSimulator
from tests.fakes.loads import LoadWorld
from tests.fakes.memory_store import MemoryStore
from tests.fakes.secret import FakeSecret
from tests.fakes.world import BUCKET, NOON, World, fake_vendor

VISIER_PEOPLE = {
    "version": 1,
    "pipeline": "visier-people",
    "vendor": "visier",
    "action": "dv-export",
    "connection": "visier-acme",
    "request": {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"},
    "options": {"first_run": "full"},
}
PEOPLE = {
    "version": 1,
    "pipeline": "people",
    "vendor": "fake",
    "action": "export",
    "connection": "fake-acme",
    "request": {"version": "@latest"},
}


class OneBucket(MemoryStore):
    """The world keeps bytes and ledger apart; the command line finds both in one bucket."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.created: list[str] = []
        self._world = world

    def create(self, key: str, body: str) -> str:
        self.created.append(key)
        return super().create(key, body)

    def get(self, key: str) -> Stored | None:
        landed = self._world.landing.objects.get(key)
        return super().get(key) or (Stored(landed.body.decode(), landed.version_id) if landed else None)


@dataclass
class WorldFlow:
    """Steps what it starts to its end, or to the step `until`; from there pauses take it on, if it `goes_on`.

    `rule` is whether the rule on stopped executions does its work.
    """

    world: World
    until: str | None = None
    rule: bool = True
    goes_on: bool = False
    sent: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, event: Mapping[str, Any], *, kind: str, name: str) -> str:
        assert kind == vendors.kind_of(event) or "rerun" in event
        assert len(name) <= 80
        self.sent.append(json.loads(json.dumps(event)))
        execution = self.world._execute(dict(event))
        self.world.run(execution, until=self.until)
        return execution.arn

    def stop(self, execution: str, *, cause: str) -> None:
        self.stopped.append(cause)
        self.world.abort(self.world.executions[execution])
        if self.rule:
            self.world.rule(self.world.executions[execution])

    def pause(self, seconds: float) -> None:
        """Let time pass, and every execution do its next step."""
        self.world.now += timedelta(seconds=seconds)
        if self.goes_on:
            for execution in self.world.executions.values():
                if execution.status == "RUNNING":
                    self.world.vendor.finish()
                    self.world.step(execution)

    def describe(self, execution: str) -> ExecutionState | None:
        return self.world.describe(execution)


class FakeVault:
    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}

    def read(self, name: str) -> Mapping[str, Any] | None:
        return self.secrets.get(name)

    def write(self, name: str, value: Mapping[str, Any], *, about: str) -> bool:
        del about
        new = name not in self.secrets
        self.secrets[name] = dict(value)
        return new

    def delete(self, name: str) -> None:
        del self.secrets[name]


@dataclass
class Haul:
    """`haul("runs", "people")` calls the command line; the rest is what it works on."""

    world: LoadWorld
    flow: WorldFlow
    vault: FakeVault
    deployment: Deployment
    store: OneBucket

    def __call__(
        self, *arguments: str, stdin: str | None = None, env: str | None = "test", variable: str | None = None
    ) -> Result:
        invocation = Invocation(find=self._find)
        chosen = ["--env", env] if env else []
        environment = {"HAUL_ENV": variable, "AWS_ENDPOINT_URL": None}
        return CliRunner(env=environment).invoke(app, [*chosen, *arguments], input=stdin, obj=invocation)

    def _find(self, environment: str) -> Deployment:
        if environment != "test":
            raise CommandError(f"no Haul is deployed as {environment}")
        return self.deployment

    def deploy(self, event: Mapping[str, Any], **more: Any) -> None:
        record = PipelineRecord(pipeline=event["pipeline"], event=dict(event), deployed_at=NOON, **more)
        self.deployment.ledger().register(record)


@pytest.fixture
def visier() -> Iterator[VisierSimulator]:
    with VisierSimulator(job_seconds=0) as simulator:
        yield simulator


@pytest.fixture
def haul(visier: VisierSimulator) -> Iterator[Haul]:
    """A deployment with two pipelines: `people`, of a vendor in memory, and `visier-people`, of the simulator."""
    world = LoadWorld()
    world.store = store = OneBucket(world)
    flow = WorldFlow(world)
    vault = FakeVault()
    settings = Settings(environment="test", landing_bucket=BUCKET, notices_topic_arn="arn:aws:sns:::notices")
    deployment = Deployment(
        settings=settings,
        store=store,
        flow=flow,
        vault=vault,
        connect=_connect(world, visier.url),
        connect_load=lambda *_: world.loads,
        objects=world,
        landing=world.landing,
        who=lambda: "alex",
        clock=lambda: world.now,
        pause=flow.pause,
    )
    made = Haul(world, flow, vault, deployment, store)
    made.deploy(PEOPLE, runbook="https://wiki.example.com/people", owner="people@example.com")
    made.deploy(VISIER_PEOPLE)
    store.created.clear()
    with fake_vendor():
        yield made


def _connect(world: World, url: str) -> Any:
    secret = {"base_url": url, "vanity_name": "demo", "username": "demo", "password": "demo", "api_key": "demo"}
    known: dict[str, Mapping[str, Any]] = {
        "visier-acme": secret,
        "visier-wrong": {**secret, "password": "wrong"},
        "visier-short": {"base_url": url},
    }

    def connect(vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
        if vendor != "visier":
            return world.connect(vendor, connection, options)
        if connection not in known:
            raise UnknownConnectionError(f"connection: there is no secret haul/test/{connection}")
        return connectors.connect(vendor, FakeSecret(known[connection]), options)

    return connect
