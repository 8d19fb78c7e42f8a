"""Visier: data version exports, API v1alpha, the jobs that load data, and what is answered at once.

Alpha means that Visier may change it without notice: what does not fit its contract is an error that says so.
"""

import re
from collections.abc import Mapping
from typing import Any

from haul.connectors import SecretSource
from haul.connectors.visier.calls import MAY_WRITE, VisierCalls
from haul.connectors.visier.client import VisierClient
from haul.connectors.visier.connector import VisierConnector
from haul.errors import InvalidEventError
from haul.models.base import nearest, parse
from haul.models.vendors.visier import ACTIONS, DvExportOptions
from haul.ports import Connector, LoadConnector


def connect(secret: SecretSource, options: Mapping[str, Any]) -> Connector:
    """Check secret and options; nothing is sent before it is needed."""
    chosen = parse(DvExportOptions, dict(options), at="options")
    if chosen.target_tenant and not re.fullmatch(r"[!-~]+", chosen.target_tenant):
        raise InvalidEventError("options.target_tenant: a tenant code such as WFF_j1r~c7o, without spaces")
    may_write = VisierCalls(secret, target_tenant=chosen.target_tenant, scope=MAY_WRITE)
    return VisierConnector(VisierClient(secret, target_tenant=chosen.target_tenant), chosen, managing=may_write)


def connect_load(action: str, secret: SecretSource, options: Mapping[str, Any]) -> LoadConnector:
    """Check action, secret and options; nothing is sent before it is needed."""
    from haul.connectors.visier.jobs_client import JobsClient  # noqa: PLC0415 - exports start without them
    from haul.connectors.visier.loads import VisierLoadConnector  # noqa: PLC0415
    from haul.models.vendors.visier.loads import LoadOptions  # noqa: PLC0415

    loads = {name: known for name, known in ACTIONS.items() if known.kind == "load"}
    if action not in loads:
        raise InvalidEventError(f'action: "{action}" is no load of visier{nearest(action, loads)}')
    chosen = parse(loads[action].options, dict(options), at="options")
    if not isinstance(chosen, LoadOptions):
        raise TypeError(f"the options of {action} are not those of a load")
    calls = VisierCalls(secret, target_tenant=chosen.target_tenant, scope=MAY_WRITE)
    return VisierLoadConnector(action, JobsClient(calls), chosen)
