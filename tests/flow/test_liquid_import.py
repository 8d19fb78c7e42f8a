"""Imports into LiquidAnalytics through the deployed flow: what is put in the inbox arrives, and what ends otherwise.

Each story has a community of its own, and all of them go on beside each other.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from infra.local.localstack import ROOT
from infra.local.stack import Execution, Json, Stack
from infra.local.vendors.liquid import LiquidSimulator
from infra.local.vendors.mediarithmics import MediarithmicsSimulator
from tests.flow.customer import PASSWORD, Runs
from tests.flow.story import Stories

_DEPLOYED = "liquid-attendee-import"
_SAMPLE: Json = json.loads((ROOT / "events" / "liquid_import_s3_object.json").read_text())
_QUERY = "SELECT { id } FROM UserPoint"
_LINES = b'{"id": "N1", "lastName": "N\xc3\xba\xc3\xb1ez"}\n\n{"id": "N2", "lastName": "Curie"}\n'
_ARRAY = b'[{"id": "N1", "lastName": "N\xc3\xba\xc3\xb1ez"},\n{"id": "N2", "lastName": "Curie"}]'
_JSON = {"jobName": "from-lines", "itemType": "Attendee", "contentType": "application/json", "merge": True}


def csv(*names: str) -> bytes:
    return b"id,lastName\r\n" + b"".join(f"N{number},{name}\r\n".encode() for number, name in enumerate(names))


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass(frozen=True)
class Importer(Runs):
    """A customer of LiquidAnalytics' who sends it what lies in the inbox."""

    stack: Stack
    liquid: LiquidSimulator
    pipeline: str
    connection: str

    def put(self, name: str, body: bytes) -> Json:
        """Put an object in the inbox; the object as an event names it."""
        bucket, key = self.stack.inbox_bucket, f"inbox/{self.pipeline}/{name}"
        answer = self.stack.s3.put_object(Bucket=bucket, Key=key, Body=body)
        return {"bucket": bucket, "key": key, "version_id": answer["VersionId"]}

    def start(self, source: Json, request: Json | None = None, options: Json | None = None, **limits: Any) -> str:
        event = {
            **_SAMPLE,
            "pipeline": self.pipeline,
            "connection": self.connection,
            "source": source,
            "request": request or _SAMPLE["request"],
            "options": options or {},
            "limits": {"poll_floor_seconds": 1, **limits},
            "trigger": {"type": "manual"},
        }
        event.pop("id")
        return self.stack.start(event)

    def start_with(self, name: str, body: bytes, request: Json | None = None, options: Json | None = None) -> str:
        return self.start({"object": self.put(name, body)}, request, options)

    @property
    def received(self) -> dict[str, str]:
        """SHA-256 of the file of each import, by its job's id."""
        return {job["id"]: job["file"]["sha256"] for job in self.liquid.jobs() if job["kind"] == "import"}

    def executions(self, at_least: int) -> dict[str, Execution]:
        """The first executions that a rule started for this pipeline, ended, by key and version of their object."""

        def started() -> dict[str, str]:
            looks = map(self.stack.look, self.stack.executions())
            mine = [seen for seen in looks if seen.input.get("pipeline") == self.pipeline]
            return {_object_of(seen): seen.arn for seen in mine if seen.input["trigger"]["type"] == "s3"}

        found = self.stack.until(started, lambda seen: len(seen) >= at_least, timeout=60)
        return {name: self.stack.wait(arn, timeout=120) for name, arn in found.items()}


def _object_of(seen: Execution) -> str:
    named = seen.input["source"]["object"]
    return f"{named['key']} {named['version_id']}"


def _name(named: Json) -> str:
    return f"{named['key']} {named['version_id']}"


class World:
    """Makes importers, each with a community of its own."""

    def __init__(self, stack: Stack, simulators: ExitStack) -> None:
        self.stack = stack
        self._simulators = simulators

    def importer(self, name: str, *, pipeline: str = "", connection: str = "", **knobs: Any) -> Importer:
        own = f"t-import-{name.replace(' ', '-')}-{uuid4().hex[:6]}"
        secrets = {"password": PASSWORD, "client_secret": PASSWORD}
        liquid = LiquidSimulator(**{"job_seconds": 0.5, "canceling_seconds": 0.2, **secrets, **knobs})
        self._simulators.enter_context(liquid)
        made = Importer(self.stack, liquid, pipeline or own, connection or own.replace("t-", "c-", 1))
        known = {"client_id": "demo", "username": "demo", "community": "demo", **secrets}
        self.stack.connect(made.connection, base_url=liquid.url, **known)
        return made


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    with ExitStack() as simulators:
        yield World(stack, simulators)


# The deployed pipeline


class Inbox:
    """What four objects in the inbox of the deployed pipeline came to; two of them are versions of one."""

    def __init__(self, importer: Importer) -> None:
        self.importer = importer
        self.bodies = {}
        for body in (csv("Curie"), csv("Curie", "Noether")):
            self.bodies[_name(importer.put("attendees.csv", body))] = body
        self.nothing = [_name(importer.put("2026/", b"")), _name(importer.put("empty.csv", b""))]
        self.ended = importer.executions(at_least=4)


@pytest.fixture(scope="module")
def inbox(world: World) -> Inbox:
    return Inbox(world.importer("deployed", pipeline=_DEPLOYED, connection="liquid-events"))


def test_an_object_in_the_inbox_starts_the_import_of_exactly_that_version(inbox: Inbox) -> None:
    stack, importer = inbox.importer.stack, inbox.importer
    for name, body in inbox.bodies.items():
        end = inbox.ended[name]
        manifest = stack.manifest(_DEPLOYED, end.run_id or "")

        assert (end.status, end.error) == ("SUCCEEDED", None)
        assert manifest is not None
        assert importer.received[manifest["job"]["id"]] == sha256(body)
        assert [_name(each) for each in manifest["objects"]] == [name]
        assert (manifest["kind"], manifest["outcome"], manifest["totals"]["records"]) == (
            "load",
            "SUCCEEDED",
            body.count(b"\n") - 1,
        )
        assert [item["outcome"] for item in manifest["items"]] == ["SUCCEEDED"]
    assert len(importer.received) == len(inbox.bodies)


def test_folders_and_empty_objects_are_nothing_new(inbox: Inbox) -> None:
    ends = [inbox.ended[name] for name in inbox.nothing]

    assert {end.status for end in ends} == {"SUCCEEDED"}
    assert {(end.output or {})["outcome"] for end in ends} == {"NOTHING_NEW"}
    assert len(inbox.importer.received) == len(inbox.bodies)


def test_s3_that_tells_of_an_object_twice_starts_one_import(inbox: Inbox) -> None:
    """EventBridge delivers at least once, with another id in each event."""
    first = inbox.ended[next(iter(inbox.bodies))]

    again = inbox.importer.stack.run({**first.input, "id": "59f3a0b2-3a63-4c44-9d0a-1f6f0a6a1a11"})

    assert again.status == "SUCCEEDED"
    assert again.run_id == first.run_id
    assert len(inbox.importer.received) == len(inbox.bodies)


def test_people_are_told_how_much_was_taken_in(inbox: Inbox) -> None:
    subjects = [subject.replace(f"{_DEPLOYED} local", "PIPELINE") for subject in inbox.importer.subjects(at_least=2)]

    assert sorted(subjects) == ["OK PIPELINE: 1 record", "OK PIPELINE: 2 records"]


# Stories


@pytest.fixture(scope="module")
def stories(world: World, inbox: Inbox) -> Stories[Importer]:  # noqa: ARG001 - the deployed one goes first
    told = Stories[Importer](at_once=5)

    frozen = world.importer("aborted")
    frozen.liquid.freeze()
    told.tell("aborted", frozen, lambda: frozen.start_with("attendees.csv", csv("Curie")))

    def tell(name: str, body: bytes, request: Json | None = None, options: Json | None = None, **knobs: Any) -> None:
        made = world.importer(name, **knobs)
        file = "attendees.csv" if request is None else "attendees.ndjson.gz"
        told.tell(name, made, lambda: made.start_with(file, body, request, options))

    reshape = {"reshape": "ndjson-to-json"}
    tell("reshaped", gzip.compress(_LINES[:20]) + gzip.compress(_LINES[20:]), _JSON, reshape)
    tell("unpacked", gzip.compress(csv("Curie")))
    tell("damaged", gzip.compress(csv("Curie"))[:-1])
    tell("rejected", csv("Curie"), scenario="rejected")
    tell("rejected at once", b"id,colour\r\nN1,red\r\n")
    lost = world.importer("lost", scenario="lost-reply")
    told.tell("lost", lost, lambda: lost.start({"object": lost.put("a.csv", csv("Curie"))}, deadline="PT8S"))
    sample = world.importer("sample")

    def start_sample() -> str:
        event = {**_SAMPLE, "pipeline": sample.pipeline, "connection": sample.connection}
        source = {"object": {**_SAMPLE["source"]["object"], **sample.put("attendees.csv", csv("Curie", "Noether"))}}
        return world.stack.start({**event, "source": source})

    told.tell("sample", sample, start_sample)
    world.stack.wait_for_state(told["aborted"].arn, "Wait")
    world.stack.stop(told["aborted"].arn)
    return told


def test_the_sample_event_runs(stories: Stories[Importer]) -> None:
    customer, end = stories["sample"].customer, stories["sample"].end

    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert list(customer.received.values()) == [sha256(csv("Curie", "Noether"))]
    assert customer.manifest["request"] == _SAMPLE["request"]


def test_lines_inside_gzip_arrive_as_one_array(stories: Stories[Importer]) -> None:
    customer, end = stories["reshaped"].customer, stories["reshaped"].end

    [job] = customer.liquid.jobs()
    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert (job["file"]["sha256"], job["file"]["name"]) == (sha256(_ARRAY), "attendees.json")
    assert customer.manifest["totals"]["records"] == 2


def test_gzip_arrives_unpacked(stories: Stories[Importer]) -> None:
    customer, end = stories["unpacked"].customer, stories["unpacked"].end

    assert end.status == "SUCCEEDED"
    assert list(customer.received.values()) == [sha256(csv("Curie"))]


def test_a_damaged_object_is_refused_before_anything_is_sent(stories: Stories[Importer]) -> None:
    customer, end = stories["damaged"].customer, stories["damaged"].end

    assert (end.status, end.error) == ("FAILED", "DamagedSourceError")
    assert "attendees.csv" in (end.cause or "")
    assert "Curie" not in (end.cause or "")
    assert customer.liquid.calls() == 0
    assert customer.subjects() == ["FAILED PIPELINE: DamagedSourceError (nothing published)"]


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("rejected", "LoadFailedError", "Rejected: The item type Attendee is locked by its owner"),
        ("rejected at once", "RequestRejectedError", "The field 'colour' is no field of Attendee"),
    ],
)
def test_a_rejected_import_says_why(stories: Stories[Importer], name: str, error: str, says: str) -> None:
    customer, end = stories[name].customer, stories[name].end

    assert (end.status, end.error) == ("FAILED", error)
    assert says in (end.cause or "")
    assert says in customer.body()
    assert len(customer.received) == 1
    assert customer.manifests == []


def test_an_import_whose_reply_was_lost_is_sent_once_and_ends_in_doubt(stories: Stories[Importer]) -> None:
    customer, end = stories["lost"].customer, stories["lost"].end

    assert (end.status, end.error) == ("FAILED", "SubmissionInDoubtError")
    assert len(customer.received) == 1


def test_an_aborted_import_is_cancelled_at_the_vendor(stories: Stories[Importer]) -> None:
    customer, end = stories["aborted"].customer, stories["aborted"].end

    customer.stack.until(lambda: customer.record["told"], bool)
    [status] = customer.stack.until(
        lambda: [job["status"] for job in customer.liquid.jobs()], lambda seen: seen == ["Canceled"]
    )

    assert (end.status, status) == ("ABORTED", "Canceled")
    assert customer.document["outcome"] == "CANCELLED"
    assert customer.manifests == []


def test_what_another_vendor_exported_is_imported_as_one_array(stories: Stories[Importer], world: World) -> None:
    """A manifest's dataset, whose files are lines of JSON."""
    stack, importer = stories["sample"].customer.stack, world.importer("chained")
    upstream, connection = f"{importer.pipeline}-up", f"{importer.connection}-up"
    with MediarithmicsSimulator(job_seconds=0.5, api_token=PASSWORD) as mics:
        stack.connect(connection, base_url=mics.url, api_token=PASSWORD)
        event = json.loads((ROOT / "events" / "mediarithmics_query_export.json").read_text())
        event |= {"pipeline": upstream, "connection": connection, "trigger": {"type": "manual"}}
        event["request"]["query"]["query_text"] = _QUERY
        event["limits"] = {"poll_floor_seconds": 1}
        event.pop("id")
        exported = stack.run(event)
        key = f"manifests/{upstream}/{exported.run_id}.json"
        manifest = {"bucket": stack.landing_bucket, "key": key}

        request = {**_JSON, "jobName": "@upstream.run_id"}
        end = stack.wait(
            importer.start({"manifest": manifest, "dataset": "export"}, request, {"reshape": "ndjson-to-json"})
        )

    landed = b"".join(stack.landed(upstream, exported.run_id or "").values())
    [job] = importer.liquid.jobs()
    assert (exported.status, end.status, end.error) == ("SUCCEEDED", "SUCCEEDED", None)
    assert job["name"] == exported.run_id
    assert job["file"]["sha256"] == sha256(b"[" + landed.strip().replace(b"\n", b",\n") + b"]")
    assert importer.manifest["totals"]["records"] == landed.count(b"\n") > 0
