"""What people write about a LiquidAnalytics export, and the pipeline that its page shows."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from haul.errors import InvalidEventError
from haul.models import schemas
from haul.models.base import parse
from haul.models.vendors.liquid import ACTIONS, SECRET, ExportRequest

PAGE = (Path(__file__).parents[2] / "docs" / "vendors" / "liquid.md").read_text(encoding="utf-8")
GOOD = {"jobName": "nightly", "itemType": "Attendee", "contentType": "text/plain"}


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


def test_the_pages_pipeline_is_right() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    validator = Draft202012Validator(schemas.published()["pipeline.v1.json"])

    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_the_page_has_every_field() -> None:
    action = ACTIONS["export"]
    fields = [*action.request.model_fields, *action.options.model_fields, *(field.name for field in SECRET)]

    assert [name for name in fields if f"`{name}`" not in PAGE] == []
