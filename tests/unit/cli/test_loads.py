"""The command line on loads: the same commands, and no files."""

from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.work import JobStatus
from haul.ports import LoadReport
from tests.unit.cli.conftest import Haul

NIGHTLY = {
    "version": 1,
    "pipeline": "nightly",
    "vendor": "fake",
    "action": "load",
    "connection": "fake-acme",
    "request": {"what": "all of it"},
}
MIXED = LoadReport(
    JobStatus.SUCCEEDED,
    items=(
        LoadItem(tenant="a", outcome=Outcome.SUCCEEDED, data_version="7000013"),
        LoadItem(tenant="b", outcome=Outcome.FAILED, message="broke"),
    ),
    partial="1 of 2 tenants failed",
)


def test_a_load_is_planned_without_submitting_it(haul: Haul) -> None:
    haul.deploy(NIGHTLY)

    result = haul("plan", "nightly")

    assert result.exit_code == 0
    assert "nightly  load  connection fake-acme" in result.stdout
    assert "one job at the vendor" in result.stdout
    assert haul.world.loads.jobs == []


def test_a_plan_says_what_would_be_sent(haul: Haul) -> None:
    haul.world.inbox["inbox/a.csv"] = b"a,b\n"
    haul.deploy(NIGHTLY | {"action": "import", "source": {"object": {"bucket": "inbox", "key": "inbox/a.csv"}}})

    result = haul("plan", "nightly")

    assert "sends s3://inbox/inbox/a.csv" in result.stdout
    assert "4 bytes as the vendor gets it" in result.stdout
    assert haul.world.loads.jobs == []


def test_a_plan_with_nothing_to_send_says_so(haul: Haul) -> None:
    haul.world.inbox["inbox/a.csv"] = b""
    haul.deploy(NIGHTLY | {"action": "import", "source": {"object": {"bucket": "inbox", "key": "inbox/a.csv"}}})

    result = haul("plan", "nightly")

    assert result.exit_code == 3
    assert "inbox/a.csv is empty: there is nothing to send" in result.stdout


def test_a_partial_load_is_watched_to_its_end_and_shown(haul: Haul) -> None:
    haul.deploy(NIGHTLY)
    haul.world.loads.report = MIXED

    watched = haul("run", "nightly", "--watch")
    [record] = haul.world.records("nightly")
    shown = haul("show", record.run_id)

    assert watched.exit_code == 4
    assert "download" not in watched.stdout
    assert "vendor ready" in watched.stdout
    assert "1 of 2 tenants" in shown.stdout
    assert "manifest s3://landing/manifests/nightly/" in shown.stdout


def test_a_load_is_cancelled_and_rerun(haul: Haul) -> None:
    haul.deploy(NIGHTLY)
    haul.flow.until = "check"
    haul("run", "nightly")
    [record] = haul.world.records("nightly")

    cancelled = haul("cancel", record.run_id)
    haul.flow.until = None
    rerun = haul("rerun", record.run_id, "--watch")

    assert (cancelled.exit_code, rerun.exit_code) == (0, 0)
    assert haul.world.loads.cancelled == ["j1"]
    assert len(haul.world.loads.jobs) == 2
    assert haul.world.outcomes("nightly") == [Outcome.SUCCEEDED]
