"""The ways an invocation ends without the function's own answer, in Lambda's words.

Failure
├── InitFailedError         the module does not load, or has no such handler
├── ResponseTooLargeError   the function answered with more than Lambda hands on
├── ExitedError             the process ended by itself, or was killed from outside
├── OutOfMemoryError        it held more than the function has, and was killed for it
└── TimedOutError           it was still at it when the function's time was up
"""

import json
from datetime import UTC, datetime


class Failure(Exception):  # noqa: N818 - the root of a tree, named for what it is
    """`name` is what a caller is told; `status` and `reported` are what the REPORT line says."""

    name = "Runtime.ExitError"
    status = "error"

    @property
    def reported(self) -> str | None:
        return self.name

    def payload(self, request_id: str) -> bytes:
        return self._body(f"RequestId: {request_id} Error: {self}")

    def log_lines(self, request_id: str) -> str:
        """What Lambda adds to the function's own lines."""
        return f"RequestId: {request_id} Error: {self}\n{self.name}\n"

    def _body(self, message: str) -> bytes:
        return json.dumps({"errorType": self.name, "errorMessage": message}).encode()


class InitFailedError(Failure):
    """`error` is the runtime client's own account of it, and its lines are already in the log."""

    def __init__(self, error: bytes) -> None:
        super().__init__(error.decode(errors="replace"))
        self.error = error

    @property
    def reported(self) -> str | None:
        try:
            return str(json.loads(self.error)["errorType"])
        except (ValueError, KeyError, TypeError):
            return "Runtime.Unknown"

    def payload(self, request_id: str) -> bytes:  # noqa: ARG002 - the client's account does not name it
        return self.error

    def log_lines(self, request_id: str) -> str:  # noqa: ARG002 - the client's account does not name it
        return ""


class ResponseTooLargeError(Failure):
    name = "Function.ResponseSizeTooLarge"

    def payload(self, request_id: str) -> bytes:  # noqa: ARG002 - Lambda does not name it here
        return self._body(str(self))


class ExitedError(Failure):
    pass


class OutOfMemoryError(Failure):
    """A caller cannot tell it from another kill; the REPORT line can."""

    @property
    def reported(self) -> str | None:
        return "Runtime.OutOfMemory"


class TimedOutError(Failure):
    name = "Sandbox.Timedout"
    status = "timeout"

    @property
    def reported(self) -> str | None:
        return None

    def log_lines(self, request_id: str) -> str:
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z {request_id} {self}\n"
