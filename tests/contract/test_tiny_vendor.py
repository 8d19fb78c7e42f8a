"""The vendor of docs/add-a-vendor.md is asked what every vendor is asked: whoever follows that page has a connector."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from tests.contract import test_conformance, test_every_connector
from tests.contract.adapters import Adapter
from tests.fakes.tiny_vendor import registered


class Pebble(Adapter):
    vendor = "pebble"
    credentials: ClassVar = {"key": "first-K7!key"}
    request: ClassVar = {"table": "orders"}
    submission = "/exports$"
    poll = "/exports/"
    login = "/token$"
    unknown_status: ClassVar = {"id": "p-1", "state": "paused"}

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error": text}


@pytest.fixture
def vendor() -> Iterator[Adapter]:
    with registered():
        adapter = Pebble()
        yield adapter
        adapter.simulator.stop()


connector, job = test_every_connector.connector, test_every_connector.job

globals().update(
    {
        name: test
        for module in (test_every_connector, test_conformance)
        for name, test in vars(module).items()
        if name.startswith("test_") and {"vendor", "connector"} & inspect.signature(test).parameters.keys()
    }
)
