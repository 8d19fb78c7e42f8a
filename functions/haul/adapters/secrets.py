"""Connections: secrets in Secrets Manager, kept in memory and read anew on demand."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from haul.errors import InvalidSecretError, LedgerBusyError, UnknownConnectionError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_ABSENT = {"ResourceNotFoundException", "InvalidRequestException"}
_REFUSED = {"AccessDeniedException", "DecryptionFailure"}


class Secret:
    """One connection's secret, a JSON object."""

    def __init__(self, name: str, client: "SecretsManagerClient") -> None:
        self._name = name
        self._client = client
        self._value: Mapping[str, Any] | None = None

    def current(self) -> Mapping[str, Any]:
        """As it was read last."""
        return self._value if self._value is not None else self.fresh()

    def fresh(self) -> Mapping[str, Any]:
        """As it is now.

        Raises:
            UnknownConnectionError: there is none of that name, or we may not read it.
            InvalidSecretError: it is not a JSON object.
        """
        try:
            text = self._client.get_secret_value(SecretId=self._name).get("SecretString", "")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _ABSENT:
                raise UnknownConnectionError(f"connection: there is no secret {self._name}") from error
            if code in _REFUSED:
                raise UnknownConnectionError(f"connection: no right to read the secret {self._name}") from error
            raise LedgerBusyError(f"Secrets Manager answers {code}") from error
        except BotoCoreError as error:
            raise LedgerBusyError(f"Secrets Manager did not answer: {type(error).__name__}") from error
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise InvalidSecretError(f"the secret {self._name} is not a JSON object")
        self._value = value
        return value


class GivenSecret:
    """A secret that is not kept anywhere yet."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def current(self) -> Mapping[str, Any]:
        return self._value

    def fresh(self) -> Mapping[str, Any]:
        return self._value
