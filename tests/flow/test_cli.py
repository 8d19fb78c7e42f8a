"""The command line against the deployed stack, as an operator uses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from haul.cli.app import app
from infra.local.stack import Stack
from infra.local.vendors.visier import VisierSimulator
from infra.local.vendors.visier.demo import VisierDemo
from tests.flow.customer import API_KEY, PASSWORD


def haul(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments], input=stdin, catch_exceptions=False)


def document(*arguments: str) -> Any:
    return json.loads(haul("--json", *arguments).stdout)


@pytest.fixture
def event(tmp_path: Path, pipeline: str, connection: str) -> str:
    """A file with the event of a pipeline of this test's own."""
    path = tmp_path / "event.json"
    whole = {
        "version": 1,
        "pipeline": pipeline,
        "vendor": "visier",
        "action": "dv-export",
        "connection": connection,
        "request": {"dataVersionNumber": "@latest"},
        "limits": {"deadline": "PT5M", "poll_floor_seconds": 1},
    }
    path.write_text(json.dumps(whole))
    return str(path)


def test_a_run_is_planned_started_watched_and_shown(
    stack: Stack, visier: VisierSimulator, pipeline: str, event: str
) -> None:
    visier.configure(job_seconds=1)

    planned = haul("plan", event)
    ran = haul("run", event, "--set", "request.dataVersionNumber=7000002", "--reason", "to see it", "--watch")
    again = haul("plan", event)

    assert planned.exit_code == 0
    assert "one submission (0 of 10 used today" in planned.stdout
    assert ran.exit_code == 0, ran.output
    assert "✓ publish" in ran.stdout
    (listed,) = document("runs", pipeline)
    shown = document("show", f"{pipeline}/{listed['run_id']}")
    assert shown["outcome"] == "SUCCEEDED"
    assert shown["watermark"]["to"] == "7000002"
    assert shown["trigger"]["reason"] == "to see it"
    assert shown["files"]["landed"] == len(stack.landed(pipeline, listed["run_id"]))
    assert "1 of 10 used today" in again.stdout


def test_a_cancelled_run_is_settled_and_its_rerun_adopts_the_job(
    stack: Stack, visier: VisierSimulator, pipeline: str, event: str
) -> None:
    visier.freeze()
    run_id = document("run", event)["run_id"]
    stack.until(lambda: visier.calls("GET", "/jobs/"), bool)

    cancelled = haul("cancel", run_id, "--reason", "only a test")
    stack.until(lambda: document("show", run_id)["outcome"], lambda outcome: outcome is not None)
    visier.freeze(frozen=False)
    rerun = haul("rerun", run_id, "--watch")

    assert cancelled.exit_code == 0
    assert rerun.exit_code == 0, rerun.output
    shown = document("show", run_id)
    assert (shown["attempt"], shown["outcome"], shown["job"]["adopted"]) == (2, "SUCCEEDED", True)
    assert visier.calls("POST", "/jobs") == 1
    outcomes = [notice.attributes["outcome"] for notice in stack.notices(pipeline, at_least=2)]
    assert outcomes == ["CANCELLED", "SUCCEEDED"]


def test_a_connection_is_made_looked_at_and_called(stack: Stack, visier: VisierSimulator, pipeline: str) -> None:
    name = pipeline.replace("t-", "c-", 1)
    own = {"vanity_name": pipeline, "password": PASSWORD, "api_key": API_KEY}
    secret = {**VisierDemo.secret(visier.url), **own}

    made = haul("secret", "set", name, "--vendor", "visier", stdin=json.dumps(secret))
    looked = haul("doctor", name, "--vendor", "visier")
    versions = document("call", "visier", "list-data-versions", "--connection", name)
    haul("secret", "set", name, "--vendor", "visier", stdin='{"password": "wrong"}')
    refused = haul("doctor", name, "--vendor", "visier")

    assert made.stdout.startswith(f"created haul/{stack.environment}/{name}")
    assert looked.exit_code == 0, looked.output
    assert len(versions["dataVersions"]) == 4
    assert refused.exit_code == 1
    assert "CredentialsRefusedError" in refused.stdout
    assert not stack.keys("ledger/_doctor/")


def test_a_name_that_nothing_is_deployed_under_is_said_so(stack: Stack) -> None:
    result = haul("runs", "--env", "elsewhere")

    assert stack.environment != "elsewhere"
    assert result.exit_code == 1
    assert "no Haul is deployed as elsewhere in region us-east-1" in result.stderr


def test_an_endpoint_that_does_not_answer_is_no_traceback(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    from haul import wiring

    wiring.client.cache_clear()
    result = haul("runs")
    wiring.client.cache_clear()

    assert stack.environment
    assert result.exit_code == 1
    assert "AWS cannot be reached" in result.stderr
