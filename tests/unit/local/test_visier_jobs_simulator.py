"""The simulated jobs and uploads of Visier, over real HTTP."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from infra.local.vendors.visier import VisierSimulator
from tests.fakes.caller import VisierCaller

JOBS = "/v1/op/jobs"
FORM = "application/x-www-form-urlencoded"
ALL = {"allTenants": True, "runProcessingJob": True}


class Client(VisierCaller):
    """A caller who is logged in."""

    def __init__(self, visier: VisierSimulator, tenant: str | None = None) -> None:
        super().__init__(visier.url)
        self.log_in()
        self.headers |= {"TargetTenantID": tenant}

    def get(self, path: str) -> Any:
        reply = self.call("GET", path)
        assert reply.status in (200, 206), reply.body
        return reply.json

    def extract(self, **model: Any) -> str:
        return str(self.call("POST", "/v1/op/data/startExtractAndLoad", model or ALL).json["jobId"])

    def cancel(self, *job_ids: str) -> list[Any]:
        results = self.call("POST", f"{JOBS}/cancel", {"jobIds": job_ids}).json["jobCancellationResults"]
        return list(results)


@pytest.fixture
def visier() -> Iterator[VisierSimulator]:
    with VisierSimulator(scenario="load", job_seconds=100, calls_per_minute=10_000) as simulator:
        yield simulator


@pytest.fixture
def client(visier: VisierSimulator) -> Client:
    return Client(visier)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (urlencode({"model": json.dumps(ALL)}), FORM),
        (json.dumps({"model": ALL}), "application/json"),
        (json.dumps(ALL), "application/json"),
    ],
    ids=["form", "wrapped", "bare"],
)
def test_a_write_is_taken_in_every_form(visier: VisierSimulator, client: Client, body: str, kind: str) -> None:
    status = client.call("POST", "/v1/op/data/startExtractAndLoad", body.encode(), Content_Type=kind).status

    assert status == 200
    assert visier.loads.bodies == [("/v1/op/data/startExtractAndLoad", kind, ALL)]


@pytest.mark.parametrize(
    ("path", "model", "code"),
    [
        ("/v1/op/data/startload", {"files": ["people.zip"]}, "InvalidFile"),
        ("/v1/op/data/startload", {}, "InvalidRequest"),
        ("/v1/op/data/startExtractAndLoad", {"tenants": ["WFF_j1r~nobody"]}, "UnknownTenant"),
        ("/v1/op/data/startExtractAndLoad", {"excludedTenants": ["WFF_j1r~c7o"]}, "InvalidRequest"),
        ("/v1/op/data/startExtractAndLoad", {"overrideLastExtractionTimestamp": "@instant:x"}, "InvalidRequest"),
        ("/v1alpha/op/jobs/processing-jobs", {"tenants": ["WFF_j1r~c7o"], "allTenants": True}, "InvalidRequest"),
        ("/v1/op/jobs/cancel", {"jobIds": ["x"] * 501}, "InvalidRequest"),
        ("/v1/op/jobs/receiving-jobs", {"transferSessionId": "x"}, "NotFound"),
    ],
)
def test_what_visier_would_refuse_is_refused(client: Client, path: str, model: Any, code: str) -> None:
    refused = client.call("POST", path, model)

    assert refused.status in (400, 404)
    assert refused.json["errorCode"] == code


def test_a_job_shows_its_stages(visier: VisierSimulator, client: Client) -> None:
    job_id = client.extract()
    dispatching = client.get(f"{JOBS}/dispatching-jobs/{job_id}")

    visier.advance(30)
    extractions = client.get(f"{JOBS}/dispatching-jobs/{job_id}/extraction-jobs")["extractionJobs"]
    visier.advance(71)
    done = client.get(f"{JOBS}/dispatching-jobs/{job_id}/extraction-jobs")["extractionJobs"]
    processed = client.get(f"{JOBS}/dispatching-jobs/{job_id}/processing-jobs")["processingJobs"]

    assert (dispatching["status"], dispatching["totalJobsDispatched"]) == ("Running", 0)
    assert {job["currentStage"] for job in extractions} == {"Retrieve Secondary Subjects"}
    assert all("currentStage" not in job for job in done)
    assert [job["dataVersion"] for job in processed] == ["7000005", "7000006", "7000007"]


def test_frozen_jobs_do_not_end(visier: VisierSimulator, client: Client) -> None:
    job_id = client.extract()
    visier.freeze()

    visier.advance(1000)

    assert client.get(f"{JOBS}/dispatching-jobs/{job_id}")["status"] == "Running"


def test_lists_come_in_pages(visier: VisierSimulator, client: Client) -> None:
    job_id = client.extract()
    visier.advance(101)
    path = f"{JOBS}/dispatching-jobs/{job_id}/receiving-jobs"

    first, rest, none = (client.get(f"{path}?start={start}&limit=2") for start in (0, 2, 4))
    one = client.get(f"{path}?tenantCode=WFF_j1r~e1a")

    assert [len(page["receivingJobs"]) for page in (first, rest, none)] == [2, 1, 0]
    assert [job["tenantCode"] for job in one["receivingJobs"]] == ["WFF_j1r~e1a"]


def test_a_cut_list_is_206_if_so_ordered(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("partial-content")
    job_id = client.extract()
    visier.advance(101)
    path = f"{JOBS}/dispatching-jobs/{job_id}/extraction-jobs"

    statuses = [client.call("GET", f"{path}?start={start}").status for start in (0, 2)]

    assert statuses == [206, 200]


@pytest.mark.parametrize("asked", ["true", "True", "TRUE"])
def test_a_receiving_job_shows_its_children_if_asked(visier: VisierSimulator, client: Client, asked: str) -> None:
    job_id = client.call("POST", "/v1/op/data/startload", {"files": ["people.zip.gpg"]}).json["jobId"]
    visier.advance(101)

    alone = client.get(f"{JOBS}/receiving-jobs/{job_id}")
    whole = client.get(f"{JOBS}/receiving-jobs/{job_id}?jobs={asked}")
    processing = client.get(f"{JOBS}/processing-jobs/{job_id}")

    assert "receivingJobs" not in alone
    assert [job["status"] for job in whole["receivingJobs"]] == ["Succeeded"] * 3
    assert len(processing["processingJobs"]) == 3


def test_the_list_of_all_jobs_is_by_time_status_and_tenant(visier: VisierSimulator, client: Client) -> None:
    job_id = client.extract(tenants=["WFF_j1r~c7o"])
    visier.advance(15)

    everything = client.get("/v1/op/job-status/jobs")["jobStatus"]
    later = client.get("/v1/op/job-status/jobs?startTime=2999-01-01T00:00:00Z")["jobStatus"]
    running = client.get("/v1/op/job-status/jobs?status=Running")["jobStatus"]
    own = Client(visier, "WFF_j1r~c7o").get("/v1/op/job-status/jobs")["jobStatus"]
    one = client.get(f"/v1/op/job-status/jobs/{job_id}")

    assert [job["jobType"] for job in everything] == ["DISPATCHING_JOB", "EXTRACTION_JOB"]
    assert later == []
    assert [job["tenant"] for job in running] == [job["tenant"] for job in own] == ["WFF_j1r~c7o"]
    assert one[0]["jobId"] == job_id


def test_a_tenant_sees_its_own_jobs_alone(visier: VisierSimulator, client: Client) -> None:
    job_id = client.extract()

    reply = Client(visier, "WFF_j1r~c7o").call("GET", f"{JOBS}/dispatching-jobs/{job_id}")

    assert reply.status == 404


def test_each_kind_of_cancelling_answers_200(visier: VisierSimulator, client: Client) -> None:
    finished = client.extract(tenants=["WFF_j1r~c7o"])
    visier.advance(101)
    received = client.call("POST", "/v1/op/data/startload", {"files": ["people.zip.gpg"]}).json["jobId"]
    running = client.extract()

    results = client.cancel(finished, received, running, "c19e2f2b")

    assert [result.get("cancelStatus") for result in results] == [None, "CANCEL_FAILED", "CANCEL_SUCCEEDED", None]
    assert [result["jobType"] for result in results] == [
        "DISPATCHING_JOB",
        "UPLOAD_JOB",
        "DISPATCHING_JOB",
        "UNRECOGNIZED",
    ]
    assert results[0]["jobStatus"] == "Succeeded"
    assert results[2]["jobStatus"] == "Cancelled"


def test_a_job_may_be_cancelling_for_a_while(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("slow-cancel")
    job_id = client.extract()

    (result,) = client.cancel(job_id)
    visier.advance(11)

    assert result["jobStatus"] == "Cancelling"
    assert client.get(f"{JOBS}/dispatching-jobs/{job_id}")["status"] == "Cancelled"
    assert client.get(f"{JOBS}/dispatching-jobs/{job_id}/extraction-jobs")["extractionJobs"] == []


def upload(client: Client, session: str, data: bytes) -> int:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="Employee.csv"\r\n\r\n' + data + b"\r\n--x--\r\n"
    )
    path = f"/v1/op/data-transfer-sessions/{session}/upload?sequence=1"
    return client.call("PUT", path, body, Content_Type="multipart/form-data; boundary=x").status


def test_an_upload_is_kept_byte_for_byte_and_can_be_looked_at(visier: VisierSimulator, client: Client) -> None:
    session = client.call("POST", "/v1/op/data-transfer-sessions").json["transferSessionId"]

    status = upload(client, session, b"EmployeeID\nE0001\n")
    started = client.call("POST", f"{JOBS}/receiving-jobs", {"transferSessionId": session, "processingData": True}).json
    visier.advance(101)

    assert status == 200
    assert visier.loads.uploads()[0].data == b"EmployeeID\nE0001\n"
    assert client.get("/_admin/uploads")[0]["size"] == 17
    assert client.get("/_admin/uploads/0")["text"] == "EmployeeID\nE0001\n"
    assert started["status"] == "SUCCEED"
    assert len(client.get(f"{JOBS}/processing-jobs/{started['dataReceivingJobId']}")["processingJobs"]) == 3


def test_an_upload_has_its_limit(visier: VisierSimulator, client: Client) -> None:
    visier.configure(upload_limit_bytes=100)
    session = client.call("POST", "/v1/op/data-transfer-sessions").json["transferSessionId"]

    assert upload(client, session, b"x" * 101) == 400
    assert upload(client, session, b"") == 200


def test_a_cancelled_session_takes_nothing_more(client: Client) -> None:
    session = client.call("POST", "/v1/op/data-transfer-sessions").json["transferSessionId"]

    cancelled = client.call("PUT", f"/v1/op/data-transfer-sessions/{session}/cancel").json

    assert cancelled["status"] == "CANCELLED"
    assert upload(client, session, b"x") == 404


def test_a_reset_forgets_jobs_and_uploads(visier: VisierSimulator, client: Client) -> None:
    client.extract()

    visier.reset()

    assert visier.loads.jobs() == []
    assert visier.loads.bodies == []
