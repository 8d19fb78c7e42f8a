"""Visier: data version exports, API v1alpha, and what the platform answers at once.

Alpha means that Visier may change it without notice: what does not fit its contract is an error that says so.
"""

import re
from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.visier.client import VisierClient
from haul.connectors.visier.connector import VisierConnector
from haul.connectors.visier.management import SCOPE, VisierManagement
from haul.errors import InvalidEventError
from haul.models.base import parse
from haul.models.vendors.visier import DvExportOptions
from haul.ports import Connector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    chosen = parse(DvExportOptions, dict(options), at="options")
    if chosen.target_tenant and not re.fullmatch(r"[!-~]+", chosen.target_tenant):
        raise InvalidEventError("options.target_tenant: a tenant code such as WFF_j1r~c7o, without spaces")
    return VisierConnector(
        VisierClient(secret, target_tenant=chosen.target_tenant),
        chosen,
        management=VisierManagement(VisierClient(secret, target_tenant=chosen.target_tenant, scope=SCOPE)),
    )
