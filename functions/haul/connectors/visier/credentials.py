"""What a Visier connection's secret holds, and what is wrong with it if something is: the field, never its value."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from haul.credentials import host_of, wrong_url
from haul.errors import InvalidSecretError

_NEEDED = ("username", "password", "api_key")
_KNOWN = (*_NEEDED, "base_url", "vanity_name", "client_id", "client_secret", "redirect_uri")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST = ".api.visier.io"


@dataclass(frozen=True)
class Credentials:
    """A secret that can be right."""

    base_url: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    api_key: str = field(repr=False)
    vanity_name: str | None = None
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str | None = field(default=None, repr=False)

    @property
    def account(self) -> str:
        """The vanity name; of a base URL that shows none, the host, with the port if it is an unusual one."""
        url = urlsplit(self.base_url)
        host = (url.hostname or "").lower()
        port = f"_{url.port}" if url.port else ""
        return (self.vanity_name or host.removesuffix(_HOST) + port).lower()

    @property
    def host(self) -> str:
        """Name and port that the credentials may be sent to."""
        return host_of(self.base_url)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value for value in (self.password, self.api_key, self.client_secret) if value)


def read(secret: Mapping[str, Any]) -> Credentials:
    """Check a secret.

    Raises:
        InvalidSecretError: every problem in one message.
    """
    values = {name: value for name, value in secret.items() if value is not None}
    problems = [_unknown(name) for name in values if name not in _KNOWN]
    problems += [f"{name}: missing" for name in _NEEDED if name not in values]
    problems += [
        f"{name}: must be text, and not empty"
        for name in _KNOWN
        if name in values and not (isinstance(values[name], str) and values[name].strip())
    ]
    if not problems:
        problems = _wrong(values)
    if problems:
        raise InvalidSecretError(f"the connection's secret: {'; '.join(problems)}")
    base_url = values.pop("base_url", None) or f"https://{values['vanity_name']}{_HOST}"
    return Credentials(base_url=base_url.rstrip("/"), **values)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.6)
    return f"{name}: unknown field" + (f"; did you mean {close[0]}?" if close else f"; known: {', '.join(_KNOWN)}")


def _wrong(values: Mapping[str, str]) -> list[str]:
    problems = []
    if "base_url" not in values and "vanity_name" not in values:
        problems.append("base_url or vanity_name: one of the two is needed")
    if "base_url" in values and (wrong := wrong_url(values["base_url"], example="https://<vanity_name>.api.visier.io")):
        problems.append(f"base_url: {wrong}")
    if "vanity_name" in values and not _LABEL.fullmatch(values["vanity_name"]):
        problems.append("vanity_name: letters, digits and dashes only, as in https://<vanity_name>.api.visier.io")
    if not re.fullmatch(r"[!-~]+", values["api_key"]):
        problems.append("api_key: holds a space, a line end or another character that no HTTP header takes")
    if ("client_id" in values) != ("client_secret" in values):
        problems.append("client_id, client_secret: OAuth needs both")
    if "redirect_uri" in values and "client_id" not in values:
        problems.append("redirect_uri: means something only with client_id and client_secret")
    return problems
