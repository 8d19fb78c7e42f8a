"""mediarithmics' connector against its simulator: every endpoint, and each scenario that reaches the connector."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from haul import attempts, connectors, exports
from haul.connectors.mediarithmics.client import MediarithmicsClient
from haul.connectors.mediarithmics.connector import MediarithmicsConnector
from haul.errors import (
    CredentialsRefusedError,
    EmptyResultError,
    ExportFailedError,
    InvalidEventError,
    InvalidSecretError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.exports import ExportFlow
from haul.ledger import Ledger
from haul.models.event import Outcome
from haul.models.export import Contents, Export
from haul.models.vendors.mediarithmics import QueryExportOptions
from haul.models.work import Job, JobStatus
from haul.ports import Connector, Execution, Known, Site
from infra.local.vendors.mediarithmics import MediarithmicsSimulator
from tests.fakes.clock import Clock, wait_until
from tests.fakes.landing import FakeLanding
from tests.fakes.memory_store import MemoryStore
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import fetch, secret_at, simulators

OTQL = 'SELECT { emails { id } } FROM UserPoint WHERE segments { id = "51023" }'
NAME = "haul mics-active-emails"
REQUEST: dict[str, Any] = {
    "organisation_id": "1426",
    "datamart_id": "1509",
    "query": {"query_language": "OTQL", "query_text": OTQL},
    "export": {"name": NAME, "type": "QUERY", "output_format": "JSON"},
}
KNOWN_EXPORT = {"organisation_id": "1426", "exportId": "9879"}
RUN = "20261122T050003Z-7c1f9a"
START = "/executions$"
SITE = Site(environment="test", bucket="landing")

type Simulate = Callable[..., MediarithmicsSimulator]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(MediarithmicsSimulator, job_seconds=0) as simulate:
        yield simulate


@pytest.fixture
def mics(simulate: Simulate) -> MediarithmicsSimulator:
    return simulate()


def secret_of(mics: MediarithmicsSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(mics.url, "mediarithmics", **fields)


def connect(mics: MediarithmicsSimulator, **options: Any) -> Connector:
    return connectors.connect("mediarithmics", secret_of(mics), options)


def by_login(mics: MediarithmicsSimulator) -> Connector:
    secret = secret_of(mics, api_token=None, email="demo", password="demo")
    return connectors.connect("mediarithmics", secret, {})


def asking(text: str = OTQL, **export: str) -> dict[str, Any]:
    return {
        **REQUEST,
        "query": {"query_language": "OTQL", "query_text": text},
        "export": {**REQUEST["export"], **export},
    }


def finished(connector: Connector, request: Mapping[str, Any] = REQUEST) -> Job:
    job_id = connector.schedule(request, run_id=RUN)
    report = connector.status(Job(id=job_id))
    assert report.status is JobStatus.SUCCEEDED
    return Job(id=job_id, result_id=report.result_id)


def files_of(connector: Connector) -> tuple[Contents, Job]:
    job = finished(connector)
    return connector.contents(job, REQUEST), job


def ours(mics: MediarithmicsSimulator) -> list[dict[str, object]]:
    return [export for export in mics.exports() if export["name"] == NAME]


# Being known


def test_a_long_lived_token_needs_no_login(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)

    connector.contents(finished(connector), REQUEST)

    assert mics.calls("POST", "/access_tokens") == 0
    assert {call.status for call in mics.log} == {200}


def test_one_login_serves_every_call(mics: MediarithmicsSimulator) -> None:
    connector = by_login(mics)

    connector.contents(finished(connector), REQUEST)

    assert mics.calls("POST", "/access_tokens") == 1
    assert {call.status for call in mics.log} == {200}


def test_a_refused_token_is_not_tried_again(mics: MediarithmicsSimulator) -> None:
    secret = secret_of(mics, api_token="other")

    with pytest.raises(CredentialsRefusedError, match=r"api_token.*answered 401.*error_id"):
        connectors.connect("mediarithmics", secret, {}).prepare(REQUEST, Known())

    assert secret.reads == 1
    assert len(mics.log) == 1


def test_a_rotated_token_is_read_anew(mics: MediarithmicsSimulator) -> None:
    secret = secret_of(mics)
    connector = connectors.connect("mediarithmics", secret, {})
    job = finished(connector)
    mics.configure(api_token="rotated")
    secret.rotate(api_token="rotated")

    report = connector.status(job)

    assert report.status is JobStatus.SUCCEEDED
    assert secret.reads == 1


def test_a_temporary_token_is_renewed_before_its_hour_is_up(mics: MediarithmicsSimulator) -> None:
    clock = Clock()
    client = MediarithmicsClient(secret_of(mics, api_token=None, email="demo", password="demo"), clock=clock)
    client.connected_user()

    for seconds in (3400, 100):
        clock.advance(seconds)
        mics.advance(seconds)
        client.connected_user()

    assert mics.calls("POST", "/access_tokens") == 2
    assert {call.status for call in mics.log} == {200}


@pytest.mark.parametrize(
    "body", ["<html><body>Sign in</body></html>", "", {}, {"status": "ok", "data": {"access_token": "two words"}}]
)
def test_what_is_no_token_is_not_taken_for_one(mics: MediarithmicsSimulator, body: object) -> None:
    mics.fault("POST", "/access_tokens$", body=body)

    with pytest.raises(UnexpectedResponseError, match="no token"):
        by_login(mics).prepare(REQUEST, Known())


def test_another_organisation_is_refused_with_what_is_needed(simulate: Simulate) -> None:
    with pytest.raises(MissingCapabilityError, match=r"not allowed.*error_id.*needs access to the organisation"):
        connect(simulate("wrong-organisation")).prepare(REQUEST, Known())


@pytest.mark.parametrize(
    ("base_url", "account"),
    [(None, "api.mediarithmics.com"), ("https://mics.example.com:8443/", "mics.example.com_8443")],
)
def test_the_account_is_the_host(base_url: str | None, account: str) -> None:
    secret = FakeSecret({"api_token": "t", "base_url": base_url})

    assert connectors.connect("mediarithmics", secret, {}).account == account


def test_secret_and_options_are_checked_when_connecting(mics: MediarithmicsSimulator) -> None:
    with pytest.raises(InvalidSecretError, match="a login needs both"):
        connectors.connect("mediarithmics", secret_of(mics, api_token=None, email="demo"), {})
    with pytest.raises(InvalidEventError, match=r"options.check_qery: unknown field; did you mean check_query"):
        connect(mics, check_qery=True)


# From a query to a job


def test_preparing_checks_the_query_and_makes_nothing(mics: MediarithmicsSimulator) -> None:
    before = (mics.queries(), mics.exports())

    prepared = connect(mics).prepare(asking(name="@@haul"), Known())

    assert prepared.request == asking(name="@haul")
    assert (prepared.is_delta, prepared.nothing_new, prepared.warnings) == (False, None, [])
    assert (mics.queries(), mics.exports(), mics.executions()) == (*before, [])
    assert mics.calls("POST", "/query_check/otql") == 1


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT { id FROM UserPoint", "Unbalanced braces at row 1, column 1"),
        ("SELECT { id } FROM user_point", "Unknown type user_point"),
    ],
)
def test_a_wrong_query_is_refused_before_anything_is_made(
    mics: MediarithmicsSimulator, query: str, problem: str
) -> None:
    with pytest.raises(InvalidEventError, match=rf"request\.query\.query_text: .*{problem}"):
        connect(mics).prepare(asking(query), Known())

    assert mics.calls("POST", "/v1/exports") == 0


def test_an_unchecked_query_is_not_checked(mics: MediarithmicsSimulator) -> None:
    connect(mics, check_query=False).prepare(asking("SELECT { id FROM UserPoint"), Known())

    assert mics.calls("POST", "/query_check") == 0


def test_a_query_that_cannot_be_checked_is_told(mics: MediarithmicsSimulator) -> None:
    request = {**REQUEST, "query": {"query_language": "JSON_OTQL", "query_text": "{}"}}

    prepared = connect(mics).prepare(request, Known())

    assert ["checks OTQL alone" in warning for warning in prepared.warnings] == [True]


def test_query_and_export_are_created_once_and_executed_often(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)

    jobs = [finished(connector) for _ in range(3)]

    [export] = ours(mics)
    query = next(query for query in mics.queries() if query["id"] == export["query_id"])
    assert (query["query_text"], query["datamart_id"], export["output_format"]) == (OTQL, "1509", "JSON")
    assert [job.id for job in jobs] == [f"{export['id']}/{execution['id']}" for execution in mics.executions()]
    assert mics.calls("POST", "/queries") == 1


def test_an_export_is_found_however_many_there_are(simulate: Simulate) -> None:
    mics = simulate(most_results=3)
    connector = connect(mics)
    for number in range(7):
        finished(connector, asking(name=f"other {number}"))
    finished(connector)

    finished(connector)

    assert len(ours(mics)) == 1


def test_an_export_by_its_id_is_executed_as_it_is(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)
    prepared = connector.prepare(KNOWN_EXPORT, Known())

    job = finished(connector, prepared.request)

    assert prepared.request == KNOWN_EXPORT
    assert job.id == "9879/7897897"
    assert mics.calls("POST", "/query_check/otql") == 1
    assert mics.calls("POST", "/v1/exports$") == 0


def test_an_export_that_is_not_there_is_named(mics: MediarithmicsSimulator) -> None:
    with pytest.raises(InvalidEventError, match=r'exportId: organisation 1426 has no export "404"'):
        connect(mics).prepare({**KNOWN_EXPORT, "exportId": "404"}, Known())


def test_the_wrong_query_of_a_known_export_is_refused_too(mics: MediarithmicsSimulator) -> None:
    mics.edit_query("65987", "id of everybody")

    with pytest.raises(InvalidEventError, match="query_text"):
        connect(mics).prepare(KNOWN_EXPORT, Known())


def test_the_query_of_a_known_export_that_cannot_be_read_is_told(simulate: Simulate) -> None:
    prepared = connect(simulate("no-query-reads")).prepare(KNOWN_EXPORT, Known())

    assert prepared.warnings == ["the query of export 9879 cannot be read, so it was not checked"]


# A query that changed


def changed(mics: MediarithmicsSimulator) -> str:
    """Let the export of our name run something else; its id."""
    finished(connect(mics))
    [export] = ours(mics)
    mics.edit_query(str(export["query_id"]), "SELECT { id } FROM UserPoint")
    return str(export["id"])


def test_a_changed_query_makes_a_new_export_of_that_name(mics: MediarithmicsSimulator) -> None:
    old = changed(mics)
    connector = connect(mics)

    prepared = connector.prepare(REQUEST, Known())
    job = finished(connector)
    again = finished(connector)

    assert prepared.warnings == [f'export "{NAME}" ({old}) has another query; a new export of that name is made']
    assert len(ours(mics)) == 2
    assert {(each.id or "").split("/")[0] for each in (job, again)} == {ours(mics)[-1]["id"]} != {old}


def test_a_changed_query_fails_where_that_is_asked_for(mics: MediarithmicsSimulator) -> None:
    changed(mics)
    connector, executions = connect(mics, on_query_change="fail"), len(mics.executions())

    with pytest.raises(InvalidEventError, match=r"has another query, and options\.on_query_change is fail"):
        connector.prepare(REQUEST, Known())
    with pytest.raises(InvalidEventError, match="has another query"):
        connector.schedule(REQUEST, run_id=RUN)

    assert len(mics.executions()) == executions
    assert len(ours(mics)) == 1


@pytest.mark.parametrize(
    "request_",
    [
        asking("SELECT { id } FROM UserPoint"),
        asking(output_format="CSV"),
        {**REQUEST, "query": {"query_language": "JSON_OTQL", "query_text": OTQL}},
    ],
    ids=["text", "format", "language"],
)
def test_any_difference_makes_it_another_export(mics: MediarithmicsSimulator, request_: dict[str, Any]) -> None:
    finished(connect(mics))

    connect(mics).schedule(request_, run_id=RUN)

    assert len(ours(mics)) == 2


def test_white_space_around_a_query_makes_no_difference(mics: MediarithmicsSimulator) -> None:
    finished(connect(mics))

    connect(mics).schedule(asking(f"  {OTQL}\r\n"), run_id=RUN)

    assert len(ours(mics)) == 1


def test_a_query_that_cannot_be_compared_is_never_run_silently(simulate: Simulate) -> None:
    mics = simulate()
    old = finished(connect(mics))
    mics.scenario("no-query-reads")

    prepared = connect(mics).prepare(REQUEST, Known())
    job = finished(connect(mics))

    assert "or one that cannot be read" in prepared.warnings[0]
    assert (job.id or "").split("/")[0] != (old.id or "").split("/")[0]


# Starting


def test_a_live_execution_of_the_same_query_is_joined(mics: MediarithmicsSimulator) -> None:
    """Somebody started it in the console, which starts no second one either."""
    mics.configure(job_seconds=3600)
    export = str(finished_export(mics))
    theirs = mics.execute(export)

    job_id = connect(mics).schedule(REQUEST, run_id=RUN)

    assert job_id == f"{export}/{theirs}"
    assert len(mics.executions()) == 1


def test_a_result_older_than_the_run_says_so(mics: MediarithmicsSimulator) -> None:
    mics.configure(job_seconds=3600)
    mics.execute(str(finished_export(mics)))
    mics.advance(3601)
    connector = connect(mics)
    job = Job(id=f"{finished_export(mics)}/7897898", submitted_at=datetime.now(UTC) + timedelta(minutes=30))

    contents = connector.contents(job, REQUEST)

    assert ["was on its way already" in warning for warning in contents.warnings] == [True]


def test_what_has_ended_is_not_joined_whatever_it_is_called(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)
    finished(connector)
    ended = {"id": "1", "status": "ARCHIVED", "creation_date": 1562595783663, "end_date": 1562596081788}
    mics.fault("GET", START, body={"status": "ok", "data": [ended], "total": 1})

    connector.schedule(REQUEST, run_id=RUN)

    assert len(mics.executions()) == 2


def test_a_live_execution_of_another_query_is_left_alone(mics: MediarithmicsSimulator) -> None:
    mics.configure(job_seconds=3600)
    first = connect(mics).schedule(REQUEST, run_id=RUN)
    mics.edit_query(str(ours(mics)[0]["query_id"]), "SELECT { id } FROM UserPoint")

    second = connect(mics).schedule(REQUEST, run_id=RUN)

    assert first != second
    assert len(mics.executions()) == 2


@pytest.mark.parametrize("scenario", ["lost-reply", "start-gateway-timeout"])
def test_an_execution_that_began_unseen_is_in_doubt_and_found(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    connector = connect(mics)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(REQUEST, run_id=RUN)
    [found] = connector.find(REQUEST)

    assert lost.value.sent
    assert found.job_id == f"{ours(mics)[0]['id']}/{mics.executions()[0]['id']}"
    assert found.created_at
    assert abs(found.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_start_broken_on_its_way_is_in_doubt(simulate: Simulate) -> None:
    mics = simulate("lost-start")
    connector = connect(mics)

    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(REQUEST, run_id=RUN)

    assert lost.value.sent
    assert connector.find(REQUEST) == []


@pytest.mark.parametrize("body", ["<html>", "{}", {"status": "ok", "data": {}}, {"status": "error", "error": "Oops"}])
def test_a_start_answered_by_something_unreadable_is_in_doubt(mics: MediarithmicsSimulator, body: object) -> None:
    mics.fault("POST", START, body=body, work=True)

    with pytest.raises(VendorUnavailableError, match="there may be an execution") as lost:
        connect(mics).schedule(REQUEST, run_id=RUN)

    assert lost.value.sent
    assert len(mics.executions()) == 1


@pytest.mark.parametrize("path", ["/v1/exports$", "/queries$", "/queries/"])
def test_what_goes_wrong_before_the_start_leaves_no_doubt(mics: MediarithmicsSimulator, path: str) -> None:
    connector = connect(mics)
    finished_export(mics)
    mics.fault(None, path, drop_reply=True)

    with pytest.raises(VendorUnavailableError, match="no execution was started") as lost:
        connector.schedule(REQUEST if path == "/queries/" else asking(name="new"), run_id=RUN)

    assert not lost.value.sent
    assert len(mics.executions()) == 1


def test_an_export_whose_creation_was_lost_is_found_again(simulate: Simulate) -> None:
    mics = simulate("lost-export-reply")
    connector = connect(mics)
    with pytest.raises(VendorUnavailableError) as lost:
        connector.schedule(REQUEST, run_id=RUN)

    finished(connector)

    assert not lost.value.sent
    assert len(ours(mics)) == 1


def test_a_start_that_is_limited_made_nothing(simulate: Simulate) -> None:
    mics = simulate("rate-limited")

    with pytest.raises(RateLimitedError) as limited:
        connect(mics).schedule(REQUEST, run_id=RUN)

    assert limited.value.retry_after == 2
    assert mics.executions() == []


def test_cancelling_is_refused_in_so_many_words(mics: MediarithmicsSimulator) -> None:
    with pytest.raises(RequestRejectedError, match="no way to cancel"):
        connect(mics).cancel(Job(id="9879/7897897"))

    assert mics.calls() == 0


# Finding


def test_executions_of_the_query_are_found_newest_first_wherever_they_stand(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)
    first = finished(connector)
    mics.advance(3600)
    mics.configure(job_seconds=3600)
    second = connector.schedule(REQUEST, run_id=RUN)
    finished_other = connector.schedule(asking("SELECT { id } FROM UserPoint"), run_id=RUN)

    found = connector.find(REQUEST)

    assert [(shown.job_id, shown.status) for shown in found] == [
        (second, JobStatus.RUNNING),
        (first.id, JobStatus.SUCCEEDED),
    ]
    assert {shown.result_id for shown in found} == {None}
    assert finished_other not in {shown.job_id for shown in found}


@pytest.mark.parametrize("scenario", ["success", "oldest-first", "no-totals"])
def test_the_newest_is_found_in_a_long_list(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    mics.configure(most_results=5)
    export = str(finished_export(mics))
    for _ in range(17):
        mics.execute(export)

    found = connect(mics).find(REQUEST)

    assert len(found) == 18
    assert found[0].job_id == f"{export}/7897914"


def test_what_is_older_than_any_run_is_not_read(mics: MediarithmicsSimulator) -> None:
    """A list that begins with the newest is left where only old ones follow."""
    mics.configure(most_results=5)
    export, clock = str(finished_export(mics)), Clock()
    for _ in range(20):
        mics.execute(export)
        mics.advance(86_400)
        clock.advance(86_400)
    connector = MediarithmicsConnector(MediarithmicsClient(secret_of(mics)), QueryExportOptions(), clock=clock)
    mics.clear_log()

    found = connector.find(REQUEST)

    assert 7 <= len(found) <= 8
    assert mics.calls("GET", "/executions") == 2


# Polling


def test_an_execution_is_found_on_the_second_page(simulate: Simulate) -> None:
    mics = simulate("second-page")

    job = finished(connect(mics))

    assert job.result_id == mics.executions()[0]["id"] == "7897897"
    assert mics.calls("GET", "/executions") == 2


@pytest.mark.parametrize("scenario", ["no-totals", "oldest-first"])
def test_paging_needs_neither_total_nor_order(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    mics.configure(crowd=24, most_results=10)
    connector = connect(mics)

    job = finished(connector)

    assert connector.status(Job(id=f"{(job.id or '').split('/')[0]}/7897921")).status is JobStatus.SUCCEEDED


def test_a_list_that_does_no_paging_is_read_once(mics: MediarithmicsSimulator) -> None:
    number = mics.fault("GET", START, times=None, body={"status": "ok", "data": [{"id": "1"}], "count": 1})

    with pytest.raises(VendorUnavailableError, match="does not list execution 7"):
        connect(mics).status(Job(id="9879/7"))

    assert mics.struck(number) == 1


def test_a_list_that_repeats_its_first_page_ends(mics: MediarithmicsSimulator) -> None:
    page = [{"id": str(number)} for number in range(50)]
    number = mics.fault("GET", START, times=None, body={"status": "ok", "data": page, "max_results": 50})

    with pytest.raises(VendorUnavailableError, match="does not list"):
        connect(mics).status(Job(id="9879/77"))

    assert mics.struck(number) == 2


def test_a_running_execution_tells_how_far_it_is(mics: MediarithmicsSimulator) -> None:
    mics.configure(job_seconds=1000)
    connector = connect(mics)
    job = Job(id=connector.schedule(REQUEST, run_id=RUN))
    pending = connector.status(job)
    mics.advance(500)

    running = connector.status(job)

    assert (pending.status, pending.progress) == (JobStatus.RUNNING, "pending")
    assert running.status is JobStatus.RUNNING
    assert running.progress
    assert running.progress.startswith("running, 1,66")
    assert running.progress.endswith(" of 3,322 tasks")
    assert running.word is None


def test_older_words_are_waited_on(simulate: Simulate) -> None:
    mics = simulate("odd-words", job_seconds=100)
    connector = connect(mics)
    job = Job(id=connector.schedule(REQUEST, run_id=RUN))

    told = []
    for _ in range(5):
        report = connector.status(job)
        told.append((report.status.value, (report.progress or "").partition(",")[0]))
        mics.advance(25)

    assert told == [
        ("RUNNING", "pending"),
        ("RUNNING", "waiting dependent job"),
        ("RUNNING", "scheduled"),
        ("RUNNING", "executor not responding"),
        ("SUCCEEDED", ""),
    ]


def test_an_unknown_word_is_kept(mics: MediarithmicsSimulator) -> None:
    mics.fault("GET", START, body={"status": "ok", "data": [{"id": 7, "status": "PAUSED"}]})

    report = connect(mics).status(Job(id="9879/7"))

    assert (report.status, report.word) == (JobStatus.UNKNOWN, "PAUSED")


@pytest.mark.parametrize("scenario", ["never-finishes"])
def test_an_execution_that_never_finishes_is_running(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    connector = connect(mics)
    job = Job(id=connector.schedule(REQUEST, run_id=RUN))
    mics.advance(7 * 86_400)

    assert connector.status(job).status is JobStatus.RUNNING


@pytest.mark.parametrize("scenario", ["result-null", "null-counters", "text-counters", "two-files", "odd-words"])
def test_a_success_may_look_odd(simulate: Simulate, scenario: str) -> None:
    finished(connect(simulate(scenario)))


def test_counters_are_told_as_mediarithmics_names_them(simulate: Simulate) -> None:
    mics = simulate("text-counters")
    connector = connect(mics)

    report = connector.status(Job(id=connector.schedule(REQUEST, run_id=RUN)))

    assert report.counts == {"num_tasks": 3322, "completed_tasks": 3289, "erroneous_tasks": 33}
    shown = mics.executions()[0]
    assert shown.pop("permalink_uri")
    assert report.evidence == {"execution": shown}


@pytest.mark.parametrize(
    ("most", "partial"),
    [
        (None, False),
        ("10%", False),
        ("7.6%", False),
        ("7.5%", True),
        ("0%", True),
        (252, False),
        (251, True),
        (0, True),
    ],
)
def test_erroneous_tasks_over_the_threshold_make_a_part(
    simulate: Simulate, most: str | int | None, *, partial: bool
) -> None:
    connector = connect(simulate("erroneous-tasks"), max_erroneous_tasks=most)
    job = Job(id=connector.schedule(REQUEST, run_id=RUN))

    report = connector.status(job)
    contents = connector.contents(job, REQUEST)

    told = "252 of 3,322 tasks of execution 7897897 were erroneous (7.6%)"
    assert report.status is JobStatus.SUCCEEDED
    assert (report.partial or "").startswith(told) is partial
    assert contents.warnings == ([] if partial else [told])


def test_a_threshold_that_cannot_be_judged_is_told(simulate: Simulate) -> None:
    mics = simulate("null-counters")

    strict, _ = files_of(connect(mics, max_erroneous_tasks="10%"))
    lax, _ = files_of(connect(mics))

    assert strict.warnings == [
        "mediarithmics tells no task counters, so options.max_erroneous_tasks could not be judged"
    ]
    assert lax.warnings == []


# Failing


@pytest.mark.parametrize(
    ("scenario", "status", "reason"),
    [
        (
            "failed-final",
            JobStatus.FAILED,
            "Query execution failed: the graph did not answer in time; its export.error",
        ),
        ("failed-with-object", JobStatus.FAILED, "Query execution failed: the graph did not answer in time"),
        ("failed-without-file", JobStatus.FAILED, "mediarithmics calls it FAILED and gives no reason"),
        ("lost", JobStatus.FAILED, "Query execution failed"),
        ("canceled", JobStatus.CANCELLED, "mediarithmics calls it CANCELED and gives no reason"),
    ],
)
def test_a_bad_end_says_why(simulate: Simulate, scenario: str, status: JobStatus, reason: str) -> None:
    connector = connect(simulate(scenario))

    report = connector.status(Job(id=connector.schedule(REQUEST, run_id=RUN)))

    assert report.status is status
    assert (report.reason or "").startswith(reason)
    assert not report.retryable
    assert report.evidence["execution"]["id"] == "7897897"
    assert ("export-error" in report.evidence) == (scenario in {"failed-final", "failed-with-object"})


def test_the_error_file_of_a_failure_is_kept(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)

    report = connector.status(Job(id=connector.schedule(asking("SELECT { id } FROM UserPoint WHERE FAIL"), run_id=RUN)))

    assert report.status is JobStatus.FAILED
    assert report.evidence["export-error"] == {
        "file": "export.error",
        "text": "execution 7897897: Query execution failed: the graph did not answer in time\n",
    }


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 403}, {"reset": True}])
def test_a_failure_is_told_even_if_its_error_file_cannot_be_had(simulate: Simulate, fault: dict[str, Any]) -> None:
    mics = simulate("failed-final")
    mics.fault("GET", "/data_file/", times=None, **fault)
    connector = connect(mics)

    report = connector.status(Job(id=connector.schedule(REQUEST, run_id=RUN)))

    assert report.status is JobStatus.FAILED
    assert report.evidence.keys() == {"execution"}


def test_a_huge_error_file_is_kept_in_part(simulate: Simulate) -> None:
    mics = simulate("failed-final")
    mics.fault("GET", "/data_file/", body="x" * 1_000_000)
    connector = connect(mics)

    report = connector.status(Job(id=connector.schedule(REQUEST, run_id=RUN)))

    assert len(report.evidence["export-error"]["text"]) == 65_536


def test_a_failure_that_is_worth_another_try_says_so(simulate: Simulate) -> None:
    mics = simulate("failed-once")
    connector = connect(mics)

    report = connector.status(Job(id=connector.schedule(REQUEST, run_id=RUN)))
    again = finished(connector)

    assert (report.status, report.retryable) == (JobStatus.FAILED, True)
    assert "is_retryable" in (report.reason or "")
    assert again.result_id == "7897898"


def test_an_execution_that_is_not_listed_is_a_failed_poll(mics: MediarithmicsSimulator) -> None:
    with pytest.raises(VendorUnavailableError, match="does not list"):
        connect(mics).status(Job(id="9879/404", submitted_at=datetime.now(UTC)))


@pytest.mark.parametrize(
    "job",
    [
        Job(id="404/7"),
        Job(id="9879/404", result_id="404"),
        Job(id="9879/404", submitted_at=datetime.now(UTC) - timedelta(days=9)),
    ],
    ids=["no such export", "it had a result", "it is older than any run"],
)
def test_an_execution_that_can_no_longer_be_live_is_expired(mics: MediarithmicsSimulator, job: Job) -> None:
    assert connect(mics).status(job).status is JobStatus.EXPIRED


@pytest.mark.parametrize("job_id", [None, "7897897", "/7", "9879/"])
def test_an_id_that_is_none_is_named(mics: MediarithmicsSimulator, job_id: str | None) -> None:
    with pytest.raises(UnexpectedResponseError, match="such as 9879/7897897"):
        connect(mics).status(Job(id=job_id))


@pytest.mark.parametrize("scenario", ["server-errors", "bad-gateway", "gateway-timeout"])
def test_server_errors_pass(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    connector = connect(mics)
    job = Job(id=f"{finished_export(mics)}/7897897")

    for _ in range(3):
        with pytest.raises(VendorUnavailableError, match="answered 50"):
            connector.status(job)
    assert connector.status(job).status is JobStatus.SUCCEEDED
    with pytest.raises(VendorUnavailableError, match="answered 50"):
        connector.contents(job, REQUEST)
    assert connector.contents(job, REQUEST).files


def test_a_bare_429_asks_for_a_minute(simulate: Simulate) -> None:
    mics = simulate("rate-limited-bare")
    job = Job(id=f"{finished_export(mics)}/7897897")

    for _ in range(3):
        with pytest.raises(RateLimitedError) as limited:
            connect(mics).status(job)
        assert limited.value.retry_after == 60

    assert connect(mics).status(job).status is JobStatus.SUCCEEDED


def test_the_token_may_expire_between_polls(simulate: Simulate) -> None:
    mics = simulate("token-expires-polling")
    connector = by_login(mics)
    job = Job(id=f"{finished_export(mics)}/7897897")

    reports = [connector.status(job) for _ in range(3)]

    assert {report.status for report in reports} == {JobStatus.SUCCEEDED}
    assert mics.calls("POST", "/access_tokens") == 2


def test_an_error_with_status_200_is_none_of_ours(mics: MediarithmicsSimulator) -> None:
    mics.fault("GET", START, body={"status": "error", "error": "Try later", "error_id": "x"})

    with pytest.raises(UnexpectedResponseError, match=r"answered 200 with an error in it: Try later"):
        connect(mics).status(Job(id="9879/7"))


# Contents and files


def test_a_result_is_lines_of_json(mics: MediarithmicsSimulator) -> None:
    contents, _ = files_of(connect(mics))

    [dataset], [file] = contents.datasets, contents.files
    assert (dataset.name, dataset.format.type, dataset.format.compression) == ("export", "ndjson", "none")
    assert (file.dataset, file.name, file.vendor_file_id, file.vendor_name) == (
        "export",
        "export.ndjson",
        "export",
        "export",
    )
    assert (contents.warnings, contents.expected_rows) == ([], None)
    assert contents.evidence["execution"]["status"] == "SUCCEEDED"


def test_csv_is_csv(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)

    contents = connector.contents(finished(connector, asking(output_format="CSV")), REQUEST)

    assert [file.name for file in contents.files] == ["export.csv"]
    assert contents.datasets[0].format.type == "csv"


@pytest.mark.parametrize(
    "scenario", ["success", "two-files", "result-null", "no-last-newline", "chunked", "no-content-length"]
)
def test_every_file_comes_as_it_is_stored(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario)
    connector = connect(mics)
    contents, job = files_of(connector)

    fetched = {file.vendor_name: fetch(connector.open(file, job)) for file in contents.files}

    truth = mics.truth(job.result_id or "")
    assert {status for status, _ in fetched.values()} == {200}
    assert {name: hashlib.sha256(body).hexdigest() for name, (_, body) in fetched.items()} == {
        name: file.sha256 for name, file in truth.items()
    }
    assert len({dataset.name for dataset in contents.datasets}) == len(truth)


def test_a_name_that_is_no_path_stays_a_segment(simulate: Simulate) -> None:
    mics = simulate(output_files=["export", "a b/../c?d"])
    connector = connect(mics)
    contents, job = files_of(connector)

    assert [fetch(connector.open(file, job))[0] for file in contents.files] == [200, 200]


def test_opening_a_file_the_first_time_costs_no_call(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)
    contents, job = files_of(connector)
    before = mics.calls()

    connector.open(contents.files[0], job)

    assert mics.calls() == before


@pytest.mark.parametrize("scenario", ["data-file-only", "query-path-only"])
def test_a_file_is_found_at_its_other_addresses(simulate: Simulate, scenario: str) -> None:
    """A reader that meets a 404 opens the file anew, in a process that never saw the contents."""
    mics = simulate(scenario)
    contents, job = files_of(connect(mics))
    connector = connect(mics)

    statuses = [fetch(connector.open(contents.files[0], job))[0] for _ in range(3)]

    assert statuses == [404, 200, 200]


def test_the_data_files_address_is_for_export_alone(simulate: Simulate) -> None:
    mics = simulate("data-file-only", output_files=["export_2"])
    connector = connect(mics)
    job = finished(connector)

    with pytest.raises(ResultExpiredError, match="export_2"):
        connector.contents(job, REQUEST)

    assert mics.calls("GET", "/data_file/") == 0


def test_a_file_that_is_nowhere_is_gone(simulate: Simulate) -> None:
    mics = simulate()
    connector = connect(mics)
    contents, job = files_of(connector)
    mics.scenario("download-not-found")
    connector.open(contents.files[0], job)

    with pytest.raises(ResultExpiredError, match=r"export: .*no longer has this file"):
        connector.open(contents.files[0], job)
    with pytest.raises(ResultExpiredError):
        connector.contents(job, REQUEST)


def test_an_execution_that_is_gone_has_no_contents(mics: MediarithmicsSimulator) -> None:
    with pytest.raises(ResultExpiredError, match="no longer lists"):
        connect(mics).contents(Job(id="9879/404"), REQUEST)


def test_a_file_opened_again_has_fresh_credentials(simulate: Simulate) -> None:
    """Its reader met a 401, of which the connector cannot know."""
    mics = simulate("token-expires-download")
    contents, job = files_of(connect(mics, empty="allow"))
    connector = by_login(mics)

    statuses = [
        fetch(connector.open(contents.files[0], job))[0],
        fetch(connector.open(contents.files[0], job))[0],
    ]

    assert statuses == [200, 200]
    assert mics.calls("POST", "/access_tokens") == 2
    assert [call.status for call in mics.log if "/files/" in call.path] == [200, 401, 200, 200]


def test_looking_for_a_file_leaves_it_alone(simulate: Simulate) -> None:
    mics = simulate(big_file_bytes=50_000_000)
    connector = connect(mics)
    contents, job = files_of(connector)
    connector.open(contents.files[0], job)

    connector.open(contents.files[0], job)

    looked = [call for call in mics.log if "/files/" in call.path]
    assert len(looked) == 2
    assert wait_until(lambda: all(call.done for call in looked))
    assert sum(call.bytes_sent for call in looked) < 25_000_000


# Nothing in it


def test_an_empty_file_is_a_warning(simulate: Simulate) -> None:
    contents, _ = files_of(connect(simulate("empty-file")))

    assert contents.warnings == ["the result is empty: mediarithmics also answers a wrong query so"]


def test_an_empty_file_may_be_a_failure(simulate: Simulate) -> None:
    connector = connect(simulate("empty-file"), empty="fail")

    with pytest.raises(EmptyResultError, match=r"execution 7897897 .*options\.empty is fail"):
        connector.contents(finished(connector), REQUEST)


def test_an_empty_file_may_be_nothing_to_look_at(simulate: Simulate) -> None:
    mics = simulate("empty-file")

    contents, _ = files_of(connect(mics, empty="allow"))

    assert contents.warnings == []
    assert mics.calls("GET", "/files/") == 0


def test_a_file_that_is_not_empty_is_no_failure(mics: MediarithmicsSimulator) -> None:
    contents, _ = files_of(connect(mics, empty="fail"))

    assert contents.warnings == []


# Operations


def test_reads_answer_as_mediarithmics_does(mics: MediarithmicsSimulator) -> None:
    connector = connect(mics)
    job = finished(connector, KNOWN_EXPORT)
    operations = connector.operations()

    user = operations["connected-user"].run({}).document
    exports = operations["list-exports"].run({"organisation": "1426"}).document
    export = operations["export-details"].run({"export": "9879"}).document
    executions = operations["list-executions"].run({"export": "9879"}).document
    execution = operations["execution-status"].run({"job": job.id or ""}).document
    checked = operations["check-query"].run({"datamart": "1509", "query": OTQL}).document

    assert user["workspaces"] == [{"organisation_id": "1426"}]
    assert exports["data"] == mics.exports()
    assert export in exports["data"]
    assert executions["data"] == [execution] == mics.executions()
    assert checked == {"type": "VALID", "status": "ok"}
    assert all(not operation.kind.changes for operation in operations.values())


def test_reads_of_what_is_not_there_say_so(mics: MediarithmicsSimulator) -> None:
    operations = connect(mics).operations()

    with pytest.raises(RequestRejectedError, match="no export 404"):
        operations["export-details"].run({"export": "404"})
    with pytest.raises(RequestRejectedError, match="lists no execution 7"):
        operations["execution-status"].run({"job": "9879/7"})


# In the flow


class Flow:
    """The export flow's decisions around one connection, its ledger in memory, as far as the plan of what to land."""

    def __init__(self, mics: MediarithmicsSimulator) -> None:
        self.mics = mics
        self.now = datetime.now(UTC)
        self.store = MemoryStore()
        self.landing = FakeLanding("landing")

    def connect(self, vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
        assert connection == "mics-1426"
        return connectors.connect(vendor, secret_of(self.mics), options)

    def start(self, trigger: str, **options: Any) -> Export:
        event = {
            "version": 1,
            "id": trigger,
            "pipeline": "mics-active-emails",
            "vendor": "mediarithmics",
            "action": "query-export",
            "connection": "mics-1426",
            "request": REQUEST,
            "options": options,
        }
        execution = Execution(f"arn:{trigger}", self.now)
        return attempts.begin(event, execution, self._decisions(), now=self.now)

    def run(self, trigger: str, **options: Any) -> Export:
        export = self.start(trigger, **options)
        while export.outcome is None and export.status in {JobStatus.RUNNING, JobStatus.UNKNOWN}:
            self.pass_time(export.wait_seconds)
            flow = self._decisions()
            export = attempts.check(export, flow.connect(export), flow, landing=self.landing, now=self.now)
        if export.outcome is None:
            connector = self.connect(export.vendor, export.connection, export.options)
            export = exports.plan(export, ledger=Ledger(self.store), connector=connector, landing=self.landing)
        return export

    def _decisions(self) -> ExportFlow:
        return ExportFlow(Ledger(self.store), SITE, connect=self.connect)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.mics.advance(seconds)


def test_a_run_waits_for_its_execution_and_plans_its_file(simulate: Simulate) -> None:
    mics = simulate("second-page", job_seconds=100)
    flow = Flow(mics)

    export = flow.run("monday", empty="fail", max_erroneous_tasks="10%")

    assert export.job.id == f"{ours(mics)[0]['id']}/7897897"
    assert export.job.vendor_counts["num_tasks"] == 3322
    assert 100 <= export.elapsed(flow.now) <= 115
    assert export.evidence == ["execution"]
    assert export.plan
    [item] = json.loads(flow.landing.read(export.plan.key) or b"")
    assert [file["key"] for file in item["files"]] == [
        f"raw/mics-active-emails/export/run_id={export.run_id}/export.ndjson"
    ]


def test_a_daily_run_never_serves_yesterdays_execution(simulate: Simulate) -> None:
    mics = simulate(job_seconds=100)
    flow = Flow(mics)
    monday = flow.run("monday")
    Ledger(flow.store).end(monday.model_copy(update={"outcome": Outcome.NOTHING_NEW}), now=flow.now)
    flow.pass_time(86_400)

    tuesday = flow.run("tuesday")

    assert monday.job.id != tuesday.job.id
    assert len(mics.executions()) == 2
    assert len(ours(mics)) == 1


def test_a_daily_run_goes_on_though_yesterdays_execution_is_listed_no_more(simulate: Simulate) -> None:
    mics = simulate(job_seconds=100)
    flow = Flow(mics)
    monday = flow.run("monday")
    Ledger(flow.store).end(monday.model_copy(update={"outcome": Outcome.NOTHING_NEW}), now=flow.now)
    flow.pass_time(86_400)
    mics._executions.clear()

    tuesday = flow.run("tuesday")

    assert tuesday.job.id != monday.job.id


@pytest.mark.parametrize("scenario", ["lost-reply", "start-gateway-timeout", "lost-start"])
def test_a_lost_reply_costs_time_and_never_a_second_execution(simulate: Simulate, scenario: str) -> None:
    mics = simulate(scenario, job_seconds=100)

    export = Flow(mics).run("monday")

    assert export.job.id == f"{ours(mics)[0]['id']}/7897897"
    assert len(mics.executions()) == 1


def test_a_retryable_failure_is_followed_by_one_more_execution(simulate: Simulate) -> None:
    mics = simulate("failed-once", job_seconds=100)
    flow = Flow(mics)

    export = flow.run("monday", retry_if_retryable=1)

    assert [execution["status"] for execution in mics.executions()] == ["FAILED", "SUCCEEDED"]
    assert export.job.submissions == 2
    assert ["followed by another" in warning for warning in export.warnings] == [True]
    assert flow.landing.read(f"evidence/mics-active-emails/{export.run_id}/export-error.json")


@pytest.mark.parametrize("options", [{}, {"retry_if_retryable": 1}], ids=["not asked for", "asked for"])
def test_a_failure_ends_the_run_and_leaves_its_error_file(simulate: Simulate, options: dict[str, int]) -> None:
    mics = simulate("failed-final", job_seconds=100)
    flow = Flow(mics)

    with pytest.raises(ExportFailedError, match=r"Query execution failed.*kept as evidence"):
        flow.run("monday", **options)

    assert len(mics.executions()) == 1
    assert any(key.endswith("/export-error.json") for key in flow.landing.objects)


def finished_export(mics: MediarithmicsSimulator) -> object:
    """The export of our name, executed once and well; its id."""
    if not ours(mics):
        job_id = connect(mics).schedule(REQUEST, run_id=RUN)
        if not mics.executions()[-1].get("end_date"):
            mics.end(job_id.split("/")[1])
    return ours(mics)[-1]["id"]
