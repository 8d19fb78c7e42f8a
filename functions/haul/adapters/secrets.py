"""Connections: secrets in Secrets Manager, kept in memory and read anew on demand."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from haul.errors import InvalidEventError, InvalidSecretError, LedgerBusyError, UnknownConnectionError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

LINKS = "links"
"""The field of a run's link secret, a list."""
_ABSENT = {"ResourceNotFoundException", "InvalidRequestException"}
_REFUSED = {"AccessDeniedException", "DecryptionFailure"}


class Secret:
    """One connection's secret, or another's, a JSON object. `what` is the field that named it, for messages."""

    def __init__(self, name: str, client: "SecretsManagerClient", *, what: str = "connection") -> None:
        self._name = name
        self._what = what
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
                raise UnknownConnectionError(f"{self._what}: there is no secret {self._name}") from error
            if code in _REFUSED:
                raise UnknownConnectionError(f"{self._what}: no right to read the secret {self._name}") from error
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


class LinkSecrets:
    """A `haul.ports.HandedLinks`. Nothing is kept in memory: a link is read when a file is about to be opened."""

    def __init__(self, name_of: Callable[[str], str], client: "SecretsManagerClient") -> None:
        self._name_of = name_of
        self._client = client

    def of(self, run_id: str) -> list[str]:
        """The links of a run.

        Raises:
            InvalidEventError: there are none.
        """
        try:
            held = Secret(self._name_of(run_id), self._client).fresh().get(LINKS)
        except UnknownConnectionError:
            held = None
        if not isinstance(held, list) or not held:
            raise InvalidEventError(
                f"rerun.link: nobody handed over a link for run {run_id}; haul rerun {run_id} --link asks for it"
            )
        return [str(link) for link in held]

    def forget(self, run_id: str) -> None:
        try:
            # Without recovery: a capability that nobody needs any more is to be gone, and its name free for a next one.
            self._client.delete_secret(SecretId=self._name_of(run_id), ForceDeleteWithoutRecovery=True)
        except self._client.exceptions.ResourceNotFoundException:
            return
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise LedgerBusyError(f"the links of run {run_id} cannot be deleted: {code}") from error
        except BotoCoreError as error:
            raise LedgerBusyError(f"Secrets Manager did not answer: {type(error).__name__}") from error


class GivenSecret:
    """A secret that is not kept anywhere yet."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def current(self) -> Mapping[str, Any]:
        return self._value

    def fresh(self) -> Mapping[str, Any]:
        return self._value
