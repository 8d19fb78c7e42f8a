"""Cancelling a job while others come to wait for it: nobody is left with a job that was cancelled under his feet."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from haul.models.event import Outcome
from haul.models.work import Job
from tests.fakes.memory_store import Fault
from tests.fakes.vendor import LISTS_RUNNING_AND_CANCELS
from tests.fakes.world import Run, World, fake_vendor

FAULTS: tuple[Fault, ...] = ("kill-before", "kill-after", "lost-request", "lost-reply", "conflict")


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


def _while_it_is_cancelled(world: World, happens: Callable[[], Run]) -> list[Run]:
    """Let something happen between the decision to cancel and the vendor's hearing of it."""
    cancel, came = world.vendor.cancel, list[Run]()

    def slowly(job: Job) -> None:
        world.vendor.cancel = cancel  # type: ignore[method-assign]
        came.append(happens())
        cancel(job)

    world.vendor.cancel = slowly  # type: ignore[method-assign]
    return came


def test_a_rerun_that_overtakes_the_cancelling_of_its_job_goes_on_with_another() -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    came = _while_it_is_cancelled(world, lambda: world.run(world.rerun(world.records()[0]), until="check"))
    world.abort(execution)

    world.rule(execution)
    world.run(came[0])

    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert world.vendor.posts == 2
    assert not world.vendor.live()


def test_a_run_of_another_pipeline_that_takes_a_job_up_while_it_is_cancelled_goes_on_with_another() -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    came = _while_it_is_cancelled(world, lambda: world.run(world.start("archive"), until="check"))
    world.abort(execution)

    world.rule(execution)
    world.run(came[0])

    assert world.outcomes("archive") == [Outcome.SUCCEEDED]


def test_a_job_that_another_run_came_to_wait_for_just_before_is_not_cancelled() -> None:
    """Abandon has read the job's record, and another run takes the job up before anything is cancelled."""
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    first = world.run(world.start(), until="check")
    world.abort(first)
    came = list[Run]()

    def just_before(key: str) -> None:
        if key.startswith("ledger/_jobs/") and not came:
            came.append(world.start("archive"))
            world.run(came[0], until="check")

    world.before_write = just_before
    world.rule(first)
    world.before_write = lambda _: None
    world.run(came[0])

    assert world.outcomes("archive") == [Outcome.SUCCEEDED]
    assert not world.vendor.cancelled


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", range(4))
def test_going_on_after_a_cancelled_job_stands_being_killed(fault: Fault, at: int) -> None:
    world = World(capabilities=LISTS_RUNNING_AND_CANCELS)
    execution = world.run(world.start(), until="check")
    came = _while_it_is_cancelled(world, lambda: world.run(world.rerun(world.records()[0]), until="check"))
    world.abort(execution)
    world.rule(execution)
    writes = count()
    world.before_write = lambda _: fault if next(writes) == at else None

    world.run(came[0])

    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert world.vendor.posts == 2
