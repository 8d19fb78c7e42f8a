"""What a mediarithmics connection's secret holds, and what is wrong with it: the field, never its value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from haul.credentials import host_of, wrong_url
from haul.errors import InvalidSecretError
from haul.models.base import nearest

DEFAULT_BASE_URL = "https://api.mediarithmics.com"
_KNOWN = ("api_token", "email", "password", "base_url")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Credentials:
    """A secret that can be right: either a long-lived token, or an e-mail and a password to get temporary ones for."""

    base_url: str
    api_token: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def account(self) -> str:
        """The host, with the port if it is an unusual one."""
        url = urlsplit(self.base_url)
        return (url.hostname or "").lower() + (f"_{url.port}" if url.port else "")

    @property
    def host(self) -> str:
        """Name and port that the credentials may be sent to."""
        return host_of(self.base_url)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value for value in (self.api_token, self.password) if value)


def read(secret: Mapping[str, Any]) -> Credentials:
    """Check a secret.

    Raises:
        InvalidSecretError: every problem in one message.
    """
    values = {name: value for name, value in secret.items() if value is not None}
    problems = [f"{name}: unknown field{nearest(name, _KNOWN)}" for name in values if name not in _KNOWN]
    problems += [
        f"{name}: must be text, and not empty"
        for name in _KNOWN
        if name in values and not (isinstance(values[name], str) and values[name].strip())
    ]
    problems = problems or _wrong(values)
    if problems:
        raise InvalidSecretError(f"the connection's secret: {'; '.join(problems)}")
    base_url = values.pop("base_url", DEFAULT_BASE_URL)
    return Credentials(base_url=base_url.rstrip("/"), **values)


def _wrong(values: Mapping[str, str]) -> list[str]:
    problems = []
    login = [name for name in ("email", "password") if name in values]
    if "api_token" in values and login:
        problems.append(f"api_token: goes without {' and '.join(login)}; which of the two is it?")
    if "api_token" not in values and not login:
        problems.append("api_token: missing, and there are no email and password in its place")
    if len(login) == 1:
        problems.append("email, password: a login needs both")
    if "api_token" in values and not re.fullmatch(r"[!-~]+", values["api_token"]):
        problems.append(
            "api_token: holds a space, a line end or another character that no token has; it is sent without Bearer"
        )
    if "base_url" in values and (wrong := wrong_url(values["base_url"], example=DEFAULT_BASE_URL)):
        problems.append(f"base_url: {wrong}")
    return problems
