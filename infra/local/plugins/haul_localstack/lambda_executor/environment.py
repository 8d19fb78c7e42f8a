"""An execution environment as Lambda sees it: a sandbox, and after a crash or a timeout the next one."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .failures import ExitedError, Failure
from .reports import Report, enclose
from .sandbox import Function, Sandbox


@dataclass(frozen=True)
class Result:
    """What an invocation came to, for its caller and for the log."""

    payload: bytes
    is_error: bool
    log: str


class Environment:
    """Serves one invocation at a time; `stop` may come at any moment."""

    def __init__(self, function: Function, *, python: str, variables: Mapping[str, str], version: str) -> None:
        self._function = function
        self._python = python
        self._variables = variables
        self._version = version
        self._as_json = variables.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
        self._lock = threading.Lock()
        self._stopped = False
        self._sandbox: Sandbox | None = None
        self._failed_init: Failure | None = None
        self._init_ms: float | None = None

    def start(self) -> None:
        """Load the function. If it does not load, that is for the first invocation to say, as on AWS."""
        sandbox = self._new_sandbox()
        begun = time.monotonic()
        try:
            sandbox.wait_until_ready()
        except Failure as failure:
            if self._stopped:
                raise
            self._failed_init = failure
        self._init_ms = (time.monotonic() - begun) * 1000

    def invoke(self, request_id: str, payload: bytes, *, function_arn: str, trace_id: str) -> Result:
        if self._sandbox is None or (self._failed_init is None and not self._sandbox.is_alive):
            self.start()
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - start made it, or raised
        failure: Failure | None = None
        begun, begun_at = time.monotonic(), datetime.now(UTC)
        try:
            if self._failed_init is not None:
                raise self._failed_init
            answer = sandbox.invoke(request_id, payload, function_arn=function_arn, trace_id=trace_id)
            result = Result(answer.payload, answer.is_error, sandbox.new_log())
        except Failure as ended:
            failure = ended
            log = sandbox.new_log() + failure.log_lines(request_id)
            result = Result(failure.payload(request_id), is_error=True, log=log)
        report = Report(
            request_id=request_id,
            version=self._version,
            begun=begun_at,
            duration_ms=(time.monotonic() - begun) * 1000,
            init_ms=self._init_ms,
            memory_mb=self._function.memory_mb,
            max_memory_mb=sandbox.max_memory_mb,
            status=failure.status if failure else "success",
            error_type=failure.reported if failure else None,
        )
        self._init_ms = None
        if failure is not None:
            self._discard(sandbox)
        return Result(result.payload, result.is_error, enclose(result.log, report, as_json=self._as_json))

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            sandbox = self._sandbox
        if sandbox is not None:
            sandbox.stop()

    def _new_sandbox(self) -> Sandbox:
        if self._sandbox is not None:
            self._discard(self._sandbox)
        with self._lock:
            if self._stopped:
                raise ExitedError("the execution environment has been stopped")
            self._sandbox = Sandbox(self._function, python=self._python, variables=self._variables)
            return self._sandbox

    def _discard(self, sandbox: Sandbox) -> None:
        """After a failure nothing of the process is trusted, and nothing of it stays."""
        sandbox.stop()
        self._sandbox = None
        self._failed_init = None
