import json
from pathlib import Path

import pytest

from haul.models.event import Outcome
from haul.models.ledger import RunState
from tests.unit.cli.conftest import PEOPLE, VISIER_PEOPLE, Haul

ROOT = Path(__file__).parents[3]


def test_run_starts_the_deployed_pipeline_and_says_its_run_id(haul: Haul) -> None:
    result = haul("run", "people", "--reason", "a reader asked")

    (record,) = haul.world.records()
    assert result.exit_code == 0
    assert record.run_id in result.stdout
    assert haul.flow.sent == [{**PEOPLE, "trigger": {"type": "manual", "by": "alex", "reason": "a reader asked"}}]


def test_watched_to_its_end_a_run_says_what_it_did(haul: Haul) -> None:
    haul.flow.until, haul.flow.goes_on = "schedule", True

    result = haul("run", "people", "--watch")

    assert result.exit_code == 0
    assert [word for word in ("submitted", "vendor ready", "download", "publish") if f"✓ {word}" in result.stdout] == [
        "submitted",
        "vendor ready",
        "download",
        "publish",
    ]
    assert "job j1" in result.stdout
    assert result.stdout.splitlines()[-2].startswith("SUCCEEDED  after ")
    assert result.stdout.splitlines()[-1].startswith("  manifest s3://landing/manifests/people/")


def test_in_json_a_watched_run_is_one_document_and_its_progress_is_elsewhere(haul: Haul) -> None:
    result = haul("--json", "run", "people", "--watch")

    document = json.loads(result.stdout)
    assert document["outcome"] == "SUCCEEDED"
    assert document["manifest"].startswith("s3://landing/manifests/people/")
    assert "✓ publish" in result.stderr


def test_a_field_is_set_and_checked_before_anything_is_started(haul: Haul) -> None:
    right = haul("run", "people", "--set", "request.version=7000009", "--set", "limits.poll_floor_seconds=7")
    wrong = haul("run", "people", "--set", "request.verson=7000009")

    assert right.exit_code == 0
    assert haul.flow.sent[0]["request"] == {"version": "7000009"}
    assert haul.flow.sent[0]["limits"] == {"poll_floor_seconds": 7}
    assert wrong.exit_code == 2
    assert "request.verson" in wrong.stderr
    assert len(haul.flow.sent) == 1


@pytest.mark.parametrize("assignment", ["request.version", "=1", "request..version=1", "request={oops"])
def test_what_is_no_assignment_is_a_usage_error(haul: Haul, assignment: str) -> None:
    result = haul("run", "people", "--set", assignment)

    assert result.exit_code == 2
    assert not haul.flow.sent


def test_an_event_file_is_started_as_it_is(haul: Haul, tmp_path: Path) -> None:
    event = {**PEOPLE, "pipeline": "one-off", "id": "only-once", "trigger": {"type": "manual", "reason": "baseline"}}
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))

    first, again = haul("run", str(path)), haul("run", str(path))

    (record,) = haul.world.records("one-off")
    assert haul.flow.sent[0] == {**event, "trigger": {"type": "manual", "by": "alex", "reason": "baseline"}}
    assert record.run_id in first.stdout
    assert f"that run's already, which is {Outcome.SUCCEEDED}" in again.stdout


def test_a_scheduled_event_file_is_refused_with_a_hint(haul: Haul, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({**VISIER_PEOPLE, "id": "visier-people@<aws.scheduler.scheduled-time>"}))

    result = haul("run", str(path))

    assert result.exit_code == 2
    assert "haul run visier-people" in result.stderr
    assert not haul.flow.sent


def test_a_symbol_that_stands_for_nothing_is_refused_before_anything_is_started(haul: Haul) -> None:
    haul.deploy({**PEOPLE, "request": {"version": "@upstream.data_version"}})

    result = haul("run", "people")

    assert result.exit_code == 2
    assert "@upstream.data_version stands for nothing" in result.stderr
    assert not haul.flow.sent


@pytest.mark.parametrize(("first_run", "started"), [("full", 1), ("fail", 0)])
def test_before_the_first_success_what_was_since_is_left_out_only_if_that_was_asked_for(
    haul: Haul, tmp_path: Path, first_run: str, started: int
) -> None:
    event = json.loads((ROOT / "events" / "adobe_segment_export.json").read_text())
    del event["id"], event["trigger"]
    path = tmp_path / "event.json"
    path.write_text(json.dumps({**event, "options": {"first_run": first_run}}))

    result = haul("run", str(path))

    assert len(haul.flow.sent) == started
    assert ("this pipeline has not published yet" in result.stderr) == (not started)


def test_a_pipeline_that_is_not_deployed_runs_from_its_file(
    haul: Haul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "infra" / "pipelines"
    folder.mkdir(parents=True)
    lines = ["pipeline: archive", "vendor: fake", "action: export", "connection: fake-acme"]
    (folder / "archive.yaml").write_text("\n".join([*lines, "request: {version: '@latest'}\n"]))
    monkeypatch.chdir(tmp_path)

    result = haul("run", "archive")

    assert result.exit_code == 0
    assert haul.world.outcomes("archive") == [Outcome.SUCCEEDED]


@pytest.mark.parametrize(("again", "status"), [("nothing new", 3), ("quota", 5), ("connection", 1)])
def test_the_exit_status_says_how_a_watched_run_ended(haul: Haul, again: str, status: int) -> None:
    haul("run", "people")
    if again != "nothing new":
        haul.world.vendor.newest = "7000002"
    if again == "quota":
        for number in range(7):
            ledger = haul.deployment.ledger()
            ledger.count_submission("fake", "acme", f"s{number}", limit=10, reserve=2, now=haul.world.now)
    more = ["--set", "connection=other"] if again == "connection" else []

    result = haul("run", "people", "--watch", *more)

    assert result.exit_code == status


def test_an_execution_that_claims_no_run_is_told_as_failed(haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(event: object, *, kind: str, name: str) -> str:
        del event, kind, name
        execution = haul.world.start()
        execution.status, execution.error, execution.cause = "FAILED", "Runtime.ExitError", "out of memory"
        return execution.arn

    monkeypatch.setattr(haul.flow, "start", fails)

    result = haul("run", "people")
    watched = haul("run", "people", "--watch")

    assert (result.exit_code, watched.exit_code) == (1, 1)
    assert "Runtime.ExitError out of memory" in result.stdout
    assert "Runtime.ExitError out of memory" in watched.stdout


def test_cancel_stops_the_execution_and_waits_until_the_run_is_cancelled(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    (record,) = haul.world.records()

    result = haul("cancel", record.run_id, "--reason", "wrong version")

    assert result.exit_code == 0
    assert haul.flow.stopped == ["cancelled by alex: wrong version"]
    assert "is CANCELLED; nothing was published" in result.stdout
    assert f"haul rerun {record.run_id} --env test" in result.stdout
    assert haul.world.outcomes() == [Outcome.CANCELLED]


def test_a_cancel_that_is_not_settled_leaves_it_to_the_sweep(haul: Haul) -> None:
    haul.flow.until, haul.flow.rule = "check", False
    haul("run", "people")
    (record,) = haul.world.records()

    result = haul("cancel", record.run_id)

    assert result.exit_code == 0
    assert "Sweep" in result.stdout
    assert haul.world.records()[0].state is RunState.RUNNING


def test_a_run_that_ended_cannot_be_cancelled(haul: Haul) -> None:
    haul("run", "people")

    result = haul("cancel", haul.world.records()[0].run_id)

    assert result.exit_code == 1
    assert "ended SUCCEEDED already" in result.stderr
    assert not haul.flow.stopped


def test_a_rerun_is_the_next_attempt_and_adopts_the_job(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    (record,) = haul.world.records()
    haul("cancel", record.run_id)
    haul.flow.until = None

    result = haul("rerun", record.run_id, "--watch")

    (rerun,) = haul.world.records()
    assert result.exit_code == 0
    assert "attempt 2" in result.stdout
    assert (rerun.attempt, rerun.outcome) == (2, Outcome.SUCCEEDED)
    assert haul.world.vendor.posts == 1
    assert haul.flow.sent[-1]["rerun"] == {"run_id": record.run_id, "resubmit": False, "link": False}


@pytest.mark.parametrize(("until", "said"), [("check", "still goes on"), (None, "ended SUCCEEDED")])
def test_what_cannot_be_rerun_is_refused_with_the_reason(haul: Haul, until: str | None, said: str) -> None:
    haul.flow.until = until
    haul("run", "people")

    result = haul("rerun", haul.world.records()[0].run_id)

    assert result.exit_code == 1
    assert said in result.stderr
    assert len(haul.flow.sent) == 1
