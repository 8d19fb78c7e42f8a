"""Random interleavings of attempts, kills at any write, lost replies and duplicate triggers: guarantees 1 to 3.

The same machine runs against S3 in `tests/flow/test_ledger_on_s3.py`.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from haul.errors import HaulError
from haul.ledger import Ledger
from haul.models.ledger import RunRecord, RunState
from haul.models.manifest import ExportManifest
from haul.models.work import JobStatus
from haul.ports import Store
from tests.fakes.memory_store import Fault, KilledError, MemoryStore
from tests.fakes.vendor import LIKE_VISIER, LISTS_RUNNING_AND_CANCELS
from tests.fakes.world import Run as Execution
from tests.fakes.world import World, fake_vendor

FAULTS: tuple[Fault, ...] = ("kill-before", "kill-after", "lost-request", "lost-reply", "conflict")
PIPELINES = ("people", "archive")
ANY = st.integers(0, 3)
WRITES = st.integers(0, 7)
ENDED = {RunState.PUBLISHED, RunState.ENDED, RunState.ABANDONED}


class Guarantees(RuleBasedStateMachine):
    """What may happen to runs, in any order; what must hold, always."""

    new_store: Callable[[], Store] = MemoryStore

    def __init__(self) -> None:
        super().__init__()
        self.with_vendor = fake_vendor()
        self.with_vendor.__enter__()
        self.seen: dict[str, str] = {}
        self.watermarks: dict[str, tuple[int, str]] = {}
        self.people: set[str] = set()

    @initialize(cancels=st.booleans())
    def begin(self, *, cancels: bool) -> None:
        can = LISTS_RUNNING_AND_CANCELS if cancels else LIKE_VISIER
        self.world = World(type(self).new_store(), capabilities=can)

    # What may happen ----------------------------------------------------------------------------------------------

    @rule(
        pipeline=st.sampled_from(PIPELINES),
        trigger=st.sampled_from([None, "a", "b"]),
        version=st.sampled_from(["@latest", "@latest", "7000001"]),
        base=st.sampled_from([None, "@last-published"]),
    )
    def trigger(self, pipeline: str, trigger: str | None, version: str, base: str | None) -> None:
        more: dict[str, Any] = {"id": trigger} if trigger else {}
        self.world.start(pipeline, version=version, base=base if version == "@latest" else None, **more)

    @precondition(lambda self: self.given_up())
    @rule(which=ANY, resubmit=st.booleans())
    def somebody_reruns(self, which: int, *, resubmit: bool) -> None:
        records = self.given_up()
        record = records[which % len(records)]
        if resubmit:
            self.people.add(f"{record.pipeline}/{record.run_id}")
        self.world.rerun(record, resubmit=resubmit)

    @precondition(lambda self: self.running())
    @rule(which=ANY, steps=st.integers(1, 5))
    def it_goes_on(self, which: int, steps: int) -> None:
        execution = self.one_of(self.running(), which)
        for _ in range(steps):
            if execution.status == "RUNNING":
                self.world.step(execution)

    @precondition(lambda self: self.running())
    @rule(which=ANY, step=st.sampled_from(["check", "plan", "publish", "notify"]))
    def it_comes_as_far_as(self, which: int, step: str) -> None:
        """Deep states are where most can go wrong, and few random walks come there."""
        self.world.run(self.one_of(self.running(), which), until=step)

    @precondition(lambda self: self.running())
    @rule(which=ANY, fault=st.sampled_from(FAULTS), at=WRITES)
    def it_goes_on_with_a_fault(self, which: int, fault: Fault, at: int) -> None:
        """The step's `at`-th write meets the fault."""
        execution = self.one_of(self.running(), which)
        with _AtWrite(self.world, at, lambda: fault):
            self.world.step(execution)

    @precondition(lambda self: self.running())
    @rule(which=ANY, at=WRITES)
    def the_same_step_runs_twice_at_once(self, which: int, at: int) -> None:
        """Before the step's `at`-th write, a second invocation of the same step runs from begin to end."""
        execution = self.one_of(self.running(), which)
        step, state = execution.step, dict(execution.state)
        with _AtWrite(self.world, at, lambda: self.nobody_hears(execution, step, state)):
            self.world.step(execution)

    @precondition(lambda self: len(self.running()) > 1)
    @rule(which=ANY, other=ANY, at=WRITES, steps=st.integers(1, 5))
    def another_execution_gets_in_between(self, which: int, other: int, at: int, steps: int) -> None:
        execution = self.one_of(self.running(), which)
        second = self.one_of([each for each in self.running() if each is not execution], other)

        def meanwhile() -> None:
            for _ in range(steps):
                if second.status == "RUNNING":
                    self.world.step(second)

        with _AtWrite(self.world, at, meanwhile):
            self.world.step(execution)

    @precondition(lambda self: self.running())
    @rule(which=ANY, at=WRITES, told=st.booleans())
    def somebody_stops_it_in_the_middle(self, which: int, at: int, *, told: bool) -> None:
        """Before the step's `at`-th write the execution is aborted, and Abandon runs from begin to end."""
        execution = self.one_of(self.running(), which)

        def meanwhile() -> None:
            self.world.abort(execution)
            if told:
                self.world.rule(execution)

        with _AtWrite(self.world, at, meanwhile):
            self.world.step(execution)

    @precondition(lambda self: self.world.executions)
    @rule(which=ANY, step=ANY)
    def an_old_invocation_comes_to_life(self, which: int, step: int) -> None:
        """A step that was invoked long ago does its work now, once more."""
        execution = self.one_of(list(self.world.executions.values()), which)
        if execution.stale:
            self.nobody_hears(execution, *execution.stale[-1 - step % len(execution.stale)])

    @precondition(lambda self: self.world.executions)
    @rule(which=ANY)
    def the_rule_says_how_it_ended(self, which: int) -> None:
        self.world.rule(self.one_of(list(self.world.executions.values()), which))

    @rule(
        what=st.sampled_from(
            [
                *("finish", "finish", "fail", "new version", "an hour", "a day", "polls fail"),
                *("lost-reply", "lost-request", "unreachable", "rate-limited"),
            ]
        )
    )
    def the_world_goes_on(self, what: Any) -> None:
        vendor = self.world.vendor
        match what:
            case "finish":
                vendor.finish()
            case "fail":
                vendor.finish(JobStatus.FAILED)
            case "new version":
                vendor.newest = str(int(vendor.newest) + 1)
            case "an hour" | "a day":
                self.world.pass_hours(1.1 if what == "an hour" else 25)
            case "polls fail":
                vendor.status_faults = 2
            case fault:
                vendor.submit_faults = [fault]

    @rule(at=WRITES, fault=st.sampled_from([None, "kill-before", "kill-after", "lost-reply"]))
    def the_sweep_passes(self, at: int, fault: Fault | None) -> None:
        with _AtWrite(self.world, at, lambda: fault):
            try:
                self.world.sweep()
            except KilledError:
                return

    def running(self) -> list[Execution]:
        return [execution for execution in self.world.executions.values() if execution.status == "RUNNING"]

    def given_up(self) -> list[RunRecord]:
        records = [record for pipeline in PIPELINES for record in self.world.records(pipeline)]
        return [record for record in records if record.state is RunState.ABANDONED]

    def one_of(self, executions: list[Execution], which: int) -> Execution:
        """The newest are 0, 1, ...: what happens to them together is what can go wrong."""
        return executions[-1 - which % len(executions)]

    def nobody_hears(self, execution: Execution, step: str, state: dict[str, Any]) -> None:
        """Run a step whose answer goes nowhere."""
        try:
            self.world.invoke(execution, step, state)
        except (HaulError, KilledError):
            return

    # What must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def no_two_live_jobs_for_one_request(self) -> None:
        """Guarantee 1, but for jobs that a person asked for while another was in doubt."""
        live: dict[str, list[str]] = {}
        for job in self.world.vendor.live():
            if not any(job.run_id == person.split("/")[1] for person in self.people):
                live.setdefault(str(job.request), []).append(job.id)
        assert all(len(jobs) == 1 for jobs in live.values()), live

    @invariant()
    def a_run_submits_again_only_when_a_person_says_so(self) -> None:
        submitted = [job.run_id for job in self.world.vendor.jobs]
        for pipeline in PIPELINES:
            for record in self.world.records(pipeline):
                assert submitted.count(record.run_id) <= record.attempt

    @invariant()
    def the_days_quota_is_never_exceeded(self) -> None:
        by_day: dict[str, int] = {}
        for job in self.world.vendor.jobs:
            by_day[f"{job.made_at:%Y-%m-%d}"] = by_day.get(f"{job.made_at:%Y-%m-%d}", 0) + 1
        assert all(made <= 10 for made in by_day.values())

    @invariant()
    def a_manifest_is_whole_and_never_changes(self) -> None:
        """Guarantee 2."""
        sequences: dict[str, list[int]] = {}
        for key in self.world.manifests():
            stored = self.world.store.get(key)
            assert stored is not None
            assert self.seen.setdefault(key, stored.body) == stored.body
            manifest = ExportManifest.model_validate_json(stored.body)
            sequences.setdefault(manifest.pipeline, []).append(manifest.sequence)
            files = [file for dataset in manifest.datasets for file in dataset.files]
            assert len(files) == manifest.totals.files == self.world.vendor.files_per_result
            for file in files:
                landed = self.world.landing.head(file.uri.removeprefix("s3://landing/"))
                assert landed is not None
                assert landed.checksum == file.checksum.value
        for pipeline, numbers in sequences.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
            last = Ledger(self.world.store).latest(pipeline).last
            assert last is None or last.sequence <= len(numbers)

    @invariant()
    def a_delta_starts_where_its_readers_are(self) -> None:
        for pipeline in PIPELINES:
            bodies = [self.world.store.get(key) for key in self.world.store.keys(f"manifests/{pipeline}/")]
            made = [ExportManifest.model_validate_json(stored.body) for stored in bodies if stored]
            newest = ""
            for manifest in sorted(made, key=lambda each: each.sequence):
                assert manifest.mode == "full" or manifest.watermark.from_ == newest
                newest = max(newest, manifest.watermark.to or "")

    @invariant()
    def the_latest_moves_forward_only(self) -> None:
        for pipeline in PIPELINES:
            latest = Ledger(self.world.store).latest(pipeline)
            now = (latest.last.sequence if latest.last else 0, latest.version or "")
            before = self.watermarks.get(pipeline, (0, ""))
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            self.watermarks[pipeline] = now

    def teardown(self) -> None:
        """Guarantee 3: when everything has stopped and the sweep has passed, nothing is left and all is told."""
        try:
            if hasattr(self, "world"):
                self._everything_stops()
        finally:
            self.with_vendor.__exit__(None, None, None)

    def _everything_stops(self) -> None:
        self.world.before_write = lambda _: None
        self.world.vendor.submit_faults.clear()
        self.world.vendor.status_faults = 0
        for execution in self.world.executions.values():
            self.world.abort(execution)
        self.world.pass_hours(1)
        self.world.sweep()
        for pipeline in PIPELINES:
            for record in self.world.records(pipeline):
                self._nothing_is_left_of(record)
        assert not list(Ledger(self.world.store).active())
        assert not self.world.landing.uploads
        self.a_manifest_is_whole_and_never_changes()

    def _nothing_is_left_of(self, record: RunRecord) -> None:
        assert record.state in ENDED
        assert record.told
        assert self.world.landing.read(f"runs/{record.pipeline}/{record.run_id}.json") is not None
        told = [notice.detail for notice in self.world.notices if notice.detail_type == "Haul Run Ended"]
        outcomes = {detail["outcome"] for detail in told if detail["run_id"] == record.run_id}
        assert 1 <= len(outcomes) <= record.attempt, "an attempt ends in one way, and somebody is told"
        assert record.outcome in outcomes
        published = f"manifests/{record.pipeline}/{record.run_id}.json" in self.world.manifests()
        assert published == (record.state is RunState.PUBLISHED)


class _AtWrite:
    """Makes something happen at one write, not counting the writes that it makes itself."""

    def __init__(self, world: World, at: int, happens: Callable[[], Fault | None]) -> None:
        self._world = world
        self._left = at
        self._happens = happens

    def __enter__(self) -> None:
        self._world.before_write = self._before_write

    def __exit__(self, *_: object) -> None:
        self._world.before_write = lambda _: None

    def _before_write(self, key: str) -> Fault | None:
        del key
        self._left -= 1
        if self._left != -1:
            return None
        return self._happens()


Guarantees.TestCase.settings = settings(
    max_examples=int(os.environ.get("GUARANTEES_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGuarantees = Guarantees.TestCase
