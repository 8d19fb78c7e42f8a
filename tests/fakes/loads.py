"""A vendor that takes loads, behind the `LoadConnector` port, and the world around the load flow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, override

from haul import attempts, exports, loads, publishing
from haul.endings import Endings
from haul.errors import SourceGoneError, VendorUnavailableError
from haul.jobs import Vendor
from haul.loads import LoadFlow
from haul.models import vendors
from haul.models.event import Outcome, S3Object
from haul.models.load import Load, LoadItem
from haul.models.work import Job, JobStatus, Work
from haul.ports import Capabilities, Execution, Found, LoadReport, Prepared, Source
from tests.fakes.vendor import FakeJob
from tests.fakes.world import Run, World

LISTS_NOTHING = Capabilities(api="v0", can_cancel=True)
LISTS_KINDS = Capabilities(
    api="v0",
    lists_running_jobs=True,
    lists_finished_jobs=True,
    listing_lag=timedelta(minutes=5),
    can_cancel=True,
    identifies_jobs=False,
)
DONE = (LoadItem(outcome=Outcome.SUCCEEDED),)


@dataclass(frozen=True)
class Bytes:
    """A source that is here."""

    name: str
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def chunks(self) -> Iterator[bytes]:
        yield self.body


@dataclass
class FakeLoads:
    """One account. `jobs` is what really exists there, whatever was answered; `received` what was sent with each."""

    world: "LoadWorld"
    capabilities: Capabilities = LISTS_NOTHING
    account: str = "acme"
    tenant: str | None = None
    jobs: list[FakeJob] = field(default_factory=list)
    received: list[bytes | None] = field(default_factory=list)
    submit_faults: list[Literal["lost-reply", "lost-request", "unreachable"]] = field(default_factory=list)
    report: LoadReport = field(default_factory=lambda: LoadReport(JobStatus.SUCCEEDED, items=DONE))
    cancelled: list[str | None] = field(default_factory=list)
    cancels_at_once: bool = True
    clock_is_behind: timedelta = timedelta(0)
    tells_begin: bool = True

    def prepare(self, request: Mapping[str, Any]) -> Prepared:
        return Prepared(dict(request))

    def find(self, request: Mapping[str, Any], *, since: datetime) -> list[Found]:
        del request
        shown = [job for job in reversed(self.jobs) if job.made_at >= since]
        return [Found(job.status, job.id, created_at=self._begun(job)) for job in shown]

    def _begun(self, job: FakeJob) -> datetime | None:
        return job.made_at - self.clock_is_behind if self.tells_begin else None

    def start(self, request: Mapping[str, Any], source: Source | None, *, run_id: str) -> str:
        fault = self.submit_faults.pop(0) if self.submit_faults else None
        if fault == "lost-request":
            raise VendorUnavailableError("no answer")
        if fault == "unreachable":
            raise VendorUnavailableError("no connection", sent=False)
        job = self.make(dict(request), run_id)
        self.received.append(b"".join(source.chunks()) if source else None)
        if fault == "lost-reply":
            raise VendorUnavailableError("connection reset")
        return job.id

    def make(self, request: dict[str, Any], run_id: str) -> FakeJob:
        job = FakeJob(f"j{len(self.jobs) + 1}", request, run_id, self.world.now)
        self.jobs.append(job)
        return job

    def status(self, job: Job, request: Mapping[str, Any]) -> LoadReport:
        del request
        status = self.job(job.id).status
        return self.report if status is JobStatus.SUCCEEDED else replace(self.report, status=status, awaited=None)

    def cancel(self, job: Job) -> None:
        found = self.job(job.id)
        if found.status is JobStatus.RUNNING and self.cancels_at_once:
            found.status = JobStatus.CANCELLED
        self.cancelled.append(job.id)

    def job(self, job_id: str | None) -> FakeJob:
        return next(job for job in self.jobs if job.id == job_id)

    def finish(self, status: JobStatus = JobStatus.SUCCEEDED) -> None:
        for job in self.jobs:
            if job.status is JobStatus.RUNNING:
                job.status, job.finished_at = status, self.world.now


class LoadWorld(World):
    """Executions of the load flow, stepped one Lambda at a time. `objects` are the inbox, by key."""

    def __init__(self, **vendor: Any) -> None:
        super().__init__()
        self.loads = FakeLoads(self, **vendor)
        self.inbox: dict[str, bytes] = {}

    def load(self, pipeline: str = "nightly", **more: Any) -> Run:
        event = {
            "version": 1,
            "pipeline": pipeline,
            "vendor": "fake",
            "action": "load",
            "connection": "fake-acme",
            "request": {"what": "all of it"},
            **more,
        }
        return self._execute(event)

    def arrive(self, key: str, body: bytes, **options: Any) -> Run:
        """An object is created in the inbox, and its event starts the flow."""
        self.inbox[key] = body
        source = {"object": {"bucket": "inbox", "key": key, "version_id": "v1", "size": len(body)}}
        return self.load("imports", action="import", source=source, options=options)

    @override
    def run(self, execution: Run, *, until: str | None = None, finish: bool = True) -> Run:
        for _ in range(200):
            if execution.status != "RUNNING" or execution.step == until:
                return execution
            if execution.step == "check":
                if finish:
                    self.vendor.finish()
                    self.loads.finish()
                self.pass_time(execution)
            self.step(execution)
        raise AssertionError("the execution does not end")

    @override
    def invoke(self, execution: Run, step: str, state: dict[str, Any]) -> dict[str, Any]:
        if not self._is_load(execution):
            return super().invoke(execution, step, state)
        ledger, landing = self.ledger(), self.landing
        flow = LoadFlow(ledger, self.site, connect=lambda *_: self.loads, objects=self, landing=landing)
        if step == "schedule":
            load = attempts.begin(execution.event, Execution(execution.arn, self.now), flow, now=self.now)
        elif step == "check":
            load = attempts.check(Load.model_validate(state), self.loads, flow, landing=landing, now=self.now)
        elif step == "publish":
            given = Load.model_validate(state)
            load = publishing.publish(given, ledger=ledger, landing=landing, site=self.site, now=self.now)
        elif step == "notify":
            return self._notify(execution, Load.model_validate(state))
        else:
            return super().invoke(execution, step, state)
        return load.model_dump(mode="json", by_alias=True)

    @override
    def _go(self, execution: Run, step: str, answer: dict[str, Any]) -> None:
        super()._go(execution, step, answer)
        if execution.step == "plan" and self._is_load(execution):
            execution.step = "publish"

    def _is_load(self, execution: Run) -> bool:
        """A rerun does not say whose it is, but its run does."""
        event = execution.event
        record = self.ledger().run(event["pipeline"], event["rerun"]["run_id"]) if "rerun" in event else None
        return isinstance(record.work, Load) if record else vendors.kind_of(event) == "load"

    @override
    def endings(self) -> Endings:
        return Endings(
            ledger=self.ledger(),
            landing=self.landing,
            notifier=self,
            site=self.site,
            vendor_of=self._vendor_of,
            links=self,
            executions=self,
        )

    def _vendor_of(self, work: Work) -> Vendor[Any]:
        return loads.vendor(self.loads, self) if isinstance(work, Load) else exports.vendor(self.vendor)

    def settle(self, named: S3Object) -> S3Object:
        if named.key not in self.inbox:
            raise SourceGoneError(f"{named.key} is not there")
        return named.model_copy(update={"size": len(self.inbox[named.key])})

    def open(self, objects: Sequence[S3Object], options: Mapping[str, Any]) -> Source:
        del options
        return Bytes(objects[0].key, b"".join(self.inbox[each.key] for each in objects))
