"""One operation of a vendor, asked for by an execution: checked, called once, and told what became of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from haul import keys
from haul.errors import (
    HaulError,
    InvalidEventError,
    RequestRejectedError,
    UnreachableError,
    VendorUnavailableError,
)
from haul.models import vendors
from haul.models.base import digest, parse
from haul.models.event import Outcome, unreplaced
from haul.models.operation import OperationEnd, OperationStart
from haul.models.vendors import OperationKind
from haul.ports import Answer, Connect, Execution, ReadCredential

RESULT_BYTES = 200 * 1024
"""A longer result is kept beside the execution, whose input and output together hold 256 KiB a state."""
_FAILURES = 20
_SAID = 5
_LINE = 300


class Documents(Protocol):
    """Where long results are kept."""

    @property
    def bucket(self) -> str: ...

    def write_document(self, key: str, body: str) -> None:
        """Write a JSON document, or write it anew."""
        ...


@dataclass(frozen=True)
class Clerk:
    """Runs operations. `read_credential` is None where those that handle credentials are run elsewhere, if at all."""

    environment: str
    connect: Connect
    documents: Documents
    read_credential: ReadCredential | None = None

    def run(self, document: Mapping[str, Any], execution: Execution, *, now: datetime) -> OperationEnd:
        """Make the call that `document` asks for.

        Raises:
            InvalidEventError: the input fits no schema, or such an operation is not run here. Nothing was sent.
            UnreachableError: what would change something was certainly not sent.
            RequestRejectedError: also where the vendor answers 200 and did nothing of what was asked.
        """
        start = parse(OperationStart, dict(document))
        if found := unreplaced(start.parameters):
            raise InvalidEventError(f"parameters: {found} was not replaced; only EventBridge fills it in")
        kind = vendors.operation(start.vendor, start.operation)
        self._require_place(start, kind)
        answer = self._answer(start, kind)
        if answer.outcome is Outcome.FAILED:
            raise RequestRejectedError(
                f"{start.vendor} did nothing of what {start.operation} asked: {summary(answer.failures)}"
            )
        return self._ended(start, kind, answer, execution, now)

    def _require_place(self, start: OperationStart, kind: OperationKind) -> None:
        if kind.handles_credentials and self.read_credential is None:
            raise InvalidEventError(switch_on(start.operation, self.environment))
        if self.read_credential is not None and not kind.handles_credentials:
            raise InvalidEventError(f"operation: {start.operation} handles no credentials, and is not run here")

    def _answer(self, start: OperationStart, kind: OperationKind) -> Answer:
        try:
            operation = self.connect(start.vendor, start.connection, {}).operations()[start.operation]
            return operation.run(start.parameters, self.read_credential)
        except VendorUnavailableError as error:
            if not kind.changes:
                raise
            if not error.sent:
                raise UnreachableError(str(error)) from None
            raise VendorUnavailableError(f"{error}. It may have been done: look before it is asked for again") from None

    def _ended(
        self, start: OperationStart, kind: OperationKind, answer: Answer, execution: Execution, now: datetime
    ) -> OperationEnd:
        end = OperationEnd(
            vendor=start.vendor,
            operation=start.operation,
            connection=start.connection,
            outcome=Outcome.PARTIAL if answer.outcome is Outcome.PARTIAL else Outcome.SUCCEEDED,
            failures=[_short(line) for line in answer.failures[:_FAILURES]],
            failed=len(answer.failures),
            ended_at=now,
        )
        body = json.dumps(answer.document, ensure_ascii=False, separators=(",", ":"))
        # Step Functions takes JSON of ASCII alone, so this is the longest that it can come to.
        if len(json.dumps(answer.document)) <= RESULT_BYTES:
            return end.model_copy(update={"result": answer.document})
        mark = f"{execution.started_at:%Y%m%dT%H%M%SZ}-{digest(execution.id)[:6]}"
        key = keys.operation_result(start.vendor, start.operation, mark)
        try:
            self.documents.write_document(key, body)
        except HaulError as error:
            if not kind.changes:
                raise
            # What was done must not be done again because it could not be written down.
            lost = f"the result could not be kept: {type(error).__name__}"
            return end.model_copy(update={"failures": [*end.failures, lost], "failed": end.failed + 1})
        return end.model_copy(update={"result_uri": keys.uri(self.documents.bucket, key)})


def switch_on(operation: str, environment: str) -> str:
    """Say how operations that handle credentials come to be run."""
    return (
        f"operation: {operation} handles credentials, which {environment} does not allow. To allow it, write "
        f"credential_operations: true into infra/environments/{environment}.yaml and deploy"
    )


def summary(failures: Sequence[str]) -> str:
    """The first failures, in one line."""
    more = f"; and {len(failures) - _SAID} more" if len(failures) > _SAID else ""
    return "; ".join(_short(line) for line in failures[:_SAID]) + more


def _short(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[: _LINE - 3]}..."
