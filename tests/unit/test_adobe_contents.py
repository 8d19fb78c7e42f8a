"""A finished Adobe job, however odd, as datasets and files."""

from typing import Any

import pytest

from haul.connectors.adobe import contents
from haul.connectors.adobe.contents import Part
from haul.connectors.adobe.replies import Batch, ExportJob
from haul.models.export import Contents


def job(**fields: Any) -> ExportJob:
    return ExportJob.model_validate({"id": 7, "status": "SUCCEEDED", **fields})


def batch(segment: str = "", number: int = 1) -> Batch:
    return Batch(batchId=f"b{number}", segmentId=segment)


def read(*written: tuple[Batch, list[Part]], **fields: Any) -> Contents:
    return contents.read(job(**fields), written, count_must_match=False)


def test_segments_are_told_apart() -> None:
    found = read((batch("s2", 2), [Part("f2", "p", 1)]), (batch("s1"), [Part("f1", "p", 1)]))

    assert [dataset.name for dataset in found.datasets] == ["segment=s1", "segment=s2"]
    assert [(file.dataset, file.name) for file in found.files] == [("segment=s1", "p"), ("segment=s2", "p")]


def test_two_batches_of_a_segment_are_one_dataset() -> None:
    found = read((batch("s1"), [Part("f1", "p.parquet", 1)]), (batch("s1", 2), [Part("f2", "p.parquet", 1)]))

    assert [dataset.name for dataset in found.datasets] == ["segment=s1"]
    assert [(file.name, file.part) for file in found.files] == [("p.parquet", 0), ("p-f2.parquet", 1)]


def test_the_order_is_ours() -> None:
    parts = [Part("f2", "a", None), Part("f1", "b", 3), Part("f1", "a", None)]

    found = read((batch(), parts))

    assert [(file.vendor_file_id, file.vendor_name) for file in found.files] == [("f1", "a"), ("f1", "b"), ("f2", "a")]


def test_a_part_listed_twice_is_landed_once() -> None:
    found = read((batch(), [Part("f1", "a", None), Part("f1", "a", 3)]))

    assert len(found.files) == 1
    assert found.warnings == ["profiles: Adobe lists a part twice; it is landed once"]


def test_a_whole_export_of_nobody_is_worth_a_warning_and_a_delta_is_not() -> None:
    delta = {"filter": {"fromIngestTimestamp": "2026-01-01T00:00:00Z"}}

    assert read((batch(), [])).warnings == ["profiles: Adobe exported no profile"]
    assert read((batch(), []), **delta).warnings == []


@pytest.mark.parametrize(
    ("destination", "written"),
    [
        ({}, []),
        ({"batchId": "b1"}, [("b1", "")]),
        ({"batchId": "b1", "batches": {"segmentId": "s", "batchId": "b1"}}, [("b1", "")]),
        ({"batches": [{"segmentId": "s", "batchId": "b1"}, {"segmentId": "t", "batchId": "b1"}]}, [("b1", "")]),
        ({"segmentPerBatch": True, "batches": {"segmentId": "s", "batchId": "b1"}}, [("b1", "s")]),
        ({"segmentPerBatch": True, "batches": {"x": {"segmentId": "s", "batchId": "b1"}}}, [("b1", "s")]),
        ({"segmentPerBatch": True, "batches": [{"segmentId": "s"}, {"segmentId": 5, "batchId": "b"}]}, [("b", "5")]),
        ({"segmentPerBatch": True, "batches": [], "batchId": "b1"}, [("b1", "")]),
        ({"segmentPerBatch": True, "batches": None, "batchId": "b1"}, [("b1", "")]),
    ],
)
def test_batches_are_found_wherever_they_stand(destination: dict[str, Any], written: list[tuple[str, str]]) -> None:
    found = job(destination=destination).destination.written()

    assert [(each.batch_id, each.segment_id) for each in found] == written


@pytest.mark.parametrize(
    ("fields", "exported"),
    [
        ({"metrics": {"totalExportedProfileCounter": 5}}, 5),
        ({"metrics": {"totalExportedProfileCounter": "5"}}, 5),
        ({"totalExportedProfileCounter": 5, "metrics": {}}, 5),
        ({"metrics": {"totalExportedProfileCounter": None}}, None),
        ({"metrics": None}, None),
    ],
)
def test_the_counter_is_found_wherever_it_stands(fields: dict[str, Any], exported: int | None) -> None:
    assert job(**fields).exported == exported


def test_what_else_was_counted_is_kept_by_its_name() -> None:
    counted = {"totalExportedProfileCounter": 5, "exportedProfileByNamespaceCounter": {"ECID": 5, "odd": "x"}}

    assert job(metrics=counted).counts == {
        "totalExportedProfileCounter": 5,
        "exportedProfileByNamespaceCounter.ECID": 5,
    }


@pytest.mark.parametrize("created", [1538615973895, "1538615973895", 1538615973])
def test_times_are_milliseconds_or_seconds(created: int | str) -> None:
    at = job(creationTime=created).creation_time

    assert at
    assert f"{at:%Y-%m-%d %H:%M:%S}" == "2018-10-04 01:19:33"
