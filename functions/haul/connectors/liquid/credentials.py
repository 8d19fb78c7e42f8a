"""What a LiquidAnalytics connection's secret holds, and what is wrong with it if something is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from haul.credentials import host_of, problems, wrong_url
from haul.errors import InvalidSecretError

_FIELDS = ("base_url", "client_id", "client_secret", "username", "password", "community")


@dataclass(frozen=True)
class Credentials:
    """A secret that can be right."""

    base_url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    community: str

    @property
    def account(self) -> str:
        """Community and host, with the port if it is an unusual one."""
        url = urlsplit(self.base_url)
        return f"{self.community}@{(url.hostname or '').lower()}{f'_{url.port}' if url.port else ''}"

    @property
    def host(self) -> str:
        """Name and port that the credentials may be sent to."""
        return host_of(self.base_url)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.password, self.client_secret


def read(secret: Mapping[str, Any]) -> Credentials:
    """Check a secret.

    Raises:
        InvalidSecretError: every problem in one message.
    """
    found = problems(secret, needed=_FIELDS, known=_FIELDS)
    if not found:
        if wrong := wrong_url(secret["base_url"], example="https://acme.example.com"):
            found.append(f"base_url: {wrong}")
        if re.search(r"[\s=]", secret["community"]):
            found.append("community: holds a space or =, which the login's scope has no place for")
    if found:
        raise InvalidSecretError(f"the connection's secret: {'; '.join(found)}")
    return Credentials(**{**secret, "base_url": secret["base_url"].rstrip("/")})
