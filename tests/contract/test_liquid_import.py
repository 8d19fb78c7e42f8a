"""LiquidAnalytics' imports against its simulator: every scenario that reaches them."""

import hashlib
import re
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from haul import connectors
from haul.errors import (
    CredentialsRefusedError,
    InvalidEventError,
    RateLimitedError,
    RequestRejectedError,
    SourceTooSlowError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.work import Job, JobStatus
from haul.ports import LoadConnector
from infra.local.vendors.liquid import LiquidSimulator
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import secret_at, simulators

CSV = {
    "jobName": "from-s3",
    "itemType": "Attendee",
    "contentType": "plain/text",
    "headerRow": True,
    "merge": True,
}
JSON = {"jobName": "from-s3", "itemType": "Attendee", "contentType": "application/json", "merge": False}
RUN = "20261122T050003Z-7c1f9a"
ROWS = "id,lastName\r\nA0000000,Núñez\r\nN1,Curie\r\n".encode()

type Simulate = Callable[..., LiquidSimulator]


@dataclass
class Attendees:
    """A source of what a test puts in it."""

    body: bytes = ROWS
    name: str = "attendees.csv"
    reads: int = 0

    @property
    def size(self) -> int:
        return len(self.body)

    def chunks(self) -> Iterator[bytes]:
        self.reads += 1
        for at in range(0, len(self.body), 1000):
            yield self.body[at : at + 1000]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(LiquidSimulator, job_seconds=0, attendees=30) as simulate:
        yield simulate


@pytest.fixture
def liquid(simulate: Simulate) -> LiquidSimulator:
    return simulate()


def secret_of(liquid: LiquidSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(liquid.url, "liquid", **fields)


def connect(liquid: LiquidSimulator, options: Mapping[str, Any] | None = None, **fields: str) -> LoadConnector:
    return connectors.connect_load("liquid", "import", secret_of(liquid, **fields), options or {})


def started(connector: LoadConnector, request: Mapping[str, Any] = CSV, source: Attendees | None = None) -> Job:
    return Job(id=connector.start(request, source or Attendees(), run_id=RUN))


def end_of(connector: LoadConnector, job: Job) -> tuple[JobStatus, LoadItem, int | None]:
    report = connector.status(job, CSV)
    [item] = report.items
    return report.status, item, report.records


def imports(liquid: LiquidSimulator) -> int:
    """How many imports arrived."""
    return sum(job["kind"] == "import" for job in liquid.jobs())


# What is sent


def test_the_file_and_what_should_become_of_it_arrive_as_the_vendors_example_sends_them(
    liquid: LiquidSimulator,
) -> None:
    request = {**CSV, "template": '{"id": "$row.id", "é": 1}', "notificationEmail": "data-team@example.com"}
    connector = connect(liquid)

    started(connector, connector.prepare(request).request)

    [job] = liquid.jobs()
    assert job["parameters"] == {
        "jobName": "from-s3",
        "itemType": "Attendee",
        "contentType": "plain/text",
        "headerRow": "True",
        "merge": "True",
        "template": '{"id": "$row.id", "é": 1}',
        "notificationEmail": "data-team@example.com",
    }
    assert job["file"] == {
        "name": "attendees.csv",
        "bytes": len(ROWS),
        "sha256": hashlib.sha256(ROWS).hexdigest(),
        "headers": {
            "Content-Disposition": 'form-data; name="file"; filename="attendees.csv"',
            "Content-Type": "plain/text",
            "Expires": "0",
        },
    }


@pytest.mark.parametrize(("merge", "first"), [(True, "James"), (False, None)])
def test_merge_is_said_either_way(liquid: LiquidSimulator, merge: bool, first: str | None) -> None:  # noqa: FBT001
    connector = connect(liquid)

    connector.status(started(connector, {**CSV, "merge": merge}), CSV)

    [item] = [item for item in liquid.items("Attendee") if item["id"] == "A0000000"]
    assert (item["lastName"], item.get("firstName")) == ("Núñez", first)


def test_json_has_neither_header_nor_template(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)

    connector.status(started(connector, JSON, Attendees(b'[{"id": "N1"}]', "attendees.json")), JSON)

    [job] = liquid.jobs()
    assert not {"headerRow", "notificationEmail"} & job["parameters"].keys()
    assert (job["file"]["headers"]["Content-Type"], job["status"]) == ("application/json", "Completed")


def test_an_at_sign_that_was_doubled_is_one(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)

    started(connector, connector.prepare({**CSV, "jobName": "@@home"}).request)

    assert liquid.jobs()[0]["name"] == "@home"


class Sink(ThreadingHTTPServer):
    """Takes what is sent and keeps only its length: a server that does not grow either."""

    received = 0

    class Handler(BaseHTTPRequestHandler):
        server: "Sink"

        def do_GET(self) -> None:
            self._answer(b"{}")

        def do_POST(self) -> None:
            left = int(self.headers["Content-Length"])
            while left:
                left -= len(self.rfile.read(min(left, 1 << 16)))
            if self.path.endswith("/token"):
                self._answer(b'{"access_token": "t"}')
            else:
                self.server.received = int(self.headers["Content-Length"])
                self._answer(b'{"jobId": "j1", "status": "Accepted"}')

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""


def test_memory_does_not_grow_with_the_file() -> None:
    class Long:
        name, size = "long.csv", 300 << 20

        def chunks(self) -> Iterator[bytes]:
            for _ in range(300):
                yield bytes(1 << 20)

    with Sink(("127.0.0.1", 0), Sink.Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        connector = connectors.connect_load(
            "liquid", "import", secret_at(f"http://127.0.0.1:{server.server_port}", "liquid"), {}
        )
        connector.prepare(CSV)
        tracemalloc.start()

        job_id = connector.start(CSV, Long(), run_id=RUN)

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        server.shutdown()
        thread.join()
    assert job_id == "j1"
    assert server.received > 300 << 20
    assert peak < 8 << 20


# What is refused before


@pytest.mark.parametrize(
    ("options", "request_", "says"),
    [
        ({"reshape": "ndjson-to-json"}, CSV, r"options\.reshape: .*application/json and not plain/text"),
        ({}, {**CSV, "jobName": "@latest"}, r"request\.jobName: @latest"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anybody_is_asked(
    liquid: LiquidSimulator, options: dict[str, Any], request_: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidEventError, match=says):
        connect(liquid, options).prepare(request_)

    assert liquid.calls() == 0


def test_an_import_of_nothing_is_refused(liquid: LiquidSimulator) -> None:
    with pytest.raises(InvalidEventError, match="source"):
        connect(liquid).start(CSV, None, run_id=RUN)

    assert liquid.calls() == 0


@pytest.mark.parametrize(("action", "says"), [("export", "there is import"), ("imports", "imports")])
def test_another_action_is_no_load(liquid: LiquidSimulator, action: str, says: str) -> None:
    with pytest.raises(InvalidEventError, match=says):
        connectors.connect_load("liquid", action, secret_of(liquid), {})


def test_a_refused_login_is_told_before_anything_is_sent(liquid: LiquidSimulator) -> None:
    with pytest.raises(CredentialsRefusedError, match="username, password, client or community"):
        connect(liquid, password="wrong").prepare(CSV)

    assert imports(liquid) == 0


# How it ends


def test_records_rise_while_the_import_is_processed(simulate: Simulate) -> None:
    liquid = simulate("slow-processing")
    connector, rows = connect(liquid), b"".join(b"N%d,Curie\r\n" % number for number in range(100))
    job = started(connector, source=Attendees(b"id,lastName\r\n" + rows))

    seen = []
    for _ in range(4):
        liquid.advance(15.5)
        report = connector.status(job, CSV)
        seen.append((report.status, report.records, report.progress))

    running, ended = seen[:-1], seen[-1]
    assert [status for status, *_ in running] == [JobStatus.RUNNING] * 3
    counts = [records or 0 for _, records, _ in running]
    assert counts == sorted(set(counts))
    assert running[-1][2] == f"Processing, {counts[-1]} records"
    assert ended[:2] == (JobStatus.SUCCEEDED, 100)


def test_a_completed_import_is_one_load_of_so_many_records(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = started(connector)

    ended = end_of(connector, job)

    assert ended == (JobStatus.SUCCEEDED, LoadItem(outcome=Outcome.SUCCEEDED), 2)
    assert connector.status(job, CSV).evidence["job-status"]["recordsProcessed"] == "2"


@pytest.mark.parametrize(("scenario", "records"), [("plain-numbers", 2), ("missing-numbers", None)])
def test_the_number_of_records_is_read_however_it_comes(simulate: Simulate, scenario: str, records: int | None) -> None:
    connector = connect(simulate(scenario))

    assert end_of(connector, started(connector)) == (
        JobStatus.SUCCEEDED,
        LoadItem(outcome=Outcome.SUCCEEDED),
        records,
    )


@pytest.mark.parametrize(
    ("scenario", "says"), [("rejected", "Rejected: .*locked by its owner"), ("failed", r"Failed: \w.*")]
)
def test_an_import_that_ends_badly_says_why(simulate: Simulate, scenario: str, says: str) -> None:
    connector = connect(simulate(scenario))
    job = started(connector)

    report = connector.status(job, CSV)

    [item] = report.items
    assert (report.status, item.outcome) == (JobStatus.FAILED, Outcome.FAILED)
    assert report.reason == item.message
    assert re.fullmatch(says, item.message)


def test_an_import_that_is_rejected_at_once_says_why_and_is_no_job_to_wait_for(liquid: LiquidSimulator) -> None:
    with pytest.raises(RequestRejectedError, match="rejected the import: The field 'colour' is no field of Attendee"):
        started(connect(liquid), source=Attendees(b"id,colour\r\nN1,red\r\n"))


def test_a_cancelled_import_is_canceling_before_it_is_canceled(simulate: Simulate) -> None:
    liquid = simulate("cancel")
    connector = connect(liquid)
    job = started(connector)

    connector.cancel(job)
    first = connector.status(job, CSV)
    liquid.advance(11)

    assert (first.status, first.items, first.progress) == (JobStatus.RUNNING, [], "Canceling, 1 record")
    status, item, _ = end_of(connector, job)
    assert (status, item.outcome) == (JobStatus.CANCELLED, Outcome.CANCELLED)


def test_an_import_that_has_ended_stays_as_it_ended_when_it_is_cancelled(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)
    job = started(connector)

    connector.cancel(job)

    assert end_of(connector, job)[0] is JobStatus.SUCCEEDED


def test_a_word_that_is_not_known_is_waited_on_and_told(simulate: Simulate) -> None:
    liquid = simulate("unknown-status", job_seconds=60)
    connector = connect(liquid)
    job = started(connector)
    liquid.advance(30)

    report = connector.status(job, CSV)

    assert (report.status, report.word, report.items) == (JobStatus.UNKNOWN, "Paused", [])


@pytest.mark.parametrize("scenario", ["server-errors", "bad-gateway", "gateway-timeout"])
def test_a_poll_that_fails_is_a_failed_poll_and_the_next_one_sees_the_job(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))
    job = started(connector)

    for _ in range(3):
        with pytest.raises(VendorUnavailableError):
            connector.status(job, CSV)

    assert end_of(connector, job)[0] is JobStatus.SUCCEEDED


@pytest.mark.parametrize("scenario", ["job-forgotten", "unknown-job-400", "unknown-job-200"])
def test_a_job_that_the_vendor_does_not_know_may_still_be_live(simulate: Simulate, scenario: str) -> None:
    connector = connect(simulate(scenario))

    with pytest.raises(VendorUnavailableError, match="does not know job j1"):
        connector.status(Job(id="j1"), CSV)


def test_there_is_no_asking_about_a_job_without_its_id(liquid: LiquidSimulator) -> None:
    with pytest.raises(UnexpectedResponseError):
        connect(liquid).status(Job(), CSV)


# One import, or a doubt that is said


@pytest.mark.parametrize(("scenario", "arrived"), [("lost-reply", 1), ("submission-gateway-timeout", 1)])
def test_an_import_whose_reply_was_lost_is_in_doubt_and_not_sent_again(
    simulate: Simulate, scenario: str, arrived: int
) -> None:
    liquid = simulate(scenario)
    source = Attendees()

    with pytest.raises(VendorUnavailableError) as lost:
        started(connect(liquid), source=source)

    assert lost.value.sent
    assert (imports(liquid), source.reads) == (arrived, 1)


def test_an_answer_of_another_shape_is_in_doubt(liquid: LiquidSimulator) -> None:
    liquid.fault("POST", "/batch/import$", body="<html>Please sign in</html>", status=200)

    with pytest.raises(VendorUnavailableError, match="there may be a job now") as odd:
        started(connect(liquid))

    assert odd.value.sent


def test_an_answer_without_a_job_is_in_doubt(liquid: LiquidSimulator) -> None:
    liquid.fault("POST", "/batch/import$", body={"status": "Accepted"})

    with pytest.raises(VendorUnavailableError, match="without a jobId") as odd:
        started(connect(liquid))

    assert odd.value.sent


def test_a_file_that_its_source_breaks_off_is_no_import(liquid: LiquidSimulator) -> None:
    class Late(Attendees):
        def chunks(self) -> Iterator[bytes]:
            yield self.body[:10]
            raise SourceTooSlowError("attendees.csv: the invocation's time ends")

    with pytest.raises(SourceTooSlowError):
        started(connect(liquid), source=Late())

    assert imports(liquid) == 0


def test_what_broke_off_on_its_way_is_no_import_and_may_be_sent_again(liquid: LiquidSimulator) -> None:
    """The vendor's side goes away while the file is being sent."""

    class Breaking(Attendees):
        def chunks(self) -> Iterator[bytes]:
            yield self.body[:10]
            raise ConnectionResetError

    source = Breaking(bytes(1 << 20))

    with pytest.raises(VendorUnavailableError) as broken:
        connect(liquid).start(CSV, source, run_id=RUN)

    assert not broken.value.sent
    assert imports(liquid) == 0


@pytest.mark.parametrize("call", ["/oauth2/token$", "/oauth2/validate$"])
def test_a_vendor_that_fails_before_the_file_is_sent_has_no_import(liquid: LiquidSimulator, call: str) -> None:
    connector, source = connect(liquid), Attendees()
    liquid.fault(None, call, reset=True)

    with pytest.raises(VendorUnavailableError) as early:
        started(connector, source=source)

    assert not early.value.sent
    assert source.reads == 0


def test_a_token_that_is_refused_is_renewed_before_the_file_is_sent(liquid: LiquidSimulator) -> None:
    connector, source = connect(liquid), Attendees()
    connector.prepare(CSV)
    liquid.invalidate_tokens()

    started(connector, source=source)

    assert (imports(liquid), source.reads, liquid.calls("POST", "/oauth2/token")) == (1, 1, 2)


def test_a_token_that_expires_while_the_file_is_sent_is_renewed_and_the_file_sent_from_its_begin(
    liquid: LiquidSimulator,
) -> None:
    connector, source = connect(liquid), Attendees()
    liquid.fault("POST", "/batch/import$", also="expire-tokens")

    job = started(connector, source=source)

    assert (imports(liquid), source.reads) == (1, 2)
    assert liquid.jobs()[0]["file"]["sha256"] == hashlib.sha256(ROWS).hexdigest()
    assert end_of(connector, job)[0] is JobStatus.SUCCEEDED


def test_a_token_that_is_refused_twice_ends_it(liquid: LiquidSimulator) -> None:
    liquid.fault("POST", "/batch/import$", times=None, status=401)

    with pytest.raises(CredentialsRefusedError):
        started(connect(liquid))

    assert liquid.calls("POST", "/batch/import") == 2


def test_a_vendor_without_validate_gets_the_file_all_the_same(liquid: LiquidSimulator) -> None:
    liquid.fault("GET", "/oauth2/validate$", times=None, status=404)

    started(connect(liquid))

    assert imports(liquid) == 1


@pytest.mark.parametrize(
    ("scenario", "kind"), [("bad-request", RequestRejectedError), ("rate-limited", RateLimitedError)]
)
def test_an_import_that_the_vendor_refuses_is_no_job(simulate: Simulate, scenario: str, kind: type[Exception]) -> None:
    liquid = simulate(scenario)

    with pytest.raises(kind):
        started(connect(liquid))

    assert imports(liquid) == 0


def test_nobody_can_be_asked_for_an_import(liquid: LiquidSimulator) -> None:
    connector = connect(liquid)

    capabilities = connector.capabilities

    assert not capabilities.lists_running_jobs
    assert not capabilities.lists_finished_jobs
    assert capabilities.can_cancel
    assert connector.account.startswith("demo@127.0.0.1")


def test_no_error_shows_a_secret_or_a_row(liquid: LiquidSimulator) -> None:
    """Also where the vendor repeats them."""
    liquid.fault("POST", "/batch/import$", status=400, body={"error": "bad", "error_description": "s3cret-client"})
    connector = connectors.connect_load("liquid", "import", secret_of(liquid, client_secret="s3cret-client"), {})
    liquid.configure(client_secret="s3cret-client")

    with pytest.raises(RequestRejectedError) as refused:
        started(connector)

    assert "s3cret" not in str(refused.value)
    assert "Curie" not in str(refused.value)
