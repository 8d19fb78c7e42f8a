"""What is wrong is said by name, before anything is submitted: events, secrets, rights, versions, quotas."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from haul.adapters.ledger import S3Store
from haul.ledger import Ledger
from infra.local.stack import Json, Stack
from tests.flow.customer import NO_FILES, Customer, NewCustomer, report
from tests.flow.story import Stories

_MISSPELT = {"dataVersionNumbr": "7000003"}
_NEWER_BASE = {"dataVersionNumber": "7000002", "baseDataVersionNumber": "7000003"}

_REFUSED = {
    "misspelt": ("InvalidEventError", ["request.dataVersionNumbr", "did you mean dataVersionNumber?"]),
    "vendor": ("InvalidEventError", ["vendor", '"visor"', "visier"]),
    "action": ("InvalidEventError", ["action", '"dv-exports"', "dv-export"]),
    "field": ("InvalidEventError", ["landng", "did you mean landing?"]),
    "type": ("InvalidEventError", ["landing.retention_days", '"400"']),
    "symbol": ("InvalidEventError", ["request.dataVersionNumber", "@lastest", "@latest"]),
    "unfilled": ("InvalidEventError", ["<aws.scheduler.scheduled-time>", "fire the schedule"]),
    "connection": ("UnknownConnectionError", ["haul/local/nobody"]),
    "secret": ("InvalidSecretError", ["api_key: missing"]),
    "password": ("CredentialsRefusedError", ["username and password"]),
    "capability": ("MissingCapabilityError", ["Manage Jobs capability"]),
    "tenant": ("MissingCapabilityError", ["WFF_j1r~c7o"]),
    "version": ("UnknownVersionError", ["request.dataVersionNumber", '"7999999"', "7000004"]),
    "base": ("UnknownVersionError", ["request.baseDataVersionNumber", "7000003", "is not older than"]),
    "first run": ("InvalidEventError", ["request.baseDataVersionNumber", "first_run"]),
    "ours": ("QuotaExceededError", ["8 of 10 submissions", "2 of them reserved for manual runs"]),
    "theirs": ("QuotaExceededError", ["10 export jobs a day"]),
    "refused": ("RequestRejectedError", ["DVExportNotAvailable"]),
}
"""By story: the error's name, and what its message says."""


@pytest.fixture(scope="module", autouse=True)
def stories(stack: Stack, new_customer: NewCustomer) -> Stories:
    """Every story, begun."""
    told = Stories(at_once=5)

    def begin(name: str, request: Json = NO_FILES, *, knobs: Json | None = None, **fields: Any) -> None:
        told.begin(name, new_customer(name, **(knobs or {})), request, **fields)

    begin("misspelt", _MISSPELT)
    begin("vendor", vendor="visor")
    begin("action", action="dv-exports")
    begin("field", landng={"verify": "full"})
    begin("type", landing={"retention_days": "400"})
    begin("symbol", {"dataVersionNumber": "@lastest"})
    begin("unfilled", id="people@<aws.scheduler.scheduled-time>")
    begin("connection", connection="nobody")
    begin("capability", knobs={"capable": False})
    begin("tenant", knobs={"tenants": []}, options={"target_tenant": "WFF_j1r~c7o"})
    begin("version", {"dataVersionNumber": "7999999"})
    begin("base", _NEWER_BASE)
    begin(
        "first run",
        {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"},
        options={"first_run": "fail"},
    )
    begin("theirs", knobs={"jobs_per_day": 0})
    begin("refused", knobs={"refuses_jobs": True})

    incomplete = new_customer("secret")
    stack.connect(incomplete.connection, base_url=incomplete.visier.url, username="demo", password="demo")
    told.begin("secret", incomplete, NO_FILES)

    changed = new_customer("password")
    changed.visier.configure(password="another")
    told.begin("password", changed, NO_FILES)

    used_up = new_customer("ours")
    use_up(stack, used_up, submissions=8)
    told.begin("ours", used_up, NO_FILES)
    return told


def use_up(stack: Stack, customer: Customer, *, submissions: int) -> None:
    """Count submissions as earlier runs would have done, also for the day that may begin meanwhile."""
    ledger = Ledger(S3Store(stack.landing_bucket, stack.s3))
    now = datetime.now(UTC)
    for day in (now, now + timedelta(days=1)):
        for number in range(submissions):
            ledger.count_submission("visier", customer.pipeline, f"earlier-run-{number}", limit=10, reserve=0, now=day)


@pytest.mark.parametrize("name", _REFUSED)
def test_what_is_wrong_is_named_and_nothing_was_submitted(stories: Stories, name: str) -> None:
    error, says = _REFUSED[name]
    customer, end = stories[name].customer, stories[name].end

    subject = customer.subjects()
    document = customer.document

    assert (end.status, end.error) == ("FAILED", error)
    assert [part for part in says if part not in (end.cause or "")] == []
    assert subject == [f"FAILED PIPELINE: {error} (nothing published)"]
    assert document["outcome"] == "FAILED"
    assert document["error"] == {"name": error, "message": end.cause}
    assert document["advice"]
    assert customer.visier.jobs() == []
    assert customer.submissions == (1 if name in {"theirs", "refused"} else 0)
    assert customer.manifests == []
    assert customer.outcomes() == ["FAILED"]


def test_a_reserved_submission_is_there_for_a_person(stories: Stories) -> None:
    customer, _ = stories["ours"].customer, stories["ours"].end

    spent = customer.run(
        options={"spend_reserved_submission": True}, trigger={"type": "manual", "by": "operator", "reason": "audit"}
    )

    assert spent.status == "SUCCEEDED"
    assert customer.submissions == 1
    assert customer.manifest["cost_estimate"]["submissions_today"] == 9


def test_a_corrected_secret_is_read_by_the_next_attempt(stack: Stack, stories: Stories) -> None:
    """Functions keep the connection's login while they live, and a refused one is read anew."""
    customer, _ = stories["password"].customer, stories["password"].end
    name = f"haul/{stack.environment}/{customer.connection}"
    secret = json.loads(stack.secrets.get_secret_value(SecretId=name)["SecretString"])
    stack.connect(customer.connection, **{**secret, "password": "another"})

    again = customer.rerun()

    assert again.status == "SUCCEEDED"
    assert customer.submissions == 1


def test_a_day_later_a_refused_submission_can_be_made(stories: Stories) -> None:
    customer, _ = stories["theirs"].customer, stories["theirs"].end
    customer.visier.configure(jobs_per_day=10)

    again = customer.rerun()

    assert again.status == "SUCCEEDED"
    assert len(customer.visier.jobs()) == 1


def test_an_event_that_does_not_say_whose_it_is_is_told_once(stack: Stack) -> None:
    end = stack.run({"version": 1, "vendor": "visier"})
    report(stack, end.arn)

    (notice,) = stack.notices("unnamed pipeline")
    assert (end.status, end.error) == ("FAILED", "InvalidEventError")
    assert "pipeline: missing" in (end.cause or "")
    assert notice.subject == "FAILED unnamed pipeline local: InvalidEventError (nothing was started)"
    assert "pipeline: missing" in notice.body
