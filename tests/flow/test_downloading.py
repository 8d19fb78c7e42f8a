"""While files come in: files that are not whole, that are not files, that are gone, and vendors that want patience.

Each story is a customer of its own, and all of them go on beside each other.
"""

from typing import Any

import pytest

from haul.models.ledger import FileState
from infra.local.stack import Json
from tests.flow.customer import FOUR_FILES, NO_FILES, Customer, NewCustomer
from tests.flow.story import Stories

_FILE = "/files?/"
_FLIGHT = "Flight_part0.csv.gz"
_READINGS = "Sensor_Reading_part0.csv.gz"
_PAGE = "<!DOCTYPE html><title>Visier</title><p>Please sign in.</p>\n"


@pytest.fixture(scope="module", autouse=True)
def stories(new_customer: NewCustomer) -> Stories:
    """Every story, begun."""
    told = Stories(at_once=4)

    truncated = new_customer("truncated")
    truncated.visier.fault("GET", "/files?/3$", times=None, truncate_after=0.5, content_length="cut")
    told.begin("truncated", truncated, FOUR_FILES)

    # One file: but for it, nothing changed.
    def one_file(name: str, *, times: int | None = None, knobs: Json | None = None, **do: Any) -> None:
        customer = new_customer(name, **{"big_file_bytes": 1, **(knobs or {})})
        if do:
            customer.visier.fault("GET", _FILE, times=times, **do)
        told.begin(name, customer, NO_FILES)

    one_file("short", truncate_after=0.5)
    one_file("corrupt", flip_byte=-7)
    one_file("page", body=_PAGE)
    one_file("expired", knobs={"retention_seconds": 0})
    one_file("files-gone", knobs={"files_gone": True})
    one_file("truncated-once", times=1, truncate_after=0.5)
    one_file("reset-once", times=1, truncate_after=0.5, reset=True)
    one_file("slow-down", times=1, status=429, headers={"Retry-After": "1"})
    one_file("expired-token", times=1, also="expire-tokens")
    one_file("file-path-only", knobs={"paths": ["file"]})
    one_file("big", times=1, truncate_after=0.95, knobs={"big_file_bytes": 40 * 2**20})
    return told


def records(customer: Customer) -> dict[str, Json]:
    """What the ledger has of each file of the last run, by the file's name."""
    prefix = f"ledger/{customer.pipeline}/files/{customer.run_ids[-1]}/"
    found = (customer.stack.document(key) for key in customer.stack.keys(prefix))
    return {record["key"].rpartition("/")[2]: record for record in found if record}


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("truncated", "TruncatedFileError", f"{_FLIGHT} ended after 32,147 bytes, inside a gzip member, four times"),
        ("short", "TruncatedFileError", f"{_READINGS} ended after 531,288 of 1,062,576 bytes, four times"),
        ("corrupt", "CorruptFileError", f"{_READINGS} is damaged"),
        ("page", "ErrorPageError", f"{_READINGS}: an error page or message came in place of the file, four times"),
    ],
    ids=["truncated", "short", "corrupt", "page"],
)
def test_a_damaged_file_is_tried_again_and_then_fails_the_run_under_its_own_name(
    stories: Stories, name: str, error: str, says: str
) -> None:
    """Although the map that downloads has succeeded."""
    customer, end = stories[name].customer, stories[name].end

    states = customer.stack.states(end.arn)
    damaged = [name for name, record in records(customer).items() if record["state"] == FileState.FAILED]

    assert (end.status, end.error) == ("FAILED", error)
    assert says in (end.cause or "")
    assert states[-4:] == ["Publish", "Abandon export", "Published after all?", "Fail"]
    assert len(damaged) == 1
    assert records(customer)[damaged[0]]["tries"] == 4
    assert damaged[0] not in customer.landed
    assert customer.manifests == []


def test_people_are_told_which_file_and_what_to_do(stories: Stories) -> None:
    customer, _ = stories["short"].customer, stories["short"].end

    body = customer.body()

    run_id = customer.run_ids[-1]
    assert customer.subjects() == ["FAILED PIPELINE: TruncatedFileError (nothing published)"]
    assert f"{_READINGS} ended after 531,288 of 1,062,576 bytes, four times" in body
    assert "nothing was published" in body
    assert f"haul rerun {run_id} --env local" in body
    assert "spends no submission" in body
    assert "succeeded and is kept" in body
    assert "runbook.md#truncatedfileerror" in body


def test_a_rerun_lands_only_the_file_that_is_missing(stories: Stories) -> None:
    """The job is adopted, and what was verified is kept."""
    customer, _ = stories["truncated"].customer, stories["truncated"].end
    before = {name: record["landed"] for name, record in records(customer).items()}
    customer.visier.clear_faults()
    customer.visier.clear_log()

    again = customer.rerun()

    after = {name: record["landed"] for name, record in records(customer).items()}
    assert again.status == "SUCCEEDED"
    assert customer.submissions == 0
    assert [name for name in customer.truth if customer.downloads(name)] == [_FLIGHT]
    assert all(after[name] == landed for name, landed in before.items() if name != _FLIGHT)
    assert customer.landed == customer.true_sums
    assert customer.manifest["run"]["attempts"] == 2
    assert customer.manifest["job"]["adopted"] is True


@pytest.mark.parametrize("name", ["expired", "files-gone"])
def test_an_export_that_visier_has_deleted_is_expired(stories: Stories, name: str) -> None:
    customer, end = stories[name].customer, stories[name].end

    assert (end.status, end.error) == ("FAILED", "ResultExpiredError")
    assert customer.document["outcome"] == "EXPIRED"
    assert customer.subjects() == ["EXPIRED PIPELINE: ResultExpiredError (nothing published)"]
    assert customer.outcomes() == ["EXPIRED"]
    assert customer.manifests == []


def test_a_rerun_of_what_has_expired_submits_once_more(stories: Stories) -> None:
    customer, _ = stories["expired"].customer, stories["expired"].end
    customer.visier.expire_export(str(customer.visier.exports()[-1]["uuid"]))
    customer.visier.configure(retention_seconds=14 * 86_400)

    again = customer.rerun()

    assert again.status == "SUCCEEDED"
    assert customer.submissions == 2
    assert customer.landed == customer.true_sums


@pytest.mark.parametrize(
    "name", ["truncated-once", "reset-once", "slow-down", "expired-token", "file-path-only", "big"]
)
def test_what_a_second_try_mends_is_not_told(stories: Stories, name: str) -> None:
    customer, end = stories[name].customer, stories[name].end

    assert end.status == "SUCCEEDED"
    assert customer.landed == customer.true_sums
    assert customer.outcomes() == ["SUCCEEDED"]
    assert customer.submissions == 1


def test_a_big_file_that_broke_off_leaves_no_upload_behind(stories: Stories) -> None:
    customer, _ = stories["big"].customer, stories["big"].end
    key = f"raw/{customer.pipeline}/Sensor_Reading/run_id={customer.run_ids[-1]}/{_READINGS}"
    bucket = customer.stack.landing_bucket

    landed = customer.stack.s3.head_object(Bucket=bucket, Key=key)
    uploads = customer.stack.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    assert landed["ETag"].endswith('-2"')
    assert key not in [upload["Key"] for upload in uploads]
