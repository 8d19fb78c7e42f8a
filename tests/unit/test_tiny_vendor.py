"""A new vendor is new files alone: a vendor that the project does not have goes through the flow as it is."""

import hashlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from haul import connectors
from haul.errors import InvalidEventError
from haul.models import schemas, vendors
from haul.models.base import parse
from haul.models.event import Event
from haul.models.export import Download, Export
from haul.models.landed import LandedFile
from haul.models.manifest import ExportManifest
from haul.ports import Connector
from haul.transfer.land import land_file
from infra.local.vendors import demo
from tests.fakes.secret import FakeSecret
from tests.fakes.tiny_vendor import FOLDER, NAME, registered
from tests.fakes.world import BUCKET, World

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-vendor.md"
CONNECTION = "pebble-acme"


class RealWorld(World):
    """The flow's decisions with a real connector and real downloads; AWS is still in memory."""

    def __init__(self, secret: Mapping[str, str]) -> None:
        super().__init__()
        self.now = datetime.now(UTC)
        self._connector = connectors.connect(NAME, FakeSecret(secret), {})

    def connect(self, vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
        del options
        assert (vendor, connection) == (NAME, CONNECTION)
        return self._connector

    def connector(self, of: Export | Download) -> Connector:
        del of
        return self._connector

    def _land_file(self, *given: Any, **named: Any) -> LandedFile:
        return land_file(*given, **named)


@pytest.fixture
def pebble() -> Iterator[Any]:
    with registered(), importlib.import_module(f"infra.local.vendors.{NAME}").SIMULATOR(job_seconds=0) as simulator:
        yield simulator


@pytest.fixture
def world(pebble: Any) -> RealWorld:
    return RealWorld({"base_url": pebble.url, "key": "demo"})


def an_event(**fields: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "pipeline": "pebble-orders",
        "vendor": NAME,
        "action": "export",
        "connection": CONNECTION,
        "request": {"table": "orders"},
        **fields,
    }


def test_an_export_lands_what_was_served_and_is_published_and_told(world: RealWorld, pebble: Any) -> None:
    execution = world.run(world._execute(an_event()))

    (record,) = world.records("pebble-orders")
    manifest = world.ledger().manifest("pebble-orders", record.run_id)
    assert (execution.status, execution.error) == ("SUCCEEDED", None)
    assert isinstance(manifest, ExportManifest)
    [file] = manifest.datasets[0].files
    landed = world.landing.objects[file.uri.removeprefix(f"s3://{BUCKET}/")]
    assert hashlib.sha256(landed.body).hexdigest() == pebble.truth(str(manifest.job.id))
    assert (file.rows, file.verified) == (1000, ["length", "rows"])
    assert pebble.calls("POST", "/exports") == 1
    assert world.notices[0].body.startswith("pebble-orders published Pebble's export in full.")


def test_a_second_run_exports_what_came_since_the_first(world: RealWorld, pebble: Any) -> None:
    event = an_event(request={"table": "orders", "since": "@last-success.started-at"})

    for _ in range(2):
        world.run(world._execute(event))
        world.pass_hours(1)

    first, second = pebble.jobs()
    assert "since" not in first
    assert second["since"] == world.records("pebble-orders")[0].started_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_failed_export_fails_the_run_by_the_vendors_reason(world: RealWorld, pebble: Any) -> None:
    pebble.configure(job_ends="failed")

    execution = world.run(world._execute(an_event()))

    assert (execution.status, execution.error) == ("FAILED", "ExportFailedError")
    assert world.manifests() == []


def test_a_lost_reply_submits_nothing_twice(world: RealWorld, pebble: Any) -> None:
    pebble.configure(job_seconds=60)
    pebble.fault("POST", "/exports$", drop_reply=True)
    execution = world._execute(an_event())

    world.run(execution, until="check")
    pebble.advance(120)
    world.run(execution)

    assert execution.status == "SUCCEEDED"
    assert len(pebble.jobs()) == 1


@pytest.mark.usefixtures("pebble")
def test_everything_that_finds_vendors_finds_this_one() -> None:
    published = schemas.published()

    assert NAME in vendors.names()
    assert NAME in connectors.names()
    assert NAME in demo.names()
    assert vendors.title(NAME) == "Pebble"
    assert {f"{NAME}.export.request.v1.json", f"{NAME}.export.options.v1.json"} <= published.keys()
    assert "Pebble export request" in json.dumps(published["event.v1.json"])
    with pytest.raises(InvalidEventError, match=r"request\.tabel: unknown field; did you mean table\?"):
        vendors.checked(parse(Event, an_event(request={"tabel": "orders"})))


def test_the_demo_of_a_vendor_is_found_beside_its_simulator(pebble: Any) -> None:
    shown = demo.demo_of(NAME)

    assert shown.secret(pebble.url) == {"base_url": pebble.url, "key": "demo"}
    assert shown().change()


def test_afterwards_nothing_is_left_of_it() -> None:
    with registered():
        importlib.import_module(f"haul.connectors.{NAME}")

    assert NAME not in [*vendors.names(), *connectors.names(), *demo.names()]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"haul.connectors.{NAME}")


def test_the_page_shows_this_vendors_own_files() -> None:
    """Each block says from which file it is; its lines stand there one after the other."""
    blocks = re.findall(r"^<!-- (\S+) -->\n```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    fences = re.findall(r"^```python$", PAGE.read_text(), re.MULTILINE)

    assert len(blocks) == len(fences)
    assert [name for name, text in blocks if text.strip("\n") not in (ROOT / name).read_text()] == []
    files = {str(path.relative_to(ROOT)) for path in FOLDER.rglob("*.py") if path.parent != FOLDER}
    assert files <= {name for name, _ in blocks}
