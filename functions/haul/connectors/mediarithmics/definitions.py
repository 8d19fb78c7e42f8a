"""Which export definition runs a query: mediarithmics has a name for an export and none for its query.

An export is a name and the id of a query, and what that query says can be edited. So an export is only taken for ours
if its query says now what the request says, to the letter but for white space around it; whatever cannot be compared
is another query.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from haul.connectors.mediarithmics.client import MediarithmicsClient
from haul.connectors.mediarithmics.replies import Export, Query


@dataclass(frozen=True)
class Definitions:
    """The exports of a request's name: with its query (newest first), with another, with who knows which."""

    ours: list[Export] = field(default_factory=list)
    others: list[Export] = field(default_factory=list)
    unreadable: list[Export] = field(default_factory=list)


def named(client: MediarithmicsClient, request: Mapping[str, Any]) -> Definitions:
    """Sort every export of the request's name by its query."""
    found = Definitions()
    for export in _of_that_name(client.exports(request["organisation_id"]), request["export"]["name"]):
        query = client.query(export.datamart_id or request["datamart_id"], export.query_id)
        if query is None:
            found.unreadable.append(export)
        elif _is_same(export, query, request):
            found.ours.append(export)
        else:
            found.others.append(export)
    found.ours.sort(key=lambda export: (len(export.id), export.id), reverse=True)
    return found


def create(client: MediarithmicsClient, request: Mapping[str, Any]) -> Export:
    """Make a query and an export of it."""
    query = request["query"]
    made = client.create_query(request["datamart_id"], query["query_language"], query["query_text"])
    return client.create_export(request["organisation_id"], request["export"], made.id)


def _of_that_name(exports: Iterable[Export], name: str) -> list[Export]:
    return [export for export in exports if export.name == name]


def _is_same(export: Export, query: Query, request: Mapping[str, Any]) -> bool:
    wanted = request["query"]
    return (
        (export.datamart_id or query.datamart_id) == request["datamart_id"]
        and export.output_format.upper() == request["export"]["output_format"]
        and query.query_language == wanted["query_language"]
        and _bare(query.query_text) == _bare(wanted["query_text"])
    )


def _bare(text: str) -> str:
    return text.replace("\r\n", "\n").strip()
