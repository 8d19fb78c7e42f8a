"""The simulated LiquidAnalytics, over real HTTP."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from infra.local.vendors.liquid import LiquidSimulator
from infra.local.vendors.simulator import AdminError
from tests.fakes.caller import Answer, Caller

ROOT = Path(__file__).parents[3]
EXPORT = {"jobName": "nightly", "itemType": "Attendee", "contentType": "application/json"}
CSV = {**EXPORT, "contentType": "text/plain", "rowHeader": "true"}
EDITING = "/Workflow/processStatus[Editing]"
IMPORT = {"jobName": "from-s3", "itemType": "Attendee", "contentType": "plain/text", "headerRow": "true"}


class Client(Caller):
    """A caller with the demo credentials."""

    def __init__(self, url: str) -> None:
        super().__init__(url, {"Authorization": "Bearer "})

    def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        kind = "application/x-www-form-urlencoded"
        return self.call("POST", f"/ls/api/{path}", urlencode(fields).encode(), Content_Type=kind)

    def log_in(self, **fields: str) -> Answer:
        demo = dict.fromkeys(("client_id", "client_secret", "username", "password"), "demo")
        reply = self.form("oauth2/token", {"grant_type": "password", **demo, "scope": "community=demo", **fields})
        if reply.status == 200:
            self.headers["Authorization"] = f"Bearer {reply.json['access_token']}"
        return reply

    def export(self, fields: Mapping[str, str] = EXPORT, **more: str) -> Any:
        reply = self.form("batch/export", {**fields, **more})
        assert reply.status == 200, reply.body
        return reply.json

    def import_(self, data: bytes, fields: Mapping[str, str] = IMPORT, **files: bytes) -> Any:
        reply = self.multipart(fields, {"file": data, **files})
        assert reply.status == 200, reply.body
        return reply.json

    def multipart(self, fields: Mapping[str, str], files: Mapping[str, bytes]) -> Answer:
        """A form as the vendor's own example sends it, with a header of its own on each file."""
        parts = [f'Content-Disposition: form-data; name="{n}"\r\n\r\n{v}'.encode() for n, v in fields.items()]
        parts += [
            f'Content-Disposition: form-data; name="{name}"; filename="{name}.csv"\r\n'
            f"Content-Type: plain/text\r\nExpires: 0\r\n\r\n".encode()
            + data
            for name, data in files.items()
        ]
        body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--\r\n"
        return self.call("POST", "/ls/api/batch/import", body, Content_Type="multipart/form-data; boundary=limit")

    def status(self, job: Any) -> Any:
        return self.form("batch/status", {"jobId": job["jobId"]}).json

    def fetch(self, link: str) -> Answer:
        url = urlsplit(link)
        assert url.netloc == self.address
        return self.call("GET", f"{url.path}?{url.query}", Authorization="")

    def rows(self, fields: Mapping[str, str] = CSV, **more: str) -> list[list[str]]:
        """Export CSV, and read every file of it."""
        links = self.status(self.export(fields, **more))["links"]
        texts = (self.fetch(link).body.decode() for link in links)
        return [row for text in texts for row in csv.reader(io.StringIO(text, newline=""))]


@pytest.fixture
def liquid() -> Iterator[LiquidSimulator]:
    with LiquidSimulator(job_seconds=0, attendees=100) as simulator:
        yield simulator


@pytest.fixture
def stranger(liquid: LiquidSimulator) -> Client:
    return Client(liquid.url)


@pytest.fixture
def client(stranger: Client) -> Client:
    stranger.log_in()
    return stranger


# Logging in


def test_a_login_answers_a_token_that_every_call_takes(stranger: Client) -> None:
    reply = stranger.log_in()

    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "bearer", 3600)
    assert stranger.call("GET", "/ls/api/oauth2/validate").status == 200
    assert stranger.form("oauth2/tokenInfo", {}).json["community"] == "demo"


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"password": "wrong"}, 400, "invalid_grant"),
        ({"username": "other"}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant"),
        ({"scope": "community=other"}, 400, "invalid_scope"),
    ],
)
def test_a_login_with_wrong_fields_is_refused_as_oauth_does(
    stranger: Client, fields: dict[str, str], status: int, error: str
) -> None:
    refused = stranger.log_in(**fields)

    assert (refused.status, refused.json["error"]) == (status, error)
    assert refused.json["error_description"]


def test_a_public_client_logs_in_without_a_secret(liquid: LiquidSimulator, stranger: Client) -> None:
    form = {"grant_type": "password", "username": "demo", "password": "demo", "scope": "community=demo"}

    refused = stranger.form("oauth2/token", form).status
    liquid.configure(public_client=True)
    taken = stranger.form("oauth2/token", form).status

    assert (refused, taken) == (401, 200)


def test_the_scope_may_name_more_than_the_community(stranger: Client) -> None:
    stranger.log_in(scope="deviceId=d1 community=demo")

    assert stranger.export()["jobId"]


def test_without_a_community_nothing_works_until_it_is_set(stranger: Client) -> None:
    stranger.log_in(scope="deviceId=d1")

    refused = stranger.form("batch/export", EXPORT)
    stranger.form("oauth2/setCommunity", {"community": "demo"})

    assert refused.status == 400
    assert "community" in refused.json["error_description"]
    assert stranger.export()["jobId"]


@pytest.mark.parametrize("call", ["batch/export", "batch/import", "batch/status", "batch/cancel", "oauth2/tokenInfo"])
def test_every_call_needs_a_token(stranger: Client, call: str) -> None:
    refused = stranger.form(call, EXPORT)

    assert (refused.status, refused.json["error"]) == (401, "invalid_token")


def test_a_token_expires_by_time_and_by_order(liquid: LiquidSimulator, client: Client) -> None:
    job = client.export()

    liquid.advance(3601)
    by_time = client.form("batch/status", {"jobId": job["jobId"]}).status
    client.log_in()
    liquid.invalidate_tokens()
    by_order = client.form("batch/status", {"jobId": job["jobId"]}).status

    assert (by_time, by_order) == (401, 401)


def test_a_token_may_come_bare(liquid: LiquidSimulator, stranger: Client) -> None:
    liquid.scenario("bare-token")

    assert stranger.log_in().json.keys() == {"access_token", "token_type"}


# Jobs


def test_a_job_is_initialized_accepted_and_processed_until_it_is_completed(
    liquid: LiquidSimulator, client: Client
) -> None:
    liquid.configure(job_seconds=100)
    job = client.export()
    seen = [job]

    for seconds in (15, 20, 30, 40):
        liquid.advance(seconds)
        seen.append(client.status(job))

    assert [look["status"] for look in seen] == ["Initialized", "Accepted", "Processing", "Processing", "Completed"]
    records = [int(look["recordsProcessed"]) for look in seen]
    assert records == sorted(records)
    assert 0 < records[2] < records[3] < records[4] == 100
    assert "links" not in seen[3]
    assert int(seen[4]["runTime"]) == pytest.approx(75_000, abs=1000)


def test_a_jobs_document_has_the_vendors_fields(client: Client) -> None:
    job = client.export(CSV, notificationEmail="a@example.com")

    assert job.keys() == {
        "submitTime", "jobId", "notificationEmail", "jobName", "contentType", "itemType", "recordsProcessed", "runTime",
        "status", "reason",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000", job["submitTime"])
    assert datetime.strptime(job["submitTime"], "%Y-%m-%dT%H:%M:%S%z")
    assert (job["recordsProcessed"], job["runTime"]) == ("0", "0")
    assert "notificationEmail" not in client.export(CSV)


@pytest.mark.parametrize(
    ("scenario", "numbers"), [("success", "100"), ("plain-numbers", 100), ("missing-numbers", None)]
)
def test_numbers_are_strings_or_numbers_or_missing(
    liquid: LiquidSimulator, client: Client, scenario: str, numbers: object
) -> None:
    liquid.scenario(scenario)

    done = client.status(client.export())

    assert done.get("recordsProcessed") == numbers


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"itemType": "Speaker"}, "Speaker"),
        ({"itemType": ""}, "itemType"),
        ({"jobName": ""}, "jobName"),
        ({"contentType": "text/xml"}, "text/xml"),
        ({"filters": "processStatus=Editing"}, "filters"),
        ({"filters": '{"colour": "red"}'}, "colour"),
        ({"sqlQuery": "SELECT * FROM Speaker"}, "Speaker"),
        ({"sqlQuery": "DROP TABLE Attendee"}, "sqlQuery"),
        ({"sqlQuery": "INSERT INTO Attendee (id) VALUES (1)"}, "sqlQuery"),
        ({"contentType": "text/plain", "template": "#foreach($x in $item)"}, "template"),
    ],
)
def test_bad_parameters_are_a_rejected_job_with_status_200(client: Client, more: dict[str, str], says: str) -> None:
    job = client.export(EXPORT, **more)

    assert job["status"] == "Rejected"
    assert says in job["reason"]
    assert client.status(job)["status"] == "Rejected"


@pytest.mark.parametrize(("scenario", "status"), [("rejected", "Rejected"), ("failed", "Failed")])
def test_a_job_may_end_badly_and_says_why(liquid: LiquidSimulator, client: Client, scenario: str, status: str) -> None:
    liquid.scenario(scenario)
    job = client.export()

    done = client.status(job)

    assert job["status"] == "Initialized"
    assert done["status"] == status
    assert "Attendee" in done["reason"]
    assert "links" not in done


def test_a_canceled_job_is_canceling_first(liquid: LiquidSimulator, client: Client) -> None:
    liquid.scenario("cancel")
    job = client.export()

    at_once = client.form("batch/cancel", {"jobId": job["jobId"]}).json["status"]
    liquid.advance(9)
    soon = client.status(job)["status"]
    liquid.advance(1)
    later = client.status(job)["status"]
    again = client.form("batch/cancel", {"jobId": job["jobId"]}).json["status"]

    assert (at_once, soon, later, again) == ("Canceling", "Canceling", "Canceled", "Canceled")


def test_a_finished_job_cannot_be_canceled(client: Client) -> None:
    job = client.export()
    client.status(job)

    assert client.form("batch/cancel", {"jobId": job["jobId"]}).json["status"] == "Completed"


@pytest.mark.parametrize(("scenario", "status"), [("success", 404), ("unknown-job-400", 400), ("unknown-job-200", 200)])
def test_an_unknown_job_is_an_error_under_any_status(
    liquid: LiquidSimulator, client: Client, scenario: str, status: int
) -> None:
    liquid.scenario(scenario)

    for call in ("batch/status", "batch/cancel"):
        reply = client.form(call, {"jobId": "nope"})
        assert (reply.status, reply.json["error"]) == (status, "not_found")


def test_a_job_can_be_told_how_to_end(liquid: LiquidSimulator, client: Client) -> None:
    liquid.configure(job_seconds=60)
    good, bad, frozen = (client.export() for _ in range(3))

    liquid.complete_job(good["jobId"])
    liquid.fail_job(bad["jobId"])
    liquid.freeze_job(frozen["jobId"])
    liquid.advance(120)

    assert [client.status(job)["status"] for job in (good, bad, frozen)] == ["Completed", "Failed", "Processing"]
    with pytest.raises(AdminError, match="ended already"):
        liquid.fail_job(good["jobId"])


def test_what_is_not_there_is_a_404(client: Client) -> None:
    assert client.call("GET", "/ls/api/batch/status").status == 404
    assert client.form("batch/list", {}).status == 404


# What an export holds


def test_json_is_an_array_of_items_with_headers_and_data(liquid: LiquidSimulator, client: Client) -> None:
    [link] = client.status(client.export())["links"]

    reply = client.fetch(link)

    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="nightly-1.json"'
    items = reply.json
    assert len(items) == 100
    assert {item["headers"]["type"] for item in items} == {"Attendee"}
    assert [item["data"] for item in items] == liquid.items("Attendee")


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_an_export_may_be_in_three_files(liquid: LiquidSimulator, client: Client, kind: str) -> None:
    liquid.scenario("three-links")
    job = client.export(CSV, contentType=kind)

    links = client.status(job)["links"]
    bodies = [client.fetch(link).body for link in links]

    truth = sorted(liquid.truth(job["jobId"]).values(), key=lambda file: file.number)
    assert [file.rows for file in truth] == [34, 34, 32]
    assert [(len(body), hashlib.sha256(body).hexdigest()) for body in bodies] == [(f.size, f.sha256) for f in truth]
    if kind == "text/plain":
        assert {body.split(b"\r\n")[0] for body in bodies} == {bodies[0].split(b"\r\n")[0]}


def test_csv_has_a_header_if_asked_for_and_holds_what_is_awkward(client: Client) -> None:
    header, *rows = client.rows()
    bare = client.rows({**CSV, "rowHeader": "false"})

    assert header[:3] == ["id", "firstName", "lastName"]
    assert bare == rows
    assert len(rows) == 100
    assert any("\r\n" in row[-1] and '"' in row[-1] for row in rows)
    assert any("," in row[header.index("company")] for row in rows)


def test_a_template_makes_the_rows(client: Client) -> None:
    header, first, *_ = client.rows(CSV, template="$item.lastName,${item.firstName},$!item.note,$item.note,$item.no\n")

    assert header == ["lastName", "firstName", "note", "note", "no"]
    assert first == ["Smith", "James", "", "$item.note", "$item.no"]


@pytest.mark.parametrize(
    "filters",
    [
        json.dumps({"processStatus": EDITING, "userId": "u3"}),
        str({"processStatus": EDITING, "userId": "u3"}),
    ],
    ids=["json", "python"],
)
def test_filters_come_in_two_notations(client: Client, filters: str) -> None:
    _, *rows = client.rows(CSV, template="$item.processStatus,$item.userId", filters=filters)

    assert rows == [[EDITING, "u3"]]


@pytest.mark.parametrize("none", ["", "0", "None"])
def test_no_filters_are_spelt_in_many_ways(client: Client, none: str) -> None:
    _, *rows = client.rows(CSV, filters=none, template=none.replace("0", ""), sqlQuery=none.replace("0", ""))

    assert len(rows) == 100


def test_a_query_chooses_and_filters_beside_it_are_ignored(client: Client) -> None:
    query = "SELECT id, lastName FROM Attendee WHERE lastName = 'O''Brien' ORDER BY id LIMIT 2"

    rows = client.rows(CSV, sqlQuery=query, filters='{"processStatus": "none"}')

    assert rows[0] == ["id", "lastName"]
    assert [row[1] for row in rows[1:]] == ["O'Brien"] * 2


@pytest.mark.parametrize("item_type", ["Session", "Attendee"])
def test_nothing_to_export_is_a_success_without_a_link(liquid: LiquidSimulator, client: Client, item_type: str) -> None:
    liquid.scenario("empty")

    done = client.status(client.export(EXPORT, itemType=item_type))

    assert (done["status"], done["recordsProcessed"], "links" in done) == ("Completed", "0", False)


def test_nothing_to_export_may_be_a_file_of_nothing(liquid: LiquidSimulator, client: Client) -> None:
    liquid.scenario("empty-with-link")

    [as_json] = client.status(client.export())["links"]

    assert client.fetch(as_json).json == []
    assert len(client.rows(CSV)) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_file_of_any_size_is_what_it_says(liquid: LiquidSimulator, client: Client, kind: str) -> None:
    liquid.configure(big_file_bytes=3 << 20, files=2)
    job = client.export(CSV, contentType=kind)

    body = client.fetch(client.status(job)["links"][1]).body

    truth = liquid.truth(job["jobId"])[f"nightly-2.{'json' if 'json' in kind else 'csv'}"]
    assert (len(body), hashlib.sha256(body).hexdigest()) == (truth.size, truth.sha256)
    assert truth.size >= 3 << 20
    rows = json.loads(body) if "json" in kind else list(csv.reader(io.StringIO(body.decode(), newline="")))[1:]
    assert len(rows) == truth.rows
    assert client.status(job)["recordsProcessed"] == str(2 * truth.rows)


def test_a_large_export_is_not_held_in_memory(liquid: LiquidSimulator, client: Client) -> None:
    liquid.configure(big_file_bytes=20 << 30)

    job = client.export()

    assert client.status(job)["status"] == "Completed"
    assert int(client.status(job)["recordsProcessed"]) > 10_000_000


# Links


@pytest.mark.parametrize(
    ("links_as", "field"),
    [("downloadLinks", "downloadLinks"), ("urls", "urls"), ("files", "files"), ("links", "links")],
)
def test_links_may_be_in_another_field(liquid: LiquidSimulator, client: Client, links_as: str, field: str) -> None:
    liquid.configure(links_as=links_as)

    [link] = client.status(client.export())[field]

    assert client.fetch(link).status == 200


@pytest.mark.parametrize("name", ["href", "url"])
def test_links_may_be_objects(liquid: LiquidSimulator, client: Client, name: str) -> None:
    liquid.configure(links_as=name)

    [link] = client.status(client.export())["links"]

    assert client.fetch(link[name]).status == 200


def test_links_may_be_in_the_reason(liquid: LiquidSimulator, client: Client) -> None:
    liquid.scenario("link-in-reason")

    done = client.status(client.export())

    found = re.findall(r"http://[^\s)]+", done["reason"])
    assert [client.fetch(link).status for link in found] == [200, 200]
    assert "links" not in done


def test_links_may_come_by_mail_alone(liquid: LiquidSimulator, client: Client) -> None:
    liquid.scenario("mail-only")
    job = client.export(EXPORT, notificationEmail="a@example.com")

    done = client.status(job)
    [mail] = liquid.mails()

    assert "http" not in json.dumps(done)
    assert (mail["to"], mail["jobId"]) == ("a@example.com", job["jobId"])
    assert client.fetch(mail["links"][0]).status == 200


def test_a_mail_goes_out_for_an_end_and_only_to_who_asked(liquid: LiquidSimulator, client: Client) -> None:
    liquid.scenario("failed")
    client.status(client.export())
    client.status(client.export(EXPORT, notificationEmail="a@example.com"))

    assert [mail["subject"] for mail in liquid.mails()] == ["nightly: Failed"]


@pytest.mark.parametrize(("scenario", "status"), [("expired", 410), ("expired-403", 403), ("expired-404", 404)])
def test_a_link_has_its_time(liquid: LiquidSimulator, client: Client, scenario: str, status: int) -> None:
    [good] = client.status(client.export())["links"]
    alive = client.fetch(good).status

    liquid.advance(7 * 86_400)
    dead = client.fetch(good).status
    liquid.scenario(scenario)
    client.log_in()
    [stillborn] = client.status(client.export())["links"]

    assert (alive, dead) == (200, 410)
    assert client.fetch(stillborn).status == status


def test_a_link_is_worth_its_token_and_needs_no_other(liquid: LiquidSimulator, client: Client) -> None:
    job = client.export()
    [link] = client.status(job)["links"]

    assert client.fetch(link).status == 200
    assert client.fetch(link[:-1] + "~").status == 403
    assert client.fetch(link.replace("/1?", "/2?")).status == 404
    liquid.expire_links(job["jobId"])
    assert client.fetch(link).status == 410


# Imports


def test_an_import_of_csv_adds_items_by_its_header(liquid: LiquidSimulator, client: Client) -> None:
    job = client.import_(b"lastName,id\r\nCurie,A1\r\nNoether,A2\r\n", {**IMPORT, "merge": "True"})

    done = client.status(job)

    assert (job["status"], job["contentType"], done["status"]) == ("Accepted", "plain/text", "Completed")
    assert done["recordsProcessed"] == "2"
    added = [item for item in liquid.items("Attendee") if item["id"] in ("A1", "A2")]
    assert [item["lastName"] for item in added] == ["Curie", "Noether"]


def test_an_import_without_a_header_goes_by_the_order_of_the_fields(liquid: LiquidSimulator, client: Client) -> None:
    client.status(client.import_(b"S1,Opening,Aula\r\n", {**IMPORT, "itemType": "Session", "headerRow": "False"}))

    assert liquid.items("Session") == [{"id": "S1", "title": "Opening", "room": "Aula"}]


@pytest.mark.parametrize(("merge", "first"), [("True", "James"), ("TRUE", "James"), ("False", None), ("", None)])
def test_merge_keeps_what_the_import_does_not_bring(
    liquid: LiquidSimulator, client: Client, merge: str, first: str | None
) -> None:
    """And the default overwrites."""
    client.status(client.import_(b"id,lastName\nA0000000,Curie\n", {**IMPORT, "merge": merge}))

    [item] = [item for item in liquid.items("Attendee") if item["id"] == "A0000000"]
    assert (item["lastName"], item.get("firstName")) == ("Curie", first)


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_import_of_json_is_an_array_of_items(liquid: LiquidSimulator, client: Client, wrapped: bool) -> None:  # noqa: FBT001
    item = {"id": "A1", "lastName": "Curie"}
    body = json.dumps([{"headers": {"type": "Attendee"}, "data": item} if wrapped else item]).encode()

    client.status(client.import_(body, {**IMPORT, "contentType": "application/json"}))

    assert [item["lastName"] for item in liquid.items("Attendee") if item["id"] == "A1"] == ["Curie"]


def test_an_import_may_bring_a_template_as_a_part_of_its_own(liquid: LiquidSimulator, client: Client) -> None:
    client.import_(b"id\nA1\n", template=b'{"id": "$row.id"}')

    assert liquid.jobs()[0]["parameters"]["template"] == '{"id": "$row.id"}'


def test_an_import_can_be_asked_how_its_file_came(liquid: LiquidSimulator, client: Client) -> None:
    client.import_(b"id\nA1\n")

    [job] = liquid.jobs()
    assert (job["file"]["name"], job["file"]["bytes"], job["file"]["headers"]["Expires"]) == ("file.csv", 6, "0")
    assert job["file"]["sha256"] == hashlib.sha256(b"id\nA1\n").hexdigest()


@pytest.mark.parametrize(
    ("data", "fields", "says"),
    [
        (b"id,colour\nA1,red\n", {}, "colour"),
        (b"id\nA1,x\n", {}, "Row 1"),
        (b"\xff\xfe", {}, "not CSV"),
        (b'{"id": "A1"}\n{"id": "A2"}\n', {"contentType": "application/json"}, "not JSON"),
        (b'{"id": "A1"}', {"contentType": "application/json"}, "not a JSON array"),
        (b"id\nA1\n", {"merge": "maybe"}, "merge"),
        (b"id\nA1\n", {"itemType": "Speaker"}, "Speaker"),
        (b"id\nA1\n", {"contentType": "text/xml"}, "text/xml"),
    ],
)
def test_a_bad_import_is_rejected_and_changes_nothing(
    liquid: LiquidSimulator, client: Client, data: bytes, fields: dict[str, str], says: str
) -> None:
    before = liquid.items("Attendee")

    job = client.import_(data, {**IMPORT, **fields})

    assert job["status"] == "Rejected"
    assert says in job["reason"]
    assert liquid.items("Attendee") == before


def test_an_import_without_a_file_is_rejected_and_one_that_is_no_form_is_malformed(client: Client) -> None:
    without = client.multipart(IMPORT, {}).json
    malformed = client.form("batch/import", IMPORT)

    assert (without["status"], without["reason"]) == ("Rejected", "The file is missing")
    assert malformed.status == 400


def test_binary_content_comes_through_a_form_unchanged(liquid: LiquidSimulator, client: Client) -> None:
    note = "two\r\nlines, é, \x85 and \r alone"
    text = io.StringIO()
    csv.writer(text).writerows([["id", "note"], ["A1", note]])

    client.status(client.import_(text.getvalue().encode()))

    assert [item["note"] for item in liquid.items("Attendee") if item["id"] == "A1"] == [note]


# What a test can order


@pytest.mark.parametrize("name", LiquidSimulator.SCENARIOS)
def test_every_scenario_can_be_played(liquid: LiquidSimulator, name: str) -> None:
    liquid.scenario(name)

    assert liquid.SCENARIOS[name].summary


def test_calls_are_limited_only_where_that_is_ordered(liquid: LiquidSimulator, client: Client) -> None:
    job = client.export()
    liquid.configure(calls_per_minute=2)

    statuses = [client.form("batch/status", {"jobId": job["jobId"]}).status for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_the_log_and_the_list_of_jobs_hold_no_credentials(liquid: LiquidSimulator, client: Client) -> None:
    done = client.status(client.export())
    client.fetch(done["links"][0])

    told = f"{liquid.log} {liquid.jobs()}"

    assert str(client.headers["Authorization"]).removeprefix("Bearer ") not in told
    assert urlsplit(done["links"][0]).query.partition("=")[2] not in told


def test_the_admin_path_does_what_python_does(client: Client) -> None:
    def tell(method: str, path: str, body: object = None) -> Any:
        reply = client.call(method, f"/_admin{path}", body or {})
        assert reply.status == 200, reply.body
        return reply.json

    tell("POST", "/knobs", {"job_seconds": 60})
    good, bad = (client.export(EXPORT, notificationEmail="a@example.com")["jobId"] for _ in range(2))
    tell("POST", f"/jobs/{good}/complete")
    tell("POST", f"/jobs/{bad}/fail")

    assert [job["status"] for job in tell("GET", "/jobs")] == ["Completed", "Failed"]
    assert tell("GET", f"/jobs/{good}/truth")["nightly-1.json"]["rows"] == 100
    assert len(tell("GET", "/mails")) == 2
    assert len(tell("GET", "/items/Attendee")) == 100
    tell("POST", f"/jobs/{good}/expire")
    tell("POST", "/freeze", {"frozen": True})
    tell("POST", "/tokens/expire")
    assert client.form("batch/status", {"jobId": good}).status == 401
    tell("POST", "/reset")
    assert tell("GET", "/jobs") == []


# The command


def test_the_command_serves_the_demo_community() -> None:
    line = [sys.executable, "-m", "infra.local.vendors", "liquid", "--attendees", "7", "--job-seconds", "0"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().removeprefix("ready ").strip())
        items = Client(address.geturl()).call("GET", "/_admin/items/Attendee").json
        process.terminate()

    assert address.hostname == "127.0.0.1"
    assert len(items) == 7
    assert process.returncode == 0
