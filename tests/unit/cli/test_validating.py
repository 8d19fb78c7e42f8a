import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import VISIER_PEOPLE, Haul

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this project's events, pipelines and environments, to work in."""
    for folder in ("events", "infra/pipelines", "infra/environments"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def an_event(project: Path, **changes: Any) -> str:
    path = project / "events" / "changed.json"
    path.write_text(json.dumps({**VISIER_PEOPLE, **changes}))
    return str(path)


def a_pipeline(project: Path, **changes: Any) -> str:
    path = project / "infra" / "pipelines" / "visier-people.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    return str(path)


def test_everything_of_the_project_is_right(haul: Haul, project: Path) -> None:
    result = haul("validate", env=None)

    assert result.exit_code == 0
    assert result.stdout.count("✓") == len([*project.glob("events/*"), *project.glob("infra/pipelines/*.yaml")])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vendor": "visir"}, "vendor"),
        ({"action": "dv-exports"}, "action"),
        ({"request": {"dataVersionNumer": "@latest"}}, "dataVersionNumber"),
        ({"request": {"dataVersionNumber": "@newest"}}, "request.dataVersionNumber"),
        ({"limits": {"deadline": 6}}, "limits.deadline"),
        ({"request": {"dataVersionNumber": "@upstream.data_version"}}, "source.manifest"),
        ({"id": "x@<aws.scheduler.scheduled-tme>"}, "<aws.scheduler.scheduled-tme>"),
    ],
)
def test_a_wrong_field_of_an_event_is_named_with_its_file(
    haul: Haul, project: Path, changes: dict[str, Any], said: str
) -> None:
    path = an_event(project, **changes)

    result = haul("validate", path)

    assert result.exit_code == 1
    assert result.stdout.startswith(f"✗ {path}: ")
    assert said in result.stdout


def test_a_wrong_field_in_one_environment_names_that_environment(haul: Haul, project: Path) -> None:
    path = a_pipeline(project, environments={"dev": {"limits": {"deadline": "P8D"}}})

    result = haul("--json", "validate", path)

    assert result.exit_code == 1
    assert "environments.dev.limits.deadline" in json.loads(result.stdout)["problems"][0]["problem"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pipeline": "people"}, '"visier-people", as the file'),
        ({"environments": {"staging": {}}}, "environments.staging: there is no such environment"),
        ({"when": {"manifest": {"pipeline": "visier-loads"}}}, 'there is no pipeline "visier-loads"'),
        ({"when": {"schedule": {"rate": "1 hour", "time_zone": "Europe/Pari"}}}, "time_zone"),
        ({"request": {"dataVersionNumber": "@upstream.data_version"}}, "needs when.manifest"),
    ],
)
def test_a_pipeline_is_checked_in_its_surroundings_and_each_problem_said_once(
    haul: Haul, project: Path, changes: dict[str, Any], said: str
) -> None:
    result = haul("validate", a_pipeline(project, **changes))

    assert result.exit_code == 1
    assert result.stdout.count(said) == 1


def test_what_is_no_json_and_no_yaml_says_where(haul: Haul, project: Path) -> None:
    (project / "events" / "broken.json").write_text('{"version": 1,\n "pipeline"}')
    (project / "infra" / "pipelines" / "broken.yaml").write_text("a: [\n")

    result = haul("validate", "events/broken.json", "infra/pipelines/broken.yaml", "events/none.json")

    lines = result.stdout.splitlines()
    assert "not JSON" in lines[0]
    assert "line 2" in lines[0]
    assert "not YAML" in lines[1]
    assert "cannot be read: No such file" in lines[2]


def test_what_an_import_sends_must_be_said(haul: Haul, project: Path) -> None:
    path = project / "events" / "liquid_import_s3_object.json"
    event = json.loads(path.read_text())
    del event["source"]
    path.write_text(json.dumps(event))

    result = haul("validate", str(path))

    assert result.exit_code == 1
    assert "source: missing; import sends an object" in result.stdout


def test_an_export_of_every_profile_must_be_meant(haul: Haul, project: Path) -> None:
    path = project / "infra" / "pipelines" / "adobe-loyal-customers.yaml"
    document = yaml.safe_load(path.read_text())
    del document["request"]["filter"]["segments"]
    path.write_text(yaml.safe_dump(document))

    refused = haul("validate", str(path))
    path.write_text(yaml.safe_dump(document | {"options": {"whole_store": True}}))
    allowed = haul("validate", str(path))

    assert "request.filter.segments: missing" in refused.stdout
    assert "options.whole_store" in refused.stdout
    assert allowed.exit_code == 0


def test_json_without_end_is_no_traceback(haul: Haul, project: Path) -> None:
    path = project / "events" / "deep.json"
    path.write_text("[" * 100_000)

    result = haul("validate", str(path))

    assert result.exit_code == 1
    assert "nested too deep" in result.stdout


def test_nothing_to_validate_is_a_usage_error(haul: Haul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert haul("validate").exit_code == 2
