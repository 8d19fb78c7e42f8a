"""AWS behind the command line's own verbs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from haul import wiring
from haul.cli.failures import CommandError
from haul.ports import ExecutionState

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient


class StepFunctionsFlow:
    """A `haul.cli.deployment.Flow`."""

    def __init__(self, arns: Mapping[str, str], client: "SFNClient") -> None:
        self._arns = arns
        self._client = client

    def start(self, event: Mapping[str, Any], *, kind: str, name: str) -> str:
        started = self._client.start_execution(stateMachineArn=self._arns[kind], name=name, input=json.dumps(event))
        return started["executionArn"]

    def stop(self, execution: str, *, cause: str) -> None:
        self._client.stop_execution(executionArn=execution, error="CancelledError", cause=cause)

    def describe(self, execution: str) -> ExecutionState | None:
        return wiring.executions().describe(execution)


class SecretsManagerVault:
    """A `haul.cli.deployment.Vault`."""

    def __init__(self, client: "SecretsManagerClient") -> None:
        self._client = client

    def read(self, name: str) -> Mapping[str, Any] | None:
        """What the secret holds; None if there is none, and nothing where it holds no JSON object."""
        try:
            text = self._client.get_secret_value(SecretId=name).get("SecretString", "")
        except self._client.exceptions.ResourceNotFoundException:
            return None
        except self._client.exceptions.InvalidRequestException as error:
            raise _marked_for_deletion(name) from error
        try:
            value = json.loads(text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, name: str, value: Mapping[str, Any], *, about: str) -> bool:
        text = json.dumps(value)
        try:
            self._client.put_secret_value(SecretId=name, SecretString=text)
        except self._client.exceptions.ResourceNotFoundException:
            self._client.create_secret(Name=name, SecretString=text, Description=about)
            return True
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRequestException":
                raise _marked_for_deletion(name) from error
            raise
        return False

    def delete(self, name: str) -> None:
        self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def _marked_for_deletion(name: str) -> CommandError:
    return CommandError(
        f"the secret {name} is marked for deletion",
        hint=f"aws secretsmanager restore-secret --secret-id {name} takes it back.",
    )
