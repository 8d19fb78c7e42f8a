"""The bench measures what it says: whole runs, other people's memory left out, and pages that show its results."""

import math
import sys
from pathlib import Path

import pytest

from tests.bench import contenders, pictures, prices, report, servers
from tests.bench.goals import Goal, of_moves, of_ranges, ratio
from tests.bench.measuring import FailedError, Spread, Took, run
from tests.bench.moving import Result
from tests.bench.servers import Place

RESULTS = report.load()


def test_the_page_shows_the_last_results() -> None:
    """`python -m tests.bench --docs` makes it so."""
    page = report.PAGE.read_text()

    assert report.page(page, RESULTS) == page


@pytest.mark.parametrize("name", ["throughput.svg", "memory.svg"])
def test_the_pictures_show_the_last_results(name: str) -> None:
    assert (report.PICTURES / name).read_text() == report.pictures(RESULTS)[name]


def test_the_last_results_have_every_contender_or_a_reason() -> None:
    plain = [row for row in RESULTS["moves"] if row["setting"] == "nginx to nginx"]

    assert [row["contender"] for row in plain] == [contender.name for contender in contenders.ALL]
    assert all("skipped" in row or row["rounds"] >= 3 for row in plain)


def test_a_page_without_a_place_for_something_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for machine"):
        report.page("# Performance", RESULTS)


@pytest.fixture
def stored(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    (place.store / servers.BUCKET).mkdir(parents=True)
    (tmp_path / "source").write_bytes(b"abcdefghij")
    return place


@pytest.mark.parametrize(
    ("parts", "same"),
    [
        ({"k": b"abcdefghij"}, True),
        ({"k.part": b"abcdefghij"}, True),
        ({"k.part2": b"fghij", "k.part1": b"abcde"}, True),
        ({f"k.part{n + 1}": bytes([byte]) for n, byte in enumerate(b"abcdefghij")}, True),
        ({"k.part1.framed": b"5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n", "k.part2": b"fghij"}, True),
        ({"k.part.framed": b"6;chunk-signature=1\r\nabcdef\r\n4\r\nghij\r\n0\r\n\r\n"}, True),
        ({"k.part1": b"fghij", "k.part2": b"abcde"}, False),
        ({"k.part1": b"abcde"}, False),
        ({"k.part1": b"abcdefghijk"}, False),
        ({"k.part1": b"5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n"}, False),
        ({}, False),
    ],
)
def test_what_was_stored_is_compared_byte_for_byte(stored: Place, parts: dict[str, bytes], *, same: bool) -> None:
    for name, body in parts.items():
        (stored.store / servers.BUCKET / name).write_bytes(body)

    assert servers.is_stored(stored, "k", stored.folder / "source") is same


def test_a_run_counts_the_work_of_its_children() -> None:
    busy = "sum(n * n for n in range(4_000_000))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{busy}'], check=True)"

    assert run([sys.executable, "-c", child]).cpu > 2 * run([sys.executable, "-c", "pass"]).cpu


def test_a_run_has_none_of_the_memory_of_who_started_it() -> None:
    ours = bytearray(200_000_000)
    ours[::4_096] = b"x" * len(ours[::4_096])

    assert run(["true"]).peak < 50_000_000


def test_a_run_that_ends_badly_is_none() -> None:
    with pytest.raises(FailedError, match="exit status 3: no"):
        run(["sh", "-c", "echo no >&2; exit 3"])


def result(contender: str, *cpu: float, start: float = 1.0) -> Result:
    """Moves of a gigabyte, one a round."""
    starts, moves = (
        [Took(taken, taken, 0) for taken in each] for each in ([start, start], [start + one for one in cpu])
    )
    return Result("plain", contender, bytes=10**9, starts=starts, moves=moves)


def test_what_starting_takes_is_no_part_of_moving() -> None:
    assert result("x", 2.0, 3.0, start=5.0).cpu_per_gb() == pytest.approx([2.0, 3.0])


def test_contenders_are_compared_round_by_round() -> None:
    """A round in which everything took twice as long says the same as the others."""
    assert ratio([2.0, 4.0, 2.0], [1.0, 2.0, 1.0]) == Spread(2.0, 2.0, 2.0)


def test_goals_of_what_did_not_run_are_neither_kept_nor_missed() -> None:
    missing = Result("plain", contenders.BOTO3, skipped="not installed")

    assert [goal.what for goal in of_moves([result(contenders.OURS, 2.0), missing])] == []
    assert of_ranges([missing]) == []


def test_cpu_is_judged_against_the_floor_and_boto3() -> None:
    goals = of_moves([result(contenders.FLOOR, 2.0), result(contenders.OURS, 2.4), result(contenders.BOTO3, 4.0)])

    assert [goal.value for goal in goals[:2]] == pytest.approx([1.2, 0.6])
    assert [goal.kept for goal in goals[:2]] == [True, True]


@pytest.mark.parametrize(
    ("goal", "kept", "clearly"),
    [
        (Goal("most", 1.0, 0.9, 0.3), True, False),
        (Goal("most", 1.0, 1.2, 0.3), False, False),
        (Goal("most", 1.0, 1.4, 0.3), False, True),
        (Goal("least", 1.0, 1.1, 0.3, least=True), True, False),
        (Goal("least", 1.0, 0.8, 0.3, least=True), False, False),
        (Goal("least", 1.0, 0.6, 0.3, least=True), False, True),
    ],
)
def test_a_goal_is_missed_clearly_if_by_more_than_the_spread(goal: Goal, *, kept: bool, clearly: bool) -> None:
    assert (goal.kept, goal.missed_clearly) == (kept, clearly)


def test_a_month_is_what_its_formulas_say() -> None:
    user = prices.User("one", connections=1, published=10, nothing_new=0, polls=20, files=4, file_bytes=250_000_000)

    paid = prices.month(user, cpu_s_per_gb=8)

    assert paid.transitions == pytest.approx(10 * (10 + 60 + 20) * 25e-6)
    assert paid.downloads == pytest.approx(10 * 1.0 * 40 * 1769 / 1024 * 13.3334e-6)
    assert paid.storage == pytest.approx(10 * 0.023)
    assert paid.total == pytest.approx(sum(vars(paid).values()))


def test_a_chart_has_a_line_and_a_name_for_each_series() -> None:
    drawn = pictures.chart("Title", "MB", "s", {"a < b": [(1, 10), (100, 20)], "c": [(1, 10), (100, 21)]})

    assert drawn.count("<circle") == 4
    assert "a &lt; b" in drawn
    assert all(math.isfinite(float(at)) for at in drawn.replace('"', " ").split() if at.replace(".", "").isdigit())
