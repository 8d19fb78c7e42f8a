import io
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from rich.console import Console

from haul.attempts import read_start
from haul.cli import running, watching
from haul.cli.watching import Progress, versions
from haul.errors import LedgerBusyError
from haul.models.event import Outcome
from haul.models.ledger import RunRecord
from haul.models.work import Watermark
from tests.unit.cli.conftest import Haul


def snapshots(haul: Haul) -> list[Progress]:
    """Every look at a run that goes on between looks."""
    haul.flow.until, haul.flow.goes_on = "schedule", True
    execution = haul.world.start()
    find = running.finder(read_start(execution.event), execution.arn, haul.deployment)
    return list(watching.follow(haul.deployment, execution.arn, find))


def test_following_a_run_shows_its_states_files_and_bytes_until_people_were_told(haul: Haul) -> None:
    looks = snapshots(haul)

    states = [look.record.state if look.record else None for look in looks]
    assert states[0] is None
    assert list(dict.fromkeys(states)) == [None, "RUNNING", "PUBLISHED"]
    assert looks[-1].record is not None
    assert looks[-1].record.told
    assert looks[-1].outcome is Outcome.SUCCEEDED
    assert (looks[-1].files_planned, looks[-1].files_landed) == (2, 2)
    assert looks[-1].bytes_landed > 0
    assert watching.exit_code(looks[-1]) == 0


def test_a_run_that_nobody_tells_of_is_followed_for_a_while_and_no_longer(haul: Haul) -> None:
    haul.flow.until = "notify"
    haul("run", "people")
    (record,) = haul.world.records()

    looks = list(watching.follow(haul.deployment, record.execution, lambda: haul.world.records()[0]))

    assert looks[-1].outcome is Outcome.SUCCEEDED
    assert looks[-1].at - looks[0].at < timedelta(seconds=30)


def test_looks_become_rarer_while_nothing_moves(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    (record,) = haul.world.records()
    looks = watching.follow(haul.deployment, record.execution, lambda: record)

    times = [next(looks).at for _ in range(20)]

    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1
    assert gaps[-1] == 5


@pytest.mark.parametrize(("failures", "ends_well"), [(9, True), (10, False)])
def test_a_look_that_fails_is_tried_again_so_many_times_in_a_row(
    haul: Haul,
    failures: int,
    ends_well: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    haul("run", "people")
    (record,) = haul.world.records()
    troubles = [LedgerBusyError("the ledger did not answer")] * failures

    def find() -> RunRecord:
        if troubles:
            raise troubles.pop()
        return record

    looks = watching.follow(haul.deployment, record.execution, find)

    if ends_well:
        assert [look.outcome for look in looks] == [Outcome.SUCCEEDED]
    else:
        with pytest.raises(LedgerBusyError):
            next(looks)


def test_in_a_terminal_the_steps_stand_below_one_another(haul: Haul) -> None:
    looks = snapshots(haul)
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system=None, width=100)

    last = watching.show(looks, console, clock=haul.deployment.clock, environment="test")

    final = written.getvalue().rpartition("run 2026")[2].splitlines()
    assert last == looks[-1]
    assert [line.split()[:2] for line in final[1:5]] == [
        ["✓", "submitted"],
        ["✓", "vendor"],
        ["✓", "download"],
        ["✓", "publish"],
    ]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (Watermark(from_="7", to="8"), "7 -> 8"),
        (Watermark(to="8"), "8"),
        (Watermark(from_="2026-11-22T05:00:00Z"), "since 2026-11-22T05:00:00Z"),
        (Watermark(), ""),
    ],
)
def test_a_run_says_from_where_to_where_it_goes(mark: Watermark, said: str) -> None:
    assert versions(mark) == said


def test_a_step_that_failed_is_the_last_one_shown(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    haul("cancel", haul.world.records()[0].run_id)

    progress = Progress(at=haul.world.now, record=haul.world.records()[0])

    assert [(step.name, step.state) for step in watching.steps(progress, haul.world.now)] == [
        ("submitted", "done"),
        ("vendor ready", "failed"),
    ]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_an_exit_status_and_an_end(haul: Haul, outcome: Outcome) -> None:
    haul("run", "people")
    (record,) = haul.world.records()
    progress = Progress(at=haul.world.now, record=record.model_copy(update={"outcome": outcome}))

    statuses = {"SUCCEEDED": 0, "JOINED": 0, "NOTHING_NEW": 3, "PARTIAL": 4}
    assert watching.exit_code(progress) == statuses.get(outcome, 1)
    assert str(outcome) in watching.ending(progress, "test")[0].plain


def test_bytes_are_of_the_whole_where_the_vendor_says_how_much_there_is(haul: Haul) -> None:
    haul.flow.until = "publish"
    haul("run", "people")
    progress = Progress(at=haul.world.now, record=haul.world.records()[0], files_landed=1, bytes_landed=31_900_000)

    known = watching.steps(replace(progress, bytes_planned=48_200_000), haul.world.now)[2]
    unknown = watching.steps(progress, haul.world.now)[2]

    assert known.text.startswith("1 of 2 files   31.9 of 48.2 MB")
    assert unknown.text.startswith("1 of 2 files   31.9 MB")


def test_watch_ends_with_the_outcomes_status(haul: Haul) -> None:
    haul("run", "people")
    haul("run", "people")

    result = haul("watch", haul.world.records()[-1].run_id)

    assert result.exit_code == 3
    assert "NOTHING_NEW  7000001 is published already" in result.stdout


def test_interrupted_a_watch_says_that_the_run_goes_on(haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    (record,) = haul.world.records()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(haul.flow, "pause", interrupted)
    object.__setattr__(haul.deployment, "pause", interrupted)
    result = haul("watch", record.run_id)

    assert result.exit_code == 130
    assert f"haul watch {record.run_id} --env test watches again" in result.stderr
