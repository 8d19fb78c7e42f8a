"""LiquidAnalytics: batch exports of Liquid Decisions.

Little of this API is published, and that is old: what does not fit its contract is an error that says so.
"""

from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.liquid.client import LiquidClient
from haul.connectors.liquid.connector import LiquidConnector
from haul.models.base import parse
from haul.models.vendors.liquid import ExportOptions
from haul.ports import Connector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    return LiquidConnector(LiquidClient(secret), parse(ExportOptions, dict(options), at="options"))
