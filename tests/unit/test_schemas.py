"""The published schemas are those of the models, and every example of the contracts fits them."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from haul.models import schemas, vendors
from haul.models.base import parse
from haul.models.event import Event
from haul.models.manifest import ExportManifest
from haul.models.pipeline import Pipeline

CONTRACTS = Path(__file__).parents[1] / "fixtures" / "contracts"
VENDOR_PAGES = Path(__file__).parents[2] / "docs" / "vendors"
PIPELINES = Path(__file__).parents[2] / "infra" / "pipelines"
SCHEMAS = schemas.published()


def problems(document: Any, schema: str) -> list[str]:
    """What an editor would mark."""
    validator = Draft202012Validator(SCHEMAS[f"{schema}.v1.json"], format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def the_manifest() -> Any:
    return json.loads((CONTRACTS / "manifest.json").read_text(encoding="utf-8"))


def the_pipeline() -> Any:
    return yaml.safe_load((CONTRACTS / "pipeline.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_file_is_what_the_models_say(name: str) -> None:
    """If not: `make schemas`, and think of those who have the old one."""
    published = importlib.resources.files("haul") / "schemas" / name

    assert published.read_text(encoding="utf-8") == schemas.text(SCHEMAS[name])


def test_no_other_file_is_published() -> None:
    assert {path.name for path in schemas.FOLDER.iterdir()} == SCHEMAS.keys()


def test_every_document_and_every_action_has_a_schema() -> None:
    actions = {(vendor, name) for vendor in vendors.names() for name in vendors.actions(vendor)}

    assert {"event.v1.json", "pipeline.v1.json", "manifest.v1.json", "run.v1.json"} < SCHEMAS.keys()
    assert {
        f"{vendor}.{name}.{part}.v1.json" for vendor, name in actions for part in ("request", "options")
    } < SCHEMAS.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_says_what_it_is_of(name: str) -> None:
    schema = SCHEMAS[name]

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:haul:{name.removesuffix('.v1.json')}:v1"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize(
    "name", ["event", "operation", "pipeline", "visier.dv-export.request", "visier.dv-export.options"]
)
def test_what_people_write_is_closed(name: str) -> None:
    schema = SCHEMAS[f"{name}.v1.json"]
    maps = [schema, *(part for part in schema.get("$defs", {}).values() if part.get("properties"))]

    assert all(part["additionalProperties"] is False for part in maps)


def operation(**fields: Any) -> dict[str, Any]:
    whole = {"version": 1, "vendor": "visier", "operation": "exclude-uploads", "connection": "visier-acme"}
    return {**whole, "parameters": {"tenant": ["WFF_j1r~c7o"], "all": True}, **fields}


@pytest.mark.parametrize(
    ("document", "marked"),
    [
        (operation(), None),
        (operation(operation="list-exports", parameters={}), None),
        (operation(operation="list-export"), "$.operation"),
        (operation(vendor="visir"), "$.vendor"),
        (operation(parameters={"tenant": "WFF_j1r~c7o"}), "$.parameters.tenant"),
        (operation(parameters={"tenat": ["WFF_j1r~c7o"]}), "$.parameters"),
        ({name: value for name, value in operation().items() if name != "parameters"}, "$"),
    ],
)
def test_an_operations_parameters_are_those_of_its_vendor_and_name(document: Any, marked: str | None) -> None:
    found = [problem.partition(":")[0] for problem in problems(document, "operation")]

    assert (marked in found) if marked else found == []


def test_the_operations_in_the_documentation_fit_their_schemas() -> None:
    page = (VENDOR_PAGES.parent / "operate.md").read_text(encoding="utf-8")
    shown = [json.loads(each) for each in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    inputs = [document for document in shown if "parameters" in document]
    results = [document for document in shown if "result_uri" in document]

    assert (len(inputs), len(results)) == (1, 1)
    assert problems(inputs[0], "operation") == []
    assert problems(results[0], "operation-result") == []


@pytest.mark.parametrize("vendor", vendors.names())
def test_every_operation_is_on_its_vendors_page(vendor: str) -> None:
    page = (VENDOR_PAGES / f"{vendor}.md").read_text(encoding="utf-8")

    assert [name for name in vendors.operations(vendor) if name not in page] == []


def test_what_haul_writes_may_gain_fields() -> None:
    assert not problems({**the_manifest(), "of_tomorrow": {}}, "manifest")
    assert "additionalProperties" not in SCHEMAS["run.v1.json"]


# Examples


def test_the_contracts_manifest_fits_and_survives_reading() -> None:
    manifest = ExportManifest.model_validate(the_manifest())

    assert not problems(the_manifest(), "manifest")
    assert not problems(json.loads(manifest.to_json()), "manifest")
    assert lost(the_manifest(), json.loads(manifest.to_json())) == []


def lost(given: Any, kept: Any, at: str = "$") -> list[str]:
    """Where `kept` lacks something of `given`, or has it otherwise."""
    match given:
        case dict() if isinstance(kept, dict):
            return [
                where
                for name in given
                for where in (lost(given[name], kept[name], f"{at}.{name}") if name in kept else [f"{at}.{name}"])
            ]
        case list() if isinstance(kept, list) and len(kept) == len(given):
            return [where for n, value in enumerate(given) for where in lost(value, kept[n], f"{at}[{n}]")]
        case _:
            return [] if given == kept else [at]


def test_the_contracts_pipeline_fits() -> None:
    assert not problems(the_pipeline(), "pipeline")


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_pipeline_fits(path: Path) -> None:
    assert not problems(yaml.safe_load(path.read_text(encoding="utf-8")), "pipeline")


@pytest.mark.parametrize("page", sorted(VENDOR_PAGES.glob("*.md")), ids=lambda path: path.name)
def test_every_pipeline_on_a_vendors_page_fits(page: Path) -> None:
    shown = [
        yaml.safe_load(block)
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]

    assert [found for pipeline in shown for found in problems(pipeline, "pipeline")] == []
    for pipeline in shown:
        action = vendors.actions(pipeline["vendor"])[pipeline["action"]]
        parse(action.request, pipeline["request"], at="request")
        parse(action.options, pipeline.get("options", {}), at="options")


def test_a_short_event_fits_because_the_pipeline_completes_it() -> None:
    assert not problems({"version": 1, "pipeline": "visier-people"}, "event")


# What an editor marks


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"environments": {"dev": {"vendor": "visier"}}}, "$.environments.dev"),
        ({"environments": {"dev": {"options": {"frist_run": "full"}}}}, "$.environments.dev.options"),
        ({"environments": {"dev": {"landing": {"retention_days": 0}}}}, "$.environments.dev.landing.retention_days"),
        ({"request": {"dataVersionNumber": "@last-published"}}, "$.request.dataVersionNumber"),
        ({"request": {"dataVersionNumbr": "1"}}, "$.request"),
        ({"action": "query-export"}, "$.action"),
        ({"vendor": "salesforce"}, "$.vendor"),
        ({"limits": {"deadline": "6h"}}, "$.limits.deadline"),
        ({"when": {"schedule": {"cron": "0 5 * * *"}}}, "$.when.schedule"),
    ],
)
def test_a_wrong_pipeline_is_marked_where_it_is_wrong(change: dict[str, Any], where: str) -> None:
    marked = problems({**the_pipeline(), **change}, "pipeline")

    assert marked
    assert {mark.split(": ")[0] for mark in marked} == {where}


def test_an_editor_completes_the_symbols_of_a_field() -> None:
    version = SCHEMAS["visier.dv-export.request.v1.json"]["properties"]["dataVersionNumber"]

    assert {"enum": ["@latest", "@upstream.data_version"]} in version["anyOf"]


@pytest.mark.parametrize("model", [Event, Pipeline])
def test_every_field_that_people_write_is_described(model: type[Event | Pipeline]) -> None:
    schema = SCHEMAS[f"{model.__name__.lower()}.v1.json"]
    known = schema["$defs"]

    def described(part: dict[str, Any]) -> bool:
        ref = str(part.get("$ref", "")).removeprefix("#/$defs/")
        return "description" in part or (ref in known and described(known[ref]))

    assert [name for name, part in schema["properties"].items() if not described(part)] == []
