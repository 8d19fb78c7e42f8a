"""While the vendor works: jobs that fail or outlive their time, polls without an answer, limits, expired tokens.

Each story is a customer of its own, and all of them go on beside each other.
"""

from typing import Any

import pytest

from infra.local.stack import Json, Stack
from tests.flow.customer import NO_FILES, Customer, NewCustomer
from tests.flow.story import Stories

_POLL = "/data-version-exports/jobs/"
_SUBMIT = "/data-version-exports/jobs$"
_SLOWLY = {"Retry-After": "1"}
# Two seconds before the end of Visier's minute, in which no call is left.
_NONE_LEFT = {"X-RateLimit-Remaining-Minute": "0", "Date": "Sun, 22 Nov 2026 05:00:58 GMT"}


@pytest.fixture(scope="module", autouse=True)
def stories(new_customer: NewCustomer) -> Stories:
    """Every story, begun."""
    told = Stories(at_once=6)

    def begin(name: str, customer: Customer, request: Json = NO_FILES, **fields: Any) -> None:
        told.begin(name, customer, request, **fields)

    silent = new_customer("ten-outages", job_ends="never")
    silent.visier.fault("GET", _POLL, status=503, times=10)
    begin("ten outages", silent)

    outage = new_customer("outages")
    outage.visier.fault("GET", _POLL, status=503, times=3)
    begin("three outages", outage)

    contradiction = new_customer("contradiction", job_ends="no-export")
    begin("no export", contradiction)

    never = new_customer("never", job_ends="never")
    begin("never", never, limits={"deadline": "PT3S"})

    for ends in ("failed", "failed-completed"):
        begin(ends, new_customer(ends, job_ends=ends))

    slow = new_customer("slow")
    slow.visier.fault("POST", _SUBMIT, status=429, headers=_SLOWLY)
    slow.visier.fault("GET", _POLL, status=429, headers=_SLOWLY, times=2)
    begin("slow", slow)

    exhausted = new_customer("exhausted")
    exhausted.visier.fault("GET", _POLL, status=429, headers=_NONE_LEFT)
    begin("exhausted", exhausted)

    expired = new_customer("expired")
    expired.visier.fault("GET", _POLL, also="expire-tokens")
    begin("expired token", expired)

    overtaken = new_customer("overtaken", published=3)
    overtaken.visier.fault("GET", _POLL, also="publish")
    begin("overtaken", overtaken, {"dataVersionNumber": "@latest", "baseDataVersionNumber": "7000002"})
    return told


@pytest.mark.parametrize("ends", ["failed", "failed-completed"])
def test_a_job_that_visier_fails_fails_the_run_and_a_rerun_submits_once_more(stories: Stories, ends: str) -> None:
    customer, end = stories[ends].customer, stories[ends].end

    document = customer.document
    subject = customer.subjects()[0]
    customer.visier.configure(job_ends="success")
    again = customer.rerun()

    assert (end.status, end.error) == ("FAILED", "ExportFailedError")
    assert document["outcome"] == "FAILED"
    assert document["error"]["name"] == "ExportFailedError"
    assert subject == "FAILED PIPELINE: ExportFailedError (nothing published)"
    assert again.status == "SUCCEEDED"
    assert customer.submissions == 2
    assert customer.manifest["run"]["attempts"] == 2
    assert customer.outcomes(at_least=2) == ["FAILED", "SUCCEEDED"]


def test_a_job_past_its_deadline_is_given_up_and_a_rerun_adopts_it(stories: Stories) -> None:
    """Visier cannot cancel an export: it goes on there, and its result is the run's own."""
    customer, end = stories["never"].customer, stories["never"].end

    document = customer.document
    body = customer.body()
    customer.visier.configure(job_ends="success")
    again = customer.rerun()

    (job,) = customer.visier.jobs()
    assert (end.status, end.error) == ("FAILED", "DeadlineExceededError")
    assert document["outcome"] == "FAILED"
    assert document["job"]["id"] == job["uuid"]
    assert f"haul rerun {document['run_id']} --env local" in body
    assert again.status == "SUCCEEDED"
    assert customer.manifest["job"]["id"] == job["uuid"]
    assert customer.manifest["job"]["adopted"] is True
    assert customer.submissions == 1


def test_polls_without_an_answer_are_not_a_failed_job(stories: Stories) -> None:
    customer, end = stories["three outages"].customer, stories["three outages"].end

    assert end.status == "SUCCEEDED"
    assert customer.visier.calls("GET", _POLL, faulted=True) == 3
    assert customer.manifest["run"]["polls"] >= 4
    assert customer.submissions == 1


def test_ten_polls_in_a_row_without_an_answer_end_the_run_and_a_rerun_adopts_the_job(
    stories: Stories,
) -> None:
    customer, end = stories["ten outages"].customer, stories["ten outages"].end

    customer.visier.configure(job_ends="success")
    again = customer.rerun()

    assert (end.status, end.error) == ("FAILED", "PollingFailedError")
    assert "10 polls in a row failed" in (end.cause or "")
    assert again.status == "SUCCEEDED"
    assert customer.submissions == 1
    assert customer.subjects(at_least=2)[0] == "FAILED PIPELINE: PollingFailedError (nothing published)"


def test_a_job_that_completes_without_an_export_is_asked_for_ten_times(stories: Stories) -> None:
    customer, end = stories["no export"].customer, stories["no export"].end

    assert (end.status, end.error) == ("FAILED", "PollingFailedError")
    assert "completed without exportUuid" in (end.cause or "")
    assert customer.submissions == 1


def test_a_vendor_that_asks_for_patience_gets_it_and_no_second_job(stories: Stories) -> None:
    customer, end = stories["slow"].customer, stories["slow"].end

    assert end.status == "SUCCEEDED"
    assert customer.visier.calls("GET", _POLL, faulted=True) == 2
    assert customer.submissions == 2
    assert len(customer.visier.jobs()) == 1
    assert customer.manifest["cost_estimate"]["submissions_today"] == 1


def test_a_used_up_minute_is_waited_out(stories: Stories) -> None:
    customer, end = stories["exhausted"].customer, stories["exhausted"].end

    refused = next(call for call in customer.visier.log if call.status == 429)
    next_one = next(call for call in customer.visier.log if call.at > refused.at)

    assert end.status == "SUCCEEDED"
    assert next_one.at - refused.at >= 2


def test_a_token_that_expires_while_the_job_runs_is_renewed(stories: Stories) -> None:
    customer, end = stories["expired token"].customer, stories["expired token"].end

    assert end.status == "SUCCEEDED"
    assert [call.status for call in customer.visier.log if _POLL in call.path][:2] == [401, 200]
    assert customer.submissions == 1


def test_nobody_computes_while_the_vendor_works(stack: Stack, stories: Stories) -> None:
    """Between two looks the execution is in a Wait state, whose length is the job's own."""
    arn = stories["ten outages"].arn

    states = stack.states(arn)

    assert states[:3] == ["Schedule export", "Anything to do?", "Wait"]
    assert states.count("Wait") == states.count("Check export") == 10


def test_a_version_that_appears_while_the_job_runs_is_the_next_runs(stories: Stories) -> None:
    """`@latest` is resolved once."""
    customer, end = stories["overtaken"].customer, stories["overtaken"].end

    assert end.status == "SUCCEEDED"
    assert customer.manifest["watermark"]["to"] == "7000003"
