from datetime import UTC, datetime, timedelta

import pytest

from haul.cli import words
from haul.cli.output import columns

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "said"),
    [(0, "0s"), (59.6, "1m"), (1486, "24m 46s"), (3600, "1h"), (7 * 86400 + 60, "7d"), (90000, "1d 1h")],
)
def test_a_duration_has_its_two_largest_units(duration: float, said: str) -> None:
    assert words.span(duration) == words.span(timedelta(seconds=duration)) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOON - timedelta(hours=7), "today 05:00"),
        (NOON - timedelta(hours=13), "yesterday 23:00"),
        (NOON - timedelta(days=3), "2026-11-19 12:00"),
    ],
)
def test_a_time_is_said_as_people_say_it(at: datetime, said: str) -> None:
    assert words.day(at, NOON) == said


def test_sizes_of_a_whole_and_its_part_share_a_unit() -> None:
    assert words.size_of(31_900_000, 48_200_000) == "31.9 of 48.2 MB"
    assert words.size(904_113) == "904.1 KB"


def test_a_uuid_is_shortened_and_another_id_is_not() -> None:
    assert words.short("c19e2f2b-8f5b-4a7f-9a1e-0d3b8f5f5a11") == "c19e2f2b"
    assert words.short("bulk-export-4711") == "bulk-export-4711"


def test_columns_are_as_wide_as_their_widest_cell_and_end_without_spaces() -> None:
    lines = [line.plain for line in columns([["a", "東京", "x"], ["bbb", "c", ""]], header=["N", "", "LAST"])]

    assert lines == ["N          LAST", "a    東京  x", "bbb  c"]
