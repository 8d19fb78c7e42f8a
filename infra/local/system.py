"""The whole local system, to explore: LocalStack with the app in it, and a simulator of every vendor.

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import boto3

from infra.local.deploy import deploy, synthesize
from infra.local.localstack import ROOT, LocalStack, aws_environment
from infra.local.processes import Process
from infra.local.stack import Stack
from infra.local.vendors import demo

ENVIRONMENT = "local"
STACK = f"Haul-{ENVIRONMENT}"
STATE = ROOT / ".localstack"

_SIMULATOR_SECONDS = 30
_LOCALSTACK = "localstack"


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
    vendors: Mapping[str, Running] = field(default_factory=dict)

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
    return System(alive.pop(_LOCALSTACK, None), alive)


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
            system = _remember(replace(system, localstack=_start_localstack()))
            step.done("LocalStack started")
        if wanted := [name for name in demo.names() if name not in system.vendors]:
            system = _remember(replace(system, vendors={**system.vendors, **_start_simulators(wanted)}))
            step.done(f"{', '.join(wanted)} simulated")
        os.environ.update(system.environment)
        synthesized = assembly.result()
        step.done("app synthesized")
        deploy(synthesized, STACK, boto3.Session())
        step.done("app deployed")
        with Stack(boto3.Session(), environment=ENVIRONMENT) as stack:
            for name, simulator in system.vendors.items():
                known = demo.demo_of(name)
                stack.connect(known.connection(ENVIRONMENT), **known.secret(simulator.url))
        step.done("connections made")
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


def _start_localstack() -> Running:
    local = LocalStack(log=STATE / "localstack.log", detached=True)
    local.start()
    return Running(Process.of(local.pid), local.endpoint_url, str(local.folder))


def _start_simulators(names: list[str]) -> dict[str, Running]:
    """Start simulators beside each other: most of what each takes is starting Python."""
    begun = {name: _begin_simulator(name) for name in names}
    try:
        return {name: Running(Process.of(process.pid), _url(name, process)) for name, process in begun.items()}
    except LocalSystemError:
        for process in begun.values():
            process.kill()
        raise


def _begin_simulator(name: str) -> subprocess.Popen[bytes]:
    with _log(name).open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local.vendors", name, "--port", "0"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _url(name: str, process: subprocess.Popen[bytes]) -> str:
    """Where a simulator says that it is reached, once it does."""
    give_up = time.monotonic() + _SIMULATOR_SECONDS
    while True:
        for line in _log(name).read_text().splitlines():
            if line.startswith("ready "):
                return line.removeprefix("ready ")
        if process.poll() is not None or time.monotonic() > give_up:
            raise LocalSystemError(f"the simulator of {name} does not start:\n{_log(name).read_text()}")
        time.sleep(0.05)


def _log(name: str) -> Path:
    return STATE / f"{name}.log"


def _remembered() -> dict[str, Running]:
    try:
        state = json.loads((STATE / "state.json").read_text())
    except FileNotFoundError:
        return {}
    return {
        name: Running(Process(**part["process"]), part["url"], part["folder"]) for name, part in state.items() if part
    }


def _remember(system: System) -> System:
    parts = {_LOCALSTACK: system.localstack, **system.vendors}
    state = {name: asdict(part) for name, part in parts.items() if part}
    (STATE / "state.json").write_text(json.dumps(state, indent=2) + "\n")
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
