"""The whole product but for AWS and HTTP: executions of the export flow, stepped one Lambda at a time.

An invocation may be killed or lose a reply at any write, and anything else may happen between any two writes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from haul import attempts, exports, publishing
from haul.downloads import Downloader
from haul.endings import Ending, Endings
from haul.errors import HaulError, InvalidEventError, TransientError, UnknownConnectionError
from haul.exports import ExportFlow
from haul.ledger import Ledger
from haul.models import vendors
from haul.models.event import Outcome
from haul.models.export import Download, Export, PlanItem
from haul.models.landed import LandedFile
from haul.models.ledger import RunRecord
from haul.models.work import JobStatus, Work
from haul.pacing import Pace
from haul.ports import Connector, Execution, ExecutionState, Notice, OutOfTimeError, Site, Store, TakesLinks
from haul.transfer.land import land_file
from tests.fakes.landing import FakeLanding
from tests.fakes.memory_store import Fault, FaultyStore, KilledError, MemoryStore
from tests.fakes.vendor import FakeVendor, fake_land_file

BUCKET = "landing"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RETRIES = 6
_MODELS = str(Path(__file__).parent / "vendor_models")


@contextmanager
def fake_vendor() -> Iterator[None]:
    """Let events name the vendor `fake`: its models are found beside those of the real ones."""
    vendors.__path__.append(_MODELS)
    try:
        yield
    finally:
        vendors.__path__.remove(_MODELS)


@dataclass
class Run:
    """One execution: its next step, the state it would be given, and how it ended."""

    arn: str
    event: dict[str, Any]
    step: str = "schedule"
    state: dict[str, Any] = field(default_factory=dict)
    status: str = "RUNNING"
    error: str | None = None
    cause: str | None = None
    failures: int = 0
    stale: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class World:
    """Everything around the decisions."""

    def __init__(self, store: Store | None = None, **vendor: Any) -> None:
        self.now = NOON
        self.store = store or MemoryStore()
        self.landing = FakeLanding(BUCKET)
        self.vendor = FakeVendor(lambda: self.now, **vendor)
        self.site = Site(environment="test", bucket=BUCKET)
        self.executions: dict[str, Run] = {}
        self.notices: list[Notice] = []
        self.downloads_fail: list[HaulError | OutOfTimeError] = []
        self.time_left = 900.0
        self.paused: list[float] = []
        self.links: dict[str, list[str]] = {}
        self.forgetting_fails: list[HaulError] = []
        self.before_write: Callable[[str], Fault | None] = lambda _: None
        self._arns = count(1)
        self._writers = count(1)

    # What happens to it -------------------------------------------------------------------------------------------

    def start(self, pipeline: str = "people", *, version: str = "@latest", base: str | None = None, **more: Any) -> Run:
        event = {
            "version": 1,
            "pipeline": pipeline,
            "vendor": "fake",
            "action": "export",
            "connection": "fake-acme",
            "request": {"version": version, **({"base": base} if base else {})},
            **more,
        }
        return self._execute(event)

    def rerun(self, record: RunRecord, *, resubmit: bool = False, link: bool = False) -> Run:
        event = {
            "version": 1,
            "pipeline": record.pipeline,
            "rerun": {"run_id": record.run_id, "resubmit": resubmit, "link": link},
            "trigger": {"type": "manual"},
        }
        return self._execute(event)

    def _execute(self, event: dict[str, Any]) -> Run:
        arn = f"arn:aws:states:eu-west-1:123456789012:execution:Export:{next(self._arns)}"
        self.executions[arn] = Run(arn, event)
        return self.executions[arn]

    def run(self, execution: Run, *, until: str | None = None, finish: bool = True) -> Run:
        """Step an execution to its end, or until its next step is `until`; its job finishes when it is waited for."""
        for _ in range(200):
            if execution.status != "RUNNING" or execution.step == until:
                return execution
            if execution.step == "check" and finish:
                self.vendor.finish()
            if execution.step == "check":
                self.pass_time(execution)
            self.step(execution)
        raise AssertionError("the execution does not end")

    def pass_time(self, execution: Run) -> None:
        self.now += timedelta(seconds=max(1, execution.state.get("wait_seconds", 1)))

    def pass_hours(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    def abort(self, execution: Run) -> None:
        if execution.status == "RUNNING":
            execution.status = "ABORTED"

    def rule(self, execution: Run) -> None:
        """EventBridge says how an execution ended, once more or for the first time."""
        if execution.status in {"FAILED", "ABORTED", "TIMED_OUT"}:
            ending = Ending(execution.arn, execution.status, execution.error, execution.cause, execution.event)
            self.endings().abandon(ending, now=self.now)

    def sweep(self) -> None:
        for error in self.endings().sweep(now=self.now).failures.values():
            raise error

    # One Lambda ---------------------------------------------------------------------------------------------------

    def step(self, execution: Run) -> None:
        """Invoke the execution's next step once, and go where the state machine goes."""
        step, state = execution.step, dict(execution.state)
        execution.stale.append((step, state))
        try:
            answer = self.invoke(execution, step, state)
        except (KilledError, TransientError) as error:
            execution.failures += 1
            if execution.failures <= RETRIES:
                return
            name = "Runtime.ExitError" if isinstance(error, KilledError) else type(error).__name__
            self._caught(execution, step, name, str(error))
        except HaulError as error:
            self._caught(execution, step, type(error).__name__, str(error))
        else:
            if execution.status == "RUNNING":
                execution.failures = 0
                self._go(execution, step, answer)

    def invoke(self, execution: Run, step: str, state: dict[str, Any]) -> dict[str, Any]:
        """Run one handler's decision with a writer of its own."""
        now = self.now
        if step == "schedule":
            flow = ExportFlow(self.ledger(), self.site, connect=self.connect)
            return _dump(attempts.begin(execution.event, Execution(execution.arn, now), flow, now=now))
        if step == "abandon":
            ending = Ending(
                execution.arn,
                error=execution.error,
                cause=execution.cause,
                event=state or execution.event,
                run_id=state.get("run_id"),
            )
            ended = self.endings().abandon(ending, now=now)
            return {"published": ended.published, "error": ended.error, "cause": ended.cause}
        export = Export.model_validate(state)
        if step.startswith("download"):
            finished = self._download(export, int(step.split(" ")[1]), state.get("turn", 0))
            plain = {name: value for name, value in state.items() if name != "turn"}
            return plain if finished else plain | {"turn": state.get("turn", 0) + 1}
        return _dump(self._decide(step, export, now)) if step != "notify" else self._notify(execution, export)

    def _decide(self, step: str, export: Export, now: datetime) -> Export:
        match step:
            case "check":
                flow = ExportFlow(self.ledger(), self.site, connect=self.connect)
                return attempts.check(export, self.connector(export), flow, landing=self.landing, now=now)
            case "plan":
                return exports.plan(
                    export, ledger=self.ledger(), connector=self.connector(export), landing=self.landing
                )
            case "publish":
                return publishing.publish(export, ledger=self.ledger(), landing=self.landing, site=self.site, now=now)
        raise AssertionError(step)

    def _download(self, export: Export, number: int, turn: int) -> bool:
        assert export.plan is not None
        raw = self.landing.read(export.plan.key)
        assert raw is not None

        items = [PlanItem.model_validate(item) for item in json.loads(raw)]
        wanted = Download(
            item=items[number],
            **export.model_dump(
                include={"run_id", "pipeline", "execution", "vendor", "connection", "options", "link"},
            ),
            landing=export.landing,
            job=export.job,
            plan=export.plan,
            turn=turn,
        )
        came = Downloader(
            wanted=wanted,
            ledger=self.ledger(),
            connector=self.connector(wanted),
            landing=self.landing,
            land_file=self._land_file,
            pause=self.paused.append,
            clock=lambda: self.now,
            time_left=lambda: self.time_left,
            pace=Pace(None, lambda: 0.0),
        ).run()
        return came.finished

    def _land_file(self, *given: Any, **named: Any) -> LandedFile:
        if self.downloads_fail:
            raise self.downloads_fail.pop(0)
        return fake_land_file(*given, **named)

    def _notify(self, execution: Run, work: Work) -> dict[str, Any]:
        record = self.ledger().run(work.pipeline, work.run_id)
        if record and record.execution == execution.arn:
            self.endings().settle(record, now=self.now)
        return {}

    def _caught(self, execution: Run, step: str, error: str, cause: str) -> None:
        if execution.status != "RUNNING":
            return
        execution.failures = 0
        if step.startswith("download"):
            execution.step = self._after_download(execution, step)
            return
        if step in {"abandon", "notify"}:
            execution.status = "SUCCEEDED" if step == "notify" else "FAILED"
            return
        execution.error, execution.cause, execution.step = error, cause, "abandon"

    def _go(self, execution: Run, step: str, answer: dict[str, Any]) -> None:
        if step == "abandon":
            execution.status = "SUCCEEDED" if answer["published"] else "FAILED"
            execution.error, execution.cause = answer["error"], answer["cause"]
            return
        if step == "notify":
            execution.status = "SUCCEEDED"
            return
        execution.state = answer
        if step in {"schedule", "check"}:
            waits = answer["status"] in {JobStatus.RUNNING, JobStatus.UNKNOWN}
            execution.step = "notify" if answer["outcome"] else "check" if waits else "plan"
        elif step == "plan":
            execution.step = "download 0" if answer["plan"]["items"] else "publish"
        elif step.startswith("download"):
            execution.step = step if answer.get("turn") else self._after_download(execution, step)
        else:
            execution.step = "notify"

    def _after_download(self, execution: Run, step: str) -> str:
        number = int(step.split(" ")[1]) + 1
        return f"download {number}" if number < execution.state["plan"]["items"] else "publish"

    # What the decisions are given ---------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        store = FaultyStore(self.store, self._before_write)
        return Ledger(store, writer=f"writer-{next(self._writers)}")

    def connect(self, vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
        del vendor, options
        if connection != "fake-acme":
            raise UnknownConnectionError(f"connection: there is no secret haul/test/{connection}")
        return self.vendor

    def connector(self, of: Export | Download) -> Connector:
        if not of.link:
            return self.vendor
        if of.run_id not in self.links:
            raise InvalidEventError(f"rerun.link: nobody handed over a link for run {of.run_id}")
        return self.vendor.with_links(self.links[of.run_id])

    def forget(self, run_id: str) -> None:
        if self.forgetting_fails:
            raise self.forgetting_fails.pop(0)
        self.links.pop(run_id, None)

    def _before_write(self, key: str) -> Fault | None:
        return self.before_write(key)

    def endings(self) -> Endings:
        return Endings(
            ledger=self.ledger(),
            landing=self.landing,
            notifier=self,
            site=self.site,
            vendor_of=lambda work: exports.vendor(self.connect(work.vendor, work.connection, work.options)),
            links=self,
            executions=self,
        )

    def tell(self, notice: Notice) -> None:
        self.notices.append(notice)

    def describe(self, execution: str) -> ExecutionState | None:
        found = self.executions.get(execution)
        return ExecutionState(found.status, found.error, found.cause) if found else None

    # What came of it ----------------------------------------------------------------------------------------------

    def records(self, pipeline: str = "people") -> list[RunRecord]:
        ledger = Ledger(self.store)
        found = (ledger.run(pipeline, run_id) for run_id in ledger.runs(pipeline))
        return [record for record in found if record]

    def manifests(self) -> list[str]:
        return list(self.store.keys("manifests/"))

    def outcomes(self, pipeline: str = "people") -> list[Outcome | None]:
        return [record.outcome for record in self.records(pipeline)]


def _dump(export: Export) -> dict[str, Any]:
    return export.model_dump(mode="json", by_alias=True)


class SimulatedWorld(World):
    """A world with a real connector and the real transfer, down to the bytes of the files of a simulator."""

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self._connector = connector

    def connect(self, vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
        del vendor, connection, options
        return self._connector

    def connector(self, of: Export | Download) -> Connector:
        if not of.link:
            return self._connector
        assert isinstance(self._connector, TakesLinks)
        return self._connector.with_links(self.links[of.run_id])

    def _land_file(self, *given: Any, **named: Any) -> LandedFile:
        return land_file(*given, **named)

    @property
    def landed(self) -> list[bytes]:
        """Every file that landed, in no order."""
        return [found.body for key, found in self.landing.objects.items() if key.startswith("raw/")]
