"""Wrong input is refused before anything is sent, by a message that names the field, the value and what is allowed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from haul.errors import InvalidEventError
from haul.models import schemas, vendors
from haul.models.base import duration_text, merged, parse
from haul.models.event import About, Event, Notify, S3Object, Start, unreplaced
from haul.models.export import Export
from haul.models.ledger import GivenWork


def an_event(**fields: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "pipeline": "visier-people",
        "vendor": "visier",
        "action": "dv-export",
        "connection": "visier-acme",
        "request": {"dataVersionNumber": "7000006"},
        **fields,
    }


def without(name: str) -> dict[str, Any]:
    return {field: value for field, value in an_event().items() if field != name}


def read(document: Any) -> Event:
    return vendors.checked(parse(Event, document))


BAD = {
    "a misspelt field": (an_event(pipline="x"), "pipline: unknown field; did you mean pipeline?"),
    "a misspelt field inside": (
        an_event(limits={"poll_flor_seconds": 9}),
        "limits.poll_flor_seconds: unknown field; did you mean poll_floor_seconds?",
    ),
    "a misspelt field of the request": (
        an_event(request={"dataVersionNumber": "1", "baseDataVersion": "1"}),
        "request.baseDataVersion: unknown field; did you mean baseDataVersionNumber?",
    ),
    "a field that resembles none": (
        an_event(notify={"sms": "+33"}),
        "notify.sms: unknown field; known here: about",
    ),
    "a missing field": (without("connection"), "connection: missing"),
    "a missing field of the request": (an_event(request={}), "request.dataVersionNumber: missing"),
    "an unknown vendor": (
        an_event(vendor="salesforce"),
        f'vendor: "salesforce" is unknown; known here: {", ".join(vendors.names())}',
    ),
    "a misspelt vendor": (an_event(vendor="vizier"), 'vendor: "vizier" is unknown; did you mean visier?'),
    "an unknown action": (
        an_event(action="segment-export"),
        'action: "segment-export" is unknown to visier; did you mean dv-export?',
    ),
    "a version to come": (an_event(version=2), "version: input should be 1 (found 2)"),
    "a version in quotes": (an_event(version="1"), 'version: input should be 1 (found "1")'),
    "a number in quotes": (
        an_event(landing={"retention_days": "400"}),
        'landing.retention_days: input should be a valid integer (found "400")',
    ),
    "a word for a truth": (
        an_event(landing={"sha256": "yes"}),
        'landing.sha256: input should be a valid boolean (found "yes")',
    ),
    "a truth for a number": (
        an_event(limits={"poll_floor_seconds": True}),
        "limits.poll_floor_seconds: input should be a valid integer (found true)",
    ),
    "a list for a map": (an_event(limits=[]), "limits: input should be an object"),
    "a data version without quotes": (
        an_event(request={"dataVersionNumber": 7000006}),
        "request.dataVersionNumber: input should be a valid string (found 7000006)",
    ),
    "a data version that is none": (
        an_event(request={"dataVersionNumber": "newest"}),
        'request.dataVersionNumber: a data version is a number in quotes, or a symbol (found "newest")',
    ),
    "an escaped symbol for a data version": (
        an_event(request={"dataVersionNumber": "@@latest"}),
        'request.dataVersionNumber: a data version is a number in quotes, or a symbol (found "@@latest")',
    ),
    "a symbol in the wrong field": (
        an_event(request={"dataVersionNumber": "@last-published"}),
        (
            "request.dataVersionNumber: this symbol is not understood here; allowed: @latest, @upstream.data_version"
            ' (found "@last-published")'
        ),
    ),
    "a misspelt symbol": (
        an_event(request={"dataVersionNumber": "@lastest"}),
        (
            "request.dataVersionNumber: there is no such symbol; allowed: @latest, @upstream.data_version"
            ' (found "@lastest")'
        ),
    ),
    "a word that is not one of the choice": (
        an_event(options={"first_run": "delta"}),
        "options.first_run: input should be 'full' or 'fail' (found \"delta\")",
    ),
    "an outcome that there is not": (
        an_event(notify={"about": ["FAILED", "BROKEN"]}),
        (
            "notify.about.1: input should be 'SUCCEEDED', 'NOTHING_NEW', 'JOINED', 'PARTIAL', 'FAILED', 'EXPIRED', "
            "'CANCELLED', 'LATE' or 'STALE' (found \"BROKEN\")"
        ),
    ),
    "a duration in words": (
        an_event(limits={"deadline": "6 hours"}),
        'limits.deadline: a duration is written as in ISO 8601, such as PT6H or P2D (found "6 hours")',
    ),
    "a duration as a number": (
        an_event(limits={"deadline": 21600}),
        "limits.deadline: a duration is written as in ISO 8601, such as PT6H or P2D (found 21600)",
    ),
    "a duration in months": (
        an_event(limits={"late_after": "P1M"}),
        'limits.late_after: a duration is written as in ISO 8601, such as PT6H or P2D (found "P1M")',
    ),
    "no duration at all": (
        an_event(limits={"deadline": "PT0S"}),
        'limits.deadline: a duration is more than nothing (found "PT0S")',
    ),
    "a deadline past a week": (
        an_event(limits={"deadline": "P8D"}),
        'limits.deadline: a deadline is at most P7D (found "P8D")',
    ),
    "a time without its zone": (
        an_event(trigger={"type": "schedule", "scheduled_at": "2026-11-22T05:00:00"}),
        'trigger.scheduled_at: a time needs its zone, such as 2026-11-22T05:00:00Z (found "2026-11-22T05:00:00")',
    ),
    "a pipeline's name with a capital": (
        an_event(pipeline="Visier"),
        "pipeline: string should match pattern '^[a-z][a-z0-9-]{1,47}$' (found \"Visier\")",
    ),
    "a connection that would leave its folder": (
        an_event(connection="../other"),
        "connection: string should match pattern '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$' (found \"../other\")",
    ),
    "a source that is nothing": (an_event(source={}), "source: a source is either an object or a manifest"),
    "a dataset of an object": (
        an_event(source={"object": {"bucket": "b", "key": "k"}, "dataset": "Employee"}),
        "source: a dataset is named only together with a manifest",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_named_with_its_field_its_value_and_what_is_allowed(what: str) -> None:
    document, message = BAD[what]

    with pytest.raises(InvalidEventError) as refused:
        read(document)

    assert str(refused.value) == message


NOT_FOR_A_SCHEMA = {"no duration at all", "a deadline past a week", "a time without its zone", "a dataset of an object"}


@pytest.mark.parametrize("what", sorted(BAD.keys() - NOT_FOR_A_SCHEMA))
def test_an_editor_marks_bad_input_too(what: str) -> None:
    document, _ = BAD[what]

    assert not Draft202012Validator(schemas.published()["event.v1.json"]).is_valid(document)
    assert Draft202012Validator(schemas.published()["event.v1.json"]).is_valid(an_event())


def test_every_problem_is_told_at_once() -> None:
    document = an_event(limits={"deadline": "soon"}, landing={"verify": "some"}, extra=1)

    with pytest.raises(InvalidEventError, match=r"landing\.verify: .*; limits\.deadline: .*; extra: "):
        read(document)


def test_a_document_that_is_no_map_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="the document: input should be an object"):
        read([an_event()])


def test_a_secret_in_a_field_that_is_unknown_is_not_shown() -> None:
    with pytest.raises(InvalidEventError) as refused:
        read(an_event(password="hunter2"))

    assert "hunter2" not in str(refused.value)


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(InvalidEventError) as refused:
        read(an_event(request={"dataVersionNumber": "x" * 10_000}))

    assert len(str(refused.value)) < 300
    assert str(refused.value).endswith('xxx" and more)')


# What is right


def test_defaults_are_those_of_the_contract() -> None:
    event = read(an_event())

    assert event.limits.deadline == timedelta(hours=6)
    assert event.limits.poll_floor_seconds == 5
    assert event.landing.verify == "full"
    assert event.landing.sha256 is False
    assert event.notify.about == set(About) - {About.NOTHING_NEW, About.JOINED}
    assert event.options == {
        "target_tenant": None,
        "reuse_available_export": True,
        "spend_reserved_submission": False,
        "first_run": "full",
        "base_gone": "fail",
        "retyped_column": "warn",
    }


@pytest.mark.parametrize("base", [None, ""])
def test_an_empty_base_is_a_full_export_as_it_is_for_visier(base: str | None) -> None:
    request = {"dataVersionNumber": "@latest", "baseDataVersionNumber": base}

    assert read(an_event(request=request)).request == {"dataVersionNumber": "@latest"}


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("PT90M", timedelta(minutes=90)),
        ("P1W", timedelta(weeks=1)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("PT0.5S", timedelta(seconds=0.5)),
    ],
)
def test_durations_are_read_and_written_back(written: str, length: timedelta) -> None:
    read_back = parse(Event, an_event(limits={"deadline": written})).limits.deadline
    again = parse(Event, an_event(limits={"deadline": duration_text(read_back)})).limits.deadline

    assert read_back == again == length


def test_a_time_is_kept_in_utc() -> None:
    event = read(an_event(trigger={"type": "schedule", "scheduled_at": "2026-11-22T06:00:00+01:00"}))

    assert event.trigger.scheduled_at == datetime(2026, 11, 22, 5, tzinfo=UTC)
    assert event.trigger.model_dump(mode="json")["scheduled_at"] == "2026-11-22T05:00:00Z"


def test_what_is_told_is_written_in_one_order() -> None:
    """A set's own order differs with each process, and a deployed document with it."""
    told = parse(Notify, {"about": ["STALE", "FAILED", "SUCCEEDED", "LATE"]})

    assert json.loads(told.model_dump_json()) == {"about": ["SUCCEEDED", "FAILED", "LATE", "STALE"]}


def test_a_short_event_is_completed_from_the_pipeline_and_wins() -> None:
    deployed = an_event(limits={"deadline": "PT2H", "late_after": "PT1H"}, notify={"about": ["FAILED", "LATE"]})
    short = {
        "version": 1,
        "pipeline": "visier-people",
        "limits": {"deadline": "PT4H"},
        "notify": {"about": ["SUCCEEDED"]},
    }

    event = read(merged(deployed, short))

    assert parse(Start, {"version": 1, "pipeline": "visier-people"}).pipeline == event.pipeline
    assert event.limits.deadline == timedelta(hours=4)
    assert event.limits.late_after == timedelta(hours=1)
    assert event.notify.about == {About.SUCCEEDED}


# Attributes that EventBridge fills in


@pytest.mark.parametrize(
    "document",
    [
        {"id": "p@<aws.scheduler.scheduled-time>"},
        {"trigger": {"scheduled_at": "<aws.scheduler.scheduled-time>"}},
        {"request": {"list": ["fine", {"deep": "<aws.scheduler.execution-id>"}]}},
    ],
)
def test_an_attribute_that_nobody_filled_in_is_found_wherever_it_is(document: dict[str, Any]) -> None:
    found = unreplaced(document)

    assert found is not None
    assert found.startswith("<aws.scheduler.")
    assert found.endswith(">")


def test_an_event_without_such_attributes_has_none() -> None:
    assert unreplaced(an_event(options={"target_tenant": None, "list": [1, "a < b"]})) is None


def test_what_a_rule_had_no_value_for_is_not_there() -> None:
    """A bucket without versions has no version id, and LocalStack's rules have no word for a size of 0."""
    named = {"bucket": "acme-inbox", "key": "inbox/people/", "version_id": "", "size": "", "etag": ""}

    source = read(an_event(source={"object": named})).source

    assert source is not None
    assert source.object == S3Object(bucket="acme-inbox", key="inbox/people/")


@pytest.mark.parametrize("model", [Export, GivenWork])
@pytest.mark.parametrize("kind", ["export", "another"])
def test_an_error_that_nobody_caught_does_not_show_what_was_read(model: type[BaseModel], kind: str) -> None:
    """Lambda writes its text into the log, and the notice of the run that it ended repeats it."""
    with pytest.raises(ValidationError) as wrong:
        model.model_validate(
            {"kind": kind, "request": {"filters": {"name": "Ada Lovelace"}}, "attempt": "Ada Lovelace"}
        )

    assert "Ada" not in str(wrong.value)
