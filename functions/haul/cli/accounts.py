"""Which accounts the deployed pipelines use: a connection is one for each tenant that one of them acts for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from haul.cli.deployment import Deployment
from haul.models import vendors


@dataclass(frozen=True)
class Account:
    """A connection, with the vendor and the options of a pipeline that uses it."""

    connection: str
    vendor: str
    options: Mapping[str, Any]
    pipelines: tuple[str, ...] = ()

    @property
    def tenant(self) -> str | None:
        """The tenant that is acted for; None for the connection's own."""
        return self.options.get("target_tenant")


def used(deployment: Deployment) -> list[Account]:
    """Every account of a deployed pipeline, once."""
    found: dict[tuple[str, str, str | None], Account] = {}
    for name, record in deployment.pipelines().items():
        event = record.event
        account = Account(event["connection"], event["vendor"], vendors.options_of_account(event), (name,))
        key = (account.connection, account.vendor, account.tenant)
        if key in found:
            account = replace(account, pipelines=(*found[key].pipelines, name))
        found[key] = account
    return list(found.values())
