"""LiquidAnalytics: batch exports and imports of Liquid Decisions.

Little of this API is published, and that is old: what does not fit its contract is an error that says so.
"""

from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.liquid.client import LiquidClient
from haul.connectors.liquid.connector import LiquidConnector
from haul.connectors.liquid.imports import LiquidImports
from haul.errors import InvalidEventError
from haul.models.base import parse
from haul.models.vendors.liquid import ExportOptions, ImportOptions
from haul.ports import Connector, LoadConnector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    return LiquidConnector(LiquidClient(secret), parse(ExportOptions, dict(options), at="options"))


def connect_load(action: str, secret: SecretSource, options: Mapping[str, Any]) -> LoadConnector:
    """Check action, secret and options; nothing is sent before it is needed."""
    if action != "import":
        raise InvalidEventError(f'action: "{action}" is no load of LiquidAnalytics; there is import')
    return LiquidImports(LiquidClient(secret), parse(ImportOptions, dict(options), at="options"))
