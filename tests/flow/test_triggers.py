"""What starts a run: people, schedules and manifests, once and again, one after the other and at once."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from haul.models import vendors
from infra.local.localstack import ROOT
from infra.local.stack import Execution, Json, Stack
from tests.flow.customer import API_KEY, NO_FILES, PASSWORD, Customer, NewCustomer

_EVENTS = ROOT / "events"
_MORNING = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
_NEXT_MORNING = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


# The same trigger, and other triggers for the same


def test_a_repeated_trigger_is_the_run_that_it_was(customer: Customer) -> None:
    """At once it joins that run, later it ends as that run ended; nobody is told twice."""
    customer.visier.freeze()
    arns = [customer.start(id="people@2026-11-22T05:00:00Z") for _ in range(2)]
    stack = customer.stack

    stack.until(lambda: sorted(stack.look(arn).status for arn in arns), lambda seen: seen == ["RUNNING", "SUCCEEDED"])
    customer.visier.freeze(frozen=False)
    ends = [stack.wait(arn) for arn in arns]
    later = customer.run(id="people@2026-11-22T05:00:00Z")

    (run_id,) = customer.run_ids
    outputs = [end.output or {} for end in [*ends, later]]
    assert sorted(output["outcome"] for output in outputs) == ["JOINED", "SUCCEEDED", "SUCCEEDED"]
    assert outputs[2]["outcome"] == "SUCCEEDED"
    assert {output["run_id"] for output in outputs} == {run_id}
    assert customer.submissions == 1
    assert len(customer.manifests) == 1
    assert customer.outcomes() == ["SUCCEEDED"]


def test_a_repeated_trigger_of_a_failed_run_fails_as_it_did(customer: Customer) -> None:
    customer.visier.configure(job_ends="failed")
    first = customer.run(id="people@2026-11-22T05:00:00Z")

    again = customer.run(id="people@2026-11-22T05:00:00Z")

    assert (again.status, again.error) == (first.status, first.error) == ("FAILED", "ExportFailedError")
    assert customer.submissions == 1
    assert len(customer.run_ids) == 1
    assert customer.outcomes() == ["FAILED"]


def test_of_two_triggers_for_the_same_versions_one_joins_the_other(customer: Customer) -> None:
    stack = customer.stack
    customer.visier.freeze()
    arns = [customer.start(), customer.start()]

    stack.until(lambda: sorted(stack.look(arn).status for arn in arns), lambda seen: seen == ["RUNNING", "SUCCEEDED"])
    customer.visier.freeze(frozen=False)
    outputs = {end.output["outcome"]: end.output for end in map(stack.wait, arns) if end.output}

    assert outputs.keys() == {"JOINED", "SUCCEEDED"}
    assert outputs["JOINED"]["joined"] == outputs["SUCCEEDED"]["run_id"]
    assert customer.submissions == 1
    assert len(customer.manifests) == 1
    assert sorted(customer.outcomes(at_least=2)) == ["JOINED", "SUCCEEDED"]
    assert len(customer.subjects()) == 1


def test_another_pipeline_shares_the_job_and_publishes_for_itself(customer: Customer) -> None:
    stack = customer.stack
    archive = Customer(stack, customer.visier, f"{customer.pipeline[:40]}-too", customer.connection)
    customer.visier.freeze()
    arns = [customer.start(NO_FILES), archive.start(NO_FILES)]
    for arn in arns:
        stack.wait_for_state(arn, "Check export")

    customer.visier.freeze(frozen=False)
    ends = [stack.wait(arn) for arn in arns]

    assert [end.status for end in ends] == ["SUCCEEDED", "SUCCEEDED"]
    assert customer.submissions == 1
    assert customer.manifest["job"]["result_id"] == archive.manifest["job"]["result_id"]
    assert {customer.manifest["sequence"], archive.manifest["sequence"]} == {1}


# The deployed pipelines


class Deployed:
    """The pipelines in `infra/pipelines`, started by all that starts them, on a Visier that publishes in between."""

    def __init__(self, people: Customer, session: boto3.Session) -> None:
        stack = people.stack
        self.people = people
        self.snapshot = Customer(stack, people.visier, "visier-people-snapshot", people.connection)
        self.full = Customer(stack, people.visier, "visier-people-full", people.connection)
        self.ran: dict[str, Execution] = {}

        by_hand = stack.start(self.event("visier_full.json"))
        self.fired = stack.wait(stack.fire("visier-people", scheduled_at=_MORNING))
        self.fired_again = stack.wait(stack.fire("visier-people", scheduled_at=_MORNING))
        self.chained = self.chained_to(self.fired)
        self.ran["visier_full.json"] = stack.wait(by_hand)

        people.visier.publish()
        name = "visier_delta_scheduled.json"
        self.ran[name] = stack.wait(self.fire_with(self.event(name), session))
        self.chained_next = self.chained_to(self.ran[name])

        name = "visier_downstream_manifest.json"
        event = self.event(name)
        event["source"]["manifest"] |= self.manifest_object(self.full, self.ran["visier_full.json"])
        self.ran[name] = stack.run(event)

    @staticmethod
    def event(name: str) -> Json:
        event: Json = json.loads((_EVENTS / name).read_text())
        return event

    def fire_with(self, event: Json, session: boto3.Session) -> str:
        """Fire the deployed schedule's like, with another input."""
        scheduler = session.client("scheduler")
        group = self.people.stack.parameters["schedule-group"]
        found = scheduler.get_schedule(Name="visier-people", GroupName=group)
        name = "visier-people-from-events"
        scheduler.create_schedule(
            Name=name,
            GroupName=group,
            ScheduleExpression=found["ScheduleExpression"],
            FlexibleTimeWindow=found["FlexibleTimeWindow"],
            Target={**found["Target"], "Input": json.dumps(event)},
        )
        scheduler.close()
        return self.people.stack.fire(name, scheduled_at=_NEXT_MORNING)

    def chained_to(self, upstream: Execution) -> Execution:
        """The execution that a manifest started, once it has ended."""
        stack = self.people.stack
        key = f"manifests/{self.people.pipeline}/{upstream.run_id}.json"

        def started() -> list[Execution]:
            looks = map(stack.look, stack.executions()[:6])
            return [seen for seen in looks if seen.input.get("source", {}).get("manifest", {}).get("key") == key]

        (execution,) = stack.until(started, bool)
        return stack.wait(execution.arn)

    def manifest_object(self, customer: Customer, execution: Execution) -> dict[str, Any]:
        """A manifest as S3 knows it."""
        bucket = customer.stack.landing_bucket
        key = f"manifests/{customer.pipeline}/{execution.run_id}.json"
        head = customer.stack.s3.head_object(Bucket=bucket, Key=key)
        etag = head["ETag"].strip('"')
        return {
            "bucket": bucket,
            "key": key,
            "version_id": head["VersionId"],
            "size": head["ContentLength"],
            "etag": etag,
        }


@pytest.fixture(scope="module")
def deployed(stack: Stack, new_customer: NewCustomer) -> Deployed:
    made = new_customer("deployed", tables=["Airline", "Plane_Note", "Diversion"])
    acme = {"username": "demo", "password": PASSWORD, "api_key": API_KEY, "vanity_name": made.pipeline}
    stack.connect("visier-acme", base_url=made.visier.url, **acme)
    return Deployed(Customer(stack, made.visier, "visier-people", "visier-acme"), boto3.Session())


def test_every_sample_event_of_visier_runs(deployed: Deployed) -> None:
    """Those of other vendors run in `test_vendors.py`, loads in `test_visier_loads.py`."""
    exports = {
        path.name
        for path in Path(_EVENTS).glob("visier_*.json")
        if vendors.kind_of(json.loads(path.read_text())) == "export"
    }
    assert deployed.ran.keys() == exports
    assert {name: run.status for name, run in deployed.ran.items()} == dict.fromkeys(deployed.ran, "SUCCEEDED")
    assert {(run.output or {})["outcome"] for run in deployed.ran.values()} == {"SUCCEEDED"}


def test_a_sample_event_keeps_what_it_says(deployed: Deployed) -> None:
    manifest = deployed.full.manifest
    trigger = manifest["run"]["trigger"]

    assert manifest["classification"] == "pii"
    assert (trigger["type"], trigger["by"], trigger["reason"]) == ("manual", "operator", "quarterly baseline")
    assert manifest["request_as_given"] == {"dataVersionNumber": "@latest"}
    assert deployed.full.landed.keys() == {
        file["vendor_name"] for dataset in manifest["datasets"] for file in dataset["files"]
    }


def test_a_fired_schedule_exports_as_of_the_time_it_meant(deployed: Deployed) -> None:
    manifest = deployed.people.stack.manifest("visier-people", deployed.fired.run_id or "")

    assert deployed.fired.status == "SUCCEEDED"
    assert deployed.fired.input["id"] == "visier-people@2026-11-22T05:00:00Z"
    assert manifest is not None
    assert manifest["run"]["trigger"]["type"] == "schedule"
    assert manifest["run"]["trigger"]["scheduled_at"] == "2026-11-22T05:00:00Z"
    assert manifest["watermark"]["to"] == "7000004"


def test_a_schedule_that_fires_twice_exports_once(deployed: Deployed) -> None:
    assert deployed.fired_again.status == "SUCCEEDED"
    assert deployed.fired_again.run_id == deployed.fired.run_id
    assert deployed.people.run_ids.count(deployed.fired.run_id or "") == 1


def test_a_schedule_sends_what_the_sample_shows(deployed: Deployed) -> None:
    sample = deployed.event("visier_delta_scheduled.json")

    assert deployed.fired.input.keys() - {"notify"} == sample.keys() - {"notify"}
    assert deployed.fired.input["request"] == sample["request"]
    assert deployed.fired.input["trigger"].keys() == sample["trigger"].keys()


def test_the_next_morning_lands_what_changed(deployed: Deployed) -> None:
    manifest = deployed.people.manifest

    assert manifest["mode"] == "delta"
    assert (manifest["watermark"]["from"], manifest["watermark"]["to"]) == ("7000004", "7000005")
    assert manifest["previous"]["run_id"] == deployed.fired.run_id


def test_a_manifest_starts_the_pipeline_that_waits_for_it(deployed: Deployed) -> None:
    """S3's own word of the new object: nobody else starts that pipeline."""
    stack = deployed.people.stack
    for upstream, chained, version in (
        (deployed.fired, deployed.chained, "7000004"),
        (deployed.ran["visier_delta_scheduled.json"], deployed.chained_next, "7000005"),
    ):
        manifest = stack.manifest("visier-people-snapshot", chained.run_id or "")
        assert chained.status == "SUCCEEDED"
        assert chained.input["trigger"]["type"] == "manifest"
        assert chained.input["source"]["manifest"] == deployed.manifest_object(deployed.people, upstream)
        assert manifest is not None
        assert manifest["mode"] == "full"
        assert manifest["request"] == {"dataVersionNumber": version}
        assert manifest["request_as_given"] == {"dataVersionNumber": "@upstream.data_version"}


def test_a_repeated_word_of_a_manifest_changes_nothing(deployed: Deployed) -> None:
    """EventBridge delivers at least once, with another id in each event."""
    manifests, submissions = len(deployed.snapshot.manifests), deployed.people.submissions

    again = deployed.people.stack.run({**deployed.chained.input, "id": "59f3a0b2-3a63-4c44-9d0a-1f6f0a6a1a11"})

    assert again.status == "SUCCEEDED"
    assert again.run_id == deployed.chained.run_id
    assert len(deployed.snapshot.manifests) == manifests
    assert deployed.people.submissions == submissions


def test_three_pipelines_on_one_version_spend_one_submission_for_each_pair(deployed: Deployed) -> None:
    """A full export of 7000004, a delta to 7000005 and a full one: what is there already is taken."""
    jobs = [(job["version"], job["base"]) for job in deployed.people.visier.jobs()]

    assert jobs == [(7000004, None), (7000005, 7000004), (7000005, None)]
