"""Which jobs a request means: made ready to send, and recognised in Adobe's list. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from haul.errors import InvalidEventError
from haul.models.base import parse
from haul.models.symbols import unescaped
from haul.models.vendors.adobe import SegmentExportOptions, SegmentExportRequest, all_profiles
from haul.models.work import Watermark
from haul.ports import Prepared

_COMPARED = ("fields", "mergePolicy", "filter", "additionalFields", "destination", "schema", "evaluationInfo")
_DEFAULTS: Mapping[str, Any] = {
    "fields": "",
    "segmentNs": "ups",
    "status": ["existing", "realized"],
    "emptyProfiles": False,
    "segmentPerBatch": False,
    "segmentation": False,
}
_TIMES = frozenset({"fromIngestTimestamp", "toIngestTimestamp", "startTime", "endTime"})
_TELLING = frozenset({"segments", "segmentQualificationTime", "eventList", "filter", *_TIMES, *_DEFAULTS})
"""Fields that make a job another one, should they be shown without having been asked for."""


def prepare(request: Mapping[str, Any], *, whole_store: bool) -> Prepared:
    """Make a request ready to send. What was dropped from a first run may leave nothing: such a part goes too.

    Raises:
        InvalidEventError: it is wrong, or means every profile there is without saying so.
    """
    filled = _filled(request)
    checked = parse(SegmentExportRequest, filled, at="request")
    wanted = checked.filter
    if wrong := all_profiles(checked, SegmentExportOptions(whole_store=whole_store)):
        raise InvalidEventError(wrong)
    since = wanted.fromIngestTimestamp if wanted else None
    return Prepared(request=_plain(filled), is_delta=since is not None, watermark=Watermark(from_=since))


def same(request: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Tell whether a job, as Adobe shows it, is one of this request.

    Adobe shows a request with its defaults filled in. A whole part that it does not show cannot tell against the job.
    """
    destination = job.get("destination")
    shown = destination if isinstance(destination, Mapping) else {}
    if (shown.get("datasetId") or shown.get("dataSetId")) != request["destination"]["datasetId"]:
        return False
    return all(_agree(request.get(name), job[name], name) for name in _COMPARED if job.get(name) is not None)


def _agree(asked: Any, shown: Any, name: str) -> bool:
    if name == "segments":
        return _segments(asked) == _segments(shown)
    if not (isinstance(asked, Mapping) or isinstance(shown, Mapping)):
        return bool(_canonical(asked, name) == _canonical(shown, name))
    ours, theirs = (value if isinstance(value, Mapping) else {} for value in (asked, shown))
    names = {*ours, *(each for each in theirs if each in _TELLING)} - {"datasetId"}
    return all(_agree(ours.get(each), theirs.get(each), each) for each in names)


def _segments(value: Any) -> list[tuple[Any, ...]]:
    listed = value if isinstance(value, list) else []
    found = [
        (str(each.get("segmentId")), *(_canonical(each.get(name), name) for name in ("segmentNs", "status")))
        for each in listed
        if isinstance(each, Mapping)
    ]
    return sorted(found, key=repr)


def _canonical(value: Any, name: str) -> Any:
    """One spelling of what means the same."""
    if value in (None, ""):
        value = _DEFAULTS.get(name)
    if name == "status":
        return sorted(value if isinstance(value, list) else str(value).split(","))
    if name == "fields":
        return sorted(part.strip() for part in str(value).split(",") if part.strip())
    try:
        return datetime.fromisoformat(value) if name in _TIMES and value else value
    except (TypeError, ValueError):
        return value


def _filled(value: Any) -> Any:
    """Take out the maps that hold nothing, at any depth."""
    if not isinstance(value, Mapping):
        return value
    kept = {name: _filled(inner) for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if not (isinstance(inner, Mapping) and not inner)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return unescaped(value) if isinstance(value, str) else value
