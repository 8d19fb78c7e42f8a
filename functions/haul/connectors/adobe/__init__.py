"""Adobe Experience Platform: segment export jobs, and the download of what they wrote to their dataset."""

from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.adobe.client import AdobeClient
from haul.connectors.adobe.connector import AdobeConnector
from haul.models.base import parse
from haul.models.vendors.adobe import SegmentExportOptions
from haul.ports import Connector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    chosen = parse(SegmentExportOptions, dict(options), at="options")
    return AdobeConnector(AdobeClient(secret), chosen)
