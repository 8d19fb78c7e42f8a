"""What every connection's secret has to get right: errors name a field, never its value."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def problems(secret: Mapping[str, Any], *, needed: Sequence[str], known: Collection[str]) -> list[str]:
    """Say which fields are missing, unknown, or no text. A field that is null is not there."""
    there = [name for name, value in secret.items() if value is not None]
    found = [_unknown(name, known) for name in there if name not in known]
    found += [f"{name}: missing" for name in needed if name not in there]
    found += [
        f"{name}: must be text, and not empty"
        for name in known
        if name in there and not (isinstance(secret[name], str) and secret[name].strip())
    ]
    return found


def wrong_url(base_url: str, *, example: str) -> str | None:
    """Say why an address cannot be a vendor's; None if it can."""
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError:
        return "cannot be read as a URL"
    if not url.hostname or re.search(r"[^!-~]", base_url):
        return f"must be a URL such as {example}"
    if url.username or url.password or url.query or url.fragment:
        return "must hold no user, password, query or fragment"
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
        return "must begin with https:// (http:// only for this machine itself)"
    return None


def host_of(url: str) -> str:
    """Name and port of a URL's host."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _unknown(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{name}: unknown field" + (f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}")
