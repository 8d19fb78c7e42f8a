"""One process of the real runtime client: an execution environment, from its start to its end.

A sandbox has a folder of its own, with what the function writes to its temporary folder and what it prints. It
serves one invocation after another, until it is stopped or ends in a way of its own, and leaves nothing behind.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .failures import ExitedError, OutOfMemoryError, TimedOutError
from .runtime_api import Answer, Invocation, RuntimeApi

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

# How often a busy process is looked at: for its end, its time and its memory.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Function:
    """What a sandbox has to know about its function."""

    handler: str
    code: Path
    opt: Path | None
    memory_mb: int
    timeout_seconds: float


class Sandbox:
    """One process, its Runtime API and its folder."""

    def __init__(self, function: Function, *, python: str, variables: Mapping[str, str]) -> None:
        self._function = function
        self._folder = Path(tempfile.mkdtemp(prefix="lambda-"))
        self._log = self._folder / "log"
        self._log_position = 0
        self._max_memory = 0
        self._stopping = threading.Lock()
        self._stopped = False
        self._api = RuntimeApi()
        try:
            self._process, self._lifeline = self._start(python, variables)
        except BaseException:
            self._api.close()
            shutil.rmtree(self._folder)
            raise

    def _start(self, python: str, variables: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
        function = self._function
        temporary = self._folder / "tmp"
        temporary.mkdir(mode=0o700)
        environment = {
            **variables,
            **_search_paths(function),
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": str(function.code),
            "LANG": "C.UTF-8",
            "TMPDIR": str(temporary),
            # Without a home of its own, boto3 would read the configuration of whoever runs this.
            "HOME": str(temporary),
        }
        readable, lifeline = os.pipe()
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    [python, "-P", str(_BOOTSTRAP), str(readable), function.handler],
                    cwd=function.code,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[readable],
                    start_new_session=True,
                )
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(readable)
        return process, lifeline

    @property
    def is_alive(self) -> bool:
        return not self._stopped and not self._has_exited()

    @property
    def max_memory_mb(self) -> int:
        """The most memory it has held so far; 0 where the system does not tell."""
        return -(-self._max_memory // 2**20)

    def wait_until_ready(self) -> None:
        """Wait for the function's module to be loaded.

        Raises:
            InitFailedError: it does not load.
            ExitedError: the process ended on the way.
        """
        self._wait_for(self._api.ready, until=None)

    def invoke(self, request_id: str, payload: bytes, *, function_arn: str, trace_id: str) -> Answer:
        """Have one invocation answered.

        Raises:
            Failure: there is no answer.
        """
        until = time.time() + self._function.timeout_seconds
        invocation = Invocation(
            request_id=request_id,
            function_arn=function_arn,
            trace_id=trace_id,
            payload=payload,
            deadline_ms=int(until * 1000),
        )
        return self._wait_for(self._api.offer(invocation), until=time.monotonic() + self._function.timeout_seconds)

    def new_log(self) -> str:
        """Everything printed since the last call, to the last line before an answer that is already here."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_position)
                lines = log.read()
        except FileNotFoundError:  # stopped meanwhile
            return ""
        self._log_position += len(lines)
        return lines.decode(errors="replace")

    def stop(self) -> None:
        """Kill the process and all that it started, and remove every trace of it. May be repeated."""
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
        self._kill()
        self._process.wait()
        os.close(self._lifeline)
        self._api.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for[T](self, future: Future[T], *, until: float | None) -> T:
        while True:
            with suppress(TimeoutError):
                result = future.result(timeout=_LOOK_SECONDS)
                self._look_at_memory()
                return result
            if self._look_at_memory() > self._function.memory_mb * 2**20:
                self._kill()
                raise OutOfMemoryError("Runtime exited with error: signal: killed")
            if not self.is_alive:
                # The process may have answered and ended between our looking at the one and at the other.
                if future.done():
                    return future.result()
                raise self._exit_error()
            if until is not None and time.monotonic() >= until:
                self._kill()
                raise TimedOutError(f"Task timed out after {self._function.timeout_seconds:.2f} seconds")

    def _look_at_memory(self) -> int:
        held = _memory_of(self._process.pid)
        self._max_memory = max(self._max_memory, held.peak)
        return held.now

    def _has_exited(self) -> bool:
        """Look without reaping: until it is reaped no other process can have its id, nor its group."""
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return True

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _exit_error(self) -> ExitedError:
        self._kill()  # what it started may have outlived it
        status = self._process.wait()
        if status < 0:
            return ExitedError(f"Runtime exited with error: signal: {(signal.strsignal(-status) or '?').lower()}")
        if status > 0:
            return ExitedError(f"Runtime exited with error: exit status {status}")
        return ExitedError("Runtime exited without providing a reason")


def _search_paths(function: Function) -> dict[str, str]:
    """Where a function finds its own code, then its layers', then the runtime's."""
    programs = os.environ.get("PATH", os.defpath)
    if function.opt is None:
        return {"PATH": programs, "PYTHONPATH": str(function.code)}
    packages = function.opt / "python"
    return {
        "PATH": f"{programs}:{function.opt / 'bin'}",
        "LD_LIBRARY_PATH": str(function.opt / "lib"),
        "PYTHONPATH": f"{function.code}:{packages}:{packages / 'lib' / 'python3.13' / 'site-packages'}",
    }


@dataclass(frozen=True)
class _Memory:
    now: int
    peak: int


def _memory_of(pid: int) -> _Memory:
    """Resident bytes of a process. A limit on its address space would count what threads reserve and never touch."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it is gone, or the system has no /proc
        return _Memory(0, 0)
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if name in {"VmRSS", "VmHWM"}
    }
    return _Memory(now=kilobytes.get("VmRSS", 0) * 1024, peak=kilobytes.get("VmHWM", 0) * 1024)
