"""Symbols stand for values of a run; the list is closed."""

from typing import Annotated

import pytest
from pydantic import BaseModel

from haul.errors import InvalidEventError
from haul.models.base import parse
from haul.models.symbols import KNOWN, Symbols, instant, is_symbol, unescaped


class Query(BaseModel):
    since: Annotated[str, Symbols("@last-success.started-at", "@instant:")]


def test_two_at_signs_begin_a_value() -> None:
    assert is_symbol("@latest")
    assert not is_symbol("@@latest")
    assert not is_symbol("latest")
    assert not is_symbol(None)
    assert unescaped("@@latest") == "@latest"
    assert unescaped("latest") == "latest"


@pytest.mark.parametrize("value", ["@last-success.started-at", "@instant:2021-12-13T00:00:00-08:00", "@@x", "x", ""])
def test_a_field_takes_its_own_symbols_and_any_value(value: str) -> None:
    assert parse(Query, {"since": value}).since == value


@pytest.mark.parametrize("symbol", sorted(set(KNOWN) - {"@last-success.started-at", "@instant:"}))
def test_a_field_refuses_all_other_symbols(symbol: str) -> None:
    with pytest.raises(InvalidEventError, match="this symbol is not understood here; allowed: @last-success"):
        parse(Query, {"since": symbol})


def test_an_unknown_symbol_is_told_from_a_misplaced_one() -> None:
    with pytest.raises(InvalidEventError, match=r"there is no such symbol; .* \(found \"@yesterday\"\)"):
        parse(Query, {"since": "@yesterday"})


def test_an_instant_is_epoch_milliseconds() -> None:
    assert instant("@instant:2021-12-13T00:00:00-08:00") == 1639382400000


@pytest.mark.parametrize(
    ("symbol", "why"), [("@instant:2021-12-13T00:00:00", "needs its offset"), ("@instant:noon", "takes an ISO 8601")]
)
def test_an_instant_is_read_when_the_event_is(symbol: str, why: str) -> None:
    with pytest.raises(InvalidEventError, match=why):
        parse(Query, {"since": symbol})
