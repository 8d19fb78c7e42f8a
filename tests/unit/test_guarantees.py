"""Random interleavings of attempts, kills at any write, lost replies and duplicate triggers: guarantees 1 to 3.

The same machine runs against S3 in `tests/flow/test_ledger_on_s3.py`.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from haul.ledger import Ledger
from haul.models.export import JobStatus
from haul.models.ledger import RunRecord, RunState
from haul.models.manifest import Manifest
from haul.ports import Store
from tests.fakes.memory_store import Fault, KilledError, MemoryStore
from tests.fakes.vendor import LIKE_VISIER, LISTS_RUNNING_AND_CANCELS
from tests.fakes.world import Run as Execution
from tests.fakes.world import World

FAULTS: tuple[Fault, ...] = ("kill-before", "kill-after", "lost-request", "lost-reply", "conflict")
PIPELINES = ("people", "archive")
ENDED = {RunState.PUBLISHED, RunState.ENDED, RunState.ABANDONED}


class Guarantees(RuleBasedStateMachine):
    """What may happen to runs, in any order; what must hold, always."""

    executions = Bundle("executions")
    new_store: Callable[[], Store] = MemoryStore

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, str] = {}
        self.watermarks: dict[str, tuple[int, str]] = {}
        self.people: set[str] = set()

    @initialize(cancels=st.booleans())
    def begin(self, *, cancels: bool) -> None:
        can = LISTS_RUNNING_AND_CANCELS if cancels else LIKE_VISIER
        self.world = World(type(self).new_store(), capabilities=can)

    # What may happen ----------------------------------------------------------------------------------------------

    @rule(
        target=executions,
        pipeline=st.sampled_from(PIPELINES),
        trigger=st.sampled_from([None, "a", "b"]),
        version=st.sampled_from(["@latest", "7000001", "7000002"]),
    )
    def trigger(self, pipeline: str, trigger: str | None, version: str) -> Execution:
        more: dict[str, Any] = {"id": trigger} if trigger else {}
        return self.world.start(pipeline, version=version, **more)

    @rule(target=executions, pipeline=st.sampled_from(PIPELINES), resubmit=st.booleans())
    def rerun(self, pipeline: str, *, resubmit: bool) -> Any:
        given_up = [record for record in self.world.records(pipeline) if record.state is RunState.ABANDONED]
        if not given_up:
            return multiple()
        if resubmit:
            self.people.add(f"{pipeline}/{given_up[-1].run_id}")
        return self.world.rerun(given_up[-1], resubmit=resubmit)

    @rule(execution=executions, steps=st.integers(1, 6))
    def go_on(self, execution: Execution, steps: int) -> None:
        for _ in range(steps):
            if execution.status == "RUNNING":
                self.world.step(execution)

    @rule(execution=executions, fault=st.sampled_from(FAULTS), at=st.integers(0, 6))
    def go_on_with_a_fault(self, execution: Execution, fault: Fault, at: int) -> None:
        """The step's `at`-th write meets the fault."""
        if execution.status == "RUNNING":
            with self._at_write(at, lambda: fault):
                self.world.step(execution)

    @rule(execution=executions, other=executions, at=st.integers(0, 6), same=st.booleans())
    def go_on_beside_another(self, execution: Execution, other: Execution, at: int, *, same: bool) -> None:
        """Before the step's `at`-th write, the same step is run by a second invocation, or another execution steps."""
        if execution.status != "RUNNING":
            return
        step, state = execution.step, dict(execution.state)

        def meanwhile() -> None:
            if same:
                self._zombie(execution, step, state)
            elif other is not execution and other.status == "RUNNING":
                self.world.step(other)

        with self._at_write(at, meanwhile):
            self.world.step(execution)

    @rule(execution=executions, which=st.integers(0, 5))
    def an_old_invocation_comes_to_life(self, execution: Execution, which: int) -> None:
        """A step that was invoked long ago does its work now, once more."""
        if execution.stale:
            step, state = execution.stale[which % len(execution.stale)]
            self._zombie(execution, step, state)

    @rule(fault=st.sampled_from(["lost-reply", "lost-request", "unreachable", "rate-limited"]))
    def the_next_submission_fails(self, fault: Any) -> None:
        if len(self.world.vendor.submit_faults) < 2:
            self.world.vendor.submit_faults.append(fault)

    @rule(times=st.integers(1, 3))
    def polls_fail(self, times: int) -> None:
        self.world.vendor.status_faults = times

    @rule(status=st.sampled_from([JobStatus.SUCCEEDED, JobStatus.SUCCEEDED, JobStatus.FAILED]))
    def the_vendor_ends_its_jobs(self, status: JobStatus) -> None:
        self.world.vendor.finish(status)

    @rule()
    def a_new_version_appears(self) -> None:
        self.world.vendor.newest = str(int(self.world.vendor.newest) + 1)

    @rule(hours=st.sampled_from([0.01, 1, 7, 24 * 15]))
    def time_passes(self, hours: float) -> None:
        self.world.pass_hours(hours)

    @rule(execution=executions)
    def somebody_stops_it(self, execution: Execution) -> None:
        self.world.abort(execution)

    @rule(execution=consumes(executions))
    def it_is_stopped_and_the_rule_says_so(self, execution: Execution) -> None:
        self.world.abort(execution)
        self.world.rule(execution)

    @rule(execution=executions)
    def the_rule_says_it_again(self, execution: Execution) -> None:
        self.world.rule(execution)

    @rule(at=st.integers(0, 6), fault=st.sampled_from(["kill-before", "kill-after", "lost-reply"]))
    def the_sweep_is_killed(self, at: int, fault: Fault) -> None:
        with self._at_write(at, lambda: fault):
            try:
                self.world.sweep()
            except KilledError:
                return

    @rule()
    def the_sweep_passes(self) -> None:
        self.world.sweep()

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
            manifest = Manifest.model_validate_json(stored.body)
            sequences.setdefault(manifest.pipeline, []).append(manifest.sequence)
            files = [file for dataset in manifest.datasets for file in dataset.files]
            assert len(files) == manifest.totals.files == self.world.vendor.files_per_result
            for file in files:
                landed = self.world.landing.head(file.uri.removeprefix("s3://landing/"))
                assert landed is not None
                assert landed.checksum == file.checksum.value
        for numbers in sequences.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))

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
        if not hasattr(self, "world"):
            return
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
        assert any(notice.detail["run_id"] == record.run_id for notice in self.world.notices)
        published = f"manifests/{record.pipeline}/{record.run_id}.json" in self.world.manifests()
        assert published == (record.state is RunState.PUBLISHED)

    # How it is made to happen -------------------------------------------------------------------------------------

    def _zombie(self, execution: Execution, step: str, state: dict[str, Any]) -> None:
        """Run a step whose answer nobody hears."""
        try:
            self.world.invoke(execution, step, state)
        except (Exception, KilledError):  # noqa: BLE001 - nobody hears that either
            return

    def _at_write(self, at: int, happens: Callable[[], Fault | None]) -> "_Once":
        return _Once(self.world, at, happens)


class _Once:
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
