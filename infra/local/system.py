"""The whole local system, to explore: LocalStack with the app in it, and the vendor's simulator.

It runs detached, until it is told to end. What runs is remembered in `.localstack/`, with the logs.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from infra.local.deploy import deploy, synthesize
from infra.local.localstack import ROOT, LocalStack, aws_environment
from infra.local.processes import Process
from infra.local.stack import Stack

ENVIRONMENT = "local"
STACK = f"Haul-{ENVIRONMENT}"
CONNECTION = "visier-acme"
STATE = ROOT / ".localstack"

_SIMULATOR_SECONDS = 30


class LocalSystemError(Exception):
    """A part of the system does not start."""


@dataclass(frozen=True)
class Running:
    """A part of the system: its process, where it is reached, and the folder that goes with it."""

    process: Process
    url: str
    folder: str | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive

    def end(self) -> None:
        self.process.end()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class System:
    """What runs. A part that has ended by itself is not in it."""

    localstack: Running | None = None
    visier: Running | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which the AWS command line and `haul` talk to it."""
        if self.localstack is None:
            return {}
        return {**aws_environment(self.localstack.url), "HAUL_ENV": ENVIRONMENT}


def status() -> System:
    """What runs now."""
    remembered = _remembered()
    alive = {name: part for name, part in remembered.items() if part.is_alive}
    return System(**alive)


def up(say: Callable[[str], None]) -> System:
    """Start what does not run, and deploy the app as it is now. `say` is told each step when it is done.

    Raises:
        LocalStackError, DeployError, LocalSystemError: with what the part itself said.
    """
    with _alone():
        _clean_up_what_ended()
        system = status()
        step = _Steps(say)
        assembly = _InBackground(lambda: synthesize(STATE / "cdk.out", environment=ENVIRONMENT))
        if system.localstack is None:
            system = _remember(System(_start_localstack(), system.visier))
            step.done("LocalStack started")
        if system.visier is None:
            system = _remember(System(system.localstack, _start_visier()))
            step.done("Visier simulator started")
        os.environ.update(system.environment)
        synthesized = assembly.result()
        step.done("app synthesized")
        deploy(synthesized, STACK, boto3.Session())
        step.done("app deployed")
        assert system.visier is not None  # noqa: S101 - started above
        with Stack(boto3.Session(), environment=ENVIRONMENT) as stack:
            stack.connect(CONNECTION, **visier_secret(system.visier.url))
        step.done(f"connection {CONNECTION} made")
        _write_exports(system)
        return system


def down() -> bool:
    """End everything and remove all but the logs. False: nothing ran."""
    with _alone():
        remembered = _remembered()
        ran = any(part.is_alive for part in remembered.values())
        for part in remembered.values():
            part.end()
        for name in ("state.json", "env"):
            (STATE / name).unlink(missing_ok=True)
        shutil.rmtree(STATE / "cdk.out", ignore_errors=True)
        return ran


def visier_secret(url: str) -> dict[str, str]:
    """What the simulator takes."""
    return {"base_url": url, "username": "demo", "password": "demo", "api_key": "demo", "vanity_name": "demo"}


def _start_localstack() -> Running:
    local = LocalStack(log=STATE / "localstack.log", detached=True)
    local.start()
    return Running(Process.of(local.pid), local.endpoint_url, str(local.folder))


def _start_visier() -> Running:
    log = STATE / "visier.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.vendors", "visier", "--port", "0"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    give_up = time.monotonic() + _SIMULATOR_SECONDS
    while True:
        for line in log.read_text().splitlines():
            if line.startswith("ready "):
                return Running(Process.of(process.pid), line.removeprefix("ready "))
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            raise LocalSystemError(f"the Visier simulator does not start:\n{log.read_text()}")
        time.sleep(0.05)


def _remembered() -> dict[str, Running]:
    try:
        state = json.loads((STATE / "state.json").read_text())
    except FileNotFoundError:
        return {}
    return {
        name: Running(Process(**part["process"]), part["url"], part["folder"]) for name, part in state.items() if part
    }


def _remember(system: System) -> System:
    (STATE / "state.json").write_text(json.dumps(asdict(system), indent=2) + "\n")
    return system


def _clean_up_what_ended() -> None:
    for part in _remembered().values():
        if not part.is_alive:
            part.end()


def _write_exports(system: System) -> None:
    lines = [f"export {name}={value}\n" for name, value in system.environment.items()]
    (STATE / "env").write_text("".join(lines))


@contextmanager
def _alone() -> Iterator[None]:
    """One `up` or `down` at a time."""
    STATE.mkdir(exist_ok=True)
    with Path(STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _InBackground[T]:
    """A call in a thread, which need not end if nobody waits for it any more."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def result(self) -> T:
        self._thread.join()
        if hasattr(self, "_error"):
            raise self._error
        return self._value


class _Steps:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        self._say(f"{what:<40}{now - self._begun:5.1f} s")
        self._begun = now
