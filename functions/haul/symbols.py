"""Resolving the symbols that no vendor has to be asked for; `haul.models.symbols` lists them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from haul.errors import InvalidEventError
from haul.models.base import iso
from haul.models.manifest import ExportManifest, LoadManifest
from haul.models.symbols import instant, is_symbol

_VENDORS_OWN = frozenset({"@latest", "@last-published"})


@dataclass(frozen=True)
class Facts:
    """What symbols stand for in one run; `tenant` is the one acted for, where it is not the account's own."""

    started_at: datetime
    scheduled_at: datetime | None = None
    last_success_started_at: datetime | None = None
    upstream: ExportManifest | LoadManifest | None = None
    tenant: str | None = None


def resolve(value: Any, facts: Facts, *, first_run: str = "fail", at: str = "request") -> Any:
    """Replace every symbol but those that only the connector can answer; escapes stay for the connector's turn.

    Before the first success, `first_run` is either `full`, and a field that would hold `@last-success.started-at` is
    left out, or `fail`.

    Raises:
        InvalidEventError: the symbol stands for nothing in this run.
    """
    if isinstance(value, Mapping):
        dropped = first_run == "full" and facts.last_success_started_at is None
        return {
            name: resolve(inner, facts, first_run=first_run, at=f"{at}.{name}")
            for name, inner in value.items()
            if not (dropped and inner == "@last-success.started-at")
        }
    if isinstance(value, list):
        return [resolve(inner, facts, first_run=first_run, at=f"{at}[{index}]") for index, inner in enumerate(value)]
    if not is_symbol(value) or value in _VENDORS_OWN:
        return value
    found = _fact(value, facts)
    if found is None:
        raise InvalidEventError(f"{at}: {value} stands for nothing in this run{_why(value)}")
    return found


def _fact(symbol: str, facts: Facts) -> str | int | None:
    if symbol.startswith("@instant:"):
        return instant(symbol)
    upstream = facts.upstream
    times = {
        "@started-at": facts.started_at,
        "@scheduled-at": facts.scheduled_at,
        "@last-success.started-at": facts.last_success_started_at,
    }
    if symbol in times:
        at = times[symbol]
        return iso(at) if at else None
    return (
        {
            "@upstream.run_id": upstream.run_id,
            "@upstream.data_version": _version(upstream, facts.tenant),
            "@upstream.base_data_version": upstream.watermark.from_,
        }[symbol]
        if upstream
        else None
    )


def _version(upstream: ExportManifest | LoadManifest, tenant: str | None) -> str | None:
    """The version that the upstream run published; of a load for many tenants the one that it made for `tenant`."""
    if isinstance(upstream, LoadManifest) and tenant and any(item.tenant for item in upstream.items):
        return next((item.data_version for item in upstream.items if item.tenant == tenant), None)
    return upstream.watermark.to


def _why(symbol: str) -> str:
    if symbol.startswith("@upstream."):
        return ": it was not started by a manifest that has it"
    if symbol == "@scheduled-at":
        return ": it was not started by a schedule (trigger.scheduled_at is missing)"
    return ": this pipeline has not published yet"
