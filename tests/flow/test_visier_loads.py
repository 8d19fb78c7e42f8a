"""Visier's loads through the deployed flow: every sample event, and how loads end that do not end well.

Each story is a customer of its own with a simulator of its own, and all of them go on beside each other.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from haul.models import vendors
from infra.local.localstack import ROOT
from infra.local.stack import Json, Stack
from tests.flow.customer import Customer, NewCustomer
from tests.flow.story import Stories

_EVENTS = ROOT / "events"
_MORNING = "2026-11-22T01:00:00Z"
_EMPLOYEES = b"EmployeeID,Name\n" + b"E0001,Ada\n" * 50_000
_ALL = {"allTenants": True, "runProcessingJob": True}
_ONE = {"tenants": ["WFF_j1r~c7o"], "runProcessingJob": True}
_LOAD = "extract-and-load"


def sample(name: str) -> Json:
    """A file of `events/`, as EventBridge Scheduler would send it."""
    event: Json = json.loads((_EVENTS / name).read_text().replace("<aws.scheduler.scheduled-time>", _MORNING))
    return event


SAMPLES = sorted(
    path.name for path in _EVENTS.glob("visier_*.json") if vendors.kind_of(json.loads(path.read_text())) == "load"
)


def started(customer: Customer, event: Json) -> str:
    """Start a sample's event for a customer: its names, its connection, and the object that it puts in the inbox."""
    own: Json = {"pipeline": customer.pipeline, "connection": customer.connection}
    own["limits"] = {**event["limits"], "poll_floor_seconds": 1}
    if wanted := event.get("source", {}).get("object"):
        stack = customer.stack
        key = f"inbox/{customer.pipeline}/{wanted['key'].rpartition('/')[2]}"
        put = stack.s3.put_object(Bucket=stack.inbox_bucket, Key=key, Body=_EMPLOYEES)
        own["source"] = {"object": {"bucket": stack.inbox_bucket, "key": key, "version_id": put["VersionId"]}}
    return customer.stack.start({**event, **own})


_SCENARIOS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "partial": ("load-one-fails", {}),
    "tolerated": ("load-one-fails", {"tolerate_failed_tenants": "50%"}),
    "not processed": ("load-not-processed", {"children_appear_within": "PT1S"}),
    "failed": ("load-fails", {}),
    "refused": ("load-refused", {}),
    "lost": ("load", {}),
}


@pytest.fixture(scope="module")
def stories(new_customer: NewCustomer) -> Stories:
    """Everything that happens here, but for what needs a person to happen."""
    told: Stories = Stories(at_once=4)
    for name in SAMPLES:
        customer = new_customer(name.removesuffix(".json"), scenario="load")
        told.tell(name, customer, lambda customer=customer, name=name: started(customer, sample(name)))  # type: ignore[misc]  # bound at once
    for name, (scenario, options) in _SCENARIOS.items():
        customer = new_customer(f"load {name}", scenario=scenario)
        if name == "lost":
            customer.visier.fault("POST", "/startExtractAndLoad$", drop_reply=True)
        told.tell(
            name,
            customer,
            lambda customer=customer, options=options: customer.start(_ALL, action=_LOAD, options=dict(options)),  # type: ignore[misc]  # bound at once
        )
    return told


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_event_of_a_load_runs(stories: Stories, name: str) -> None:
    end = stories[name].end

    assert (end.status, (end.output or {}).get("outcome")) == ("SUCCEEDED", "SUCCEEDED"), end.cause
    manifest = stories[name].customer.manifest
    assert manifest["kind"] == "load"
    assert manifest["request_as_given"] == sample(name)["request"]
    assert {item["outcome"] for item in manifest["items"]} == {"SUCCEEDED"}


def test_the_load_of_all_tenants_has_what_became_of_each(stories: Stories) -> None:
    story = stories["visier_extract_and_load_all.json"]
    assert story.end.status == "SUCCEEDED"

    manifest = story.customer.manifest

    assert manifest["job"]["family"] == {"dispatching": 1, "extraction": 3, "receiving": 3, "processing": 3}
    assert [(item["tenant"], item["data_version"]) for item in manifest["items"]] == [
        ("WFF_j1r~c7o", "7000005"),
        ("WFF_j1r~e1a", "7000006"),
        ("WFF_j1r~k2p", "7000007"),
    ]
    assert manifest["totals"]["succeeded"] == 3
    assert manifest["request"]["overrideLastExtractionTimestamp"] == 1639382400000


def test_an_upload_arrives_as_the_object_is(stories: Stories) -> None:
    story = stories["visier_upload_s3_object.json"]
    assert story.end.status == "SUCCEEDED"

    uploads = story.customer.visier.loads.uploads()

    assert [(file.name, file.data) for file in uploads] == [("Employee.csv", _EMPLOYEES)]


def test_a_failed_tenant_is_published_as_a_part(stories: Stories) -> None:
    story = stories["partial"]

    assert (story.end.output or {})["outcome"] == "PARTIAL"
    manifest = story.customer.manifest
    assert manifest["outcome"] == "PARTIAL"
    assert [item["outcome"] for item in manifest["items"]] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert manifest["items"][1]["message"].startswith("[DP510002]")
    assert "1 of 3 tenants failed: WFF_j1r~e1a [DP510002]" in story.customer.body()


def test_a_tolerated_failure_is_told_in_the_manifest_alone(stories: Stories) -> None:
    story = stories["tolerated"]

    assert (story.end.output or {})["outcome"] == "SUCCEEDED"
    assert [item["outcome"] for item in story.customer.manifest["items"]] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_a_processing_job_that_never_appears_is_told_after_its_time(stories: Stories) -> None:
    story = stories["not processed"]

    assert (story.end.output or {})["outcome"] == "PARTIAL"
    assert "no processing job of WFF_j1r~e1a" in story.customer.body()


def test_a_load_that_failed_everywhere_publishes_nothing(stories: Stories) -> None:
    story = stories["failed"]

    assert (story.end.status, story.end.error) == ("FAILED", "LoadFailedError")
    assert story.customer.manifests == []
    assert "3 of 3 tenants failed" in story.customer.document["error"]["message"]


def test_a_refused_load_is_told_with_visiers_reason(stories: Stories) -> None:
    story = stories["refused"]

    assert (story.end.status, story.end.error) == ("FAILED", "LoadRefusedError")
    assert "is not on the SFTP server" in story.customer.document["error"]["message"]
    assert story.customer.visier.loads.jobs() == []


def test_a_load_whose_reply_was_lost_is_found_and_started_once(stories: Stories) -> None:
    story = stories["lost"]

    assert (story.end.output or {})["outcome"] == "SUCCEEDED"
    assert story.customer.visier.calls("POST", "/startExtractAndLoad") == 1


def test_a_load_that_is_aborted_is_cancelled_with_all_that_it_started(stack: Stack, customer: Customer) -> None:
    customer.visier.scenario("load")
    customer.visier.configure(job_seconds=600)
    arn = customer.start(_ALL, action=_LOAD)
    stack.wait_for_state(arn, "Wait")
    customer.visier.advance(120)

    stack.stop(arn)

    stack.until(lambda: customer.record["told"], bool)
    assert customer.outcomes() == ["CANCELLED"]
    jobs = customer.visier.loads.jobs()
    assert {job["status"] for job in jobs if job["kind"] == "extraction"} == {"Cancelled"}


def test_the_version_that_a_load_made_is_exported_next(customer: Customer) -> None:
    """The everyday chain: the load's manifest starts an export of the version that it made."""
    customer.visier.scenario("load")
    load = customer.run(_ONE, action=_LOAD)
    stack = customer.stack
    key = f"manifests/{customer.pipeline}/{load.run_id}.json"
    upstream = {"bucket": stack.landing_bucket, "key": key}

    export = Customer(stack, customer.visier, f"{customer.pipeline[:40]}-next", customer.connection)
    ran = export.run(
        {"dataVersionNumber": "@upstream.data_version"},
        source={"manifest": upstream},
        trigger={"type": "manifest", "event_time": _MORNING},
    )

    assert (ran.output or {}).get("outcome") == "SUCCEEDED", ran.cause
    assert export.manifest["watermark"]["to"] == customer.manifest["items"][0]["data_version"]
    assert export.landed == export.true_sums
