"""Who is in the demo sandbox: profiles that are nobody's, the same ones each time.

Every segment that anybody names is there: who belongs to it follows from its id. Of a hundred profiles some twelve
have it `realized`, twenty-eight `existing`, ten `exited`.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.vendors.adobe.parquet import Node, list_of, map_of

_FIRST_INGESTED = datetime(2025, 9, 1, tzinfo=UTC)
_FIRST_QUALIFIED = datetime(2025, 11, 1, tzinfo=UTC)
_EVENTS_ONLY = 40  # every so many have events and no attributes
_CITIES = (("Leeds", "GB"), ("Nantes", "FR"), ("Graz", "AT"), ("Porto", "PT"), ("Oulu", "FI"), ("Łódź", "PL"))
_DEFAULT_STATUS = ("realized", "existing")

SCHEMA = (
    Node("_id"),
    map_of("identityMap", list_of("value", Node("id"), Node("primary"))),
    list_of("identities", Node("id"), Node("namespace")),
    Node("personalEmail", (Node("address"),)),
    Node("homeAddress", (Node("city"), Node("countryCode"))),
    map_of("segmentMembership", map_of("value", Node("value", (Node("lastQualificationTime"), Node("status"))))),
)


@dataclass(frozen=True)
class Segment:
    """A segment of a request, with its defaults filled in."""

    id: str
    namespace: str = "ups"
    status: tuple[str, ...] = _DEFAULT_STATUS

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Segment":
        namespace, status = given.get("segmentNs") or "ups", tuple(given.get("status") or _DEFAULT_STATUS)
        return cls(str(given["segmentId"]), namespace, status)


def segments_of(request: Mapping[str, Any]) -> list[Segment]:
    return [Segment.of(given) for given in _filter(request).get("segments") or []]


def projected(fields: str) -> tuple[Node, ...]:
    """The columns that dotted names ask for: all if blank, and never none."""
    asked = [name.strip() for name in fields.split(",") if name.strip()]
    if not asked:
        return SCHEMA
    return tuple(node for column in SCHEMA if (node := _pruned(column, asked))) or SCHEMA[:1]


def _pruned(node: Node, asked: Sequence[str]) -> Node | None:
    deeper = [name.removeprefix(f"{node.name}.") for name in asked if name.startswith(f"{node.name}.")]
    if node.name in asked or (deeper and node.annotation):
        return node
    kept = tuple(child for child in node.children if child.name in deeper)
    return Node(node.name, kept, node.repetition) if kept else None


def selected(
    request: Mapping[str, Any], segments: Sequence[Segment], ingested: Sequence[datetime]
) -> Iterator[dict[str, Any]]:
    """The rows that a request wants of the profiles that came in at these times: those in any of `segments`, or all."""
    wanted = _filter(request)
    after = _time(wanted.get("fromIngestTimestamp"))
    qualified = wanted.get("segmentQualificationTime") or {}
    earliest, latest = _time(qualified.get("startTime")), _time(qualified.get("endTime"))
    for number, at in enumerate(ingested):
        if (after and at <= after) or (_has_events_alone(number) and not wanted.get("emptyProfiles")):
            continue
        memberships = [_membership(number, segment.id) for segment in segments]
        fits = [
            status in segment.status and (not earliest or earliest <= since) and (not latest or since < latest)
            for segment, (status, since) in zip(segments, memberships, strict=True)
        ]
        if any(fits) or not segments:
            yield _profile(number, segments)


def first_ingested(profiles: int) -> list[datetime]:
    """When the first so many profiles came in: one an hour."""
    return [_FIRST_INGESTED + timedelta(hours=number) for number in range(profiles)]


def _filter(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.get("filter") or {}
    return found


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _has_events_alone(number: int) -> bool:
    return number % _EVENTS_ONLY == _EVENTS_ONLY - 1


def _membership(number: int, segment_id: str) -> tuple[str, datetime]:
    """What a profile is to a segment (nothing for half of them), and since when."""
    drawn = zlib.crc32(f"{segment_id}/{number}".encode())
    share = drawn % 100
    status = "realized" if share < 12 else "existing" if share < 40 else "exited" if share < 50 else ""
    return status, _FIRST_QUALIFIED + timedelta(hours=drawn // 100 % 5000)


def _profile(number: int, segments: Iterable[Segment]) -> dict[str, Any]:
    ecid = str(31_415_926_535_897_932_384_626_433_832_795_028_841 + number * 1_000_003)
    row: dict[str, Any] = {
        "_id": f"ECID-{ecid}",
        "identityMap": {"ECID": [{"id": ecid, "primary": "true"}]},
        "identities": [{"id": ecid, "namespace": "ECID"}],
    }
    if _has_events_alone(number):
        return row
    address = f"profile-{number:06}@example.com"
    city, country = _CITIES[number % len(_CITIES)]
    row["identityMap"]["Email"] = [{"id": address, "primary": "false"}]
    row["personalEmail"] = {"address": address}
    row["homeAddress"] = {"city": city, "countryCode": country}
    memberships: dict[str, dict[str, Any]] = {}
    for segment in segments:
        status, since = _membership(number, segment.id)
        if status:
            about = {"lastQualificationTime": since.isoformat(), "status": status}
            memberships.setdefault(segment.namespace, {})[segment.id] = about
    row["segmentMembership"] = memberships
    return row
