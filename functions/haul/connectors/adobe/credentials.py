"""What an Adobe connection's secret holds, and what is wrong with it if something is: the field, never its value."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from haul.credentials import host_of, wrong_url
from haul.errors import InvalidSecretError

PLATFORM = "https://platform.adobe.io"
IMS = "https://ims-na1.adobelogin.com"
_NEEDED = ("client_id", "client_secret", "org_id", "sandbox", "scopes")
_KNOWN = (*_NEEDED, "base_url", "ims_url")
_SENT_AS_HEADERS = ("client_id", "org_id", "sandbox")


@dataclass(frozen=True)
class Credentials:
    """A secret that can be right."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    org_id: str
    sandbox: str
    scopes: str
    base_url: str = PLATFORM
    ims_url: str = IMS

    @property
    def account(self) -> str:
        """Whose jobs these are: a sandbox shows its own alone."""
        return f"{self.org_id}.{self.sandbox}"

    @property
    def host(self) -> str:
        """Name and port that the token may be sent to."""
        return host_of(self.base_url)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.client_secret, self.client_id


def read(secret: Mapping[str, Any]) -> Credentials:
    """Check a secret. An organisation may be written without its `@AdobeOrg`.

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
    org_id = values.pop("org_id")
    urls = {name: values.pop(name).rstrip("/") for name in ("base_url", "ims_url") if name in values}
    return Credentials(org_id=org_id if "@" in org_id else f"{org_id}@AdobeOrg", **values, **urls)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.6)
    return f"{name}: unknown field" + (f"; did you mean {close[0]}?" if close else f"; known: {', '.join(_KNOWN)}")


def _wrong(values: Mapping[str, str]) -> list[str]:
    problems = [
        f"{name}: holds a space, a line end or another character that no HTTP header takes"
        for name in _SENT_AS_HEADERS
        if not re.fullmatch(r"[!-~]+", values[name])
    ]
    problems += [
        f"{name}: {wrong}"
        for name, example in (("base_url", PLATFORM), ("ims_url", IMS))
        if name in values and (wrong := wrong_url(values[name], example=example))
    ]
    return problems
