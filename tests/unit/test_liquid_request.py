"""What people write about LiquidAnalytics' exports and imports, and the pipelines that its page shows."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from haul.errors import InvalidEventError
from haul.models import schemas
from haul.models.base import parse
from haul.models.vendors.liquid import ACTIONS, SECRET, ExportRequest, ImportOptions, ImportRequest

PAGE = (Path(__file__).parents[2] / "docs" / "vendors" / "liquid.md").read_text(encoding="utf-8")
GOOD = {"jobName": "nightly", "itemType": "Attendee", "contentType": "text/plain"}
GOOD_IMPORT = {"jobName": "from-s3", "itemType": "Attendee", "contentType": "plain/text", "merge": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sqlQuery": "SELECT 1", "filters": {"userId": "u1"}},
            "request: sqlQuery and filters exclude each other: the vendor would drop the filters silently",
        ),
        (
            {"contentType": "application/json", "template": "$item.id"},
            "request: template is about CSV, which contentType text/plain makes",
        ),
        (
            {"contentType": "application/json", "rowHeader": True},
            "request: rowHeader is about CSV, which contentType text/plain makes",
        ),
        (
            {"contentType": "text/csv"},
            "request.contentType: input should be 'application/json' or 'text/plain' (found \"text/csv\")",
        ),
        ({"rowHeader": "true"}, 'request.rowHeader: input should be a valid boolean (found "true")'),
        ({"itemTyp": "Attendee"}, "request.itemTyp: unknown field; did you mean itemType?"),
        (
            {"itemType": "@x"},
            'request.itemType: no symbol is understood here; a text that begins with @ is written with @@ (found "@x")',
        ),
        (
            {"filters": {"day": "@latest"}},
            (
                "request.filters.day: this symbol is not understood here; allowed: @scheduled-at, @started-at, "
                '@upstream.data_version, @upstream.run_id (found "@latest")'
            ),
        ),
    ],
)
def test_a_wrong_request_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        parse(ExportRequest, {**GOOD, **changes}, at="request")

    assert str(refused.value) == message


def test_empty_is_missing() -> None:
    empty = {"template": "", "sqlQuery": "", "filters": {}, "notificationEmail": ""}

    assert parse(ExportRequest, {**GOOD, **empty}) == parse(ExportRequest, GOOD)


def test_an_empty_query_does_not_stand_in_the_way_of_filters() -> None:
    request = parse(ExportRequest, {**GOOD, "sqlQuery": "", "filters": {"userId": "u1", "sessions": [1, None]}})

    assert request.filters == {"userId": "u1", "sessions": [1, None]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merge": None}, "request: merge must be said: true brings the items into those that there are, false puts"),
        (
            {"contentType": "application/json", "template": "$row.id"},
            "request: template is about CSV, which is contentType plain/text",
        ),
        (
            {"contentType": "application/json", "headerRow": True},
            "request: headerRow is about CSV, which is contentType plain/text",
        ),
        (
            {"contentType": "text/plain"},
            "request.contentType: input should be 'application/json' or 'plain/text' (found \"text/plain\")",
        ),
        ({"merge": "True"}, 'request.merge: input should be a valid boolean (found "True")'),
        ({"rowHeader": True}, "request.rowHeader: unknown field; known here: contentType, headerRow, "),
    ],
)
def test_a_wrong_import_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        parse(ImportRequest, {**GOOD_IMPORT, **changes}, at="request")

    assert str(refused.value).startswith(message)


def test_an_import_does_not_overwrite_because_nobody_said_anything() -> None:
    """The schema says so too, so that an editor asks for it."""
    unsaid = {name: value for name, value in GOOD_IMPORT.items() if name != "merge"}

    with pytest.raises(InvalidEventError, match="which is what the vendor does when nothing is said"):
        parse(ImportRequest, unsaid, at="request")

    assert "merge" in schemas.published()["liquid.import.request.v1.json"]["required"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"decode": "zip"}, "'auto' or 'none'"),
        ({"reshape": "csv-to-json"}, "'none' or 'ndjson-to-json'"),
        ({"after": "delete"}, "'keep'"),
    ],
)
def test_a_wrong_option_of_an_import_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidEventError, match=says):
        parse(ImportOptions, options, at="options")


def test_the_pages_pipelines_are_right() -> None:
    texts = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    validator = Draft202012Validator(schemas.published()["pipeline.v1.json"])

    assert len(texts) == len(ACTIONS)
    assert [error.message for text in texts for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("name", ACTIONS)
def test_the_page_has_every_field(name: str) -> None:
    action = ACTIONS[name]
    fields = [*action.request.model_fields, *action.options.model_fields, *(field.name for field in SECRET)]

    assert [name for name in fields if f"`{name}`" not in PAGE] == []
