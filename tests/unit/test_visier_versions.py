"""Which data versions a request means."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from haul.connectors.visier.replies import DataVersion
from haul.connectors.visier.versions import prepare
from haul.errors import BaseVersionGoneError, InvalidEventError, UnknownVersionError
from haul.ports import Known, Prepared

NOON = datetime(2026, 11, 22, 12, 0, 0, 417_000, tzinfo=UTC)
DELTA = {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"}
FULL = {"dataVersionNumber": "@latest"}


def version(number: int, *, hours: float = 0, category: str = "") -> DataVersion:
    """A version made so many hours after noon."""
    return DataVersion.model_validate(
        {
            "dataVersion": str(number),
            "dataCategory": category,
            "created": str(int((NOON + timedelta(hours=hours)).timestamp() * 1000)),
        }
    )


LISTED = [version(5, hours=-2), version(7, hours=0), version(6, hours=-1)]


def prepared(
    request: dict[str, Any],
    known: Known | None = None,
    *,
    listed: list[DataVersion] = LISTED,
    first_run: Literal["full", "fail"] = "full",
    base_gone: Literal["full", "fail"] = "fail",
) -> Prepared:
    return prepare(request, listed, known or Known(), first_run=first_run, base_gone=base_gone)


@pytest.mark.parametrize(
    ("listed", "newest"),
    [
        (LISTED, "7"),
        ([version(9, hours=-1), version(8)], "8"),
        ([version(9), version(10)], "10"),
        ([version(7), version(99, hours=9, category="talent")], "7"),
        ([version(7), DataVersion.model_validate({"dataVersion": "99"})], "7"),
    ],
    ids=["by-creation", "creation-before-number", "then-by-number", "default-category", "without-creation"],
)
def test_latest_is_by_creation_then_number_in_the_default_category(listed: list[DataVersion], newest: str) -> None:
    result = prepared(FULL, listed=listed)

    assert result.request == {"dataVersionNumber": newest}
    assert result.watermark.to == newest
    assert not result.is_delta


def test_the_result_holds_plain_numbers_alone() -> None:
    result = prepared(DELTA, Known(last_version="5"))

    assert result.request == {"dataVersionNumber": "7", "baseDataVersionNumber": "5"}
    assert result.is_delta
    assert (result.watermark.from_, result.watermark.to, result.watermark.to_created_at) == ("5", "7", NOON)
    assert (result.nothing_new, result.warnings) == (None, [])


@pytest.mark.parametrize("base", [{}, {"baseDataVersionNumber": None}, {"baseDataVersionNumber": ""}])
def test_without_a_base_it_is_full(base: dict[str, None]) -> None:
    result = prepared({"dataVersionNumber": "6", **base})

    assert result.request == {"dataVersionNumber": "6"}
    assert result.watermark.from_ is None


def test_the_first_run_of_a_delta_is_full() -> None:
    result = prepared(DELTA)

    assert result.request == {"dataVersionNumber": "7"}
    assert not result.is_delta
    assert result.warnings == []


def test_the_first_run_of_a_delta_fails_if_asked_to() -> None:
    with pytest.raises(InvalidEventError, match=r"request\.baseDataVersionNumber.*first_run.*Run a full export first"):
        prepared(DELTA, first_run="fail")


@pytest.mark.parametrize("request_", [FULL, DELTA])
def test_what_is_published_already_is_nothing_new(request_: dict[str, Any]) -> None:
    result = prepared(request_, Known(last_version="7"))

    assert result.nothing_new == "data version 7 is the newest, and published already"
    assert result.warnings == []


@pytest.mark.parametrize(
    "known",
    [
        Known(last_version="8", last_version_created_at=NOON + timedelta(hours=1)),
        Known(last_version="8", last_version_created_at=NOON.replace(microsecond=0)),
        Known(last_version="8"),
    ],
    ids=["by-creation", "same-second-by-number", "by-number"],
)
def test_a_newest_version_older_than_the_published_one_is_nothing_new_with_a_warning(known: Known) -> None:
    result = prepared(DELTA, known)

    assert result.nothing_new
    assert "older than 8" in result.nothing_new
    assert result.warnings == [f"{result.nothing_new}: has Visier withdrawn a version?"]


def test_creation_decides_before_number() -> None:
    """A tenant may start its numbers afresh."""
    known = Known(last_version="900", last_version_created_at=NOON - timedelta(hours=1))

    result = prepared(DELTA, known, base_gone="full")

    assert result.nothing_new is None
    assert result.request == {"dataVersionNumber": "7"}


def test_the_vendors_own_time_of_the_published_version_is_preferred() -> None:
    known = Known(last_version="6", last_version_created_at=NOON + timedelta(days=1))

    assert prepared(DELTA, known).request == {"dataVersionNumber": "7", "baseDataVersionNumber": "6"}


def test_a_named_version_is_exported_though_it_is_published() -> None:
    result = prepared({"dataVersionNumber": "6"}, Known(last_version="7"))

    assert result.request == {"dataVersionNumber": "6"}
    assert result.nothing_new is None


def test_a_named_version_that_was_published_last_has_no_delta_to_itself() -> None:
    result = prepared({"dataVersionNumber": "6", "baseDataVersionNumber": "@last-published"}, Known(last_version="6"))

    assert result.nothing_new == "data version 6 is what was published last"


def test_a_published_base_that_is_gone_fails_by_default() -> None:
    with pytest.raises(BaseVersionGoneError, match=r"no longer lists data version 4.*newest are 7 .*base_gone: full"):
        prepared(DELTA, Known(last_version="4"))


def test_a_published_base_that_is_gone_may_be_replaced_by_a_full_export() -> None:
    result = prepared(DELTA, Known(last_version="4"), base_gone="full")

    assert result.request == {"dataVersionNumber": "7"}
    assert not result.is_delta
    assert result.watermark.from_ is None
    assert result.warnings == ["request.baseDataVersionNumber: Visier no longer lists data version 4: exported in full"]


@pytest.mark.parametrize("base_gone", ["fail", "full"])
def test_a_named_base_older_than_the_list_is_gone(base_gone: Literal["fail", "full"]) -> None:
    request = {"dataVersionNumber": "7", "baseDataVersionNumber": "4"}

    if base_gone == "full":
        assert prepared(request, base_gone=base_gone).request == {"dataVersionNumber": "7"}
    else:
        with pytest.raises(BaseVersionGoneError):
            prepared(request, base_gone=base_gone)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"dataVersionNumber": "8"},
            r'Number: Visier has no data version "8"; the newest are 7 \(created 2026-11-22 12:00 UTC\), 6 .*, 5 .*$',
        ),
        (
            {"dataVersionNumber": "7", "baseDataVersionNumber": "8"},
            r'request\.baseDataVersionNumber: Visier has no data version "8"; the newest are 7',
        ),
        (
            {"dataVersionNumber": "6", "baseDataVersionNumber": "7"},
            r"request\.baseDataVersionNumber: 7 .* is not older than dataVersionNumber 6 .*",
        ),
        ({"dataVersionNumber": "6", "baseDataVersionNumber": "6"}, "not older"),
        ({"dataVersionNumber": "07"}, 'no data version "07"'),
    ],
)
@pytest.mark.parametrize("base_gone", ["fail", "full"])
def test_versions_that_make_no_pair_are_refused(
    request_: dict[str, Any], message: str, base_gone: Literal["fail", "full"]
) -> None:
    with pytest.raises(UnknownVersionError, match=message):
        prepared(request_, base_gone=base_gone)


@pytest.mark.parametrize("request_", [FULL, {"dataVersionNumber": "7"}])
def test_an_empty_list_is_told(request_: dict[str, Any]) -> None:
    with pytest.raises(UnknownVersionError, match=r"lists no(ne at all| data version of the default category)"):
        prepared(request_, listed=[])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "dataVersionNumber: missing"),
        ({"dataVersionNumber": ""}, "dataVersionNumber: missing"),
        ({"dataVersionNumber": "@last-published"}, "dataVersionNumber: @last-published is not understood here"),
        ({"dataVersionNumber": "7", "baseDataVersionNumber": "@latest"}, "baseDataVersionNumber: @latest"),
        ({"dataVersionNumber": "seven"}, "a number in quotes"),
        ({"dataVersionNumber": 7}, "a number in quotes"),
    ],
)
def test_what_is_no_version_names_its_field(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError, match=message):
        prepared(request_)
