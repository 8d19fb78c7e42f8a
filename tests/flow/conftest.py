"""The deployed stack, once for a session. A test isolates itself by its pipeline's name and its connection."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from infra.local import system
from infra.local.deploy import deploy, synthesize
from infra.local.localstack import LocalStack
from infra.local.stack import Stack
from infra.local.vendors.visier import VisierSimulator
from infra.local.vendors.visier.demo import VisierDemo
from tests.flow.customer import API_KEY, PASSWORD, Customer, NewCustomer


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Assembly"]:
    """The app's assembly, in the making while LocalStack starts."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield Assembly(pool, tmp_path_factory.mktemp("assembly") / "cdk.out")


class Assembly:
    def __init__(self, pool: ThreadPoolExecutor, out: Path) -> None:
        self._making = pool.submit(synthesize, out, environment=system.ENVIRONMENT)

    @property
    def folder(self) -> Path:
        return self._making.result()


@pytest.fixture(scope="session")
def stack(assembly: Assembly, localstack: LocalStack) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in localstack.environment.items():
            patched.setenv(name, value)
        session = boto3.Session()
        deploy(assembly.folder, system.STACK, session)
        with Stack(session, environment=system.ENVIRONMENT) as deployed:
            deployed.listen()
            yield deployed


@pytest.fixture(autouse=True)
def environment(localstack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test here calls, `haul` included, finds LocalStack and nothing else."""
    for name, value in {**localstack.environment, "HAUL_ENV": system.ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)


def unique(name: str) -> str:
    """A pipeline's name that no other test has."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("test_")).strip("-")
    return f"t-{words[:36].strip('-')}-{uuid4().hex[:6]}"


def new_simulator(pipeline: str, **knobs: Any) -> VisierSimulator:
    """A simulator with an account of its own, so that in the ledger no test finds the jobs of another."""
    own: dict[str, Any] = {"vanity_name": pipeline, "password": PASSWORD, "api_key": API_KEY}
    return VisierSimulator(**{"job_seconds": 0.5, "split_rows": 50_000, **own, **knobs})


def connect(stack: Stack, visier: VisierSimulator, pipeline: str) -> str:
    name = pipeline.replace("t-", "c-", 1)
    secret = {**VisierDemo.secret(visier.url), "vanity_name": pipeline, "password": PASSWORD, "api_key": API_KEY}
    stack.connect(name, **secret)
    return name


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> str:
    """A pipeline's name that no other test has."""
    return unique(request.node.name)


@pytest.fixture
def visier(pipeline: str) -> Iterator[VisierSimulator]:
    """A simulator of the test's own; what it knows beyond its defaults the test tells it."""
    with new_simulator(pipeline) as simulator:
        yield simulator


@pytest.fixture
def connection(stack: Stack, visier: VisierSimulator, pipeline: str) -> str:
    """A connection of the test's own, to its simulator, with credentials that are right."""
    return connect(stack, visier, pipeline)


@pytest.fixture
def customer(stack: Stack, visier: VisierSimulator, pipeline: str, connection: str) -> Customer:
    """A customer of the test's own."""
    return Customer(stack, visier, pipeline, connection)


@pytest.fixture(scope="module")
def new_customer(stack: Stack) -> Iterator[NewCustomer]:
    """Makes customers that several tests look at, or whose runs go on beside each other."""
    with ExitStack() as simulators:

        def made(name: str, **knobs: Any) -> Customer:
            pipeline = unique(name)
            visier = simulators.enter_context(new_simulator(pipeline, **knobs))
            return Customer(stack, visier, pipeline, connect(stack, visier, pipeline))

        yield made
