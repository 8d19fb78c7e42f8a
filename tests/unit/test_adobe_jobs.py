"""Adobe requests: made ready to send, and recognised in a list."""

from typing import Any

import pytest

from haul.connectors.adobe.jobs import prepare, same
from haul.errors import InvalidEventError

SEGMENTS = [{"segmentId": "s1"}, {"segmentId": "s2", "status": ["exited"]}]
REQUEST: dict[str, Any] = {
    "fields": "identityMap, _id",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "filter": {"segments": SEGMENTS, "fromIngestTimestamp": "2026-01-01T00:00:00Z"},
    "destination": {"datasetId": "d1"},
    "schema": {"name": "_xdm.context.profile"},
}
SHOWN: dict[str, Any] = {
    "id": 7,
    "fields": "_id,identityMap",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "filter": {
        "segments": [
            {"segmentId": "s2", "segmentNs": "ups", "status": "exited"},
            {"segmentId": "s1", "segmentNs": "ups", "status": ["realized", "existing"]},
        ],
        "fromIngestTimestamp": "2026-01-01T00:00:00.000+00:00",
        "emptyProfiles": False,
    },
    "destination": {"datasetId": "d1", "segmentPerBatch": False, "batchId": "b1"},
    "schema": {"name": "_xdm.context.profile"},
    "additionalFields": None,
    "evaluationInfo": {"segmentation": False},
}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with another value at a dotted path; None takes it out."""
    first, _, rest = path.partition(".")
    inner = changed(document.get(first, {}), rest, value) if rest else value
    kept = {name: each for name, each in document.items() if name != first}
    return kept if inner is None else {**kept, first: inner}


def test_a_job_is_recognised_with_its_defaults_filled_in() -> None:
    assert same(REQUEST, SHOWN)


@pytest.mark.parametrize("path", ["mergePolicy", "filter", "fields", "schema", "evaluationInfo", "destination.batchId"])
def test_what_is_not_shown_at_all_tells_nothing(path: str) -> None:
    assert same(REQUEST, changed(SHOWN, path, None))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("destination.datasetId", "d2"),
        ("destination.datasetId", None),
        ("destination.segmentPerBatch", True),
        ("fields", "_id"),
        ("fields", ""),
        ("mergePolicy.id", "other"),
        ("mergePolicy.version", 2),
        ("filter.segments", [{"segmentId": "s1"}]),
        ("filter.segments", None),
        ("filter.segments", [{"segmentId": "s1"}, {"segmentId": "s2"}]),
        ("filter.segments", [{"segmentId": "s1", "segmentNs": "aam"}, SEGMENTS[1]]),
        ("filter.fromIngestTimestamp", "2026-01-01T00:00:01Z"),
        ("filter.fromIngestTimestamp", None),
        ("filter.emptyProfiles", True),
        ("filter.segmentQualificationTime", {"endTime": "2026-01-01T00:00:00Z"}),
        ("additionalFields", {"eventList": {"fields": "x"}}),
        ("evaluationInfo.segmentation", True),
        ("schema.name", "other"),
    ],
)
def test_a_job_that_differs_is_another_one(path: str, value: Any) -> None:
    assert not same(REQUEST, changed(SHOWN, path, value))


def test_a_policy_that_was_not_asked_for_is_the_segments_own() -> None:
    request = changed(REQUEST, "mergePolicy", None)

    assert same(request, SHOWN)


@pytest.mark.parametrize("name", ["datasetId", "dataSetId"])
def test_the_dataset_is_known_by_either_spelling(name: str) -> None:
    assert same(REQUEST, changed(SHOWN, "destination", {name: "d1", "segmentPerBatch": False}))


def test_a_time_is_the_same_in_any_zone() -> None:
    assert same(REQUEST, changed(SHOWN, "filter.fromIngestTimestamp", "2026-01-01T01:00:00+01:00"))
    assert not same(REQUEST, changed(SHOWN, "filter.fromIngestTimestamp", "soon"))


# Made ready to send


def test_a_request_is_sent_as_it_is_written() -> None:
    prepared = prepare(REQUEST, whole_store=False)

    assert prepared.request == REQUEST
    assert (prepared.is_delta, prepared.watermark.from_) == (True, "2026-01-01T00:00:00Z")


def test_parts_that_a_first_run_leaves_empty_are_not_sent() -> None:
    """What stood for the last success is dropped on the first run, and may have been all there was."""
    request = {**REQUEST, "filter": {"segments": SEGMENTS}, "additionalFields": {"eventList": {"filter": {}}}}

    prepared = prepare(request, whole_store=False)

    assert "additionalFields" not in prepared.request
    assert not prepared.is_delta


def test_a_value_may_begin_with_an_at_sign() -> None:
    request = changed(REQUEST, "mergePolicy.id", "@@policy")

    prepared = prepare(request, whole_store=False)

    assert prepared.request["mergePolicy"]["id"] == "@policy"


@pytest.mark.parametrize(
    "filter_", [None, {}, {"emptyProfiles": True}, {"fromIngestTimestamp": "2026-01-01T00:00:00Z"}]
)
def test_every_profile_must_be_asked_for_in_words(filter_: dict[str, Any] | None) -> None:
    request = changed(REQUEST, "filter", filter_)

    with pytest.raises(InvalidEventError, match=r"every profile in the sandbox.*options\.whole_store: true"):
        prepare(request, whole_store=False)

    assert prepare(request, whole_store=True).request.get("filter") == (filter_ or None)


def test_several_segments_need_a_policy() -> None:
    with pytest.raises(InvalidEventError, match=r"request: 2 filter\.segments need a mergePolicy"):
        prepare(changed(REQUEST, "mergePolicy", None), whole_store=False)
