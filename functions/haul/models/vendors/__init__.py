"""What each vendor's actions take: one module per vendor, found by its name.

A module has `ACTIONS`, name of the action to its `Action`, and `SECRET`, the fields of a connection's secret. Nothing
else names a vendor here, so a new vendor is a new module.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from haul.errors import InvalidEventError
from haul.models.base import Written, nearest, parse
from haul.models.event import Event


@dataclass(frozen=True)
class Action:
    """One thing a vendor does for us, and the schemas of what people write about it.

    `takes_source` is whether a load sends an object, or a dataset of a manifest, to the vendor.
    """

    kind: Literal["export", "load"]
    request: type[Written]
    options: type[Written]
    takes_source: bool = False


@dataclass(frozen=True)
class SecretField:
    """A field of a connection's secret. `hidden` is one that is typed without being shown."""

    name: str
    about: str
    needed: bool = False
    hidden: bool = False


def names() -> list[str]:
    """Every vendor that has a module here."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def actions(vendor: str) -> dict[str, Action]:
    """What `vendor` can do.

    Raises:
        InvalidEventError: there is no such vendor.
    """
    found: dict[str, Action] = _module(vendor).ACTIONS
    return found


def secret_fields(vendor: str) -> tuple[SecretField, ...]:
    """What a connection to `vendor` is made of.

    Raises:
        InvalidEventError: there is no such vendor.
    """
    found: tuple[SecretField, ...] = _module(vendor).SECRET
    return found


def _module(vendor: str) -> Any:
    if vendor not in names():
        raise InvalidEventError(f'vendor: "{vendor}" is unknown{nearest(vendor, names())}')
    return importlib.import_module(f"{__name__}.{vendor}")


def action_of(event: Event) -> Action:
    """Look up what the event asks for.

    Raises:
        InvalidEventError: the vendor is unknown, or has no such action.
    """
    known = actions(event.vendor)
    if event.action not in known:
        raise InvalidEventError(f'action: "{event.action}" is unknown to {event.vendor}{nearest(event.action, known)}')
    return known[event.action]


def kind_of(event: Mapping[str, Any]) -> Literal["export", "load"]:
    """Whose flow an event is; one that does not name a known action is the export flow's to refuse."""
    vendor, action = event.get("vendor"), event.get("action")
    known = actions(vendor) if isinstance(vendor, str) and vendor in names() else {}
    return known[action].kind if action in known else "export"


def checked(event: Event, *, at: str = "") -> Event:
    """Validate `request` and `options` by the action's own schemas and fill in their defaults.

    `at` is where the event itself stands, for the messages.

    Raises:
        InvalidEventError: naming each wrong field, its value and what is allowed.
    """
    action = action_of(event)
    request = parse(action.request, event.request, at=f"{at}.request" if at else "request")
    options = parse(action.options, event.options, at=f"{at}.options" if at else "options")
    return event.model_copy(update={"request": _dump(request), "options": _dump(options, whole=True)})


def _dump(model: BaseModel, *, whole: bool = False) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=not whole)
