"""mediarithmics: query exports, API v1."""

from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.mediarithmics.client import MediarithmicsClient
from haul.connectors.mediarithmics.connector import MediarithmicsConnector
from haul.models.base import parse
from haul.models.vendors.mediarithmics import QueryExportOptions
from haul.ports import Connector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    chosen = parse(QueryExportOptions, dict(options), at="options")
    return MediarithmicsConnector(MediarithmicsClient(secret), chosen)
