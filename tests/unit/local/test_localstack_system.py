"""What `up` remembers and `down` ends."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import system
from infra.local.processes import Process


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(system, "STATE", tmp_path)
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def remember(state: Path, process: Process, folder: Path) -> None:
    part = {"process": {"pid": process.pid, "began": process.began}, "url": "http://127.0.0.1:1", "folder": str(folder)}
    (state / "state.json").write_text(json.dumps({"localstack": part, "visier": None}))


def test_what_was_started_is_ended_with_its_folder(state: Path, sleeper: subprocess.Popen[bytes]) -> None:
    folder = state / "folder"
    folder.mkdir()
    remember(state, Process.of(sleeper.pid), folder)
    assert system.status().localstack is not None

    assert system.down()

    assert sleeper.wait(timeout=5) != 0
    assert not folder.exists()
    assert system.status().localstack is None


def test_another_process_that_was_given_the_id_is_left_alone(state: Path, sleeper: subprocess.Popen[bytes]) -> None:
    folder = state / "folder"
    folder.mkdir()
    remember(state, Process(sleeper.pid, "long ago"), folder)

    ran = system.down()

    assert not ran
    assert sleeper.poll() is None
    assert not folder.exists()


@pytest.mark.usefixtures("state")
def test_down_may_be_said_twice() -> None:
    assert not system.down()
    assert not system.down()


def test_a_process_that_has_ended_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process.is_alive

    sleeper.kill()
    sleeper.wait()

    assert not process.is_alive
    process.end()
