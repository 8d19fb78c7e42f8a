"""A pipeline file is checked whole, for every environment, before anything is deployed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from haul.errors import InvalidEventError
from haul.models.base import merged
from haul.models.pipeline import ADDRESSABLE, Pipeline, read

CONTRACTS = Path(__file__).parents[1] / "fixtures" / "contracts"


def the_pipeline(**fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONTRACTS / "pipeline.yaml").read_text(encoding="utf-8"))
    return {**document, **fields}


def test_the_contracts_pipeline_is_read_as_it_stands_there() -> None:
    pipeline = read(the_pipeline(), "prod")

    assert pipeline.connection == "visier-acme"
    assert pipeline.enabled
    assert pipeline.landing.retention_days == 400
    assert pipeline.fresh_within == timedelta(hours=26)
    assert pipeline.when.schedule is not None
    assert pipeline.when.schedule.time_zone == "Europe/Paris"


def test_an_environment_changes_what_it_names_and_no_more() -> None:
    pipeline = read(the_pipeline(), "dev")

    assert not pipeline.enabled
    assert pipeline.connection == "visier-sandbox"
    assert pipeline.landing.retention_days == 7
    assert pipeline.landing.classification == "pii"


def test_an_environment_that_is_not_named_takes_the_pipeline_as_it_is() -> None:
    assert read(the_pipeline(), "test").connection == "visier-acme"


def test_its_event_is_the_one_of_the_contract_without_its_trigger() -> None:
    assert read(the_pipeline(), "prod").event() == {
        "version": 1,
        "pipeline": "visier-people",
        "vendor": "visier",
        "action": "dv-export",
        "connection": "visier-acme",
        "request": {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"},
        "options": {"first_run": "full", "base_gone": "fail"},
        "landing": {"classification": "pii", "retention_days": 400},
        "limits": {"deadline": "PT6H", "late_after": "PT2H"},
        "notify": {"about": ["SUCCEEDED", "FAILED", "LATE", "STALE"]},
    }


BAD_ENVIRONMENTS = {
    "the vendor": (
        {"vendor": "adobe"},
        f"environments.dev.vendor: cannot differ between environments; can: {', '.join(ADDRESSABLE)}",
    ),
    "a misspelt field": (
        {"conection": "x"},
        "environments.dev.conection: unknown field; did you mean connection?",
    ),
    "a wrong value": (
        {"landing": {"retention_days": 0}},
        "environments.dev.landing.retention_days: input should be greater than or equal to 1 (found 0)",
    ),
    "a misspelt option": (
        {"options": {"frist_run": "full"}},
        "environments.dev.options.frist_run: unknown field; did you mean first_run?",
    ),
    "a second kind of schedule": (
        {"when": {"schedule": {"rate": "1 hour"}}},
        "environments.dev.when.schedule: a schedule is either a cron or a rate",
    ),
    "no map": (3, "environments.dev: input should be an object (found 3)"),
}


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("what", BAD_ENVIRONMENTS)
def test_a_wrong_difference_is_found_whatever_environment_is_deployed(what: str, environment: str) -> None:
    differences, message = BAD_ENVIRONMENTS[what]

    with pytest.raises(InvalidEventError) as refused:
        read(the_pipeline(environments={"dev": differences, "prod": {}}), environment)

    assert str(refused.value) == message


BAD: dict[str, tuple[dict[Any, Any], str]] = {
    "a misspelt trigger": (
        {"when": {"shedule": {"rate": "1 day"}}},
        "when.shedule: unknown field; did you mean schedule?",
    ),
    "YAML's other word for true": ({True: {"schedule": {}}}, "true: unknown field; known here: "),
    "a cron of five fields": (
        {"when": {"schedule": {"cron": "0 5 * * *"}}},
        "when.schedule.cron: string should match pattern",
    ),
    "a misspelt option": (
        {"options": {"base_gon": "fail"}},
        "options.base_gon: unknown field; did you mean base_gone?",
    ),
    "a symbol in the wrong field": (
        {"request": {"dataVersionNumber": "@last-published"}},
        "request.dataVersionNumber: this symbol is not understood here",
    ),
    "an upstream outcome that there is not": (
        {"when": {"manifest": {"pipeline": "other", "outcomes": ["LATE"]}}},
        "when.manifest.outcomes.0: input should be 'SUCCEEDED', 'NOTHING_NEW'",
    ),
    "a version": ({"version": 1}, "version: unknown field; known here: "),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_pipeline_is_refused_with_the_field(what: str) -> None:
    fields, message = BAD[what]

    with pytest.raises(InvalidEventError) as refused:
        read({**the_pipeline(), **fields}, "prod")

    assert str(refused.value).startswith(message)


def test_a_schedule_may_be_replaced_by_another_kind() -> None:
    """Maps merge, so the one that goes is set to null."""
    differences = {"when": {"schedule": {"cron": None, "rate": "1 hour"}}}

    pipeline = read(the_pipeline(environments={"dev": differences}), "dev")

    assert pipeline.when.schedule is not None
    assert pipeline.when.schedule.rate == "1 hour"


def test_maps_merge_and_lists_replace() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": None}

    assert merged(base, {"a": {"c": [3]}, "d": {"e": 1}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": None}


def test_every_field_that_may_differ_is_a_pipelines() -> None:
    assert set(ADDRESSABLE) <= set(Pipeline.model_fields)
