"""Symbols that no vendor has to be asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from haul.errors import InvalidEventError
from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.manifest import LoadManifest
from haul.models.work import Watermark
from haul.symbols import Facts, resolve

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER = datetime(2026, 11, 21, 5, tzinfo=UTC)


def some_facts(**known: Any) -> Facts:
    return Facts(started_at=NOON, **known)


def test_symbols_are_resolved_wherever_they_stand_and_nothing_else_is() -> None:
    request = {"a": "@started-at", "b": [{"c": "@last-success.started-at"}], "d": "plain", "e": 5, "f": "@@home"}

    resolved = resolve(request, some_facts(last_success_started_at=EARLIER))

    assert resolved == {
        "a": "2026-11-22T12:00:00Z",
        "b": [{"c": "2026-11-21T05:00:00Z"}],
        "d": "plain",
        "e": 5,
        "f": "@@home",
    }


def test_what_only_the_vendor_knows_is_left_for_the_connector() -> None:
    assert resolve({"v": "@latest", "b": "@last-published"}, some_facts()) == {"v": "@latest", "b": "@last-published"}


def test_an_instant_is_epoch_milliseconds() -> None:
    assert resolve("@instant:2021-12-13T00:00:00-08:00", some_facts()) == 1639382400000


def test_before_the_first_success_a_field_that_needs_one_is_left_out() -> None:
    request = {"filter": {"since": "@last-success.started-at", "kind": "all"}}

    assert resolve(request, some_facts(), first_run="full") == {"filter": {"kind": "all"}}


@pytest.mark.parametrize(
    ("symbol", "why"),
    [
        ("@last-success.started-at", "this pipeline has not published yet"),
        ("@scheduled-at", "it was not started by a schedule"),
        ("@upstream.data_version", "it was not started by a manifest"),
        ("@upstream.run_id", "it was not started by a manifest"),
    ],
)
def test_a_symbol_that_stands_for_nothing_is_refused_by_its_place(symbol: str, why: str) -> None:
    with pytest.raises(InvalidEventError, match=rf"request\.a\.b: {symbol} stands for nothing in this run: {why}"):
        resolve({"a": {"b": symbol}}, some_facts())


def a_load(*items: tuple[str, str | None], to: str | None) -> LoadManifest:
    known: dict[str, Any] = {
        "run_id": "r",
        "watermark": Watermark(to=to),
        "items": [
            LoadItem(tenant=tenant, outcome=Outcome.SUCCEEDED if version else Outcome.FAILED, data_version=version)
            for tenant, version in items
        ],
    }
    return LoadManifest.model_construct(**known)


@pytest.mark.parametrize(("tenant", "version"), [("c7o", "7"), (None, "7")])
def test_the_version_that_a_load_made_is_the_tenants_own(tenant: str | None, version: str) -> None:
    facts = Facts(started_at=NOON, upstream=a_load(("c7o", "7"), ("e1a", None), to="7"), tenant=tenant)

    assert resolve("@upstream.data_version", facts) == version


def test_a_tenant_is_never_given_the_version_of_another() -> None:
    facts = Facts(started_at=NOON, upstream=a_load(("c7o", "7"), ("e1a", None), to="7"), tenant="e1a")

    with pytest.raises(InvalidEventError, match="stands for nothing"):
        resolve("@upstream.data_version", facts)
