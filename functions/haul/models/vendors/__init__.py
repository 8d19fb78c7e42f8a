"""What each vendor's actions take: one module per vendor, found by its name.

A module has `TITLE`, what the vendor calls itself, `ACTIONS`, name of the action to its `Action`, `OPERATIONS`, name of
the operation to its `OperationKind`, and `SECRET`, the fields of a connection's secret. A vendor with much of it is a
package, whose module `operations` is imported when operations are asked for. Nothing else names a vendor here, so a
new vendor is a new module.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from haul.errors import InvalidEventError
from haul.models.base import Written, nearest, parse
from haul.models.event import Event
from haul.models.symbols import FILE, symbols_in


@dataclass(frozen=True)
class Action:
    """One thing a vendor does for us, and the schemas of what people write about it.

    `takes_source` is whether a load sends an object, or a dataset of a manifest, to the vendor. `refuses` says why a
    request and options that are right by themselves are not so together; it is given both as models.
    """

    kind: Literal["export", "load"]
    request: type[Written]
    options: type[Written]
    takes_source: bool = False
    refuses: Callable[[Any, Any], str | None] = lambda _request, _options: None


class NoParameters(Written):
    """Parameters of an operation that takes none."""


@dataclass(frozen=True)
class OperationKind:
    """A vendor call that answers at once, as everybody may know it: flow, command line and schema.

    Attributes:
        summary: what it answers or does, for a list.
        parameters: the schema of what people write about it.
        changes: it changes something at the vendor, so it is shown before, asked about, and never repeated blindly.
        handles_credentials: it makes, removes or assigns credentials that the vendor keeps: a function of its own runs
            it, where the environment has that function at all.
    """

    summary: str
    parameters: type[Written] = NoParameters
    changes: bool = False
    handles_credentials: bool = False


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


def title(vendor: str) -> str:
    """What a vendor calls itself, for people to read; a name that is no vendor's stays as it is."""
    found: str = _module(vendor).TITLE if vendor in names() else vendor
    return found


def actions(vendor: str) -> dict[str, Action]:
    """What `vendor` can do.

    Raises:
        InvalidEventError: there is no such vendor.
    """
    found: dict[str, Action] = _module(vendor).ACTIONS
    return found


def operations(vendor: str) -> dict[str, OperationKind]:
    """What `vendor` answers at once.

    Raises:
        InvalidEventError: there is no such vendor.
    """
    module = _module(vendor)
    if not hasattr(module, "OPERATIONS") and hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.operations")
    found: dict[str, OperationKind] = getattr(module, "OPERATIONS", {})
    return found


def operation(vendor: str, name: str) -> OperationKind:
    """Look up an operation.

    Raises:
        InvalidEventError: the vendor is unknown, or has no such operation.
    """
    known = operations(vendor)
    if name not in known:
        raise InvalidEventError(f'operation: "{name}" is unknown to {vendor}{nearest(name, known)}')
    return known[name]


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
    action = _known_action(event)
    return action.kind if action else "export"


def options_of_account(event: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of an event by which its connector reads for the same account; an export's understands all."""
    options: dict[str, Any] = event.get("options", {})
    action = _known_action(event)
    exports = action is not None and action.kind == "export"
    return options if exports else {name: value for name, value in options.items() if name == "target_tenant"}


def _known_action(event: Mapping[str, Any]) -> Action | None:
    vendor, action = event.get("vendor"), event.get("action", "")
    return actions(vendor).get(action) if isinstance(vendor, str) and vendor in names() else None


def checked(event: Event, *, at: str = "") -> Event:
    """Validate `request` and `options` by the action's own schemas and fill in their defaults.

    `at` is where the event itself stands, for the messages.

    Raises:
        InvalidEventError: naming each wrong field, its value and what is allowed.
    """
    action = action_of(event)
    place = f"{at}.request" if at else "request"
    for field, symbol in symbols_in(event.request, place):
        if symbol.startswith(FILE):
            raise InvalidEventError(f"{field}: only a pipeline file names a file, an event is whole (found {symbol})")
    request = parse(action.request, event.request, at=place)
    options = parse(action.options, event.options, at=f"{at}.options" if at else "options")
    if wrong := action.refuses(request, options):
        raise InvalidEventError(f"{at}.{wrong}" if at else wrong)
    return event.model_copy(update={"request": _dump(request), "options": _dump(options, whole=True)})


def require_source(event: Event) -> None:
    """Be sure that an event which sends something says what.

    Raises:
        InvalidEventError: it does not.
    """
    if action_of(event).takes_source and event.source is None:
        raise InvalidEventError(f"source: missing; {event.action} sends an object, or a dataset of a manifest")


def _dump(model: BaseModel, *, whole: bool = False) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=not whole)
