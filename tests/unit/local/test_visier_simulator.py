"""The simulated Visier, over real HTTP."""

import base64
import csv
import gzip
import hashlib
import http.client
import io
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

from infra.local.vendors.simulator import AdminError
from infra.local.vendors.visier import VisierSimulator
from tests.fakes.caller import Answer, VisierCaller
from tests.processes import wait_until_gone

API = "/v1alpha/data/data-version-exports"
ROOT = Path(__file__).parents[3]


class Client(VisierCaller):
    """A caller with the demo credentials."""

    def get(self, path: str, **headers: str | None) -> Answer:
        return self.call("GET", API + path, **headers)

    def submit(self, version: object = "7000001", base: object = None, **headers: str) -> Answer:
        body = {"dataVersionNumber": version, "baseDataVersionNumber": base}
        return self.call("POST", f"{API}/jobs", body, **headers)

    def export(self, version: str = "7000001", base: str | None = None) -> str:
        """Submit a job, which must take no time, and answer its export's uuid."""
        job = self.submit(version, base).json["jobUuid"]
        return str(self.get(f"/jobs/{job}").json["exportUuid"])

    def details(self, export: str) -> Any:
        return self.get(f"/exports/{export}").json

    def files(self, export: str) -> dict[str, int]:
        sets = (table[s] for table in self.details(export)["tables"] for s in ("commonColumns", "newColumns"))
        return {file["filename"]: file["fileId"] for columns in sets for file in columns["files"]}


@pytest.fixture
def visier() -> Iterator[VisierSimulator]:
    with VisierSimulator(job_seconds=0, calls_per_minute=10_000, jobs_per_day=100) as simulator:
        yield simulator


@pytest.fixture
def client(visier: VisierSimulator) -> Client:
    client = Client(visier.url)
    client.log_in()
    return client


@pytest.fixture
def stranger(visier: VisierSimulator) -> Client:
    return Client(visier.url)


# Logging in


def test_a_login_answers_a_token_in_plain_text_without_an_api_key(stranger: Client) -> None:
    reply = stranger.log_in()

    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert stranger.get("/data-versions").status == 200


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"password": "wrong"}, 401),
        ({"username": "other"}, 401),
        ({"password": ""}, 400),
        ({"vanityName": "other"}, 401),
    ],
)
def test_a_login_with_wrong_fields_is_refused(stranger: Client, form: dict[str, str], status: int) -> None:
    assert stranger.log_in(**form).status == status


def test_a_tenant_may_have_a_vanity_name_of_its_own(visier: VisierSimulator, stranger: Client) -> None:
    visier.configure(vanity_name="acme")

    assert stranger.log_in().status == 401
    assert stranger.log_in(vanityName="acme").status == 200


def test_a_rotated_password_replaces_the_old_one(visier: VisierSimulator, stranger: Client) -> None:
    visier.configure(password="rotated")

    assert stranger.log_in().status == 401
    assert stranger.log_in(password="rotated").status == 200


@pytest.mark.parametrize("without", ["apikey", "Cookie"])
def test_every_call_needs_api_key_and_token(client: Client, without: str) -> None:
    del client.headers[without]

    for method, path in [("GET", "/data-versions"), ("POST", "/jobs"), ("GET", "/jobs/x"), ("GET", "/exports")]:
        assert client.call(method, API + path).status == 401
    assert client.get("/exports/x/files/1").status == 401


def test_a_token_expires_by_time_and_by_order(visier: VisierSimulator, client: Client) -> None:
    visier.advance(3599)
    assert client.get("/data-versions").status == 200

    visier.advance(2)
    assert client.get("/data-versions").status == 401

    client.log_in()
    visier.invalidate_tokens()
    refused = client.get("/data-versions")
    assert refused.status == 401
    assert refused.json["localizedMessage"]


def test_oauth_takes_the_percent_encoded_client_secret(visier: VisierSimulator, stranger: Client) -> None:
    visier.configure(client_secret="d/e mo+")
    form = urlencode({"grant_type": "password", "client_id": "demo", "username": "demo", "password": "demo"}).encode()

    def token(secret: str, **more: str | None) -> Answer:
        basic = "Basic " + base64.b64encode(f"demo:{secret}".encode()).decode()
        return stranger.call("POST", "/v1/auth/oauth2/token", form, Authorization=basic, **more)

    assert token("d/e mo+").status == 401
    assert token("d%2Fe%20mo%2B", apikey=None).status == 401
    granted = token("d%2Fe%20mo%2B")
    assert granted.json.keys() == {"access_token", "refresh_token", "id_token", "token_type", "expires_in"}
    assert stranger.get("/data-versions", Authorization=f"Bearer {granted.json['access_token']}").status == 200


@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code", "refresh_token", ""])
def test_oauth_refuses_other_grants_without_their_proof(stranger: Client, grant: str) -> None:
    basic = "Basic " + base64.b64encode(b"demo:demo").decode()

    reply = stranger.call(
        "POST", "/v1/auth/oauth2/token", urlencode({"grant_type": grant}).encode(), Authorization=basic
    )

    assert reply.status in (400, 401)


def test_an_access_token_can_be_refreshed_and_had_for_an_asid_token(stranger: Client) -> None:
    asid = stranger.log_in().body.decode()
    basic = "Basic " + base64.b64encode(b"demo:demo").decode()

    def token(**form: str) -> Answer:
        return stranger.call("POST", "/v1/auth/oauth2/token", urlencode(form).encode(), Authorization=basic)

    first = token(grant_type="urn:visier:params:oauth:grant-type:asid-token", asid_token=asid)
    second = token(grant_type="refresh_token", refresh_token=first.json["refresh_token"])

    assert (first.status, second.status) == (200, 200)


# Versions, jobs, exports


def test_versions_are_strings_in_no_order(client: Client) -> None:
    listed = client.get("/data-versions").json["dataVersions"]

    created = [int(version["created"]) for version in listed]
    assert {version["dataVersion"] for version in listed} == {"7000001", "7000002", "7000003", "7000004"}
    assert created not in (sorted(created), sorted(created, reverse=True))
    by_age = sorted(listed, key=lambda version: int(version["created"]))
    assert [version["dataVersion"] for version in by_age] == sorted(version["dataVersion"] for version in listed)


def test_a_job_runs_and_then_names_its_export(visier: VisierSimulator, client: Client) -> None:
    visier.configure(job_seconds=60)
    job = client.submit().json["jobUuid"]

    assert client.get(f"/jobs/{job}").json == {"jobUuid": job, "completed": False, "failed": False, "exportUuid": ""}
    assert client.get("/exports").json == {"dataVersionExports": []}

    visier.advance(60)
    done = client.get(f"/jobs/{job}").json
    assert (done["completed"], done["failed"]) == (True, False)
    listed = client.get("/exports").json["dataVersionExports"]
    assert listed == [client.details(done["exportUuid"])]
    assert (listed[0]["dataVersionNumber"], listed[0]["baseDataVersionNumber"]) == ("7000001", "")


def test_a_job_can_be_told_how_to_end(visier: VisierSimulator, client: Client) -> None:
    visier.configure(job_seconds=60)
    good, bad, frozen = (client.submit().json["jobUuid"] for _ in range(3))

    export = visier.complete_job(good)
    visier.fail_job(bad)
    visier.freeze_job(frozen)
    visier.advance(120)

    assert client.get(f"/jobs/{good}").json["exportUuid"] == export
    assert client.get(f"/jobs/{bad}").json["failed"] is True
    assert client.get(f"/jobs/{frozen}").json["completed"] is False
    with pytest.raises(AdminError, match="ended already"):
        visier.fail_job(good)


@pytest.mark.parametrize(
    ("version", "base", "says"),
    [
        (None, None, "required"),
        ("", None, "required"),
        ("7000009", None, "7000009"),
        ("seven", None, "not a number"),
        (True, None, "not a number"),
        ("7000002", "7000009", "7000009"),
        ("7000002", "7000002", "not older"),
        ("7000002", "7000003", "not older"),
    ],
)
def test_versions_that_cannot_be_exported_are_a_bad_request(
    client: Client, version: object, base: object, says: str
) -> None:
    refused = client.submit(version, base)

    assert refused.status == 400
    assert says in refused.json["localizedMessage"]
    assert refused.json.keys() == {"localizedMessage", "errorCode", "message", "rci", "userError"}
    assert (refused.json["message"], refused.json["userError"]) == ("", True)


@pytest.mark.parametrize("body", [b"", b"[]", b"dataVersionNumber=7000001"])
def test_a_body_that_is_no_json_object_is_a_bad_request(client: Client, body: bytes) -> None:
    assert client.call("POST", f"{API}/jobs", body).status == 400


def test_the_body_is_read_whatever_its_type_and_its_numbers_may_be_numbers(client: Client) -> None:
    reply = client.submit(7000001, "", Content_Type="application/x-www-form-urlencoded")

    assert reply.status == 200


@pytest.mark.parametrize("path", ["/jobs/x", "/exports/x", "/exports/x/files/1", "/nothing", "/jobs"])
def test_what_is_not_there_is_a_404(client: Client, path: str) -> None:
    refused = client.get(path)

    assert refused.status == 404
    assert refused.json["rci"]


def test_a_file_that_the_export_lacks_is_a_404(client: Client) -> None:
    export = client.export()

    assert client.get(f"/exports/{export}/files/999").status == 404
    assert client.get(f"/exports/{export}/files/x").status == 404


def test_an_accept_that_cannot_be_met_is_a_406(client: Client) -> None:
    export = client.export()

    assert client.get("/data-versions", Accept="application/gzip").status == 406
    assert client.get("/data-versions", Accept="text/html, application/*;q=0.5").status == 200
    assert client.get(f"/exports/{export}/files/1", Accept="text/html").status == 406
    assert client.get(f"/exports/{export}/files/1", Accept="application/gzip").status == 200


def test_tenants_see_their_own_jobs_and_exports(visier: VisierSimulator, client: Client) -> None:
    job = client.submit("7000001", TargetTenantID="WFF_a").json["jobUuid"]

    assert client.get(f"/jobs/{job}").status == 404
    export = client.get(f"/jobs/{job}", TargetTenantID="WFF_a").json["exportUuid"]
    assert client.get("/exports").json["dataVersionExports"] == []
    assert client.get(f"/exports/{export}").status == 404
    assert client.get(f"/exports/{export}", TargetTenantID="WFF_a").status == 200
    visier.configure(tenants=["WFF_b"])
    assert client.get("/exports", TargetTenantID="WFF_a").status == 403


def test_versions_are_published_and_withdrawn(visier: VisierSimulator, client: Client) -> None:
    visier.withdraw("7000001")
    numbers = [visier.publish() for _ in range(3)]
    visier.publish("6999999")

    listed = {v["dataVersion"]: int(v["created"]) for v in client.get("/data-versions").json["dataVersions"]}
    assert numbers == [7000005, 7000006, 7000007]
    assert sorted(listed, key=lambda number: listed[number])[-4:] == ["7000005", "7000006", "7000007", "6999999"]
    assert client.submit("7000001").status == 400
    assert client.submit("6999999", "7000006").status == 200


# Limits


def test_the_minute_and_the_hour_are_counted_per_api_key(visier: VisierSimulator, client: Client) -> None:
    visier.configure(calls_per_minute=5, calls_per_hour=7)
    visier.advance(3600)
    client.log_in()

    def statuses(calls: int) -> list[int]:
        return [client.get("/data-versions").status for _ in range(calls)]

    assert statuses(6) == [200] * 5 + [429]
    refused = client.get("/data-versions")
    assert refused.headers["X-RateLimit-Limit-Minute"] == "5"
    assert refused.headers["X-RateLimit-Remaining-Minute"] == "0"
    assert refused.headers["X-RateLimit-Limit-Hour"] == "7"
    assert client.get("/data-versions", apikey="another").status == 401
    visier.advance(60)
    assert 429 in statuses(3)
    assert client.get("/data-versions").headers["X-RateLimit-Remaining-Hour"] == "0"


def test_every_reply_says_what_is_left(visier: VisierSimulator, client: Client) -> None:
    visier.fault("GET", "/jobs/", status=503)

    for reply in [client.log_in(), client.get("/jobs/x"), client.get("/data-versions"), client.submit("0")]:
        assert int(reply.headers["X-RateLimit-Remaining-Minute"]) > 0
        assert int(reply.headers["X-RateLimit-Remaining-Hour"]) > 0


def test_ten_jobs_a_day_and_tenant() -> None:
    with VisierSimulator() as visier:
        client = Client(visier.url)
        client.log_in()

        statuses = [client.submit().status for _ in range(11)]
        refused = client.submit()

        assert statuses == [200] * 10 + [429]
        assert int(refused.headers["X-RateLimit-Remaining-Minute"]) > 0
        assert len(visier.jobs()) == 10
        assert client.submit(TargetTenantID="WFF_a").status == 200
        visier.advance(86_400)
        client.log_in()
        assert client.submit().status == 200


def test_an_export_lives_fourteen_days(visier: VisierSimulator, client: Client) -> None:
    export = client.export()

    visier.advance(14 * 86_400 - 60)
    client.log_in()
    assert client.get(f"/exports/{export}").status == 200
    visier.advance(61)
    assert client.get(f"/exports/{export}").status == 404
    assert client.get(f"/exports/{export}/files/1").status == 404
    assert client.get("/exports").json == {"dataVersionExports": []}


# Data

type Rows = dict[tuple[str, ...], dict[str, str]]


class Read(NamedTuple):
    """An export as read from the wire alone."""

    details: Any
    texts: dict[str, bytes]

    def rows(self, columns: Any) -> list[dict[str, str]]:
        texts = (self.texts[file["filename"]].decode() for file in columns["files"])
        rows = [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)]
        names = [column["name"] for column in columns["columns"]]
        assert all(list(row) == names for row in rows)
        return rows

    def table(self, name: str) -> Any:
        return next(table for table in self.details["tables"] if table["name"] == name)


def read(client: Client, export: str) -> Read:
    bodies = {
        name: client.get(f"/exports/{export}/files/{number}").body for name, number in client.files(export).items()
    }
    return Read(client.details(export), {name: gzip.decompress(body) for name, body in bodies.items()})


def key_names(columns: Any) -> list[str]:
    return [column["name"] for column in columns["columns"] if column["isPrimaryKeyComponent"]]


def by_key(rows: list[dict[str, str]], names: list[str]) -> Rows:
    keyed = {tuple(row[name] for name in names): {n: v for n, v in row.items() if n != "_DiffAction_"} for row in rows}
    assert len(keyed) == len(rows)
    return keyed


def whole(full: Read) -> dict[str, Rows]:
    """Every table of a full export, by primary key."""
    assert sorted(full.details["newTables"]) == sorted(table["name"] for table in full.details["tables"])
    made = {}
    for table in full.details["tables"]:
        rows = full.rows(table["newColumns"])
        assert {row["_DiffAction_"] for row in rows} <= {"+"}
        made[table["name"]] = by_key(rows, key_names(table["newColumns"]))
    return made


def applied(base: dict[str, Rows], delta: Read) -> dict[str, Rows]:
    """The base with the delta applied in the order that the contract page gives."""
    made = {name: rows for name, rows in base.items() if name not in delta.details["deletedTables"]}
    for table in delta.details["tables"]:
        name, common, new = table["name"], table["commonColumns"], table["newColumns"]
        rows = {
            key: {n: v for n, v in row.items() if n not in table["deletedColumns"]}
            for key, row in made.get(name, {}).items()
        }
        for row in delta.rows(common):
            key, action = tuple(row[n] for n in key_names(common)), row.pop("_DiffAction_")
            match action:
                case "-":
                    assert rows.pop(key) == row
                case "u":
                    assert rows[key] != row
                    rows[key] = row
                case "+":
                    assert key not in rows
                    rows[key] = row
        added = by_key(delta.rows(new), key_names(new))
        assert not new["columns"] or name in delta.details["newTables"] or added.keys() == rows.keys()
        for key, row in added.items():
            rows[key] = {**rows.get(key, {}), **row}
        made[name] = rows
    return made


@pytest.fixture(scope="module")
def reads() -> Iterator[dict[tuple[str, str | None], Read]]:
    """Every full export and every delta, downloaded once."""
    with VisierSimulator(job_seconds=0, published=6, calls_per_minute=10_000, jobs_per_day=100) as visier:
        client = Client(visier.url)
        client.log_in()
        numbers = [str(number) for number in range(7000001, 7000007)]
        pairs = [(number, None) for number in numbers] + [(new, old) for old, new in combinations(numbers, 2)]
        yield {pair: read(client, client.export(*pair)) for pair in pairs}


def test_a_delta_turns_its_base_into_its_version(reads: dict[tuple[str, str | None], Read]) -> None:
    """For any two versions, by primary key, with nothing but what came over the wire."""
    full = {version: whole(found) for (version, base), found in reads.items() if base is None}
    deltas = {pair: found for pair, found in reads.items() if pair[1] is not None}

    assert len(deltas) == 15
    for (version, base), delta in deltas.items():
        assert base is not None
        assert applied(full[base], delta) == full[version], (version, base)


def test_the_versions_differ_in_every_way_a_delta_can(reads: dict[tuple[str, str | None], Read]) -> None:
    rows_only, nothing, structure = (
        reads[pair] for pair in [("7000002", "7000001"), ("7000003", "7000002"), ("7000004", "7000003")]
    )

    for table in ("Airline", "Plane", "Flight", "Plane_Note"):
        actions = Counter(row["_DiffAction_"] for row in rows_only.rows(rows_only.table(table)["commonColumns"]))
        assert set(actions) == {"+", "u", "-"}
    assert nothing.texts == {}
    assert all(table["commonColumns"]["columns"] for table in nothing.details["tables"])
    assert structure.details["newTables"] == ["Diversion"]
    assert structure.details["deletedTables"] == ["Heliport"]
    assert structure.table("Diversion")["commonColumns"] == {"columns": [], "files": []}
    plane = structure.table("Plane")
    assert plane["deletedColumns"] == ["Built", "Cruise_Speed"]
    types = {column["name"]: column["dataType"] for column in plane["newColumns"]["columns"]}
    assert types == {"PlaneID": "String", "Built": "Date", "Wide_Body": "Boolean", "_DiffAction_": "String"}
    assert structure.table("Airport")["commonColumns"]["files"] == []


def test_an_event_table_has_its_index_in_its_primary_key_and_comes_in_parts(
    reads: dict[tuple[str, str | None], Read],
) -> None:
    found = reads["7000001", None]
    flight = found.table("Flight")["newColumns"]

    assert key_names(flight) == ["PlaneID", "Flight_Date", "EventIndexOnDate"]
    assert [file["filename"] for file in flight["files"]] == [f"Flight-newColumns_part{n}.csv.gz" for n in range(3)]
    assert all(found.texts[file["filename"]].startswith(b"PlaneID,Flight_Date,") for file in flight["files"])
    assert {"0", "1", "2"} <= {row["EventIndexOnDate"] for row in found.rows(flight)}
    common = reads["7000004", "7000001"].table("Flight")["commonColumns"]
    assert [file["filename"] for file in common["files"]] == ["Flight_part0.csv.gz", "Flight_part1.csv.gz"]


def test_awkward_values_survive(reads: dict[tuple[str, str | None], Read]) -> None:
    found = reads["7000001", None]
    notes = {row["Note"] for row in found.rows(found.table("Plane_Note")["newColumns"])}

    assert any("\n" in note and "," in note for note in notes)
    assert any('"' in note for note in notes)
    assert "" in notes
    assert any(not note.isascii() for note in notes)


def test_the_truth_is_what_is_served(client: Client, visier: VisierSimulator) -> None:
    export = client.export("7000004", "7000001")

    truth = visier.truth(export)

    assert {name: fact.file_id for name, fact in truth.items()} == client.files(export)
    for fact in truth.values():
        body = client.get(f"/exports/{export}/files/{fact.file_id}").body
        rows = list(csv.DictReader(io.StringIO(gzip.decompress(body).decode(), newline="")))
        assert (len(body), hashlib.sha256(body).hexdigest()) == (fact.size, fact.sha256)
        assert len(rows) == fact.rows
        assert Counter(row["_DiffAction_"] for row in rows) == Counter(fact.actions)


def test_the_same_versions_give_the_same_bytes(client: Client, visier: VisierSimulator) -> None:
    first, second = (visier.truth(client.export("7000002")) for _ in range(2))

    with VisierSimulator(job_seconds=0) as another:
        third_client = Client(another.url)
        third_client.log_in()
        third = another.truth(third_client.export("7000002"))
    assert first == second == third


def test_a_big_table_is_made_on_the_fly() -> None:
    size = 3 * 1024 * 1024
    with VisierSimulator(job_seconds=0, big_file_bytes=size, big_files=2) as visier:
        client = Client(visier.url)
        client.log_in()
        export = client.export("7000002", "7000001")
        fact = visier.truth(export)["Sensor_Reading_part1.csv.gz"]

        body = client.get(f"/exports/{export}/files/{fact.file_id}").body

    rows = list(csv.DictReader(io.StringIO(gzip.decompress(body).decode(), newline="")))
    assert size <= len(body) == fact.size < size + 1_500_000
    assert hashlib.sha256(body).hexdigest() == fact.sha256
    assert Counter(row["_DiffAction_"] for row in rows) == {"u": fact.rows}
    assert fact.actions == {"+": 0, "u": len(rows), "-": 0}


# How files travel


@pytest.mark.parametrize("path", ["file", "files"])
def test_a_file_comes_gzipped_with_its_content_coding(client: Client, path: str) -> None:
    reply = client.get(f"/exports/{client.export()}/{path}/1")

    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/gzip")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert reply.body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize(
    ("scenario", "serves", "lacks"), [("file-path-only", "file", "files"), ("files-path-only", "files", "file")]
)
def test_one_of_the_paths_may_be_missing(
    visier: VisierSimulator, client: Client, scenario: str, serves: str, lacks: str
) -> None:
    visier.scenario(scenario)
    visier.configure(job_seconds=0)
    export = client.export()

    assert client.get(f"/exports/{export}/{serves}/1").status == 200
    assert client.get(f"/exports/{export}/{lacks}/1").status == 404


@pytest.mark.parametrize(("framing", "header"), [("close", "Connection"), ("chunked", "Transfer-Encoding")])
def test_a_file_may_come_without_a_length(visier: VisierSimulator, client: Client, framing: str, header: str) -> None:
    export = client.export()
    usual = client.get(f"/exports/{export}/files/2").body
    visier.configure(framing=framing)

    reply = client.get(f"/exports/{export}/files/2")

    assert reply.headers["Content-Length"] is None
    assert reply.headers[header] is not None
    assert reply.body == usual


def test_ranges_are_ignored_unless_they_are_switched_on(visier: VisierSimulator, client: Client) -> None:
    export = client.export()
    body = client.get(f"/exports/{export}/files/2", Range="bytes=10-19").body
    visier.configure(ranges=True)

    def stretch(asked: str, **headers: str) -> Answer:
        return client.get(f"/exports/{export}/files/2", Range=asked, **headers)

    assert len(body) > 20
    reply = stretch("bytes=10-19")
    assert (reply.status, reply.body) == (206, body[10:20])
    assert reply.headers["Content-Range"] == f"bytes 10-19/{len(body)}"
    assert stretch("bytes=100-").body == body[100:]
    assert stretch("bytes=-7").body == body[-7:]
    assert stretch(f"bytes={len(body)}-").status == 416
    assert stretch("bytes=10-19", If_Range='"other"').status == 200
    assert stretch("bytes=10-19", If_Range=reply.headers["ETag"]).status == 206


def test_a_range_of_a_big_file_is_that_stretch_of_it() -> None:
    with VisierSimulator(job_seconds=0, big_file_bytes=3_000_000, ranges=True) as visier:
        client = Client(visier.url)
        client.log_in()
        export = client.export()
        path = f"/exports/{export}/files/{client.files(export)['Sensor_Reading-newColumns_part0.csv.gz']}"

        whole_file = client.get(path).body

        for start, stop in [(0, 10), (50, 200), (1_000_000, 2_500_000), (len(whole_file) - 5, len(whole_file))]:
            assert client.get(path, Range=f"bytes={start}-{stop - 1}").body == whole_file[start:stop]


# Scenarios


def play(visier: VisierSimulator, client: Client, scenario: str) -> str:
    """Play the scenario and submit a job, which takes no time."""
    visier.scenario(scenario)
    return str(client.submit("7000002").json["jobUuid"])


@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        ("success-full", (True, False, 1)),
        ("failed", (False, True, 0)),
        ("failed-completed", (True, True, 0)),
        ("never-finishes", (False, False, 0)),
        ("completed-without-export", (True, False, 0)),
    ],
)
def test_a_job_may_end_in_many_ways(
    visier: VisierSimulator, client: Client, scenario: str, outcome: tuple[bool, bool, int]
) -> None:
    job = client.get(f"/jobs/{play(visier, client, scenario)}").json

    assert (job["completed"], job["failed"], len(visier.exports())) == outcome
    assert bool(job["exportUuid"]) is bool(outcome[2])


@pytest.mark.parametrize(
    ("scenario", "status", "begins"),
    [("server-errors", 500, b"{"), ("bad-gateway", 502, b"<html>"), ("gateway-timeout", 504, b"<html>")],
)
def test_an_outage_passes(visier: VisierSimulator, client: Client, scenario: str, status: int, begins: bytes) -> None:
    job = play(visier, client, scenario)

    replies = [client.get(f"/jobs/{job}") for _ in range(4)]

    assert [reply.status for reply in replies] == [status] * 3 + [200]
    assert replies[0].body.startswith(begins)


def test_a_token_may_expire_while_polling(visier: VisierSimulator, client: Client) -> None:
    job = play(visier, client, "token-expires-polling")

    assert [client.get(f"/jobs/{job}").status for _ in range(3)] == [200, 401, 401]
    client.log_in()
    assert client.get(f"/jobs/{job}").status == 200


def test_a_token_may_expire_between_downloads(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("token-expires-download")
    export = client.export()

    assert [client.get(f"/exports/{export}/files/{n}").status for n in (1, 2)] == [200, 401]
    client.log_in()
    assert client.get(f"/exports/{export}/files/2").status == 200


def test_a_429_may_tell_what_remains_or_not(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("rate-limited")
    told = client.submit()
    visier.scenario("rate-limited-bare")
    bare = client.get("/jobs/x")

    assert (told.status, told.headers["X-RateLimit-Remaining-Minute"]) == (429, "0")
    assert bare.status == 429
    assert not [name for name in bare.headers if name.startswith("X-RateLimit")]
    assert visier.jobs() == []


def test_the_quota_may_be_used_up(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("daily-quota")

    refused = client.submit()

    assert refused.status == 429
    assert "per day" in refused.json["localizedMessage"]
    assert int(refused.headers["X-RateLimit-Remaining-Minute"]) > 0


@pytest.mark.parametrize(("scenario", "jobs"), [("lost-reply", 1), ("lost-submission", 0)])
def test_a_submission_may_be_lost_on_the_way_there_or_back(
    visier: VisierSimulator, client: Client, scenario: str, jobs: int
) -> None:
    visier.scenario(scenario)

    with pytest.raises(ConnectionError):  # http.client.RemoteDisconnected, or a reset
        client.submit()

    assert len(visier.jobs()) == jobs
    assert visier.calls("POST", "/jobs") == 1
    assert visier.log[-1].status is None
    assert client.submit().status == 200


def test_a_submission_may_work_and_answer_504(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("submission-gateway-timeout")

    assert client.submit().status == 504
    assert len(visier.jobs()) == 1


@pytest.mark.parametrize(("scenario", "details"), [("expired", 404), ("expires-before-download", 200)])
def test_an_export_may_be_gone(visier: VisierSimulator, client: Client, scenario: str, details: int) -> None:
    visier.scenario(scenario)

    export = client.export()

    assert client.get(f"/exports/{export}").status == details
    assert client.get(f"/exports/{export}/files/1").status == 404


def test_an_order_expires_one_export(visier: VisierSimulator, client: Client) -> None:
    gone, kept = client.export(), client.export()

    visier.expire_export(gone)

    assert (client.get(f"/exports/{gone}").status, client.get(f"/exports/{kept}").status) == (404, 200)


def test_a_truncated_file_may_look_whole(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("truncated-gzip")

    reply = client.get(f"/exports/{client.export()}/files/2")

    assert int(reply.headers["Content-Length"]) == len(reply.body)
    with pytest.raises(EOFError):
        gzip.decompress(reply.body)


def test_a_file_may_break_off_short_of_its_length(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("truncated-once")
    export = client.export()

    with pytest.raises(http.client.IncompleteRead):
        client.get(f"/exports/{export}/files/2")
    assert client.get(f"/exports/{export}/files/2").status == 200


def test_a_download_may_be_reset(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("connection-reset")
    export = client.export()

    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        client.get(f"/exports/{export}/files/2")


def test_a_truncated_file_without_a_length_ends_like_any_other(visier: VisierSimulator, client: Client) -> None:
    export = client.export()
    visier.fault("GET", "/files/2$", truncate_after=1234, content_length="none")

    reply = client.get(f"/exports/{export}/files/2")

    assert (len(reply.body), reply.headers["Content-Length"]) == (1234, None)


def test_a_corrupt_file_has_the_right_length(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("corrupt-gzip")
    export = client.export()

    body = client.get(f"/exports/{export}/files/2").body

    assert len(body) == visier.truth(export)["Airport-newColumns_part0.csv.gz"].size
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(body)


def test_a_file_may_be_a_page(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("error-page")

    reply = client.get(f"/exports/{client.export()}/files/1")

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<!DOCTYPE html>" in reply.body


def test_content_coding_may_be_missing_or_undone(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("no-content-encoding")
    bare = client.get(f"/exports/{client.export()}/files/1")
    visier.scenario("decoded")
    export = client.export()
    decoded = client.get(f"/exports/{export}/files/1")

    assert bare.headers["Content-Encoding"] is None
    assert decoded.headers["Content-Encoding"] is None
    assert gzip.decompress(bare.body) == decoded.body
    assert visier.truth(export)["Airline-newColumns_part0.csv.gz"].size == len(decoded.body)


def test_tables_may_come_as_headers_alone(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("empty-table")

    found = read(client, client.export("7000003", "7000002"))

    assert found.texts["Airport_part0.csv.gz"].startswith(b"AirportID,")
    assert all(text.count(b"\r\n") == 1 for text in found.texts.values())


def test_an_always_empty_table_is_a_header_in_a_full_export(client: Client) -> None:
    found = read(client, client.export())

    assert found.texts["Cargo_Claim-newColumns_part0.csv.gz"] == b"ClaimID,Claimed_On,Amount,_DiffAction_\r\n"


def test_a_table_may_have_an_awkward_name(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("awkward-names")

    names = client.files(client.export())

    assert "Plane Note: été/2013-newColumns_part0.csv.gz" in names


def test_a_tenant_may_have_only_some_of_the_tables(visier: VisierSimulator, client: Client) -> None:
    visier.configure(tables=["Airline", "Heliport", "Diversion"])

    full = client.files(client.export("7000003"))
    details = client.get(f"/exports/{client.export('7000004', '7000003')}").json

    assert set(full) == {"Airline-newColumns_part0.csv.gz", "Heliport-newColumns_part0.csv.gz"}
    assert [table["name"] for table in details["tables"]] == ["Airline", "Diversion"]
    assert (details["newTables"], details["deletedTables"]) == (["Diversion"], ["Heliport"])


def test_a_download_may_be_slow(visier: VisierSimulator, client: Client) -> None:
    export = client.export()
    size = visier.truth(export)["Airport-newColumns_part0.csv.gz"].size
    visier.fault("GET", "/files/2$", rate_bytes_per_second=size * 4)
    started = time.monotonic()

    assert len(client.get(f"/exports/{export}/files/2").body) == size
    assert 0.2 < time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("scenario", "fields"),
    [
        ("localized-error", {"localizedMessage", "errorCode", "message", "rci", "userError"}),
        ("legacy-error", {"errorCode", "message", "rci"}),
        ("code-error", {"localizedMessage", "code", "message", "rci"}),
    ],
)
def test_errors_come_in_several_shapes(
    visier: VisierSimulator, client: Client, scenario: str, fields: set[str]
) -> None:
    visier.scenario(scenario)

    refused = client.submit()

    assert refused.status == 400
    assert refused.json.keys() == fields
    assert "données" in (refused.json.get("localizedMessage") or refused.json["message"])


def test_a_user_may_lack_the_capability(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("missing-capability")

    assert client.log_in().status == 200
    refused = client.get("/data-versions")
    assert refused.status == 403
    assert "Manage Jobs" in refused.json["localizedMessage"]


def test_logins_may_be_refused(visier: VisierSimulator, stranger: Client) -> None:
    visier.scenario("sso-only")
    assert stranger.log_in().status == 401

    visier.scenario("vanity-required")
    assert stranger.log_in(vanityName="").status == 500
    assert stranger.log_in().status == 200

    visier.scenario("quoted-token")
    reply = stranger.log_in()
    assert reply.body.startswith(b'"')
    assert reply.body.endswith(b'"\r\n')


def test_empty_things_may_be_left_out(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("sparse")
    visier.configure(job_seconds=60)
    job = client.submit("7000003", "7000002").json["jobUuid"]

    assert client.get(f"/jobs/{job}").json == {"jobUuid": job, "completed": False, "failed": False}
    assert client.get("/exports").json == {}
    details = client.details(visier.complete_job(job))
    assert details.keys() == {"uuid", "timestamp", "dataVersionNumber", "baseDataVersionNumber", "tables"}
    assert details["tables"][0].keys() == {"name", "commonColumns"}


def test_types_and_categories_may_be_odd(visier: VisierSimulator, client: Client) -> None:
    visier.scenario("odd-types")
    found = client.details(client.export())
    visier.scenario("other-category")
    listed = client.get("/data-versions").json["dataVersions"]

    types = {column["dataType"] for table in found["tables"] for column in table["newColumns"]["columns"]}
    assert types == {"string", "integer", "number", "date", "boolean", "Duration"}
    newest = max(listed, key=lambda version: int(version["created"]))
    assert newest["dataCategory"] == "talent-acquisition"


def test_every_scenario_can_be_played_to_the_end_or_its_error(visier: VisierSimulator, client: Client) -> None:
    """None of them makes the simulator itself fail."""
    for scenario in visier.SCENARIOS:
        visier.scenario(scenario)
        client.log_in()
        if scenario in ("lost-reply", "lost-submission"):
            continue
        client.submit("7000004", "7000003")
        for reply in (client.get("/exports"), client.get("/data-versions"), client.get("/jobs/x")):
            assert b"mistake in the simulator" not in reply.body


# Faults, the log, and the admin path


def test_a_fault_skips_strikes_and_passes(visier: VisierSimulator, client: Client) -> None:
    job = client.submit().json["jobUuid"]
    fault = visier.fault("GET", "/jobs/", status=503, skip=1, times=3)

    statuses = [client.get(f"/jobs/{job}").status for _ in range(6)]

    assert statuses == [200, 503, 503, 503, 200, 200]
    assert visier.struck(fault) == 3
    assert client.get("/data-versions").status == 200
    assert visier.calls("GET", "/jobs/") == 6
    assert visier.calls("GET", "/jobs/", faulted=False) == 3


def test_faults_strike_in_the_order_they_were_made(visier: VisierSimulator, client: Client) -> None:
    visier.fault("GET", "data-versions", status=500)
    visier.fault(None, "", status=502, headers={"Retry-After": "7"})

    first, second, third = (client.get("/data-versions") for _ in range(3))

    assert [first.status, second.status, third.status] == [500, 502, 200]
    assert second.headers["Retry-After"] == "7"
    assert first.json.keys() == {"localizedMessage", "errorCode", "message", "rci", "userError"}


def test_a_fault_may_delay_and_change_headers(visier: VisierSimulator, client: Client) -> None:
    visier.fault("GET", "data-versions", delay_seconds=0.2, headers={"Content-Type": None, "Via": "proxy"})
    started = time.monotonic()

    reply = client.get("/data-versions")

    assert time.monotonic() - started >= 0.2
    assert (reply.status, reply.headers["Content-Type"], reply.headers["Via"]) == (200, None, "proxy")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"status": 99}, "do.status"),
        ({}, "do: Value error, empty"),
        ({"statsu": 500}, "do.statsu"),
        ({"also": "explode"}, "expire-tokens"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(visier: VisierSimulator, order: dict[str, Any], says: str) -> None:
    with pytest.raises(AdminError, match=says):
        visier.fault("GET", "", **order)


def test_a_knob_that_makes_no_sense_is_refused(visier: VisierSimulator) -> None:
    with pytest.raises(AdminError, match="job_secnods"):
        VisierSimulator(job_secnods=1)
    with pytest.raises(AdminError, match="success-delta"):
        visier.scenario("sucess")


def test_the_log_keeps_calls_and_no_credentials(visier: VisierSimulator, client: Client) -> None:
    client.submit()

    last = visier.log[-1]

    assert (last.method, last.path, last.status) == ("POST", f"{API}/jobs", 200)
    assert last.bytes_sent > 0
    assert abs(last.at - time.time()) < 60
    assert str(client.headers["Cookie"]).removeprefix("VisierASIDToken=") not in repr(visier.log)
    assert "demo" not in repr(visier.log)


def test_the_admin_path_does_what_python_does(client: Client) -> None:
    def tell(method: str, path: str, body: object = None) -> Any:
        reply = client.call(method, f"/_admin{path}", body, apikey=None, Cookie=None)
        assert reply.status == 200, reply.body
        return reply.json

    tell("POST", "/knobs", {"job_seconds": 60})
    tell("POST", "/faults", {"match": {"method": "GET", "path": "/jobs/"}, "times": 1, "do": {"status": 503}})
    good, bad = (client.submit("7000002", "7000001").json["jobUuid"] for _ in range(2))
    export = tell("POST", f"/jobs/{good}/complete")["exportUuid"]
    tell("POST", f"/jobs/{bad}/fail")

    assert client.get(f"/jobs/{good}").status == 503
    assert client.get(f"/jobs/{bad}").json["failed"] is True
    assert tell("GET", "/calls?method=GET&path=/jobs/")["count"] == 2
    assert tell("GET", "/calls?path=/jobs/&faulted=true")["calls"][0]["status"] == 503
    assert tell("GET", "/faults")[0]["struck"] == 1
    assert [job["failed"] for job in tell("GET", "/jobs")] == [False, True]
    assert tell("GET", f"/exports/{export}/truth")["Airline_part0.csv.gz"]["actions"] == {"+": 1, "u": 1, "-": 1}
    tell("POST", f"/exports/{export}/expire")
    assert tell("GET", "/exports")[0]["expired"] is True
    assert tell("POST", "/versions", {"number": "7000005"}) == {"dataVersion": "7000005"}
    tell("DELETE", "/versions/7000001")
    assert tell("GET", "/versions") == [7000002, 7000003, 7000004, 7000005]
    tell("POST", "/freeze", {"frozen": True})
    tell("POST", "/advance", {"seconds": 60})
    tell("POST", "/tokens/expire")
    assert client.get("/exports").status == 401
    tell("POST", "/scenario", {"name": "sso-only"})
    assert client.log_in().status == 401
    tell("DELETE", "/faults")
    tell("DELETE", "/calls")
    assert "sso-only" in tell("GET", "/scenarios")
    assert "POST /_admin/faults" in tell("GET", "")
    tell("POST", "/reset")
    assert (tell("GET", "/jobs"), tell("GET", "/versions")) == ([], [7000001, 7000002, 7000003, 7000004])
    assert client.log_in().status == 200


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/scenario", {"name": "nope"}, "unknown scenario"),
        ("/scenario", {}, "'name'"),
        ("/knobs", {"job_secnods": 1}, "job_secnods"),
        ("/faults", {"do": {"status": 1}}, "do.status"),
        ("/faults", {"match": {"path": "("}, "do": {"status": 500}}, "not a regular expression"),
        ("/jobs/x/fail", {}, "unknown job x"),
        ("/exports/x/expire", {}, "unknown export x"),
        ("/versions", {"number": "x"}, "data version number"),
        ("/advance", {}, "'seconds'"),
        ("/scenario", b"{", "not JSON"),
        ("/scenario", b"[]", "JSON object"),
    ],
)
def test_the_admin_path_says_what_is_wrong(client: Client, path: str, body: object, says: str) -> None:
    reply = client.call("POST", f"/_admin{path}", body)

    assert reply.status == 400
    assert says in reply.json["error"]


def test_a_stop_ends_what_is_under_way() -> None:
    visier = VisierSimulator(job_seconds=0)
    visier.start()
    client = Client(visier.url)
    idle = http.client.HTTPConnection(client.address)
    idle.request("POST", "/v1/admin/visierSecureToken", b"username=demo&password=demo")
    assert idle.getresponse().read()
    visier.fault(None, "", delay_seconds=60)
    waiting = http.client.HTTPConnection(client.address)
    waiting.request("GET", f"{API}/data-versions")
    while visier.calls("GET") == 0:
        time.sleep(0.001)
    started = time.monotonic()

    visier.stop()

    assert time.monotonic() - started < 2
    with pytest.raises(ConnectionError):
        waiting.getresponse()
    idle.close()
    waiting.close()


# The command


def command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "infra.local.vendors", *arguments]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_when_it_is_ready_and_ends_when_it_is_told(ending: signal.Signals) -> None:
    with command("visier", "--port", "0", "--scenario", "sso-only") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        address = urlsplit(ready.removeprefix("ready ").strip())
        status = VisierCaller(address.geturl()).log_in().status

        process.send_signal(ending)
        rest, errors = process.communicate(timeout=10)

    assert address.hostname == "127.0.0.1"
    assert status == 401
    assert (process.returncode, rest, errors) == (0, "", "")


def test_the_command_ends_with_its_parent_if_asked() -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'infra.local.vendors', 'visier', '--with-parent'])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        lines = [parent.stdout.readline(), parent.stdout.readline()]
        child = next(int(line) for line in lines if line.strip().isdecimal())
        assert any(line.startswith("ready ") for line in lines)

        parent.kill()
        parent.stdout.read()  # ends when the child, the pipe's last writer, has ended

    wait_until_gone(child)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["visier", "--scenario", "nope"], "success-full"),
        (["visier", "--job-seconds", "-1"], "job_seconds"),
        (["visier", "--port", "70000"], "port"),
        (["acme"], "visier"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(arguments: list[str], says: str) -> None:
    with command(*arguments) as process:
        out, errors = process.communicate(timeout=10)

    assert (process.returncode, out) == (2, "")
    assert says in errors


def test_the_help_lists_every_scenario() -> None:
    with command("visier", "--help") as process:
        out, _ = process.communicate(timeout=10)

    assert all(name in out for name in VisierSimulator.SCENARIOS)
