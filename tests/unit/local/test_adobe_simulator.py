"""The simulated Adobe Experience Platform, over real HTTP."""

import hashlib
import http.client
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import duckdb
import pytest

from infra.local.vendors.adobe import AdobeSimulator
from infra.local.vendors.simulator import AdminError
from tests.fakes.caller import Answer, Caller

JOBS = "/data/core/ups/export/jobs"
EXPORT = "/data/foundation/export"
CATALOG = "/data/foundation/catalog"
ROOT = Path(__file__).parents[3]

SEGMENTS: list[dict[str, Any]] = [
    {"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "segmentNs": "ups", "status": ["realized", "existing"]},
    {"segmentId": "4edc8488-2c35-4f6d-b4c6-9075c68d2df4"},
]
EVERYBODY: Mapping[str, Any] = {
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
    "schema": {"name": "_xdm.context.profile"},
}
BY_SEGMENT: Mapping[str, Any] = {
    **EVERYBODY,
    "fields": "identityMap,personalEmail.address,segmentMembership",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "filter": {"segments": SEGMENTS},
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "segmentPerBatch": True},
}


class Client(Caller):
    """A caller with the demo credentials."""

    def __init__(self, url: str) -> None:
        super().__init__(url, {"x-api-key": "demo", "x-gw-ims-org-id": "demo@AdobeOrg", "x-sandbox-name": "prod"})

    def log_in(self, **form: str) -> Answer:
        fields = {"client_id": "demo", "client_secret": "demo", "grant_type": "client_credentials", "scope": "demo"}
        reply = self.call("POST", "/ims/token/v3", urlencode({**fields, **form}).encode())
        if reply.status == 200:
            self.headers["Authorization"] = f"Bearer {reply.json['access_token']}"
        return reply

    def get(self, path: str, **headers: str | None) -> Answer:
        return self.call("GET", path, **headers)

    def submit(self, request: object = EVERYBODY, **headers: str) -> Answer:
        return self.call("POST", JOBS, request, **headers)

    def job(self, request: object = EVERYBODY) -> Any:
        """Submit a job and look at it."""
        return self.get(f"{JOBS}/{self.submit(request).json['id']}").json

    def listed(self, path: str) -> list[dict[str, Any]]:
        """Every entry of a list, page by page."""
        entries: list[dict[str, Any]] = []
        while path:
            page = self.get(path).json
            entries += page["data"]
            following = urlsplit(page.get("_links", {}).get("next", {}).get("href", ""))
            path = f"{following.path}?{following.query}" if following.path else ""
        return entries

    def parts(self, batch: str) -> dict[tuple[str, str], int]:
        """The length of each part of a batch by file id and name, directories in directories included."""
        found, waiting = {}, [f"{EXPORT}/batches/{batch}/files"]
        while waiting:
            path = waiting.pop()
            for entry in self.listed(path):
                if "dataSetFileId" in entry:
                    waiting.append(f"{EXPORT}/files/{entry['dataSetFileId']}")
                else:
                    found[path.rpartition("/")[2], entry["name"]] = int(entry["length"])
        return found

    def part(self, file_id: str, name: str, method: str = "GET", **headers: str) -> Answer:
        return self.call(method, f"{EXPORT}/files/{file_id}?path={quote(name, safe='')}", **headers)

    def first_part(self) -> tuple[str, str]:
        return next(iter(self.parts(self.job()["destination"]["batchId"])))


@pytest.fixture
def adobe() -> Iterator[AdobeSimulator]:
    with AdobeSimulator(job_seconds=0, profiles=200) as simulator:
        yield simulator


@pytest.fixture
def client(adobe: AdobeSimulator) -> Client:
    client = Client(adobe.url)
    client.log_in()
    return client


@pytest.fixture
def stranger(adobe: AdobeSimulator) -> Client:
    return Client(adobe.url)


# Logging in


def test_a_token_lasts_a_day_in_seconds(stranger: Client) -> None:
    reply = stranger.log_in()

    assert reply.status == 200
    assert reply.json.keys() == {"access_token", "token_type", "expires_in"}
    assert (reply.json["token_type"], reply.json["expires_in"]) == ("bearer", 86399)
    assert stranger.get(f"{JOBS}?limit=1").status == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"scope": ""}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_login_is_refused(stranger: Client, form: dict[str, str], status: int, error: str) -> None:
    refused = stranger.log_in(**form)

    assert refused.status == status
    assert refused.json["error"] == error
    assert refused.json["error_description"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": None}, 403, "403010"),
        ({"Authorization": "Bearer nonsense"}, 401, "401013"),
        ({"x_api_key": None}, 403, "403000"),
        ({"x_api_key": "other"}, 403, "403003"),
        ({"x_gw_ims_org_id": None}, 400, "400003"),
        ({"x_gw_ims_org_id": "other@AdobeOrg"}, 403, "403025"),
    ],
)
def test_the_gateway_names_what_is_wrong_by_a_code(
    client: Client, headers: dict[str, str | None], status: int, code: str
) -> None:
    refused = client.get(f"{JOBS}?limit=1", **headers)

    assert refused.status == status
    assert refused.json["error_code"] == code
    assert refused.json["message"]


@pytest.mark.parametrize(("sandbox", "status"), [(None, 400), ("dev", 403)])
def test_a_call_names_a_sandbox_that_exists(client: Client, sandbox: str | None, status: int) -> None:
    refused = client.get(f"{JOBS}?limit=1", x_sandbox_name=sandbox)

    assert refused.status == status
    assert refused.json["status"] == status
    assert "andbox" in refused.json["detail"]


def test_a_token_expires_by_time_and_by_order(adobe: AdobeSimulator, client: Client) -> None:
    adobe.advance(86_398)
    assert client.get(f"{JOBS}?limit=1").status == 200

    adobe.advance(2)
    assert client.get(f"{JOBS}?limit=1").status == 401

    client.log_in()
    adobe.invalidate_tokens()
    assert client.get(f"{JOBS}?limit=1").json["error_code"] == "401013"


# Jobs


def test_a_job_is_answered_as_adobe_documents_it(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(job_seconds=60)

    reply = client.submit({**EVERYBODY, "fields": "identityMap"})

    job = reply.json
    assert reply.status == 200
    assert reply.headers["X-Location"].endswith(f"{JOBS}/{job['id']}")
    assert isinstance(job["id"], int)
    assert (job["status"], job["jobType"], job["imsOrgId"]) == ("NEW", "BATCH", "demo@AdobeOrg")
    assert re.fullmatch("[0-9a-f]{32}", job["destination"]["batchId"])
    assert job["mergePolicy"] == {"id": "timestampOrdered-none-mp", "version": 1}
    assert len(str(job["creationTime"])) == 13
    assert client.get(f"{JOBS}/{job['id']}").json == job


def test_a_job_is_new_queued_processing_and_done(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(job_seconds=100)
    job = client.submit().json["id"]

    statuses = []
    for seconds in (0, 15, 15, 71):
        adobe.advance(seconds)
        statuses.append(client.get(f"{JOBS}/{job}").json["status"])

    assert statuses == ["NEW", "QUEUED", "PROCESSING", "SUCCEEDED"]


def test_a_finished_job_has_its_times_and_counters(adobe: AdobeSimulator, client: Client) -> None:
    job = client.job()

    metrics = job["metrics"]
    assert metrics["totalTime"].keys() == {"startTimeInMs", "endTimeInMs", "totalTimeInMs"}
    assert metrics["totalExportedProfileCounter"] == sum(truth.rows for truth in adobe.truth(job["id"])) == 195
    assert metrics["exportedProfileByNamespaceCounter"] == {"ECID": 195}
    assert "errors" not in job


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"{", "JSON"),
        ([], "JSON"),
        ({"schema": {"name": "x"}}, "destination.datasetId"),
        ({"destination": {}, "schema": {"name": "x"}}, "destination.datasetId"),
        ({"destination": {"datasetId": "x"}}, "schema.name"),
        ({**EVERYBODY, "filter": {"segments": [{"segmentNs": "ups"}]}}, "segmentId"),
        ({**EVERYBODY, "filter": {"segments": SEGMENTS}}, "mergePolicy"),
        ({**EVERYBODY, "filter": {"fromIngestTimestamp": "2026-01-01"}}, "RFC-3339"),
        ({**EVERYBODY, "filter": {"segmentQualificationTime": {"endTime": "soon"}}}, "RFC-3339"),
    ],
)
def test_a_request_that_cannot_be_right_is_a_bad_request(client: Client, request_: object, says: str) -> None:
    refused = client.submit(request_)

    assert refused.status == 400
    assert refused.json.keys() == {"type", "status", "title", "detail"}
    assert says in refused.json["detail"]


@pytest.mark.parametrize(
    "path",
    [
        f"{JOBS}/1",
        f"{JOBS}/x",
        f"{EXPORT}/batches/x/files",
        f"{EXPORT}/batches/x/failed",
        f"{EXPORT}/files/x",
        f"{CATALOG}/batches/x",
        "/data/core/ups/else",
    ],
)
def test_what_is_not_there_is_a_404(client: Client, path: str) -> None:
    refused = client.get(path)

    assert refused.status == 404
    assert refused.json["title"] == "NotFoundError"


def test_a_sandbox_has_jobs_of_its_own(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(sandboxes=["prod", "dev"])
    job = client.job()

    assert client.get(f"{JOBS}/{job['id']}", x_sandbox_name="dev").status == 404
    assert client.get(f"{JOBS}?limit=9", x_sandbox_name="dev").json["records"] == []
    batch = job["destination"]["batchId"]
    assert client.get(f"{EXPORT}/batches/{batch}/files", x_sandbox_name="dev").status == 404
    assert client.get(f"{CATALOG}/batches/{batch}", x_sandbox_name="dev").status == 404


def test_the_list_is_newest_first_in_pages_with_a_relative_link(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(past_jobs=4)
    newest = client.submit().json["id"]

    pages, following = [], "/export/jobs?limit=2"
    while following:
        pages.append(client.get(f"/data/core/ups{following}").json)
        following = pages[-1]["link"]["next"]

    rows = [row for page in pages for row in page["records"]]
    assert [page["page"]["pageSize"] for page in pages] == [2, 2, 1]
    assert pages[0]["link"]["next"].startswith("/export/jobs/?limit=2&offset=")
    assert pages[0]["page"]["pageOffset"] == f"{rows[1]['creationTime']}_{rows[1]['id']}"
    assert rows[0]["id"] == newest
    assert [row["creationTime"] for row in rows] == sorted((row["creationTime"] for row in rows), reverse=True)


def test_the_list_without_parameters_is_everything(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(past_jobs=30)

    assert len(client.get(JOBS).json["records"]) == 30


def test_the_list_can_be_asked_for_three_statuses(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(past_jobs=1, job_seconds=60)
    failed, new = client.submit().json["id"], client.submit().json["id"]
    adobe.fail_job(failed)

    def listed(status: str) -> list[int]:
        return [row["id"] for row in client.get(f"{JOBS}?limit=9&status={status}").json["records"]]

    assert (listed("NEW"), listed("FAILED"), listed("SUCCEEDED")) == ([new], [failed], [100])
    assert client.get(f"{JOBS}?limit=9&status=PROCESSING").status == 400
    assert client.get(f"{JOBS}?limit=9&offset=then").status == 400


def test_a_job_can_be_told_how_to_end(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(job_seconds=60)
    good, bad, frozen = (client.submit().json["id"] for _ in range(3))

    adobe.complete_job(good)
    adobe.fail_job(bad)
    adobe.freeze_job(frozen)
    adobe.advance(120)

    assert [job["status"] for job in adobe.jobs()] == ["SUCCEEDED", "FAILED", "PROCESSING"]
    with pytest.raises(AdminError, match="ended already"):
        adobe.fail_job(good)
    with pytest.raises(AdminError, match="unknown job 1"):
        adobe.fail_job(1)


@pytest.mark.parametrize(
    ("scenario", "status", "length"),
    [("cancel-200", 200, 69), ("cancel-204-with-body", 204, 69), ("cancel-204", 204, 0)],
)
def test_cancelling_marks_a_job(adobe: AdobeSimulator, client: Client, scenario: str, status: int, length: int) -> None:
    adobe.scenario(scenario)
    adobe.configure(job_seconds=60)
    job = client.submit().json["id"]

    reply = client.call("DELETE", f"{JOBS}/{job}")
    marked = client.get(f"{JOBS}/{job}").json["status"]
    adobe.advance(1)

    assert reply.status == status
    assert reply.headers["Content-Length"] == str(length)
    assert marked == "CANCELLING"
    cancelled = client.get(f"{JOBS}/{job}").json
    assert cancelled["status"] == "CANCELLED"
    assert client.parts(cancelled["destination"]["batchId"]) == {}


def test_a_cancelled_job_may_vanish(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("cancelled-is-gone")
    adobe.configure(job_seconds=60, cancel_seconds=0)
    job = client.submit().json["id"]

    client.call("DELETE", f"{JOBS}/{job}")

    assert client.get(f"{JOBS}/{job}").status == 404


def test_deleting_an_ended_job_forgets_it_and_keeps_its_files(client: Client) -> None:
    job = client.job()

    client.call("DELETE", f"{JOBS}/{job['id']}")

    assert client.get(f"{JOBS}/{job['id']}").status == 404
    assert len(client.parts(job["destination"]["batchId"])) == 4


# What is exported


def test_a_batch_is_two_files_of_two_parts(adobe: AdobeSimulator, client: Client) -> None:
    job = client.job()

    files = client.get(f"{EXPORT}/batches/{job['destination']['batchId']}/files").json
    parts = client.parts(job["destination"]["batchId"])

    assert (len(files["data"]), len(parts)) == (2, 4)
    assert files["_page"] == {"limit": 100, "count": 2}
    assert files["data"][0]["_links"]["self"]["href"].startswith(f"https://platform.adobe.io:443{EXPORT}/files/")
    assert files["data"][0]["isValid"] is False
    assert all(re.fullmatch(r"part-\d{5}-[0-9a-f-]{36}-c000\.snappy\.parquet", name) for _, name in parts)
    assert {(t.file_id, t.name): t.size for t in adobe.truth(job["id"])} == parts
    status = client.get(f"{CATALOG}/batches/{job['destination']['batchId']}").json
    assert status[job["destination"]["batchId"]]["status"] == "success"


def test_a_part_is_real_parquet(adobe: AdobeSimulator, client: Client, tmp_path: Path) -> None:
    job = client.job()

    for number, truth in enumerate(adobe.truth(job["id"])):
        reply = client.part(truth.file_id, truth.name)
        assert reply.headers["Content-Type"] == "application/parquet"
        assert hashlib.sha256(reply.body).hexdigest() == truth.sha256
        (tmp_path / f"{number}.parquet").write_bytes(reply.body)

    rows = read(tmp_path)
    assert len(rows) == 195
    assert len({row["_id"] for row in rows}) == 195
    assert rows[7]["personalEmail"] == {"address": "profile-000007@example.com"}
    assert {name for row in rows for name in row["identityMap"]} == {"ECID", "Email"}
    assert {row["homeAddress"]["city"] for row in rows} >= {"Łódź", "Leeds"}


def test_each_segment_has_a_batch_where_that_is_asked(adobe: AdobeSimulator, client: Client, tmp_path: Path) -> None:
    job = client.job(BY_SEGMENT)

    destination = job["destination"]
    assert "batchId" not in destination
    assert [batch["segmentId"] for batch in destination["batches"]] == [each["segmentId"] for each in SEGMENTS]
    assert [(b["segmentNs"], b["status"]) for b in destination["batches"]] == [("ups", ["realized", "existing"])] * 2
    for batch in destination["batches"]:
        folder = tmp_path / batch["segmentId"]
        folder.mkdir()
        for number, (file_id, name) in enumerate(client.parts(batch["batchId"])):
            (folder / f"{number}.parquet").write_bytes(client.part(file_id, name).body)
        rows = read(folder)
        statuses = Counter(row["segmentMembership"]["ups"][batch["segmentId"]]["status"] for row in rows)
        assert list(rows[0]) == ["identityMap", "personalEmail", "segmentMembership"]
        assert statuses.keys() == {"realized", "existing"}
        assert len(rows) == sum(t.rows for t in adobe.truth(job["id"]) if t.segment_id == batch["segmentId"])
    assert job["metrics"]["totalExportedProfileCounter"] == sum(t.rows for t in adobe.truth(job["id"]))


def test_segments_in_one_batch_share_their_profiles(adobe: AdobeSimulator, client: Client) -> None:
    together = client.job({**BY_SEGMENT, "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"}})
    apart = client.job(BY_SEGMENT)

    def rows(job: Any) -> int:
        return sum(truth.rows for truth in adobe.truth(job["id"]))

    assert "batchId" in together["destination"]
    assert 0 < rows(together) < rows(apart)


@pytest.mark.parametrize(
    ("filter_", "rows"),
    [
        ({"emptyProfiles": True}, 200),
        ({"fromIngestTimestamp": "2025-09-01T00:00:00Z"}, 194),
        ({"fromIngestTimestamp": "2025-09-09T05:00:00Z"}, 1),
        ({"fromIngestTimestamp": "2026-09-09T05:00:00Z"}, 0),
        ({"segments": [{"segmentId": "s", "status": ["exited"]}]}, 14),
        ({"segments": [{"segmentId": "s"}], "segmentQualificationTime": {"startTime": "2026-01-01T00:00:00Z"}}, 47),
    ],
)
def test_a_filter_leaves_out_what_it_says(client: Client, filter_: dict[str, Any], rows: int) -> None:
    job = client.job({**EVERYBODY, "filter": filter_})

    assert job["metrics"]["totalExportedProfileCounter"] == rows
    assert bool(client.parts(job["destination"]["batchId"])) is (rows > 0)


def test_profiles_come_in(adobe: AdobeSimulator, client: Client) -> None:
    since = "2026-06-01T00:00:00+02:00"
    request = {**EVERYBODY, "filter": {"fromIngestTimestamp": since}}
    before = client.job(request)

    adobe.ingest(40)
    after = client.job(request)

    assert before["metrics"]["totalExportedProfileCounter"] == 0
    assert after["metrics"]["totalExportedProfileCounter"] == 39  # one has events alone
    assert after["filter"] == {"fromIngestTimestamp": since}


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ("", ["_id", "identityMap", "identities", "personalEmail", "homeAddress", "segmentMembership"]),
        ("homeAddress.city, _id", ["_id", "homeAddress"]),
        ("identities.id", ["identities"]),
        ("nothing.of.that", ["_id"]),
    ],
)
def test_fields_are_columns(client: Client, tmp_path: Path, fields: str, columns: list[str]) -> None:
    job = client.job({**EVERYBODY, "fields": fields})

    file_id, name = next(iter(client.parts(job["destination"]["batchId"])))
    (tmp_path / "part.parquet").write_bytes(client.part(file_id, name).body)

    assert list(read(tmp_path)[0]) == columns


# Files


def test_a_range_comes_with_its_place(client: Client) -> None:
    file_id, name = client.first_part()
    whole = client.part(file_id, name)

    some = client.part(file_id, name, Range="bytes=0-99")

    size = len(whole.body)
    assert (some.status, some.headers["Content-Range"]) == (206, f"bytes 0-99/{size}")
    assert some.body == whole.body[:100]
    assert client.part(file_id, name, Range=f"bytes={size}-").status == 416


def test_a_range_may_be_shorter_than_asked(adobe: AdobeSimulator, client: Client) -> None:
    file_id, name = client.first_part()
    adobe.scenario("short-ranges")

    some = client.part(file_id, name, Range="bytes=500-4000")

    assert (some.status, len(some.body)) == (206, 1000)
    assert some.headers["Content-Range"].startswith("bytes 500-1499/")


def test_a_range_may_be_ignored(adobe: AdobeSimulator, client: Client) -> None:
    file_id, name = client.first_part()
    adobe.scenario("no-ranges")

    assert client.part(file_id, name, Range="bytes=0-99").status == 200


def test_a_head_tells_length_and_type(client: Client) -> None:
    file_id, name = client.first_part()

    reply = client.part(file_id, name, "HEAD")

    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) == len(client.part(file_id, name).body)
    assert (reply.headers["Content-Type"], reply.headers["Accept-Ranges"]) == ("application/parquet", "bytes")


def test_a_path_that_is_not_there_is_a_404(client: Client) -> None:
    file_id, _ = client.first_part()

    assert client.part(file_id, "part-9.parquet").status == 404
    assert client.part(file_id, "part-9.parquet", "HEAD").status == 404


def test_many_files_come_in_pages_of_a_hundred(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("many-files")
    batch = client.job()["destination"]["batchId"]

    first = client.get(f"{EXPORT}/batches/{batch}/files?limit=1000").json

    assert len(first["data"]) == first["_page"]["limit"] == 100
    following = first["_links"]["next"]["href"]
    assert following.startswith(f"https://platform.adobe.io:443{EXPORT}/batches/{batch}/files?start=100")
    assert len(client.listed(f"{EXPORT}/batches/{batch}/files")) > 100


def test_a_directory_may_be_in_a_directory(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("nested-directories")

    job = client.job()

    parts = client.parts(job["destination"]["batchId"])
    assert parts == {(truth.file_id, truth.name): truth.size for truth in adobe.truth(job["id"])}
    assert len(parts) == 4


def test_files_may_appear_later_than_the_job_ends(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("files-late")
    job = client.job()
    batch = job["destination"]["batchId"]

    early, status = client.parts(batch), client.get(f"{CATALOG}/batches/{batch}").json[batch]["status"]
    adobe.advance(3)

    assert job["status"] == "SUCCEEDED"
    assert (early, status) == ({}, "loading")
    assert len(client.parts(batch)) == 4


def test_a_dropped_batch_is_gone(adobe: AdobeSimulator, client: Client) -> None:
    job = client.job()
    batch = job["destination"]["batchId"]
    file_id, name = next(iter(client.parts(batch)))

    adobe.drop_batch(batch)

    assert client.get(f"{EXPORT}/batches/{batch}/files").status == 404
    assert client.part(file_id, name).status == 404
    assert client.get(f"{CATALOG}/batches/{batch}").status == 404
    with pytest.raises(AdminError, match="unknown batch"):
        adobe.drop_batch(batch)


def test_diagnosis_lists_are_there(client: Client) -> None:
    batch = client.job()["destination"]["batchId"]

    assert client.get(f"{EXPORT}/batches/{batch}/failed").json["data"] == []
    assert "row_errors" in {entry["name"] for entry in client.get(f"{EXPORT}/batches/{batch}/meta").json["data"]}


def test_a_big_part_is_whole_parquet_made_as_it_goes(adobe: AdobeSimulator, client: Client, tmp_path: Path) -> None:
    adobe.configure(part_bytes=5_000_000, files_per_batch=1, parts_per_file=1)

    job = client.job({**EVERYBODY, "fields": "personalEmail.address"})

    [truth] = adobe.truth(job["id"])
    (tmp_path / "part.parquet").write_bytes(client.part(truth.file_id, truth.name).body)
    part = duckdb.read_parquet(str(tmp_path / "part.parquet"))
    [(rows, addresses)] = part.aggregate("count(*), count(DISTINCT personalEmail.address)").fetchall()
    assert truth.size >= 5_000_000
    assert rows == truth.rows == job["metrics"]["totalExportedProfileCounter"]
    assert addresses == 195


def test_a_huge_part_costs_nothing_until_it_is_read(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(part_bytes=50_000_000_000)

    file_id, name = client.first_part()
    size = int(client.part(file_id, name, "HEAD").headers["Content-Length"])
    end = client.part(file_id, name, Range="bytes=-8")

    assert size >= 50_000_000_000
    assert end.body[4:] == b"PAR1"


# Scenarios


@pytest.mark.parametrize(
    ("scenario", "status", "errors"),
    [
        ("failed", "FAILED", ["0090000009", "unknown"]),
        ("wrong-dataset", "FAILED", ["0100000003"]),
        ("never-finishes", "PROCESSING", []),
        ("unknown-status", "PAUSED", []),
        ("errors-on-success", "SUCCEEDED", ["0090000009"]),
    ],
)
def test_a_job_may_end_otherwise(
    adobe: AdobeSimulator, client: Client, scenario: str, status: str, errors: list[str]
) -> None:
    adobe.scenario(scenario)

    job = client.job()

    assert job["status"] == status
    assert [error["code"] for error in job.get("errors", [])] == errors
    assert all(error.keys() == {"code", "msg", "callStack"} for error in job.get("errors", []))


@pytest.mark.parametrize(("segments", "shape"), [(1, "batchId"), (2, "4edc8488-2c35-4f6d-b4c6-9075c68d2df4")])
def test_batches_may_be_an_object(adobe: AdobeSimulator, client: Client, segments: int, shape: str) -> None:
    adobe.scenario("batches-object")

    job = client.job({**BY_SEGMENT, "filter": {"segments": SEGMENTS[:segments]}})

    assert shape in job["destination"]["batches"]


def test_the_status_of_a_segment_may_be_a_text(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("status-text")

    assert client.job(BY_SEGMENT)["destination"]["batches"][0]["status"] == "realized,existing"


def test_the_dataset_may_be_misspelt(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("misspelt-dataset-id")

    assert client.job()["destination"]["dataSetId"] == "5b7c86968f7b6501e21ba9df"


@pytest.mark.parametrize(
    ("scenario", "nested", "flat"),
    [("flat-counter", None, 195), ("no-counter", None, None), ("wrong-counter", 196, None)],
)
def test_the_counter_may_be_elsewhere(
    adobe: AdobeSimulator, client: Client, scenario: str, nested: int | None, flat: int | None
) -> None:
    adobe.scenario(scenario)

    job = client.job()

    assert job["metrics"].get("totalExportedProfileCounter") == nested
    assert job.get("totalExportedProfileCounter") == flat


def test_the_list_has_three_pages(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("three-pages")
    client.submit()

    pages, following = 0, "/export/jobs?limit=100"
    while following:
        following = client.get(f"/data/core/ups{following}").json["link"]["next"]
        pages += 1

    assert pages == 3


def test_a_token_may_expire_while_polling(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("token-expires-polling")
    job = client.submit().json["id"]

    assert [client.get(f"{JOBS}/{job}").status for _ in range(3)] == [200, 401, 401]


def test_a_token_may_expire_between_downloads(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("token-expires-download")
    file_id, name = client.first_part()

    assert [client.part(file_id, name).status for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    ("scenario", "status", "says"),
    [("not-permitted", 403, "403025"), ("missing-sandbox", 400, "x-sandbox-name")],
)
def test_every_call_may_be_refused(
    adobe: AdobeSimulator, client: Client, scenario: str, status: int, says: str
) -> None:
    adobe.scenario(scenario)

    refused = client.submit()

    assert refused.status == status
    assert says in refused.body.decode()


def test_calls_may_be_too_many(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("rate-limited")
    told = client.submit()
    adobe.scenario("rate-limited-bare")
    bare = client.get(f"{JOBS}/1")
    adobe.scenario("success")
    adobe.configure(calls_per_minute=0)
    counted = client.get(f"{JOBS}?limit=1")

    assert (told.status, told.headers["Retry-After"], told.json["error_code"]) == (429, "2", "429050")
    assert (bare.status, bare.headers["Retry-After"]) == (429, None)
    assert (counted.status, counted.json["error_code"]) == (429, "429050")
    assert adobe.jobs() == []


def test_server_errors_come_in_a_burst(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("server-errors")
    job = client.submit().json

    polls = [client.get(f"{JOBS}/{job['id']}").status for _ in range(4)]
    batch = f"{EXPORT}/batches/{job['destination']['batchId']}/files"

    assert polls == [503, 503, 503, 200]
    assert [client.get(batch).status for _ in range(2)] == [503, 200]
    file_id, name = next(iter(client.parts(job["destination"]["batchId"])))
    assert [client.part(file_id, name).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(("scenario", "jobs"), [("lost-reply", 1), ("lost-submission", 0)])
def test_a_submission_may_be_lost(adobe: AdobeSimulator, client: Client, scenario: str, jobs: int) -> None:
    adobe.scenario(scenario)

    with pytest.raises(ConnectionError):
        client.submit()

    assert len(adobe.jobs()) == jobs


def test_a_submission_may_work_and_answer_504(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("submission-gateway-timeout")

    assert client.submit().status == 504
    assert len(adobe.jobs()) == 1


def test_a_part_may_be_shorter_than_its_list_says(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("truncated-body")
    batch = client.job()["destination"]["batchId"]
    (file_id, name), length = next(iter(client.parts(batch).items()))

    reply = client.part(file_id, name)

    assert len(reply.body) == int(reply.headers["Content-Length"]) < length


@pytest.mark.parametrize("scenario", ["truncated-once", "connection-reset"])
def test_a_part_may_break_off(adobe: AdobeSimulator, client: Client, scenario: str) -> None:
    adobe.scenario(scenario)
    file_id, name = client.first_part()

    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        client.part(file_id, name)
    assert client.part(file_id, name).status == 200


def test_a_part_may_be_damaged_or_a_page(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("corrupt-parquet")
    file_id, name = client.first_part()

    damaged = client.part(file_id, name).body
    adobe.scenario("error-page")
    page = client.part(file_id, name)

    assert (damaged[:4], damaged[-4:-1]) == (b"PAR1", b"PAR")
    assert damaged[-1:] != b"1"
    assert (page.status, page.body[:9]) == (200, b"<!DOCTYPE")


def test_parts_of_different_files_may_have_the_same_names(adobe: AdobeSimulator, client: Client) -> None:
    adobe.scenario("same-names")

    parts = client.parts(client.job()["destination"]["batchId"])

    assert (len(parts), len({name for _, name in parts})) == (4, 2)


def test_every_scenario_can_be_played(adobe: AdobeSimulator, client: Client) -> None:
    for name in AdobeSimulator.SCENARIOS:
        adobe.scenario(name)

    assert client.get("/_admin/scenarios").json.keys() == AdobeSimulator.SCENARIOS.keys()


# The admin path and the command


def test_what_python_can_say_http_can_say_too(adobe: AdobeSimulator, client: Client) -> None:
    adobe.configure(job_seconds=60)
    good, bad, frozen = (client.submit().json["id"] for _ in range(3))

    def tell(method: str, path: str, body: object = None) -> Any:
        reply = client.call(method, f"/_admin{path}", body, Authorization=None)
        assert reply.status == 200
        return reply.json

    tell("POST", f"/jobs/{good}/complete")
    tell("POST", f"/jobs/{bad}/fail")
    tell("POST", f"/jobs/{frozen}/freeze")
    tell("POST", "/ingest", {"profiles": 5})
    tell("POST", "/freeze", {"frozen": True})
    assert [job["status"] for job in tell("GET", "/jobs")] == ["SUCCEEDED", "FAILED", "NEW"]
    truth = tell("GET", f"/jobs/{good}/truth")
    assert len(truth) == 4
    tell("DELETE", f"/batches/{truth[0]['batch_id']}")
    assert tell("GET", f"/jobs/{good}/truth") == []
    tell("POST", "/tokens/expire")
    assert client.submit().status == 401
    tell("POST", "/reset")
    assert tell("GET", "/jobs") == []


def test_the_command_serves_the_demo_organisation() -> None:
    line = [sys.executable, "-m", "infra.local.vendors", "adobe", "--port", "0", "--job-seconds", "60", "--files", "1"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().removeprefix("ready ").strip())
        client = Client(address.geturl())
        client.log_in()
        status = client.job()["status"]
        process.terminate()
        process.wait(10)

    assert address.hostname == "127.0.0.1"
    assert status == "NEW"


def read(folder: Path) -> list[dict[str, Any]]:
    found = duckdb.read_parquet(f"{folder}/*.parquet")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
