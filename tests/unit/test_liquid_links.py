"""Links in whatever a job's status may look like, and what is left of it without them."""

from typing import Any

import pytest

from haul.connectors.liquid import links

BASE = "https://acme.example.com"
ONE, TWO = f"{BASE}/download/j/1?token=t0ps3cret-1", "https://files.example.com/2?token=t0ps3cret-2"


@pytest.mark.parametrize(
    ("document", "there"),
    [
        ({"links": [ONE, TWO]}, [ONE, TWO]),
        ({"links": [ONE, ONE]}, [ONE]),
        ({"links": f" {ONE} "}, [ONE]),
        ({"links": [{"href": ONE}, {"url": TWO, "size": 3}]}, [ONE, TWO]),
        ({"links": {"href": ONE}}, [ONE]),
        ({"links": [], "downloadLinks": None, "urls": [ONE]}, [ONE]),
        ({"urls": [TWO], "downloadLinks": [ONE]}, [ONE]),
        ({"files": [ONE], "reason": f"see {TWO}"}, [ONE]),
        ({"files": ["attendees.csv"], "reason": f"see {TWO}"}, [TWO]),
        ({"links": ["/download/j/1?token=t0ps3cret-1"]}, [ONE]),
        ({"reason": f"Done ({ONE}), and <{TWO}>."}, [ONE, TWO]),
        ({"reason": f'<a href="{ONE}">file</a>'}, [ONE]),
        ({"reason": None, "links": 3}, []),
        ({"reason": "Done"}, []),
        ({}, []),
    ],
)
def test_links_are_found_in_their_order(document: dict[str, Any], there: list[str]) -> None:
    assert links.found(document, BASE) == there


@pytest.mark.parametrize(
    ("document", "left"),
    [
        ({"links": [ONE, TWO], "status": "Completed"}, {"links": ["(a link, not kept)"] * 2, "status": "Completed"}),
        ({"links": ["/download/j/1?token=t0ps3cret-1"]}, {"links": ["(a link, not kept)"]}),
        ({"files": ["attendees.csv"]}, {"files": ["attendees.csv"]}),
        (
            {"result": [{"at": [ONE]}], "n": 3, "x": None},
            {"result": [{"at": ["(a link, not kept)"]}], "n": 3, "x": None},
        ),
        ({"reason": f"Done, see {ONE} now"}, {"reason": "Done, see (a link, not kept) now"}),
    ],
)
def test_a_document_is_kept_without_its_links(document: dict[str, Any], left: dict[str, Any]) -> None:
    assert links.without(document) == left
