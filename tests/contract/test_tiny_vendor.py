"""The vendor of docs/add-a-vendor.md is asked what every vendor is asked: whoever follows that page has a connector."""

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from haul import connectors
from haul.ports import Connector
from infra.local.vendors.simulator import VendorSimulator
from tests.contract import test_conformance
from tests.contract.adapters import Adapter
from tests.fakes.secret import FakeSecret
from tests.fakes.tiny_vendor import NAME, registered


class Pebble:
    secret: FakeSecret
    request: Mapping[str, Any] = {"table": "orders"}
    submission = "/exports$"
    poll = "/exports/"
    login = "/token$"
    unknown_status: Mapping[str, Any] = {"id": "p-1", "state": "paused"}

    def __init__(self) -> None:
        made = importlib.import_module(f"infra.local.vendors.{NAME}").SIMULATOR
        self.simulator: VendorSimulator[Any] = made(job_seconds=0, key="first-K7!key")
        self.simulator.start()
        self.secret = FakeSecret({"base_url": self.simulator.url, "key": "first-K7!key"})

    def connect(self) -> Connector:
        return connectors.connect(NAME, self.secret, {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(key="changed-K7!key")
        self.expire_tokens()
        return {"key": "changed-K7!key"}

    def expire_tokens(self) -> None:
        self.simulator._events()["expire-tokens"]()

    def jobs(self) -> int:
        return self.simulator.calls("POST", "/exports")

    def confidential(self) -> Sequence[str]:
        return ["first-K7!key", *vars(self.simulator)["_tokens"]]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error": text}


@pytest.fixture
def vendor() -> Iterator[Adapter]:
    with registered():
        adapter = Pebble()
        yield adapter
        adapter.simulator.stop()


connector, job = test_conformance.connector, test_conformance.job

globals().update(
    {
        name: test
        for name, test in vars(test_conformance).items()
        if name.startswith("test_") and {"vendor", "connector"} & inspect.signature(test).parameters.keys()
    }
)
