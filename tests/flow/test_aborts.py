"""Executions that are aborted from outside: the run is cancelled and told once, or it was published and is told so."""

import sys

import pytest

from infra.local.localstack import LocalStack
from infra.local.stack import Stack
from tests.flow.customer import Customer, report
from tests.flow.faults import held_still, warm_up

_needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def abort_held(customer: Customer, arn: str) -> None:
    """Abort, and have it reported as AWS does, at once: LocalStack waits for the end of the step at work."""
    customer.stack.stop(arn)
    report(customer.stack, arn, status="ABORTED")


def assert_cancelled(customer: Customer, arn: str) -> None:
    """Told once, and nothing left but the job, which Visier cannot cancel."""
    # LocalStack says FAILED if the step at work still came to its end and failed.
    assert customer.stack.wait(arn).status in {"ABORTED", "FAILED"}
    customer.stack.until(lambda: customer.record["told"], bool)
    report(customer.stack, arn)
    assert customer.document["outcome"] == "CANCELLED"
    assert customer.document["error"]["name"] == "CancelledError"
    assert customer.record["state"] == "ABANDONED"
    assert customer.subjects() == ["CANCELLED PIPELINE: CancelledError (nothing published)"]
    assert customer.outcomes() == ["CANCELLED"]
    assert customer.manifests == []
    assert customer.stack.keys(f"ledger/_active/{customer.pipeline}/") == []


def assert_adopted(customer: Customer) -> None:
    """The next attempt takes the job over and lands all that it made."""
    again = customer.rerun()

    assert again.status == "SUCCEEDED"
    assert customer.submissions == 1
    assert customer.landed == customer.true_sums
    assert customer.manifest["run"]["attempts"] == 2
    assert customer.manifest["sequence"] == 1
    assert customer.outcomes(at_least=2) == ["CANCELLED", "SUCCEEDED"]


def test_an_execution_that_is_aborted_while_it_waits_is_cancelled(stack: Stack, customer: Customer) -> None:
    customer.visier.freeze()
    arn = customer.start()
    stack.wait_for_state(arn, "Wait")

    stack.stop(arn)

    assert_cancelled(customer, arn)
    customer.visier.freeze(frozen=False)
    assert_adopted(customer)


def test_an_execution_that_is_aborted_while_it_downloads_is_cancelled(stack: Stack, customer: Customer) -> None:
    """The child of the map that is at work goes on to its end, and what it lands counts for nothing."""
    customer.visier.configure(big_file_bytes=1)
    customer.visier.fault("GET", "/files/", rate_bytes_per_second=400_000)
    arn = customer.start()
    stack.until(lambda: customer.visier.calls("GET", "/files/"), bool)

    stack.stop(arn)

    assert_cancelled(customer, arn)
    assert_adopted(customer)


@_needs_proc
def test_an_execution_that_is_aborted_before_it_publishes_never_does(
    stack: Stack, localstack: LocalStack, customer: Customer
) -> None:
    """The function that was to publish is slow, and comes to it when the run is given up already."""
    warm_up(stack, "publish")
    with held_still(localstack, stack.function_name("publish")):
        arn = customer.start()
        stack.wait_for_state(arn, "Publish")
        abort_held(customer, arn)

    assert_cancelled(customer, arn)
    assert_adopted(customer)


@_needs_proc
def test_an_execution_that_is_aborted_after_it_published_is_told_as_a_success(
    stack: Stack, localstack: LocalStack, customer: Customer
) -> None:
    warm_up(stack, "notify")
    with held_still(localstack, stack.function_name("notify")):
        arn = customer.start()
        stack.wait_for_state(arn, "Notify")
        abort_held(customer, arn)

    assert stack.wait(arn).status == "ABORTED"
    report(stack, arn)
    assert customer.document["outcome"] == "SUCCEEDED"
    assert customer.outcomes() == ["SUCCEEDED"]
    assert [subject.partition(" ")[0] for subject in customer.subjects()] == ["OK"]
    assert len(customer.manifests) == 1
