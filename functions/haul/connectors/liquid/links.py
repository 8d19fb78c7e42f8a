"""Where a finished job's files are. A link is a capability: it is found here, used at once, and shown to nobody.

Which field of a reply carries links is not published, so they are looked for in each that may.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

FIELDS = ("links", "downloadLinks", "urls", "files")
_INSIDE = ("href", "url")
_URL = re.compile(r"https?://[^\s<>\"'\\]+", re.IGNORECASE)
_LINK = re.compile(r"\s*(https?://|/)", re.IGNORECASE)
_AFTER_A_URL = ".,;:!?)]}"
_REMOVED = "(a link, not kept)"


def found(document: Mapping[str, Any], base_url: str) -> list[str]:
    """The links of a reply, in its order: of the first field that has any, else those in the text of `reason`."""
    for name in FIELDS:
        if links := [urljoin(f"{base_url}/", link) for link in _links(document.get(name))]:
            return list(dict.fromkeys(links))
    in_text = [link.rstrip(_AFTER_A_URL) for link in _URL.findall(str(document.get("reason") or ""))]
    return list(dict.fromkeys(in_text))


def removed(text: str) -> str:
    """A text without the links in it."""
    return _URL.sub(_REMOVED, text)


def without(value: Any) -> Any:
    """A document without links, at any depth."""
    match value:
        case str():
            return removed(value)
        case Mapping():
            return {
                name: [_REMOVED for _ in held] if name in FIELDS and (held := _links(inner)) else without(inner)
                for name, inner in value.items()
            }
        case list():
            return [without(inner) for inner in value]
        case _:
            return value


def _links(value: Any) -> list[str]:
    """Links as strings, or as objects that hold one."""
    many: Sequence[Any] = value if isinstance(value, list) else [value]
    held = (
        next((each[name] for name in _INSIDE if each.get(name)), None) if isinstance(each, Mapping) else each
        for each in many
    )
    return [link.strip() for link in held if isinstance(link, str) and _LINK.match(link)]
