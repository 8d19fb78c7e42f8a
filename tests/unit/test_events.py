"""Every file in `events/` is an event, and every vendor's action has one."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from haul import keys
from haul.models import pipeline_files, schemas, vendors
from haul.models.base import parse
from haul.models.event import Event, Source, Start, unreplaced
from haul.models.symbols import KNOWN
from haul.models.vendors import action_of

FILES = sorted((Path(__file__).parents[2] / "events").iterdir())
PIPELINES = sorted((Path(__file__).parents[2] / "infra" / "pipelines").glob("*.yaml"))
SCHEDULED_AT = "2026-11-22T05:00:00Z"


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def as_sent(path: Path) -> dict[str, Any]:
    """The event as an execution gets it: EventBridge Scheduler has filled in its attributes."""
    text = path.read_text(encoding="utf-8").replace("<aws.scheduler.scheduled-time>", SCHEDULED_AT)
    document: dict[str, Any] = json.loads(text)
    return document


def named(name: str) -> Path:
    return next(path for path in FILES if path.name == name)


whole = [path for path in FILES if "vendor" in read(path)]
from_rules = [path for path in FILES if "vendor" not in read(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_a_right_event_as_it_lies_there_and_as_it_is_sent(path: Path) -> None:
    validator = Draft202012Validator(schemas.published()["event.v1.json"])

    assert path.suffix == ".json"
    assert [error.message for error in validator.iter_errors(read(path))] == []
    assert [error.message for error in validator.iter_errors(as_sent(path))] == []
    assert unreplaced(as_sent(path)) is None


@pytest.mark.parametrize("path", whole, ids=lambda path: path.name)
def test_a_whole_event_needs_no_pipeline(path: Path) -> None:
    event = vendors.checked(parse(Event, as_sent(path)))

    assert action_of(event).takes_source == (event.source is not None)


@pytest.mark.parametrize("path", from_rules, ids=lambda path: path.name)
def test_an_event_from_a_rule_says_which_run_it_is(path: Path) -> None:
    start = parse(Start, as_sent(path))

    assert start.id
    assert start.source
    assert start.trigger.type in {"manifest", "s3"}
    assert start.trigger.event_time


def test_every_action_has_a_sample() -> None:
    sampled = {(document["vendor"], document["action"]) for document in map(read, whole)}

    assert sampled == {(vendor, name) for vendor in vendors.names() for name in vendors.actions(vendor)}


def test_a_scheduled_event_carries_the_time_that_was_meant() -> None:
    path = named("visier_delta_scheduled.json")

    event = parse(Event, as_sent(path))

    assert unreplaced(read(path)) == "<aws.scheduler.scheduled-time>"
    assert event.id == f"visier-people@{SCHEDULED_AT}"
    assert event.trigger.scheduled_at == datetime(2026, 11, 22, 5, tzinfo=UTC)


def test_a_downstream_event_names_the_upstream_run() -> None:
    start = parse(Start, as_sent(named("visier_downstream_manifest.json")))

    assert start.source is not None
    assert start.source.manifest is not None
    assert keys.run_of_manifest(start.source.manifest.key) == ("visier-people", "20261122T050003Z-7c1f9a")


# The reference

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


def test_the_page_has_every_file() -> None:
    assert [path.name for path in FILES if f"(../events/{path.name})" not in PAGE] == []


def test_the_page_has_every_field() -> None:
    parts = [part for field in Event.model_fields.values() for part in inner_fields(field.annotation)]
    actions = [action for vendor in vendors.names() for action in vendors.actions(vendor).values()]
    vendors_own = [
        field.alias or name
        for action in actions
        for part in (action.request, action.options)
        for name, field in part.model_fields.items()
    ]

    assert [name for name in [*Event.model_fields, *parts, *vendors_own] if not re.search(rf"\b{name}[`.]", PAGE)] == []


def inner_fields(annotation: Any) -> list[str]:
    """The fields of what people write inside an event; of an object, those that the page shows."""
    inner = [annotation, *get_args(annotation)]
    models = [model for model in inner if isinstance(model, type) and issubclass(model, BaseModel)]
    return [name for model in models if model is not Source for name in model.model_fields]


def test_the_page_has_every_symbol() -> None:
    assert [symbol for symbol in KNOWN if f"`{symbol}" not in PAGE] == []


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_the_sample_of_a_pipeline_is_what_the_pipeline_sends(path: Path) -> None:
    """Where there is an event and a pipeline of one name, they ask for the same, or the event for more."""
    pipeline = pipeline_files.settled(path, "")
    samples = [as_sent(event) for event in whole if read(event)["pipeline"] == path.stem]

    for sample in samples:
        sent = vendors.checked(parse(Event, pipeline.event()))
        shown = vendors.checked(parse(Event, sample))
        assert (sent.vendor, sent.action, sent.connection) == (shown.vendor, shown.action, shown.connection)
        assert sent.options == shown.options
        assert sent.request.items() <= shown.request.items()  # a sample may show a field that no night wants
    assert samples or pipeline.when.manifest, "it has no file in events/"
