"""The simulated mediarithmics, over real HTTP."""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from infra.local.vendors.mediarithmics import MediarithmicsSimulator
from infra.local.vendors.simulator import AdminError
from tests.fakes.caller import Answer, Caller

ROOT = Path(__file__).parents[3]
EXPORT = "/v1/exports/9879"
OTQL = 'SELECT { emails { id } } FROM UserPoint WHERE segments { id = "51023" }'


class Enveloped(Answer):
    """What mediarithmics answers, in the envelope of every document of its."""

    @property
    def data(self) -> Any:
        assert self.json["status"] == "ok"
        return self.json["data"]


class Client(Caller):
    """A caller with the demo token."""

    def __init__(self, url: str) -> None:
        super().__init__(url, {"Authorization": "demo"})

    def call(self, method: str, path: str, body: object = None, **headers: str | None) -> Enveloped:
        kind = "application/json" if body not in (None, b"") else None
        return Enveloped(*super().call(method, path, body, **{"Content_Type": kind, **headers}))

    def get(self, path: str, **query: object) -> Enveloped:
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def log_in(self, **changed: str) -> Enveloped:
        self.headers["Authorization"] = None
        reply = self.call("POST", "/v1/authentication/access_tokens", {"email": "demo", "password": "demo", **changed})
        self.headers["Authorization"] = reply.data["access_token"] if reply.status == 200 else None
        return reply

    def execute(self, export: str = EXPORT) -> str:
        return str(self.call("POST", f"{export}/executions", {}).data["id"])

    def executions(self, export: str = EXPORT, **query: object) -> Any:
        return self.get(f"{export}/executions", **query).data

    def execution(self, number: str, export: str = EXPORT) -> Any:
        return next(each for each in self.executions(export, max_results=200) if each["id"] == number)

    def file(self, execution: str, name: str = "export", export: str = EXPORT) -> Enveloped:
        return self.get(f"{export}/executions/{execution}/files/technical_name={name}")

    def data_file(self, execution: str, name: str = "export.data", organisation: str = "1426") -> Enveloped:
        uri = f"mics://data_file/tenants/{organisation}/jobs/executions/{execution}/result/{name}"
        return self.call("GET", f"/v1/data_file/data?uri={quote(uri, safe='')}")


@pytest.fixture
def mics() -> Iterator[MediarithmicsSimulator]:
    with MediarithmicsSimulator(job_seconds=0) as simulator:
        yield simulator


@pytest.fixture
def client(mics: MediarithmicsSimulator) -> Client:
    return Client(mics.url)


# Who calls


@pytest.mark.parametrize("token", [None, "Bearer demo", "other"])
def test_the_token_is_sent_raw(client: Client, token: str | None) -> None:
    client.headers["Authorization"] = token

    refused = client.get("/v1/exports", organisation_id=1426)

    assert refused.status == 401
    assert refused.json.keys() == {"status", "error", "error_id"}
    assert refused.json["status"] == "error"


def test_a_token_in_the_query_is_none(client: Client) -> None:
    client.headers["Authorization"] = None

    assert client.get("/v1/exports", organisation_id=1426, access_token="demo").status == 401


def test_a_login_gives_a_token_for_an_hour(mics: MediarithmicsSimulator, client: Client) -> None:
    granted = client.log_in().data

    assert granted.keys() == {"access_token", "expires_in", "refresh_token"}
    assert (granted["expires_in"], granted["refresh_token"]) == (3600, None)
    assert client.get("/v1/connected_user").data["workspaces"] == [{"organisation_id": "1426"}]
    mics.advance(3601)
    assert client.get("/v1/connected_user").status == 401


def test_a_rotated_password_and_a_rotated_token_replace_the_old_ones(
    mics: MediarithmicsSimulator, client: Client
) -> None:
    mics.configure(password="rotated", api_token="rotated")

    assert client.log_in().status == 401
    assert client.log_in(password="rotated").status == 200
    client.headers["Authorization"] = "demo"
    assert client.get("/v1/connected_user").status == 401
    client.headers["Authorization"] = "rotated"
    assert client.get("/v1/connected_user").status == 200


def test_another_organisation_is_forbidden_and_one_is_required(mics: MediarithmicsSimulator, client: Client) -> None:
    assert client.get("/v1/exports", organisation_id=1427).status == 403
    assert client.get("/v1/exports").status == 400
    assert client.call("POST", "/v1/datamarts/1510/queries", {}).status == 403
    assert client.get(EXPORT).status == 200
    assert client.get(EXPORT, organisation_id=1427).status == 404
    mics.scenario("wrong-organisation")
    assert client.get(f"{EXPORT}/executions").status == 403


# From a query to a file


def test_a_query_becomes_an_export_an_execution_and_a_file(mics: MediarithmicsSimulator, client: Client) -> None:
    asked = {"datamart_id": "1509", "query_language": "OTQL", "query_text": OTQL}

    query = client.call("POST", "/v1/datamarts/1509/queries", asked).data
    wanted = {"name": "mine", "output_format": "JSON", "query_id": query["id"], "type": "QUERY"}
    export = client.call("POST", "/v1/exports?organisation_id=1426", wanted).data
    execution = client.call("POST", f"/v1/exports/{export['id']}/executions", {}).data
    done = client.execution(execution["id"], f"/v1/exports/{export['id']}")
    file = client.file(execution["id"], export=f"/v1/exports/{export['id']}")

    truth = mics.truth(execution["id"])["export"]
    assert query == {"id": query["id"], **asked}
    assert export == {"id": export["id"], "organisation_id": "1426", "datamart_id": "1509", **wanted}
    assert execution["status"] == "PENDING"
    assert (done["status"], done["result"]) == ("SUCCEEDED", {"output_files": ["export"]})
    assert (len(file.body), hashlib.sha256(file.body).hexdigest()) == (truth.size, truth.sha256)
    assert client.data_file(execution["id"]).body == file.body
    lines = file.body.splitlines()
    assert len(lines) == truth.rows == 3322
    assert all(json.loads(line).keys() == {"emails"} for line in lines)
    assert b'{"emails":[]}' in lines


def test_every_id_is_a_string(client: Client) -> None:
    client.execute()
    documents = [*client.get("/v1/exports", organisation_id=1426).data, *client.executions()]

    ids = [value for document in documents for name, value in document.items() if name == "id" or name.endswith("_id")]

    assert ids
    assert all(isinstance(value, str) for value in ids)


def test_a_row_has_the_shape_of_the_querys_select(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.edit_query(
        "65987", "SELECT { id emails @limit(size: 1) { email } profiles { model seats } nobody } FROM UserPoint"
    )

    first = json.loads(client.file(client.execute()).body.splitlines()[0])

    assert first["emails"] == [{"email": "n10156@example.com"}]
    assert first["profiles"] == [{"model": "EMB-145XR", "seats": 55}]
    assert first.keys() == {"id", "emails", "profiles", "nobody"}
    assert first["nobody"] is None


@pytest.mark.parametrize("body", [None, b"", b"[]", b'{"force": true}', b"null"])
def test_an_execution_wants_an_empty_object(mics: MediarithmicsSimulator, client: Client, body: bytes | None) -> None:
    assert client.call("POST", f"{EXPORT}/executions", body).status == 400
    assert mics.executions() == []


def test_bodies_are_sent_as_json(client: Client) -> None:
    refused = client.call("POST", f"{EXPORT}/executions", b"{}", Content_Type="application/x-www-form-urlencoded")

    assert refused.status == 400


@pytest.mark.parametrize(
    "change", [{"type": "OTHER"}, {"query_id": "1"}, {"output_format": "XML"}, {"name": None}], ids=str
)
def test_an_export_is_checked(client: Client, change: dict[str, str]) -> None:
    body = {"name": "x", "type": "QUERY", "query_id": "65987", "output_format": "JSON", **change}

    assert client.call("POST", "/v1/exports?organisation_id=1426", body).status == 400


def test_an_export_can_be_edited_and_archived(client: Client) -> None:
    edited = client.call("PUT", EXPORT, {"query_id": "45987"}).data
    archived = client.call("DELETE", EXPORT)

    assert edited["query_id"] == "45987"
    assert archived.status == 200
    assert client.get(EXPORT).status == 404
    assert [export["id"] for export in client.get("/v1/exports", organisation_id=1426).data] == ["9872"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (OTQL, "VALID"),
        ("SELECT @count{} FROM UserPoint", "VALID"),
        ("SELECT { id } FROM UserPoint WHERE FAIL", "VALID"),
        ("SELECT { id FROM UserPoint", "PARSING_ERROR"),
        ("id of everybody", "PARSING_ERROR"),
        ("SELECT { id } FROM user_point", "VALIDATION_ERROR"),
    ],
)
def test_a_query_is_checked_in_a_reply_that_is_always_200(client: Client, query: str, kind: str) -> None:
    told = client.call("POST", "/v1/datamarts/1509/query_check/otql", {"query": query}).data

    assert told["type"] == kind
    assert told["status"] == ("ok" if kind == "VALID" else "error")
    assert ("error" in told) == (kind != "VALID")


def test_a_bad_query_exports_an_empty_file_and_no_message(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.edit_query("65987", "id of everybody")

    execution = client.execute()

    assert client.execution(execution)["status"] == "SUCCEEDED"
    assert (client.file(execution).status, client.file(execution).body) == (200, b"")


def test_a_query_can_be_read_back_and_changed(client: Client) -> None:
    changed = client.call("PUT", "/v1/datamarts/1509/queries/65987", {"query_text": "SELECT { id } FROM UserPoint"})

    assert client.get("/v1/datamarts/1509/queries/65987").data == changed.data
    assert changed.data["query_text"] == "SELECT { id } FROM UserPoint"
    assert client.get("/v1/datamarts/1509/queries/1").status == 404


@pytest.mark.parametrize(
    "path",
    ["/v1/nothing", "/v1/exports/1?organisation_id=1426", "/v1/exports/1/executions", f"{EXPORT}/executions/7897897"],
)
def test_what_is_not_there_is_a_404_in_json(client: Client, path: str) -> None:
    client.execute()

    missing = client.call("GET", path)

    assert missing.status == 404
    assert missing.json["error"] == "Resource Not Found"


# Executions


def test_an_execution_is_pending_then_runs_then_ends(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.configure(job_seconds=100)
    number = client.execute()

    pending = client.execution(number)
    mics.advance(50)
    running = client.execution(number)
    mics.advance(51)
    done = client.execution(number)

    assert [each["status"] for each in (pending, running, done)] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert pending["start_date"] is pending["num_tasks"] is running["result"] is running["duration"] is None
    assert "end_date" not in running
    assert 0 < running["completed_tasks"] < running["num_tasks"]
    assert done["duration"] == done["end_date"] - done["start_date"]
    assert done["completed_tasks"] + done["erroneous_tasks"] == done["num_tasks"]
    assert done["job_type"] == "DATAMART_QUERY_EXPORT"


def test_a_query_with_fail_in_it_fails(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.edit_query("65987", "SELECT { id } FROM UserPoint WHERE FAIL")

    number = client.execute()

    failed = client.execution(number)
    assert (failed["status"], failed["is_retryable"], failed["result"]) == ("FAILED", False, None)
    assert failed["error"]
    assert client.file(number).status == 404
    error = client.data_file(number, "export.error")
    assert (error.status, error.headers["Content-Type"]) == (200, "text/plain")
    assert number in error.body.decode()


@pytest.mark.parametrize(
    ("scenario", "status", "facts"),
    [
        ("failed-retryable", "FAILED", {"is_retryable": True}),
        ("failed-final", "FAILED", {"is_retryable": False}),
        ("failed-without-file", "FAILED", {"error": None}),
        (
            "failed-with-object",
            "FAILED",
            {"error": {"message": "Query execution failed: the graph did not answer in time"}},
        ),
        ("lost", "LOST", {}),
        ("canceled", "CANCELED", {"result": None}),
        ("never-finishes", "RUNNING", {"result": None}),
        ("odd-words", "SUCCESS", {}),
        ("result-null", "SUCCEEDED", {"result": None}),
        ("two-files", "SUCCEEDED", {"result": {"output_files": ["export", "export_2"]}}),
        ("null-counters", "SUCCEEDED", dict.fromkeys(("num_tasks", "completed_tasks", "erroneous_tasks"))),
        ("text-counters", "SUCCEEDED", {"num_tasks": "3322", "completed_tasks": "3289", "erroneous_tasks": "33"}),
        ("erroneous-tasks", "SUCCEEDED", {"num_tasks": 3322, "completed_tasks": 3070, "erroneous_tasks": 252}),
    ],
)
def test_an_execution_ends_as_the_scenario_says(
    mics: MediarithmicsSimulator, client: Client, scenario: str, status: str, facts: dict[str, object]
) -> None:
    mics.scenario(scenario)

    ended = client.execution(client.execute())

    assert ended["status"] == status
    assert {name: ended[name] for name in facts} == facts


def test_odd_words_come_on_the_way(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("odd-words")
    mics.configure(job_seconds=100)
    number = client.execute()

    words = []
    for _ in range(5):
        words.append(client.execution(number)["status"])
        mics.advance(25)

    assert words == ["PENDING", "WAITING_DEPENDENT_JOB", "SCHEDULED", "EXECUTOR_NOT_RESPONDING", "SUCCESS"]


def test_a_failure_may_be_the_only_one(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("failed-once")

    statuses = [client.execution(client.execute())["status"] for _ in range(2)]

    assert statuses == ["FAILED", "SUCCEEDED"]


def test_an_execution_can_be_told_how_to_end(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.configure(job_seconds=60)
    good, bad, endless = (client.execute() for _ in range(3))

    mics.end(good)
    mics.end(bad, "CANCELED")
    mics.end(endless, "never")
    mics.advance(120)

    assert [client.execution(each)["status"] for each in (good, bad, endless)] == ["SUCCEEDED", "CANCELED", "RUNNING"]
    with pytest.raises(AdminError, match="ended already"):
        mics.end(good)
    with pytest.raises(AdminError, match="no execution ends"):
        mics.end(endless, "PAUSED")


def test_a_list_is_newest_first_in_pages_of_ten(client: Client) -> None:
    numbers = [client.execute() for _ in range(12)]

    first, second = client.get(f"{EXPORT}/executions"), client.get(f"{EXPORT}/executions", first_result=10)

    assert [each["id"] for each in first.data + second.data] == numbers[::-1]
    assert {name: first.json[name] for name in ("count", "total", "first_result", "max_result", "max_results")} == {
        "count": 10,
        "total": 12,
        "first_result": 0,
        "max_result": 10,
        "max_results": 10,
    }
    assert (second.json["count"], second.json["first_result"]) == (2, 10)
    assert client.get(f"{EXPORT}/executions", max_results="x").status == 400


def test_others_may_push_an_execution_to_the_second_page(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("second-page")

    number = client.execute()

    assert number not in [each["id"] for each in client.executions(max_results=50)]
    assert number in [each["id"] for each in client.executions(first_result=10)]
    assert [each["id"] for each in mics.executions()] == [number]
    assert len(mics.executions(ours=False)) == 12


def test_lists_may_lack_a_total_or_begin_with_the_oldest(mics: MediarithmicsSimulator, client: Client) -> None:
    first, last = client.execute(), client.execute()
    mics.scenario("no-totals")
    without = client.get(f"{EXPORT}/executions").json
    mics.scenario("oldest-first")

    assert "total" not in without
    assert [each["id"] for each in client.executions()] == [first, last]


# Files


@pytest.mark.parametrize(
    ("scenario", "statuses"),
    [
        ("success", (200, 404, 200)),
        ("data-file-only", (404, 404, 200)),
        ("query-path-only", (404, 200, 404)),
        ("download-not-found", (404, 404, 404)),
    ],
)
def test_a_file_is_at_the_paths_of_the_scenario(
    mics: MediarithmicsSimulator, client: Client, scenario: str, statuses: tuple[int, int, int]
) -> None:
    mics.scenario(scenario)
    number = client.execute()

    by_query = client.get(f"{EXPORT}/executions/{number}/files", technical_name="export")

    assert (client.file(number).status, by_query.status, client.data_file(number).status) == statuses


def test_a_file_that_is_not_there_is_an_error_in_json(client: Client) -> None:
    number = client.execute()

    missing = [
        client.file(number, "other"),
        client.data_file(number, "other.data"),
        client.data_file(number, "export.error"),
        client.data_file(number, organisation="1427"),
        client.file("1"),
    ]

    assert {each.status for each in missing} == {404}
    assert all(each.json["status"] == "error" for each in missing)
    assert client.get("/v1/data_file/data", uri="mics://data_file/other").status == 400


def test_each_output_file_is_a_file(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("two-files")
    number = client.execute()

    for name, truth in mics.truth(number).items():
        assert hashlib.sha256(client.file(number, name).body).hexdigest() == truth.sha256
    assert mics.truth(number).keys() == {"export", "export_2"}


@pytest.mark.parametrize("scenario", ["error-as-file", "error-page"])
def test_an_error_may_come_with_status_200(mics: MediarithmicsSimulator, client: Client, scenario: str) -> None:
    mics.scenario(scenario)

    file = client.file(client.execute())

    assert file.status == 200
    assert len(file.body) < 100


def test_csv_has_a_header(client: Client) -> None:
    client.call("PUT", EXPORT, {"output_format": "CSV"})

    lines = client.file(client.execute()).body.splitlines()

    assert lines[0] == b'"emails"'
    assert len(lines) == 3323


def test_the_last_line_may_lack_its_newline(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("no-last-newline")
    number = client.execute()

    body = client.file(number).body

    assert not body.endswith(b"\n")
    assert len(body.splitlines()) == mics.truth(number)["export"].rows


def test_a_large_file_is_not_held_in_memory(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.configure(big_file_bytes=10 << 30)
    number = client.execute()
    connection = http.client.HTTPConnection(client.address, timeout=10)
    connection.request(
        "GET", f"{EXPORT}/executions/{number}/files/technical_name=export", headers={"Authorization": "demo"}
    )

    reply = connection.getresponse()
    begun = reply.read(1 << 20)
    connection.close()

    assert int(reply.headers["Content-Length"]) >= 10 << 30
    assert begun.startswith(b'{"emails":[{"id":"')


def test_a_large_file_is_what_its_truth_says(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.configure(big_file_bytes=1 << 20)
    number = client.execute()

    body = client.file(number).body

    truth = mics.truth(number)["export"]
    assert len(body) == truth.size >= 1 << 20
    assert len(body.splitlines()) == truth.rows
    assert hashlib.sha256(body).hexdigest() == truth.sha256


# Trouble


def test_a_lost_reply_has_done_its_work(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("lost-reply")

    with pytest.raises(http.client.RemoteDisconnected):
        client.execute()

    assert len(mics.executions()) == 1


def test_a_burst_passes(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("server-errors")
    number = client.execute()

    statuses = [client.get(f"{EXPORT}/executions").status for _ in range(4)]

    assert statuses == [500, 500, 500, 200]
    assert [client.file(number).status for _ in range(2)] == [500, 200]


def test_a_limited_call_says_when_to_come_back(mics: MediarithmicsSimulator, client: Client) -> None:
    mics.scenario("rate-limited")

    refused = client.call("POST", f"{EXPORT}/executions", {})

    assert (refused.status, refused.headers["Retry-After"]) == (429, "2")
    assert mics.executions() == []


def test_every_scenario_can_be_played(mics: MediarithmicsSimulator) -> None:
    for name in mics.SCENARIOS:
        mics.scenario(name)


def test_the_admin_path_says_and_does_what_python_can(client: Client) -> None:
    client.call("POST", "/_admin/knobs", {"job_seconds": 60})
    number = client.call("POST", "/_admin/executions", {"export_id": "9879"}).json["id"]

    ended = client.call("POST", f"/_admin/executions/{number}/end", {"status": "CANCELED"})

    assert ended.json == {"ok": True}
    assert client.execution(number)["status"] == "CANCELED"
    assert client.get(f"/_admin/executions/{client.execute()}/truth").json["export"]["rows"] == 3322
    assert client.call("POST", "/_admin/queries/1", {"query_text": "x"}).status == 400
    assert {"GET /_admin/exports", "POST /_admin/tokens/expire"} <= client.get("/_admin").json.keys()
    client.call("POST", "/_admin/reset")
    assert client.executions() == []


def test_it_serves_alone_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "infra.local.vendors", "mediarithmics", "--port", "0", "--job-seconds", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout
        ready = process.stdout.readline().split()
        status = Client(ready[1]).call("GET", "/v1/exports?organisation_id=1426").status
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        ended = process.wait(10)

    assert (ready[0], status, ended) == ("ready", 200, 0)
    assert time.monotonic() - begun < 5
