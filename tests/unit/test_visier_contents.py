"""Export details, however odd, as datasets and files."""

from typing import Any

import pytest

from haul.connectors.visier import contents, replies
from haul.errors import RetypedColumnError, UnexpectedResponseError
from haul.models.export import Contents
from haul.replies import read as read_reply


def column(name: str, data_type: str = "String", **facts: Any) -> dict[str, Any]:
    return {"name": name, "dataType": data_type, **facts}


def columns(*names: str, files: list[tuple[int, str]] | None = None) -> dict[str, Any]:
    return {
        "columns": [column(name) for name in names],
        "files": [{"fileId": number, "filename": name} for number, name in files or []],
    }


def delta(*tables: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"uuid": "e1", "dataVersionNumber": "7", "baseDataVersionNumber": "6", "tables": list(tables), **facts}


def read(details: dict[str, Any], *, fail: bool = False) -> Contents:
    return contents.read(
        read_reply(replies.ExportDetails, "GET /exports/e1", details), retyped_column="fail" if fail else "warn"
    )


def test_an_export_without_anything_is_nothing() -> None:
    found = read({"uuid": "e1"})

    assert (found.datasets, found.files, found.tables_added, found.tables_dropped) == ([], [], [], [])


def test_the_vendors_own_document_is_kept_whole() -> None:
    details = delta({"name": "Employee", "surprise": [1]}, alsoNew=None)

    assert read(details).evidence == {"export-details": details}


def test_new_tables_are_told_of_a_delta_alone() -> None:
    """In a full export every table is new, which says nothing."""
    assert read(delta(newTables=["Applicant"], deletedTables=["Contractor"])).tables_added == ["Applicant"]
    assert read(delta(newTables=["Applicant"], baseDataVersionNumber="")).tables_added == []


def test_a_table_whose_columns_were_only_deleted_is_told() -> None:
    found = read(delta({"name": "Employee", "deletedColumns": ["Grade"]}))

    [dataset] = found.datasets
    assert (dataset.name, dataset.change, dataset.columns_deleted) == ("Employee", "rows-and-columns", ["Grade"])


def test_columns_deleted_are_told_once() -> None:
    found = read(
        delta(
            {
                "name": "Employee",
                "commonColumns": columns("ID"),
                "newColumns": columns("ID", "Grade"),
                "deletedColumns": ["Rank"],
            }
        )
    )

    assert [dataset.columns_deleted for dataset in found.datasets] == [["Rank"], []]


def test_a_new_tables_content_is_all_its_columns() -> None:
    found = read(delta({"name": "Applicant", "newColumns": columns("ID")}, newTables=["Applicant"]))

    [dataset] = found.datasets
    assert (dataset.name, dataset.columns_of, dataset.change) == ("Applicant", "all", "table-added")


def test_a_table_named_like_anothers_new_columns_keeps_its_name() -> None:
    """Two schemas must not share a dataset."""
    found = read(
        delta(
            {"name": "Employee", "commonColumns": columns("ID"), "newColumns": columns("ID", "Grade")},
            {"name": "Employee__new_columns", "commonColumns": columns("ID", "Other")},
        )
    )

    assert [(dataset.name, dataset.table) for dataset in found.datasets] == [
        ("Employee", "Employee"),
        ("Employee__new_columns_", "Employee"),
        ("Employee__new_columns", "Employee__new_columns"),
    ]


def test_a_table_listed_twice_is_refused() -> None:
    table = {"name": "Employee", "commonColumns": columns("ID")}

    with pytest.raises(UnexpectedResponseError, match="twice: Employee"):
        read(delta(table, table))


@pytest.mark.parametrize(
    ("names", "landed", "parts"),
    [
        (["T_part0.csv.gz", "T_part1.csv.gz"], ["T_part0.csv.gz", "T_part1.csv.gz"], [0, 1]),
        (["T_part11.csv.gz", "T_part2.csv.gz"], ["T_part11.csv.gz", "T_part2.csv.gz"], [11, 2]),
        (["T_part0.csv.gz", "T_part0.csv.gz"], ["T_part0.csv.gz", "T_part0-2.csv.gz"], [0, 0]),
        (["T", "T", "T-2"], ["T", "T-2", "T-2-3"], [0, 1, 2]),
        (["A_part7_of_mine.csv.gz"], ["A_part7_of_mine.csv.gz"], [0]),
        (["x/../T_part3"], ["x/../T_part3"], [3]),
    ],
)
def test_files_have_names_of_their_own_and_the_parts_of_their_names(
    names: list[str], landed: list[str], parts: list[int]
) -> None:
    files = list(enumerate(names, start=1))

    found = read(delta({"name": "T", "commonColumns": columns("ID", files=files)}))

    assert [file.name for file in found.files] == landed
    assert [file.vendor_name for file in found.files] == names
    assert [file.part for file in found.files] == parts


def test_a_file_listed_twice_is_landed_once() -> None:
    """Twice would double its rows."""
    found = read(delta({"name": "T", "commonColumns": columns("ID", files=[(3, "T_part0"), (3, "T_part0")])}))

    assert len(found.files) == 1
    assert found.warnings == ["T: Visier lists file 3 twice; it is landed once"]


@pytest.mark.parametrize(
    ("facts", "nullable"),
    [
        ({"allowsNull": False}, False),
        ({"allowsNull": True}, True),
        ({}, True),
        ({"isPrimaryKeyComponent": True}, False),
        ({"name": "_DiffAction_"}, False),
    ],
)
def test_what_is_not_said_about_nulls_is_taken_with_care(facts: dict[str, Any], nullable: bool) -> None:  # noqa: FBT001 - a parameter of the test
    found = read(delta({"name": "T", "commonColumns": {"columns": [{**column("A"), **facts}]}}))

    assert found.datasets[0].columns[0].nullable is nullable


def test_the_event_index_belongs_to_the_key_even_where_it_is_not_marked() -> None:
    found = read(
        delta(
            {
                "name": "T",
                "commonColumns": {
                    "columns": [
                        column("ID", isPrimaryKeyComponent=True),
                        column("EventIndexOnDate", "integer"),
                        column("Note"),
                    ]
                },
            }
        )
    )

    assert found.datasets[0].primary_key == ["ID", "EventIndexOnDate"]


def test_every_retyped_column_is_named() -> None:
    tables = [
        {"name": name, "newColumns": columns("ID", "Grade"), "deletedColumns": ["Grade", "Rank"]} for name in ("A", "B")
    ]

    with pytest.raises(RetypedColumnError, match=r"A\.Grade .*B\.Grade "):
        read(delta(*tables), fail=True)
    assert len(read(delta(*tables)).warnings) == 2


@pytest.mark.parametrize(
    ("details", "where"),
    [
        ({}, "uuid: missing"),
        ({"uuid": "e1", "tables": [{"name": ""}]}, r"tables\.0\.name"),
        ({"uuid": "e1", "tables": {"Employee": 1}}, "tables: list type"),
        (
            {"uuid": "e1", "tables": [{"name": "T", "newColumns": {"files": [{"fileId": "Smith", "filename": "f"}]}}]},
            r"newColumns\.files\.0\.fileId: int parsing",
        ),
        ({"uuid": "e1", "timestamp": "yesterday"}, "timestamp"),
    ],
)
def test_another_shape_is_told_by_field_and_not_by_value(details: dict[str, Any], where: str) -> None:
    with pytest.raises(UnexpectedResponseError, match=where) as unexpected:
        read(details)

    assert "Smith" not in str(unexpected.value)
