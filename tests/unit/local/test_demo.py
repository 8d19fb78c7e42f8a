"""The demo is content only with the very bytes that were served."""

import hashlib
from pathlib import Path

import pytest

from infra.local import demo
from infra.local.vendors.visier import FileTruth

BODY = b"EmployeeID,_DiffAction_\n1,+\n"


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    path = tmp_path / "Employee_part0.csv.gz"
    path.write_bytes(BODY)
    return path


def truth_of(body: bytes, rows: int = 1) -> FileTruth:
    digest = hashlib.sha256(body).hexdigest()
    return FileTruth("Employee_part0.csv.gz", 1, "Employee", "common", len(body), digest, rows, {"+": rows})


def test_the_bytes_and_rows_that_were_served_do_not_differ(landed: Path) -> None:
    assert demo._difference(landed, 1, truth_of(BODY)) is None


@pytest.mark.parametrize(
    ("rows", "truth", "said"),
    [
        (1, truth_of(BODY[:-2] + b"-\n"), "other bytes"),
        (2, truth_of(BODY), "2 rows in the manifest, 1 served"),
        (1, None, "never served"),
    ],
)
def test_any_other_is_named(landed: Path, rows: int, truth: FileTruth | None, said: str) -> None:
    assert said in (demo._difference(landed, rows, truth) or "")


def test_rounds_of_the_loop_are_counted_as_one_state_each() -> None:
    states = ["Schedule export", "Wait", "Check export", "Ready?", "Wait", "Check export", "Ready?", "Plan download"]

    once = "(Wait, Check export, Ready?)"
    assert list(demo._with_the_loop_as_one(states)) == ["Schedule export", once, once, "Plan download"]
