"""Telling an error page or message that came with a 200 in place of a file.

No list of a vendor's own errors: what HTML, XML and JSON errors have in common is enough, and the formats
themselves refuse the rest.
"""

import json
import re
from typing import Any

PAGE_BYTES = 64 << 10
"""How much of a file is looked at. Longer messages have not been seen, and are still no file of any format."""

_BOM = b"\xef\xbb\xbf"
_MARKUP = re.compile(rb"(?:%b)?\s*<[!?/a-zA-Z]" % _BOM)
_MARKUP_OR_JSON = re.compile(rb"(?:%b)?\s*(?:<[!?/a-zA-Z]|[{\[])" % _BOM)

# As they are without case, dash and underscore.
_ERRORS = {"error", "errors", "errorcode", "errordescription", "errorid", "errormessage", "exception", "fault"}
_STATUSES = {"code", "status", "statuscode"}
_TEXTS = {"description", "detail", "details", "message", "msg", "reason", "title"}
_ASIDES = {"instance", "path", "requestid", "success", "timestamp", "traceid", "type"}


def is_markup(start: bytes) -> bool:
    """HTML or XML."""
    return bool(_MARKUP.match(start))


def is_markup_or_json(start: bytes) -> bool:
    return bool(_MARKUP_OR_JSON.match(start))


def is_message(start: bytes) -> bool:
    """Whether a file that should be something else is one JSON object about an error, whatever else it holds."""
    message = _only_object(start)
    return bool(message) and (_tells_an_error(message) or message.keys() <= _STATUSES | _TEXTS | _ASIDES)


def is_nothing_but_message(start: bytes) -> bool:
    """Whether what could be a file with one row is more likely an error: it says so and has no other field."""
    message = _only_object(start)
    return _tells_an_error(message) and message.keys() <= _ERRORS | _STATUSES | _TEXTS | _ASIDES


def _only_object(start: bytes) -> dict[str, Any]:
    """The one object that `start` consists of, alone or in a list; empty for anything else."""
    if len(start) > PAGE_BYTES:
        return {}
    try:
        value = json.loads(start)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return {}
    return {re.sub("[-_]", "", name).lower(): held for name, held in value.items()}


def _tells_an_error(message: dict[str, Any]) -> bool:
    if any(message.get(name) for name in _ERRORS):
        return True
    # A status alone may be the one column of a row.
    statuses = [message[name] for name in _STATUSES & message.keys()]
    return bool(_TEXTS & message.keys()) and any(map(_is_failure, statuses))


def _is_failure(status: object) -> bool:
    if isinstance(status, str):
        return status.lower() in {"error", "fail", "failed", "failure"}
    return isinstance(status, int) and 400 <= status < 600
