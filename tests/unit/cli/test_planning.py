import dataclasses
import json
import re

from infra.local.vendors.visier import VisierSimulator
from tests.unit.cli.conftest import PEOPLE, VISIER_PEOPLE, Haul


def test_a_plan_resolves_symbols_and_neither_submits_nor_writes(haul: Haul, visier: VisierSimulator) -> None:
    result = haul("plan", "visier-people")

    assert result.exit_code == 0
    assert re.sub(r"created 20\d\d-\d\d-\d\d \d\d:\d\d UTC", "created THEN", result.stdout).splitlines() == [
        "visier-people  dv-export  connection visier-acme",
        "  dataVersionNumber      @latest          -> 7000004     created THEN",
        "  baseDataVersionNumber  @last-published  -> (left out)",
        "  export available already?  no  -> one submission (0 of 10 used today, 2 reserved for manual runs)",
        "  expected  unknown, nothing was published yet",
        "Nothing was submitted.",
    ]
    assert visier.calls("POST", "/jobs") == 0
    assert not haul.store.created


def test_an_export_that_is_there_would_be_adopted(haul: Haul, visier: VisierSimulator) -> None:
    connector = haul.deployment.connect("visier", "visier-acme", {})
    connector.schedule({"dataVersionNumber": "7000004"}, run_id="another")

    plan = json.loads(haul("--json", "plan", "visier-people").stdout)

    assert plan["available"] is True
    assert plan["submissions"] == 0
    assert str(visier.exports()[0]["uuid"])[:8] in plan["outlook"]


def test_a_plan_after_a_run_knows_what_was_published_and_that_nothing_is_new(haul: Haul) -> None:
    haul("run", "people")

    result = haul("plan", "people")

    assert result.exit_code == 3
    assert "7000001 is published already" in result.stdout
    assert "Nothing was submitted." in result.stdout


def test_a_newer_version_would_cost_a_submission_and_take_as_long_as_the_last(haul: Haul) -> None:
    haul("run", "people")
    haul.world.vendor.newest = "7000002"

    result = haul("plan", "people")

    assert result.exit_code == 0
    assert "one submission (1 of 10 used today" in result.stdout
    assert "(median of 1 run), about $0.0" in result.stdout


def test_a_live_run_would_be_joined(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")

    result = haul("plan", "people")

    (record,) = haul.world.records()
    assert f"joins run {record.run_id}" in result.stdout


def test_another_pipelines_job_would_be_shared(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    haul.deploy({**PEOPLE, "pipeline": "archive"})

    result = haul("plan", "archive")

    (record,) = haul.world.records()
    assert f"shares job j1 of people/{record.run_id}" in result.stdout


def test_a_cancelled_runs_job_would_be_adopted(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    haul("cancel", haul.world.records()[0].run_id)

    assert "adopts job j1" in haul("plan", "people").stdout


def test_a_day_whose_submissions_are_used_up_is_refused(haul: Haul) -> None:
    ledger = haul.deployment.ledger()
    for number in range(8):
        ledger.count_submission("visier", "demo", f"s{number}", limit=10, reserve=2, now=haul.world.now)

    result = haul("plan", "visier-people")

    assert result.exit_code == 5
    assert "refused: 8 of 10 used today" in result.stdout


def test_a_version_that_does_not_exist_is_said_with_those_that_do(haul: Haul) -> None:
    event = {**VISIER_PEOPLE, "request": {"dataVersionNumber": "6999999"}}
    haul.deploy(event)

    result = haul("plan", "visier-people")

    assert result.exit_code == 1
    assert "6999999" in result.stderr
    assert "7000004" in result.stderr


def test_an_unknown_pipeline_names_the_nearest(haul: Haul) -> None:
    result = haul("plan", "visier-peple")

    assert result.exit_code == 2
    assert "Did you mean visier-people?" in result.stderr


def test_a_plan_of_a_daily_export_does_not_promise_yesterdays_job(haul: Haul) -> None:
    """Where the request does not fix the content, the next run submits once more."""
    can = haul.world.vendor.capabilities
    haul.world.vendor.capabilities = dataclasses.replace(can, content_fixed_by_request=False)
    haul.deploy({**PEOPLE, "request": {"version": "7000001"}})
    ran = haul("run", "people")
    haul.world.pass_hours(24)

    plan = json.loads(haul("--json", "plan", "people").stdout)

    assert ran.exit_code == 0
    assert len(haul.world.manifests()) == 1
    assert plan["submissions"] == 1
    assert plan["available"] is False
