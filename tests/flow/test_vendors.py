"""Adobe, LiquidAnalytics and mediarithmics through the deployed flow: what each does that Visier does not.

Each story is a customer of its own with a simulator of its own, and all of them go on beside each other. What they ask
for is what the vendor's file in `events/` asks for, but for what a story changes.
"""

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from infra.local.localstack import ROOT
from infra.local.stack import Execution, Json, Stack
from infra.local.vendors.adobe import AdobeSimulator
from infra.local.vendors.liquid import LiquidSimulator
from infra.local.vendors.mediarithmics import MediarithmicsSimulator
from infra.local.vendors.simulator import VendorSimulator
from tests.flow.customer import PASSWORD, Runs
from tests.flow.story import Stories

_EVENTS = ROOT / "events"
_MORNING = "2026-11-22T05:00:00Z"
_NEXT_MORNING = "2026-11-23T05:00:00Z"
_SEGMENTS = ("4edc8488-2c35-4f6d-b4c6-9075c68d2df4", "52c26d0d-45f2-47a2-ab30-ed06abc981ff")
_JSON_OF_ALL = {"jobName": "attendees-json", "itemType": "Attendee", "contentType": "application/json"}


def sample(name: str, *, scheduled_at: str = _MORNING) -> Json:
    """A file of `events/`, as EventBridge Scheduler would send it."""
    text = (_EVENTS / name).read_text()
    event: Json = json.loads(text.replace("<aws.scheduler.scheduled-time>", scheduled_at))
    return event


# The vendors


class Vendor(ABC):
    """A vendor's simulator, and what stories ask of it in its own words."""

    SAMPLE: ClassVar[str]
    FAILS: ClassVar[Mapping[str, Any]]
    simulator: VendorSimulator[Any]

    @abstractmethod
    def __init__(self, account: str, **knobs: Any) -> None: ...

    @property
    @abstractmethod
    def secret(self) -> dict[str, str]: ...

    @property
    @abstractmethod
    def statuses(self) -> list[str]:
        """Of every job there was, the oldest first."""

    @property
    @abstractmethod
    def truth(self) -> dict[str, str]:
        """SHA-256 of what a download of the newest job must come to, by dataset and file."""

    @property
    @abstractmethod
    def true_rows(self) -> int: ...

    @abstractmethod
    def freeze(self) -> None:
        """Let no job finish by itself."""

    @abstractmethod
    def thaw(self) -> None:
        """Let those that are not cancelled finish, and later ones too."""


class Adobe(Vendor):
    SAMPLE = "adobe_segment_export.json"
    FAILS: ClassVar[Mapping[str, Any]] = {"job_ends": "failed"}

    def __init__(self, account: str, **knobs: Any) -> None:
        """Jobs are known by organisation and sandbox, so the organisation is this customer's own."""
        self._org_id = f"{account}@AdobeOrg"
        own = {"org_id": self._org_id, "client_secret": PASSWORD}
        self.simulator: AdobeSimulator = AdobeSimulator(
            **{"job_seconds": 0.5, "cancel_seconds": 0.2, "profiles": 400, **own, **knobs}
        )

    @property
    def secret(self) -> dict[str, str]:
        url = self.simulator.url
        return {
            "base_url": url,
            "ims_url": url,
            "client_id": "demo",
            "client_secret": PASSWORD,
            "org_id": self._org_id,
            "sandbox": "prod",
            "scopes": "openid,session",
        }

    @property
    def statuses(self) -> list[str]:
        return [job["status"] for job in self.simulator.jobs()]

    @property
    def truth(self) -> dict[str, str]:
        parts = self.simulator.truth(self.simulator.jobs()[-1]["id"])
        of = {part.segment_id: f"segment={part.segment_id}" if part.segment_id else "profiles" for part in parts}
        return {f"{of[part.segment_id]}/{part.name}": part.sha256 for part in parts}

    @property
    def true_rows(self) -> int:
        return sum(part.rows for part in self.simulator.truth(self.simulator.jobs()[-1]["id"]))

    def freeze(self) -> None:
        self.simulator.freeze()

    def thaw(self) -> None:
        self.simulator.freeze(frozen=False)


class Liquid(Vendor):
    SAMPLE = "liquid_export_csv.json"
    FAILS: ClassVar[Mapping[str, Any]] = {"job_ends": "failed"}

    def __init__(self, account: str, **knobs: Any) -> None:  # noqa: ARG002 - the simulator's port is the account's own
        own = {"password": PASSWORD, "client_secret": PASSWORD}
        self.simulator: LiquidSimulator = LiquidSimulator(
            **{"job_seconds": 0.5, "canceling_seconds": 0.2, **own, **knobs}
        )

    @property
    def secret(self) -> dict[str, str]:
        return {
            "base_url": self.simulator.url,
            "client_id": "demo",
            "client_secret": PASSWORD,
            "username": "demo",
            "password": PASSWORD,
            "community": "demo",
        }

    @property
    def statuses(self) -> list[str]:
        return [job["status"] for job in self.simulator.jobs()]

    @property
    def truth(self) -> dict[str, str]:
        files = self.simulator.truth(self.simulator.jobs()[-1]["id"])
        return {f"Attendee/{name}": file.sha256 for name, file in files.items()}

    @property
    def true_rows(self) -> int:
        return sum(file.rows for file in self.simulator.truth(self.simulator.jobs()[-1]["id"]).values())

    def freeze(self) -> None:
        self.simulator.freeze()

    def thaw(self) -> None:
        self.simulator.freeze(frozen=False)


class Mediarithmics(Vendor):
    SAMPLE = "mediarithmics_query_export.json"
    FAILS: ClassVar[Mapping[str, Any]] = {"job_ends": "FAILED"}

    def __init__(self, account: str, **knobs: Any) -> None:  # noqa: ARG002 - the simulator's port is the account's own
        self.simulator: MediarithmicsSimulator = MediarithmicsSimulator(
            **{"job_seconds": 0.5, "api_token": PASSWORD, **knobs}
        )

    @property
    def secret(self) -> dict[str, str]:
        return {"base_url": self.simulator.url, "api_token": PASSWORD}

    @property
    def statuses(self) -> list[str]:
        return [execution["status"] for execution in self.simulator.executions()]

    @property
    def truth(self) -> dict[str, str]:
        files = self.simulator.truth(self.simulator.executions()[-1]["id"])
        return {f"{name}/{name}.ndjson": file.sha256 for name, file in files.items()}

    @property
    def true_rows(self) -> int:
        return sum(file.rows for file in self.simulator.truth(self.simulator.executions()[-1]["id"]).values())

    def freeze(self) -> None:
        self.simulator.configure(job_ends="never")

    def thaw(self) -> None:
        self.simulator.configure(job_ends="SUCCEEDED")
        for execution in self.simulator.executions():
            self.simulator.end(execution["id"])


_VENDORS: tuple[type[Vendor], ...] = (Adobe, Liquid, Mediarithmics)
_NAMES = [vendor.__name__.lower() for vendor in _VENDORS]


# Their customers


@dataclass(frozen=True)
class Subscriber(Runs):
    """A customer of any vendor, whose event is the vendor's sample but for its names and what a story changes."""

    stack: Stack
    vendor: Vendor
    pipeline: str
    connection: str

    def start(self, **fields: Any) -> str:
        event = sample(self.vendor.SAMPLE) | {"pipeline": self.pipeline, "connection": self.connection} | fields
        event.pop("id", None)
        return self.stack.start(event | {"limits": {**event["limits"], "poll_floor_seconds": 1}})

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of what lies in the last run's folders, by dataset and file."""
        files = self.stack.landed(self.pipeline, self.run_ids[-1])
        return {path: hashlib.sha256(body).hexdigest() for path, body in files.items()}

    @property
    def evidence(self) -> dict[str, Json]:
        """The vendor's own documents that the last run kept, by what they are."""
        prefix = f"evidence/{self.pipeline}/{self.run_ids[-1]}/"
        found = self.stack.objects(prefix).items()
        return {key.removeprefix(prefix).removesuffix(".json"): json.loads(body) for key, body in found}


@pytest.fixture(scope="module")
def stories(stack: Stack) -> Iterator[Stories[Subscriber]]:
    """Every story, begun."""
    told = Stories[Subscriber](at_once=6)
    with ExitStack() as simulators:

        def customer(
            kind: type[Vendor], name: str, *, pipeline: str = "", connection: str = "", **knobs: Any
        ) -> Subscriber:
            own = f"t-{name.replace(' ', '-')}-{uuid4().hex[:6]}"
            vendor = kind(own, **knobs)
            simulators.enter_context(vendor.simulator)
            made = Subscriber(stack, vendor, pipeline or own, connection or own.replace("t-", "c-", 1))
            stack.connect(made.connection, **vendor.secret)
            return made

        def begin(kind: type[Vendor], name: str, *, fields: Json | None = None, **knobs: Any) -> None:
            made = customer(kind, name, **knobs)
            told.tell(name, made, partial(made.start, **(fields or {})))

        for kind in _VENDORS:
            name = f"{kind.__name__.lower()} aborted"
            frozen = customer(kind, name)
            frozen.vendor.freeze()
            told.tell(name, frozen, frozen.start)
        for story in list(told.values()):
            stack.wait_for_state(story.arn, "Wait")
            stack.stop(story.arn)

        for kind in _VENDORS:
            event = sample(kind.SAMPLE)
            named = customer(kind, kind.__name__, pipeline=event["pipeline"], connection=event["connection"])
            told.tell(kind.SAMPLE, named, partial(stack.start, event))

        request = sample(Adobe.SAMPLE)["request"]
        whole = copy.deepcopy(request)
        whole["destination"] = {"datasetId": "5b7c86968f7b6501e21ba9df"}
        begin(Adobe, "adobe one batch", fields={"request": whole})
        begin(Adobe, "adobe failed", **Adobe.FAILS)
        begin(Adobe, "adobe miscounted", counter="wrong")
        begin(Liquid, "liquid json", fields={"request": _JSON_OF_ALL}, files=2)
        begin(Liquid, "liquid failed", **Liquid.FAILS)
        begin(Liquid, "liquid expired", link_seconds=0)
        begin(Mediarithmics, "mediarithmics failed", **Mediarithmics.FAILS)
        begin(Mediarithmics, "mediarithmics partial", erroneous_share=0.2)
        yield told


_SAMPLES = [kind.SAMPLE for kind in _VENDORS]
_PUBLISHED = [*_SAMPLES, "adobe one batch", "liquid json", "mediarithmics partial"]


# What an export comes to


@pytest.mark.parametrize("name", _PUBLISHED)
def test_every_landed_byte_is_what_the_vendor_served(stories: Stories[Subscriber], name: str) -> None:
    customer, end = stories[name].customer, stories[name].end

    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert customer.sums == customer.vendor.truth
    assert customer.manifest["totals"]["files"] == len(customer.vendor.truth)
    assert customer.manifest["totals"]["rows"] == customer.vendor.true_rows > 0
    assert len(customer.vendor.statuses) == 1


@pytest.mark.parametrize(
    ("name", "names", "form", "verified"),
    [
        (Adobe.SAMPLE, {f"segment={segment}" for segment in _SEGMENTS}, "parquet", ["parquet-footer", "rows"]),
        ("adobe one batch", {"profiles"}, "parquet", ["parquet-footer", "rows"]),
        (Liquid.SAMPLE, {"Attendee"}, "csv", ["rows"]),
        ("liquid json", {"Attendee"}, "json", ["json", "rows"]),
        (Mediarithmics.SAMPLE, {"export"}, "ndjson", ["ndjson", "rows"]),
    ],
    ids=[Adobe.SAMPLE, "adobe one batch", Liquid.SAMPLE, "liquid json", Mediarithmics.SAMPLE],
)
def test_a_manifest_says_what_landed_and_what_was_verified(
    stories: Stories[Subscriber], name: str, names: set[str], form: str, verified: list[str]
) -> None:
    customer, _ = stories[name].customer, stories[name].end

    manifest = customer.manifest

    files = [file for dataset in manifest["datasets"] for file in dataset["files"]]
    assert (manifest["outcome"], manifest["mode"], manifest["warnings"]) == ("SUCCEEDED", "full", [])
    assert {dataset["name"] for dataset in manifest["datasets"]} == names
    assert {(dataset["format"]["type"], dataset["format"]["compression"]) for dataset in manifest["datasets"]} == {
        (form, "none")
    }
    assert [file["verified"] for file in files] == [["length", *verified]] * len(files)
    assert sum(file["rows"] for file in files) == sum(dataset["rows"] for dataset in manifest["datasets"])
    assert manifest["evidence"] != []
    assert manifest["sequence"] == 1


@pytest.mark.parametrize("name", _SAMPLES)
def test_people_and_programs_are_told_of_a_success(stories: Stories[Subscriber], name: str) -> None:
    customer, _ = stories[name].customer, stories[name].end
    totals = customer.manifest["totals"]

    (subject,) = customer.subjects()

    datasets = "1 dataset" if totals["datasets"] == 1 else f"{totals['datasets']} datasets"
    assert subject == f"OK PIPELINE: {datasets}, {totals['rows']:,} rows"
    assert customer.outcomes() == ["SUCCEEDED"]


def test_every_sample_event_of_these_vendors_runs(stories: Stories[Subscriber]) -> None:
    """Those of Visier run in `test_triggers.py`, the imports of LiquidAnalytics in `test_liquid_import.py`."""
    files = {path.name for path in _EVENTS.glob("*.json")}

    assert set(_SAMPLES) == {name for name in files if not name.startswith(("visier_", "liquid_import_"))}
    assert {stories[name].end.status for name in _SAMPLES} == {"SUCCEEDED"}


def test_segments_that_share_a_job_are_a_dataset_each(stories: Stories[Subscriber]) -> None:
    customer, _ = stories[Adobe.SAMPLE].customer, stories[Adobe.SAMPLE].end

    datasets = {dataset["table"]: dataset for dataset in customer.manifest["datasets"]}

    assert datasets.keys() == set(_SEGMENTS)
    for segment, dataset in datasets.items():
        keys = {f"segment={segment}/{file['vendor_name']}" for file in dataset["files"]}
        assert keys == {path for path in customer.vendor.truth if segment in path}
        assert dataset["rows"] > 0


def test_too_many_erroneous_tasks_are_published_as_a_part(stories: Stories[Subscriber]) -> None:
    customer, end = stories["mediarithmics partial"].customer, stories["mediarithmics partial"].end

    manifest = customer.manifest
    (warning,) = manifest["warnings"]
    (subject,) = customer.subjects()

    assert (end.output or {})["outcome"] == manifest["outcome"] == customer.document["outcome"] == "PARTIAL"
    assert "tasks of execution" in warning
    assert "more than options.max_erroneous_tasks allows (10%)" in warning
    assert subject.startswith("PARTIAL PIPELINE: 1 dataset, ")
    assert "published a part of" in customer.body()
    assert customer.outcomes() == ["PARTIAL"]


# What goes wrong


@pytest.mark.parametrize(
    ("vendor", "word", "evidence", "says"),
    [
        ("adobe", "FAILED", {"export-job"}, "0090000009: Error writing profiles"),
        ("liquid", "Failed", {"job-status"}, "Failed: The export stopped: the index of Attendee is being rebuilt"),
        ("mediarithmics", "FAILED", {"execution", "export-error"}, "its export.error is kept as evidence"),
    ],
    ids=_NAMES,
)
def test_a_job_that_the_vendor_fails_fails_the_run_and_leaves_evidence(
    stories: Stories[Subscriber], vendor: str, word: str, evidence: set[str], says: str
) -> None:
    customer, end = stories[f"{vendor} failed"].customer, stories[f"{vendor} failed"].end

    assert (end.status, end.error) == ("FAILED", "ExportFailedError")
    assert says in (end.cause or "")
    assert customer.vendor.statuses == [word]
    assert customer.evidence.keys() == evidence
    assert customer.subjects() == ["FAILED PIPELINE: ExportFailedError (nothing published)"]
    assert customer.outcomes() == ["FAILED"]
    assert customer.manifests == []


def test_fewer_rows_than_adobe_counted_publish_nothing(stories: Stories[Subscriber]) -> None:
    customer, end = stories["adobe miscounted"].customer, stories["adobe miscounted"].end

    rows = customer.vendor.true_rows
    assert (end.status, end.error) == ("FAILED", "RowCountError")
    assert f"the files hold {rows:,} rows, and the vendor counted {rows + 1:,}" in (end.cause or "")
    assert customer.subjects() == ["FAILED PIPELINE: RowCountError (nothing published)"]
    assert customer.manifests == []


def test_a_result_whose_links_have_expired_is_expired(stories: Stories[Subscriber]) -> None:
    customer, end = stories["liquid expired"].customer, stories["liquid expired"].end

    assert (end.status, end.error) == ("FAILED", "ResultExpiredError")
    assert customer.document["outcome"] == "EXPIRED"
    assert customer.subjects() == ["EXPIRED PIPELINE: ResultExpiredError (nothing published)"]
    assert customer.outcomes() == ["EXPIRED"]
    assert customer.manifests == []


# Executions that were aborted while they waited


@pytest.mark.parametrize("vendor", _NAMES)
def test_an_aborted_execution_is_cancelled_and_told_once(stories: Stories[Subscriber], vendor: str) -> None:
    customer, end = stories[f"{vendor} aborted"].customer, stories[f"{vendor} aborted"].end

    customer.stack.until(lambda: customer.record["told"], bool)

    assert end.status == "ABORTED"
    assert customer.record["state"] == "ABANDONED"
    assert customer.document["outcome"] == "CANCELLED"
    assert customer.subjects()[0] == "CANCELLED PIPELINE: CancelledError (nothing published)"
    assert customer.outcomes()[0] == "CANCELLED"
    assert customer.manifests == []


@dataclass(frozen=True)
class Again:
    """What the vendor was left with when the execution was aborted, and how the next attempt ended."""

    left: list[str]
    end: Execution


def left_by(customer: Subscriber, word: str | None) -> list[str]:
    """Where the jobs of a run that was given up stand, once the first has come to `word`."""
    customer.stack.until(lambda: customer.record["told"], bool)
    return customer.stack.until(lambda: customer.vendor.statuses, lambda seen: word in (None, seen[0]))


@pytest.fixture(scope="module")
def reruns(stories: Stories[Subscriber]) -> dict[str, Again]:
    """The next attempts of the aborted customers, by vendor; they go on beside each other."""
    ended = {"adobe": "CANCELLED", "liquid": "Canceled"}
    customers = {vendor: stories[f"{vendor} aborted"].customer for vendor in _NAMES}
    left = {vendor: left_by(customer, ended.get(vendor)) for vendor, customer in customers.items()}
    for customer in customers.values():
        customer.vendor.thaw()
    arns = {vendor: customer.start_again() for vendor, customer in customers.items()}
    return {vendor: Again(left[vendor], customers[vendor].stack.wait(arn)) for vendor, arn in arns.items()}


@pytest.mark.parametrize(("vendor", "word"), [("adobe", "CANCELLED"), ("liquid", "Canceled")], ids=["adobe", "liquid"])
def test_a_job_that_can_be_cancelled_is_and_a_rerun_submits_once_more(
    stories: Stories[Subscriber], reruns: dict[str, Again], vendor: str, word: str
) -> None:
    customer = stories[f"{vendor} aborted"].customer

    again = reruns[vendor]

    assert again.left == [word]
    assert again.end.status == "SUCCEEDED"
    assert len(customer.vendor.statuses) == 2
    assert customer.sums == customer.vendor.truth
    assert customer.manifest["run"]["attempts"] == 2
    assert customer.manifest["job"]["adopted"] is False


def test_a_job_that_cannot_be_cancelled_is_kept_and_a_rerun_adopts_it(
    stories: Stories[Subscriber], reruns: dict[str, Again]
) -> None:
    customer = stories["mediarithmics aborted"].customer

    again = reruns["mediarithmics"]

    assert again.left[0] in {"PENDING", "RUNNING"}
    assert again.end.status == "SUCCEEDED"
    assert customer.vendor.statuses == ["SUCCEEDED"]
    assert customer.sums == customer.vendor.truth
    assert customer.manifest["run"]["attempts"] == 2
    assert customer.manifest["job"]["adopted"] is True


# The day after


def test_a_first_day_has_no_lower_limit_and_the_next_one_begins_where_it_did(stories: Stories[Subscriber]) -> None:
    customer, _ = stories[Adobe.SAMPLE].customer, stories[Adobe.SAMPLE].end
    assert isinstance(customer.vendor, Adobe)
    first = customer.manifest
    customer.vendor.simulator.ingest(200)

    event = sample(Adobe.SAMPLE, scheduled_at=_NEXT_MORNING)
    again = customer.stack.run(event | {"limits": {"poll_floor_seconds": 1}})

    second = customer.manifest
    assert again.status == "SUCCEEDED"
    assert "fromIngestTimestamp" not in first["request"]["filter"]
    assert first["request_as_given"]["filter"]["fromIngestTimestamp"] == "@last-success.started-at"
    assert second["request"]["filter"]["fromIngestTimestamp"] == first["run"]["started_at"]
    assert (second["mode"], second["sequence"]) == ("delta", 2)
    assert customer.sums == customer.vendor.truth
    assert 0 < second["totals"]["rows"] < first["totals"]["rows"]
