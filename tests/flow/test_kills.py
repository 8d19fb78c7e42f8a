"""Functions that are killed: one submission whatever happens, and a doubt is told and not guessed away."""

import json
import sys
from datetime import datetime, timedelta

import pytest

from infra.local.localstack import LocalStack
from infra.local.stack import Json, Stack
from tests.flow.customer import Customer
from tests.flow.faults import kill_caller

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

_SUBMIT = "/data-version-exports/jobs$"
_FILE = "/files?/"
_A_WHILE = 30


def kill_while_submitting(stack: Stack, localstack: LocalStack, customer: Customer) -> None:
    """Kill Schedule export while Visier holds its POST."""
    stack.until(lambda: customer.submissions, lambda posts: posts == 1)
    kill_caller(localstack, customer.visier, stack.function_name("schedule_export"))


def test_a_function_killed_before_its_job_is_made_leaves_a_doubt_that_a_person_resolves(
    stack: Stack, localstack: LocalStack, customer: Customer
) -> None:
    """Visier never made a job of the POST, and nobody can know: it shows finished exports alone."""
    customer.visier.fault("POST", _SUBMIT, status=503, delay_seconds=_A_WHILE)
    arn = customer.start(limits={"deadline": "PT2S"})
    kill_while_submitting(stack, localstack, customer)

    end = stack.wait(arn)
    document = customer.document
    body = customer.body()
    without_a_word = customer.rerun()
    submitted = customer.submissions
    age_the_doubt(stack, customer)
    with_a_word = customer.rerun(resubmit=True)

    assert (end.status, end.error) == ("FAILED", "SubmissionInDoubtError")
    assert "signal: killed" in str(stack.history(arn))
    assert document["error"]["name"] == "SubmissionInDoubtError"
    assert document["job"]["in_doubt"] is True
    assert f"haul rerun {document['run_id']} --env local --resubmit" in body
    assert (without_a_word.status, without_a_word.error) == ("FAILED", "SubmissionInDoubtError")
    assert submitted == 1
    assert with_a_word.status == "SUCCEEDED"
    assert customer.submissions == 2
    assert len(customer.visier.jobs()) == 1
    assert customer.manifest["job"]["submissions"] == 2


def age_the_doubt(stack: Stack, customer: Customer) -> None:
    """Ten minutes later: before that, the function that may have submitted could still be about to."""
    for key in stack.keys("ledger/_jobs/visier/"):
        job = stack.document(key)
        if job and job["phase"] == "INTENT" and job["owner"].startswith(f"{customer.pipeline}/"):
            earlier = datetime.fromisoformat(job["intent_at"]) - timedelta(minutes=10)
            body = json.dumps({**job, "intent_at": earlier.isoformat()})
            stack.s3.put_object(Bucket=stack.landing_bucket, Key=key, Body=body)


def test_a_function_killed_after_its_job_is_made_finds_it(
    stack: Stack, localstack: LocalStack, customer: Customer
) -> None:
    """The job's id is lost with the reply; its export shows up in Visier's list."""
    customer.visier.configure(job_seconds=4)
    customer.visier.fault("POST", _SUBMIT, delay_seconds=_A_WHILE)
    arn = customer.start(limits={"deadline": "PT1M"})
    kill_while_submitting(stack, localstack, customer)

    end = stack.wait(arn)

    (job,) = customer.visier.jobs()
    assert end.status == "SUCCEEDED"
    assert customer.submissions == 1
    assert customer.manifest["job"]["result_id"] == job["export_uuid"]
    assert customer.outcomes() == ["SUCCEEDED"]


@pytest.mark.parametrize("fault", [{"drop_reply": True}, {"status": 504, "work": True}], ids=["dropped", "504"])
def test_a_lost_reply_is_not_answered_by_a_second_job(customer: Customer, fault: Json) -> None:
    customer.visier.fault("POST", _SUBMIT, **fault)

    end = customer.run()

    assert end.status == "SUCCEEDED"
    assert customer.submissions == 1


def test_a_download_that_is_killed_is_made_again(stack: Stack, localstack: LocalStack, customer: Customer) -> None:
    customer.visier.configure(big_file_bytes=1)
    customer.visier.fault("GET", _FILE, rate_bytes_per_second=20_000)
    arn = customer.start()
    stack.until(lambda: customer.visier.calls("GET", "/files/"), bool)

    kill_caller(localstack, customer.visier, stack.function_name("download_files"))
    end = stack.wait(arn)

    assert end.status == "SUCCEEDED"
    assert customer.landed == customer.true_sums
    assert customer.outcomes() == ["SUCCEEDED"]
