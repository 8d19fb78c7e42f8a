"""A customer's first days: a full export, a delta when there is a new version, and nothing when there is none."""

import gzip
import hashlib
import json
from collections import Counter
from typing import Any

import pytest

from infra.local.stack import Execution, Json
from tests.flow.customer import DELTA, Customer, NewCustomer


class Days:
    """Three starts of one pipeline, on a Visier that publishes a version before the second."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.first = self._day()
        self.first_truth = customer.truth
        customer.visier.publish()
        self.second = self._day()
        self.second_truth = customer.truth
        self.third = self._day()

    def _day(self) -> Execution:
        return self.customer.run(DELTA, landing={"classification": "pii", "retention_days": 400, "sha256": True})

    def manifest(self, day: Execution) -> Json:
        manifest = self.customer.stack.manifest(self.customer.pipeline, day.run_id or "")
        assert manifest is not None
        return manifest

    def run_document(self, day: Execution) -> Json:
        document = self.customer.stack.run_document(self.customer.pipeline, day.run_id or "")
        assert document is not None
        return document


@pytest.fixture(scope="module")
def days(new_customer: NewCustomer) -> Days:
    return Days(new_customer("exports", published=3, split_rows=5000))


def datasets(manifest: Json) -> dict[str, Json]:
    return {dataset["name"]: dataset for dataset in manifest["datasets"]}


def files(manifest: Json) -> list[Json]:
    return [file for dataset in manifest["datasets"] for file in dataset["files"]]


def actions(dataset: Json) -> Counter[str]:
    return Counter({action: count for action, count in dataset["row_actions"].items() if count})


# The first day


def test_a_first_delta_is_a_full_export_of_the_newest_version(days: Days) -> None:
    manifest = days.manifest(days.first)

    assert days.first.status == "SUCCEEDED"
    assert manifest["mode"] == "full"
    assert manifest["sequence"] == 1
    assert manifest["previous"] is None
    assert manifest["watermark"]["to"] == "7000003"
    assert manifest["watermark"]["from"] is None
    assert manifest["request_as_given"] == DELTA
    assert manifest["request"] == {"dataVersionNumber": "7000003"}


def test_every_landed_byte_is_what_visier_served(days: Days) -> None:
    stack, pipeline = days.customer.stack, days.customer.pipeline

    for day, truth in ((days.first, days.first_truth), (days.second, days.second_truth)):
        true_sums = {name: file.sha256 for name, file in truth.items()}
        listed = {file["vendor_name"]: file["sha256"] for file in files(days.manifest(day))}
        landed = stack.landed(pipeline, day.run_id or "").items()
        assert {path.split("/")[1]: hashlib.sha256(body).hexdigest() for path, body in landed} == true_sums
        assert listed == true_sums


def test_a_manifest_leads_to_each_file_and_tells_what_is_in_it(days: Days) -> None:
    for day, truth in ((days.first, days.first_truth), (days.second, days.second_truth)):
        manifest = days.manifest(day)
        for file in files(manifest):
            bucket, key = file["uri"].removeprefix("s3://").split("/", 1)
            head = days.customer.stack.s3.head_object(
                Bucket=bucket, Key=key, VersionId=file["version_id"], ChecksumMode="ENABLED"
            )
            assert head["ChecksumCRC64NVME"] == file["checksum"]["value"]
            assert head["ContentLength"] == file["bytes"] == truth[file["vendor_name"]].size
            assert file["rows"] == truth[file["vendor_name"]].rows
            assert file["verified"] == ["length", "gzip", "csv-columns", "rows"]
        assert manifest["totals"]["rows"] == sum(file.rows for file in truth.values())
        assert manifest["totals"]["files"] == len(truth)


def test_a_table_of_several_parts_is_one_dataset(days: Days) -> None:
    flight = datasets(days.manifest(days.first))["Flight"]

    assert [file["part"] for file in flight["files"]] == list(range(len(flight["files"])))
    assert len(flight["files"]) > 1
    assert flight["primary_key"] == ["PlaneID", "Flight_Date", "EventIndexOnDate"]
    assert flight["change"] == "full"


def test_the_columns_of_a_dataset_are_those_of_its_files(days: Days) -> None:
    stack = days.customer.stack

    for day in (days.first, days.second):
        for dataset in days.manifest(day)["datasets"]:
            for file in dataset["files"]:
                body = stack.object(file["uri"].split("/", 3)[3])
                header = gzip.decompress(body).split(b"\r\n", 1)[0].decode()
                assert header.split(",") == [column["name"] for column in dataset["columns"]]


def test_the_vendors_own_document_is_kept_as_evidence(days: Days) -> None:
    (evidence,) = days.manifest(days.second)["evidence"]

    details = json.loads(days.customer.stack.object(evidence["uri"].split("/", 3)[3]))

    assert details["uuid"] == days.manifest(days.second)["job"]["result_id"]
    assert details["deletedTables"] == ["Heliport"]


# The second day


def test_a_second_day_lands_what_changed_since_the_first(days: Days) -> None:
    first, second = days.manifest(days.first), days.manifest(days.second)

    assert second["mode"] == "delta"
    assert second["sequence"] == 2
    assert second["previous"]["run_id"] == first["run_id"]
    assert second["previous"]["manifest"].endswith(f"manifests/{days.customer.pipeline}/{first['run_id']}.json")
    assert (second["watermark"]["from"], second["watermark"]["to"]) == ("7000003", "7000004")
    assert second["request"] == {"dataVersionNumber": "7000004", "baseDataVersionNumber": "7000003"}


def test_a_delta_says_which_tables_and_columns_came_and_went(days: Days) -> None:
    manifest = days.manifest(days.second)
    found = datasets(manifest)

    assert manifest["tables_added"] == ["Diversion"]
    assert manifest["tables_dropped"] == ["Heliport"]
    assert found["Diversion"]["change"] == "table-added"
    assert found["Diversion"]["columns_of"] == "all"
    assert found["Plane"]["columns_deleted"] == ["Built", "Cruise_Speed"]
    assert found["Plane"]["schema_changed"]
    assert not found["Airline"]["schema_changed"]
    assert "Plane.Built changed its type" in manifest["warnings"][0]


def test_the_new_columns_of_a_table_are_a_dataset_of_their_own(days: Days) -> None:
    found = datasets(days.manifest(days.second))

    common, new = found["Flight"], found["Flight__new_columns"]

    assert (common["columns_of"], new["columns_of"]) == ("common", "new")
    assert common["table"] == new["table"] == "Flight"
    assert new["change"] == "columns-added"
    assert [column["name"] for column in new["columns"]] == [*new["primary_key"], "On_Time", "_DiffAction_"]
    assert "On_Time" not in [column["name"] for column in common["columns"]]


def test_row_actions_are_what_visier_did(days: Days) -> None:
    for day, truth in ((days.first, days.first_truth), (days.second, days.second_truth)):
        true: dict[tuple[str, bool], Counter[str]] = {}
        for file in truth.values():
            is_new = day is days.second and file.columns_of == "new" and file.table != "Diversion"
            true.setdefault((file.table, is_new), Counter()).update(+Counter(file.actions))

        told = {
            (dataset["table"], dataset["columns_of"] == "new"): actions(dataset)
            for dataset in days.manifest(day)["datasets"]
            if dataset["files"]
        }

        assert told == true


def test_each_day_spends_one_submission(days: Days) -> None:
    assert days.manifest(days.first)["cost_estimate"]["submissions_today"] == 1
    assert days.manifest(days.second)["cost_estimate"]["submissions_today"] == 2
    assert days.customer.submissions == 2


# The third day


def test_without_a_new_version_nothing_is_spent_and_nobody_is_bothered(days: Days) -> None:
    document = days.run_document(days.third)

    assert days.third.status == "SUCCEEDED"
    assert days.third.output is not None
    assert days.third.output["outcome"] == document["outcome"] == "NOTHING_NEW"
    assert "7000004" in days.third.output["message"]
    assert days.customer.submissions == 2
    assert len(days.customer.manifests) == 2
    assert days.customer.outcomes(at_least=3) == ["SUCCEEDED", "SUCCEEDED", "NOTHING_NEW"]
    assert len(days.customer.subjects(at_least=2)) == 2


# What people and programs are told


def test_people_are_told_what_they_have_now(days: Days) -> None:
    manifest = days.manifest(days.second)
    counted = f"{manifest['totals']['datasets']} datasets, {manifest['totals']['rows']:,} rows"

    assert days.customer.subjects(at_least=2)[1] == f"OK PIPELINE: 7000003 -> 7000004, {counted}"
    body = days.customer.body(1)
    assert "published Visier data version 7000004 as a delta from 7000003" in body
    assert "Plane lost Built, Cruise_Speed" in body
    assert "new table Diversion" in body
    assert "dropped table Heliport" in body
    assert f"manifests/{days.customer.pipeline}/{manifest['run_id']}.json" in body


def test_programs_are_told_where_the_manifest_is(days: Days) -> None:
    event = days.customer.stack.events(days.customer.pipeline, at_least=2)[1]
    detail: dict[str, Any] = event["detail"]

    assert (event["source"], event["detail-type"]) == ("haul", "Haul Run Ended")
    assert detail["outcome"] == "SUCCEEDED"
    assert detail["published"] is True
    assert detail["run_id"] == days.second.run_id
    bucket = days.customer.stack.landing_bucket
    assert detail["manifest"] == f"s3://{bucket}/manifests/{days.customer.pipeline}/{days.second.run_id}.json"
    assert detail["run"] == f"s3://{bucket}/runs/{days.customer.pipeline}/{days.second.run_id}.json"


def test_an_ended_run_leaves_its_document_and_nothing_to_watch(days: Days) -> None:
    document = days.run_document(days.second)
    active = days.customer.stack.keys(f"ledger/_active/{days.customer.pipeline}/")

    assert document["outcome"] == "SUCCEEDED"
    assert document["published"] is True
    assert document["error"] is None
    assert document["readers_see"] == "7000004"
    assert document["files_landed"] == document["files_planned"] == len(days.second_truth)
    assert active == []
