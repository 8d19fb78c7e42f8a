"""What no event told is found by the hourly sweep: runs that were lost, that are late, pipelines that are stale."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from haul.adapters.ledger import S3Store
from haul.ledger import Ledger
from haul.models.ledger import PipelineRecord
from infra.local.stack import Json, Stack
from tests.flow.customer import Customer


def sweep(stack: Stack) -> Json:
    """What EventBridge does every hour."""
    return stack.invoke("sweep", {})


@pytest.fixture
def lost_events(stack: Stack) -> Iterator[None]:
    """The rule that reports how executions end leads nowhere; such events are best effort.

    LocalStack takes no notice of a rule that is disabled.
    """
    bus, events = stack.parameters["event-bus"], stack.eventbridge
    rules = events.list_rules(EventBusName=bus)["Rules"]
    (name,) = [rule["Name"] for rule in rules if "-ExecutionEnded" in rule["Name"]]
    targets = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
    events.remove_targets(Rule=name, EventBusName=bus, Ids=[target["Id"] for target in targets])
    yield
    events.put_targets(Rule=name, EventBusName=bus, Targets=targets)


@pytest.mark.usefixtures("lost_events")
def test_a_run_whose_end_nobody_heard_of_is_found(stack: Stack, customer: Customer) -> None:
    customer.visier.freeze()
    arn = customer.start()
    stack.wait_for_state(arn, "Wait")
    stack.stop(arn)
    stack.wait(arn)
    before = customer.record["state"]

    found = sweep(stack)
    found_again = sweep(stack)

    assert before == "RUNNING"
    assert customer.run_ids[-1] in found["abandoned"]
    assert customer.run_ids[-1] not in found_again["abandoned"]
    assert customer.document["outcome"] == "CANCELLED"
    assert customer.subjects() == ["CANCELLED PIPELINE: CancelledError (nothing published)"]
    assert customer.outcomes() == ["CANCELLED"]
    customer.visier.freeze(frozen=False)
    assert customer.rerun().status == "SUCCEEDED"
    assert customer.submissions == 1


def test_a_late_run_is_told_once_and_goes_on(stack: Stack, customer: Customer) -> None:
    customer.visier.freeze()
    arn = customer.start(limits={"late_after": "PT1S"})
    stack.wait_for_state(arn, "Check export")
    run_id = customer.run_ids[-1]

    found = stack.until(lambda: sweep(stack), lambda swept: run_id in swept["late"])
    found_again = sweep(stack)
    customer.visier.freeze(frozen=False)
    end = stack.wait(arn)

    (late, ended) = customer.subjects(at_least=2)
    assert run_id not in found["abandoned"]
    assert run_id not in found_again["late"]
    assert late.startswith("LATE PIPELINE: still running after ")
    assert f"haul watch {run_id} --env local" in customer.body(0)
    assert end.status == "SUCCEEDED"
    assert ended.startswith("OK PIPELINE")
    assert customer.outcomes(at_least=2) == ["Haul Run Late", "SUCCEEDED"]


def test_a_pipeline_that_published_nothing_in_time_is_told_once(stack: Stack, customer: Customer) -> None:
    """Also one that never ran at all."""
    deployed = PipelineRecord(
        pipeline=customer.pipeline,
        event={"vendor": "visier", "notify": {"about": ["STALE"]}},
        owner="people-analytics@example.com",
        fresh_within=timedelta(hours=26),
        deployed_at=datetime.now(UTC) - timedelta(hours=27),
    )
    Ledger(S3Store(stack.landing_bucket, stack.s3)).register(deployed)

    found = sweep(stack)
    found_again = sweep(stack)

    assert customer.pipeline in found["stale"]
    assert customer.pipeline not in found_again["stale"]
    assert customer.subjects() == ["STALE PIPELINE: nothing published ever"]
    assert "it should publish every 1 d 2 h" in customer.body()
    assert "people-analytics@example.com" in customer.body()
    assert customer.outcomes() == ["Haul Pipeline Stale"]
