"""Vendors, found by their names: a module or package in here is a vendor, and nothing else is.

A vendor has `connect(secret, options)` for its exports and `connect_load(action, secret, options)` for its loads, if it
has any. It is imported when it is first asked for, so a cold start pays for one.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol

from haul.errors import InvalidEventError
from haul.ports import Connector, LoadConnector


class SecretSource(Protocol):
    """A connection's secret."""

    def current(self) -> Mapping[str, Any]:
        """The secret as last read: costs nothing after the first time."""
        ...

    def fresh(self) -> Mapping[str, Any]:
        """The secret read anew, for when the vendor refuses what it holds."""
        ...


def names() -> list[str]:
    """Every vendor that there is a connector for."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def connect(vendor: str, secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Make the vendor's connector. It logs in when it has to, and keeps its login: keep it as long as the process.

    Raises:
        InvalidEventError: there is no such vendor, or it takes other options.
        InvalidSecretError: the secret lacks a field, has one too many, or one that cannot be right.
    """
    connector: Connector = _module(vendor).connect(secret, options)
    return connector


def connect_load(vendor: str, action: str, secret: SecretSource, options: Mapping[str, Any]) -> LoadConnector:
    """Make the connector of one of the vendor's load actions, under the rules of `connect`.

    Raises:
        InvalidEventError: there is no such vendor or load, or it takes other options.
        InvalidSecretError: the secret lacks a field, has one too many, or one that cannot be right.
    """
    module = _module(vendor)
    if not hasattr(module, "connect_load"):
        raise InvalidEventError(f"vendor: {vendor} has no loads")
    connector: LoadConnector = module.connect_load(action, secret, options)
    return connector


def _module(vendor: str) -> Any:
    if vendor not in names():
        raise InvalidEventError(f'vendor: "{vendor}" is unknown; known: {", ".join(names())}')
    return importlib.import_module(f"{__name__}.{vendor}")
