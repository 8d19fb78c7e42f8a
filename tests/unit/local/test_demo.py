"""The demo is content only with the very bytes that were served, whatever the vendor."""

import hashlib
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from haul import connectors
from haul.models import pipeline_files, vendors
from infra.local import demo
from infra.local.localstack import ROOT
from infra.local.vendors.demo import Served, VendorDemo, demo_of, names
from tests.fakes.secret import FakeSecret

BODY = b"EmployeeID,_DiffAction_\n1,+\n"
NAME = "Employee_part0.csv.gz"
_HELD = {"_versions", "_ingested"}
PIPELINES = ROOT / "infra" / "pipelines"


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(BODY)
    return path


def served(body: bytes, rows: int = 1) -> Served:
    return Served(NAME, hashlib.sha256(body).hexdigest(), rows)


def test_the_bytes_and_rows_that_were_served_do_not_differ(landed: Path) -> None:
    assert demo._difference(landed, 1, served(BODY)) is None


@pytest.mark.parametrize(
    ("rows", "truth", "said"),
    [
        (1, served(BODY[:-2] + b"-\n"), "other bytes"),
        (2, served(BODY), "2 rows in the manifest, 1 served"),
        (1, None, "never served"),
    ],
)
def test_any_other_is_named(landed: Path, rows: int, truth: Served | None, said: str) -> None:
    assert said in (demo._difference(landed, rows, truth) or "")


def test_a_file_is_sought_in_its_dataset_where_names_repeat() -> None:
    manifest = [("segment=a", "part-0"), ("segment=b", "part-0"), ("Employee", NAME)]

    assert demo._landed_as(Served("part-0", "", 1, "segment=b"), manifest) == ("segment=b", "part-0")
    assert demo._landed_as(Served(NAME, "", 1), manifest) == ("Employee", NAME)
    assert demo._landed_as(Served("part-1", "", 1), manifest) not in manifest


def test_rounds_of_the_loop_are_counted_as_one_state_each() -> None:
    states = ["Schedule export", "Wait", "Check export", "Ready?", "Wait", "Check export", "Ready?", "Plan download"]

    once = "(Wait, Check export, Ready?)"
    assert list(demo._with_the_loop_as_one(states)) == ["Schedule export", once, once, "Plan download"]


def test_every_vendor_can_be_shown() -> None:
    assert names() == vendors.names() == connectors.names()


@pytest.mark.parametrize("vendor", names())
def test_a_demo_has_what_it_shows(vendor: str) -> None:
    """A pipeline of the vendor's with a schedule to fire, followers of it, a secret that its simulator accepts."""
    shown: VendorDemo = demo_of(vendor)()
    pipeline = pipeline_files.settled(PIPELINES / f"{shown.PIPELINE}.yaml", "local")
    followers = [pipeline_files.settled(PIPELINES / f"{name}.yaml", "local") for name in shown.FOLLOWERS]

    with shown.simulator as simulator:
        secret = FakeSecret(shown.secret(simulator.url))
        connector = connectors.connect(vendor, secret, {})
        kinds = ((read, read.kind) for read in connector.operations().values())
        reads = [read for read, kind in kinds if not kind.parameters.model_fields and not kind.changes]
        assert [read.run({}) for read in reads[:1]]

    assert pipeline.vendor == vendor
    assert pipeline.when.schedule
    assert [each.when.manifest and each.when.manifest.pipeline for each in followers] == [shown.PIPELINE] * len(
        followers
    )
    assert {field.name for field in vendors.secret_fields(vendor) if field.needed} <= secret.current().keys()
    assert {question.of for question in shown.QUESTIONS} <= {0, 1}


@pytest.mark.parametrize("vendor", names())
def test_between_its_exports_a_demo_changes_what_there_is_and_says_what(vendor: str) -> None:
    shown = demo_of(vendor)()
    before = _there_is(shown)

    said = shown.change()

    assert said
    assert _there_is(shown) != before


def _there_is(shown: VendorDemo) -> str:
    """Everything that a simulator holds, knobs included, but for its machinery."""
    simulator = shown.simulator
    held = {name: value for name, value in vars(simulator).items() if name in _HELD}
    return repr((simulator._knobs, held))


@pytest.mark.parametrize("form", demo._READERS)
def test_every_format_that_lands_can_be_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "landed"
    written = {
        "csv": "(HEADER)",
        "json": "(FORMAT json, ARRAY)",
        "ndjson": "(FORMAT json)",
        "parquet": "(FORMAT parquet)",
    }
    with duckdb.connect() as database:
        database.sql(f"COPY (SELECT '1' AS id UNION ALL SELECT '2') TO '{path}' {written[form]}")
        found = database.sql(demo._READERS[form], params={"files": [str(path)]}).fetchall()

    assert len(found) == 2


def test_an_unknown_vendor_is_refused_with_the_known_ones() -> None:
    """Before anything is started."""
    asked = subprocess.run(
        [sys.executable, "-m", "infra.local.demo", "vizier"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert asked.returncode == 2
    assert asked.stderr == (
        f'there is no demo of "vizier"; there are: {", ".join(names())}. Such as: make demo VENDOR=adobe\n'
    )
