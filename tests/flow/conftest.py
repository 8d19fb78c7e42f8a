"""The deployed stack, once for a session. A test isolates itself by its pipeline's name and its connection."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from infra.local import system
from infra.local.deploy import deploy, synthesize
from infra.local.localstack import LocalStack
from infra.local.stack import Stack
from infra.local.vendors.visier import VisierSimulator


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


@pytest.fixture
def visier() -> Iterator[VisierSimulator]:
    """A simulator of the test's own; what it knows beyond its defaults the test tells it."""
    with VisierSimulator() as simulator:
        yield simulator


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> str:
    """A pipeline's name that no other test has."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")
    return f"t-{words[:36].strip('-')}-{uuid4().hex[:6]}"


@pytest.fixture
def connection(stack: Stack, visier: VisierSimulator, pipeline: str) -> str:
    """A connection of the test's own, to its simulator, with credentials that are right.

    Without the vanity name, which all simulators have in common, the account in the ledger is the simulator's address:
    no test finds the jobs of another.
    """
    name = pipeline.replace("t-", "c-", 1)
    secret = system.visier_secret(visier.url)
    del secret["vanity_name"]
    stack.connect(name, **secret)
    return name
