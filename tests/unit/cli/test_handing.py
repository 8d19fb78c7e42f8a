import pytest

from haul.cli import handing
from haul.models.event import Outcome
from tests.unit.cli.conftest import Haul

LINK = "https://files.example.com/a?t0ps3cret"
OTHER = "https://files.example.com/b?t0ps3cret"


@pytest.fixture
def run_id(haul: Haul) -> str:
    """A run that wants a link, and whose next execution stands still before its first step."""
    haul.world.vendor.by_mail = True
    haul("run", "people")
    haul.flow.until = "schedule"
    haul.flow.goes_on = True
    return haul.world.records()[0].run_id


def secret_of(run_id: str) -> str:
    return f"haul/test/link/{run_id}"


def test_a_piped_link_becomes_a_secret_and_the_rerun_says_only_that_there_is_one(haul: Haul, run_id: str) -> None:
    haul.world.links[run_id] = [LINK]

    result = haul("rerun", run_id, "--link", "--watch", stdin=f"\n  {LINK}\n{OTHER}\n{LINK}\n")

    assert result.exit_code == 0
    assert haul.vault.secrets == {secret_of(run_id): {"links": [LINK, OTHER]}}
    assert haul.flow.sent[-1]["rerun"] == {"run_id": run_id, "resubmit": False, "link": True}
    assert "t0ps3cret" not in f"{result.output} {haul.flow.sent}"
    assert haul.world.records()[0].outcome is Outcome.SUCCEEDED


def test_at_a_terminal_links_are_asked_for_without_echo(
    haul: Haul, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing, "_at_a_terminal", lambda: True)

    result = haul("rerun", run_id, "--link", stdin=f"{LINK}\n{OTHER}\n\n")

    assert haul.vault.secrets == {secret_of(run_id): {"links": [LINK, OTHER]}}
    assert "It is not shown" in result.output
    assert "t0ps3cret" not in result.output


@pytest.mark.parametrize("stdin", ["", "t0ps3cret", f"{LINK}\nhttp://files.example.com/t0ps3cret"])
def test_what_is_no_link_starts_nothing_and_is_not_shown(haul: Haul, run_id: str, stdin: str) -> None:
    result = haul("rerun", run_id, "--link", stdin=stdin)

    assert result.exit_code == 2
    assert "link: must be" in result.stderr
    assert "t0ps3cret" not in result.output
    assert not haul.vault.secrets
    assert len(haul.flow.sent) == 1


def test_more_links_than_a_secret_holds_are_refused(haul: Haul, run_id: str) -> None:
    result = haul("rerun", run_id, "--link", stdin=LINK + "x" * 60_000)

    assert result.exit_code == 1
    assert "a secret can hold 60,000" in result.stderr
    assert not haul.vault.secrets


def test_a_run_that_ended_otherwise_wants_no_link(haul: Haul) -> None:
    haul.flow.until = "check"
    haul("run", "people")
    (record,) = haul.world.records()
    haul("cancel", record.run_id)

    result = haul("rerun", record.run_id, "--link", stdin=LINK)

    assert result.exit_code == 2
    assert "ended CancelledError: no link is wanted" in result.stderr
    assert not haul.vault.secrets


def test_an_attempt_that_had_a_link_may_be_followed_by_one_with_another(haul: Haul, run_id: str) -> None:
    haul.flow.until = None
    haul("rerun", run_id, "--link", stdin=LINK)  # the flow finds no secret, as the world keeps its own

    haul.world.links[run_id] = [OTHER]
    haul("rerun", run_id, "--link", stdin=OTHER)

    (record,) = haul.world.records()
    assert (record.attempt, record.outcome) == (3, Outcome.SUCCEEDED)


def test_a_link_whose_rerun_could_not_be_started_is_not_left_behind(
    haul: Haul, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise InterruptedError

    monkeypatch.setattr(haul.flow, "start", refuse)

    result = haul("rerun", run_id, "--link", stdin=LINK)

    assert isinstance(result.exception, InterruptedError)
    assert not haul.vault.secrets


def test_a_vendor_without_mails_is_asked_for_no_link(haul: Haul, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haul.world, "connect", lambda *_: object())

    result = haul("rerun", run_id, "--link", stdin=LINK)

    assert result.exit_code == 2
    assert "Fake sends no links by mail" in result.stderr
    assert not haul.vault.secrets


def test_a_link_and_a_new_job_are_one_too_many(haul: Haul, run_id: str) -> None:
    result = haul("rerun", run_id, "--link", "--resubmit", stdin=LINK)

    assert result.exit_code == 2
    assert not haul.vault.secrets


def test_the_link_is_no_argument(haul: Haul, run_id: str) -> None:
    result = haul("rerun", run_id, "--link", LINK)

    assert result.exit_code == 2
    assert not haul.vault.secrets
