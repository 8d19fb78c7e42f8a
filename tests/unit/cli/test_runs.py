import json

import pytest

from haul.models.work import JobStatus
from tests.unit.cli.conftest import PEOPLE, Haul


def failed_run(haul: Haul, status: JobStatus = JobStatus.FAILED) -> str:
    """A run whose job failed."""
    haul.flow.until = "check"
    haul("run", "people")
    haul.world.vendor.finish(status)
    execution = list(haul.world.executions.values())[-1]
    haul.world.run(execution, finish=False)
    return haul.world.records()[-1].run_id


def test_runs_are_listed_newest_first_over_all_pipelines(haul: Haul) -> None:
    haul("run", "people")
    haul.world.pass_hours(1)
    haul.deploy({**PEOPLE, "pipeline": "archive"})
    haul("run", "archive")

    result = haul("runs")

    header, first, second = result.stdout.splitlines()
    assert header.split() == ["RUN", "PIPELINE", "STARTED", "OUTCOME", "TOOK"]
    assert first.split()[1:5] == ["archive", "today", "13:00", "SUCCEEDED"]
    assert second.split()[1] == "people"


def test_runs_of_one_pipeline_are_limited(haul: Haul) -> None:
    for _ in range(3):
        haul("run", "people")
        haul.world.pass_hours(1)

    listed = json.loads(haul("--json", "runs", "people", "--limit", "2").stdout)

    assert [run["outcome"] for run in listed] == ["NOTHING_NEW", "NOTHING_NEW"]


def test_runs_of_an_unknown_pipeline_are_a_usage_error(haul: Haul) -> None:
    assert haul("runs", "peple").exit_code == 2


def test_show_takes_the_beginning_of_a_run_id_and_a_pipeline_with_it(haul: Haul) -> None:
    haul("run", "people")
    run_id = haul.world.records()[0].run_id

    by_prefix, by_pipeline = haul("show", run_id[:11]), haul("show", f"people/{run_id}")

    assert by_prefix.exit_code == by_pipeline.exit_code == 0
    assert by_prefix.stdout == by_pipeline.stdout


@pytest.mark.parametrize("named", ["20251122", "people/20251122", "people", "20261122T12!"])
def test_a_run_that_does_not_exist_is_a_usage_error(haul: Haul, named: str) -> None:
    haul("run", "people")

    result = haul("show", named)

    assert result.exit_code == 2
    assert result.stderr.startswith("haul: ")


def test_an_ambiguous_beginning_lists_the_runs_it_may_be(haul: Haul) -> None:
    haul("run", "people")
    haul("run", "people")

    result = haul("show", "20261122")

    assert result.exit_code == 2
    assert all(record.run_id in result.stderr for record in haul.world.records())


def test_a_published_run_shows_what_landed_and_where(haul: Haul) -> None:
    haul("run", "people", "--reason", "baseline")
    run_id = haul.world.records()[0].run_id

    shown = haul("show", run_id).stdout

    assert "people  SUCCEEDED" in shown
    assert '(manual by alex: "baseline")' in shown
    assert "1 dataset, 2 files" in shown
    assert f"manifest s3://landing/manifests/people/{run_id}.json" in shown
    assert "runbook https://wiki.example.com/people" in shown


def test_a_failed_run_says_why_what_readers_see_and_what_to_do(haul: Haul) -> None:
    haul("run", "people")
    haul.world.pass_hours(24)
    haul.world.vendor.newest = "7000002"
    run_id = failed_run(haul)

    shown = haul("show", run_id).stdout

    assert shown.startswith("people  FAILED  ExportFailedError  after ")
    assert "Fake failed job j2: it broke" in shown
    assert "Nothing was published; readers still see 7000001 (yesterday 12:" in shown
    assert f"Next: haul rerun {run_id} --env test     submits again" in shown
    assert "runbook docs/runbook.md#exportfailederror   https://wiki.example.com/people" in shown
    assert "https://eu-west-1.console.aws.amazon.com/states/" in shown


def test_a_cancelled_run_says_that_its_job_and_files_would_be_kept(haul: Haul) -> None:
    haul.flow.until = "publish"
    haul("run", "people")
    run_id = haul.world.records()[0].run_id
    haul("cancel", run_id)

    shown = haul("show", run_id).stdout

    assert "adopts job j1, 2 of 2 files already verified, no submission spent" in shown
    assert "the vendor keeps the result until 2026-12-06" in shown


def test_a_run_that_goes_on_says_how_to_watch_it(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    run_id = haul.world.records()[0].run_id

    assert f"Next: haul watch {run_id} --env test" in haul("show", run_id).stdout


def test_shown_as_json_a_run_has_everything_a_script_may_ask(haul: Haul) -> None:
    run_id = failed_run(haul)

    shown = json.loads(haul("show", run_id, "--json").stdout)

    assert shown["error"]["name"] == "ExportFailedError"
    assert shown["advice"].startswith(f"haul rerun {run_id}")
    assert shown["files"] == {"planned": None, "landed": 0}
    assert shown["request"] == {"version": "7000001"}
    assert shown["readers_see"] is None
