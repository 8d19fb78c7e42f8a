"""Looking executions up at Step Functions."""

from typing import TYPE_CHECKING

from haul.ports import ExecutionState

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class StepFunctionsExecutions:
    """A `haul.ports.Executions`."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    def describe(self, execution: str) -> ExecutionState | None:
        try:
            found = self._client.describe_execution(executionArn=execution)
        except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
            return None
        return ExecutionState(found["status"], found.get("error"), found.get("cause"))
