"""One environment of Haul as the command line meets it: found by name, through Parameter Store alone."""

import getpass
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from haul import keys, wiring
from haul.cli.aws import SecretsManagerVault, StepFunctionsFlow
from haul.cli.failures import CommandError
from haul.ledger import Ledger
from haul.models.event import RunId
from haul.models.ledger import PipelineRecord
from haul.models.run import Run
from haul.notices import console_link
from haul.ports import Connect, ConnectLoad, Documents, ExecutionState, Objects, ReadCredential, Site, Store
from haul.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class Flow(Protocol):
    """The flows: start, stop and describe their executions."""

    def start(self, event: Mapping[str, Any], *, kind: str, name: str) -> str:
        """Start an execution of the flow for `export` or `load`; its ARN."""
        ...

    def stop(self, execution: str, *, cause: str) -> None: ...

    def describe(self, execution: str) -> ExecutionState | None: ...


class Vault(Protocol):
    """Where secrets are kept."""

    def read(self, name: str) -> Mapping[str, Any] | None: ...

    def write(self, name: str, value: Mapping[str, Any], *, about: str) -> bool:
        """Create or update a secret; whether it is new, and is then described by `about`."""
        ...

    def delete(self, name: str) -> None:
        """Delete a secret for good."""
        ...


@dataclass(frozen=True)
class Deployment:
    """What commands work with. `who` names the person, for the record; `pause` lets so many seconds go by.

    `read_credential` is None where the environment allows no operation that handles credentials.
    """

    settings: Settings
    store: Store
    flow: Flow
    vault: Vault
    connect: Connect
    connect_load: ConnectLoad
    objects: Objects
    landing: Documents
    who: Callable[[], str]
    clock: Callable[[], datetime]
    pause: Callable[[float], None]
    read_credential: ReadCredential | None = None

    @property
    def environment(self) -> str:
        return self.settings.environment

    @property
    def bucket(self) -> str:
        return self.settings.landing_bucket

    @property
    def site(self) -> Site:
        known = self.settings
        return Site(
            environment=known.environment,
            bucket=known.landing_bucket,
            quota_reserve=known.quota_reserve,
            poll_failures_allowed=known.poll_failures_allowed,
            code_version=known.code_version,
        )

    def ledger(self) -> Ledger:
        return Ledger(self.store)

    def pipelines(self) -> dict[str, PipelineRecord]:
        """Every pipeline that is deployed."""
        ledger = self.ledger()
        return {name: record for name in ledger.pipelines() if (record := ledger.pipeline(name))}

    def run_ids(self, pipeline: str, prefix: str = "") -> list[str]:
        """The runs of a pipeline, oldest first."""
        folder = keys.records(pipeline)
        return [key.removeprefix(folder) for key in self.store.keys(folder + prefix)]

    def run_document(self, pipeline: str, run_id: RunId) -> Run | None:
        stored = self.store.get(keys.run(pipeline, run_id))
        return Run.model_validate_json(stored.body) if stored else None


def link(execution: str) -> str:
    """Where a person looks at an execution; a system on this machine has no console, and its ARN says as much."""
    return execution if os.environ.get("AWS_ENDPOINT_URL") else console_link(execution)


def find(environment: str) -> Deployment:
    """Look up what is deployed as `environment`.

    Raises:
        CommandError: nothing is, in this account and region.
    """
    if not _NAME.fullmatch(environment):
        raise CommandError(f'"{environment}" cannot be an environment: lower-case letters, digits, dashes', exit_code=2)
    path = f"/haul/{environment}/"
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region  # boto3 knows no other, and AWS's own command line obeys both
    try:
        client = wiring.client("ssm")
    except ValueError as error:  # botocore has no error of its own for it
        raise CommandError(str(error), exit_code=2, hint="AWS_ENDPOINT_URL must be a URL, or not be set.") from None
    pages = client.get_paginator("get_parameters_by_path").paginate(Path=path)
    names = {found["Name"].removeprefix(path): found["Value"] for page in pages for found in page["Parameters"]}
    if "export-flow-arn" not in names:
        raise CommandError(
            f"no Haul is deployed as {environment} in region {client.meta.region_name} of this account",
            hint=f"Deploy it: make deploy ENV={environment}. Is it the right account? aws sts get-caller-identity",
        )
    wiring.use(_settings(environment, names))
    return Deployment(
        settings=wiring.settings(),
        store=wiring.store(),
        flow=StepFunctionsFlow(
            {kind: names[f"{kind}-flow-arn"] for kind in ("export", "load")}, wiring.client("stepfunctions")
        ),
        vault=SecretsManagerVault(wiring.client("secretsmanager")),
        connect=wiring.connect,
        connect_load=wiring.connect_load,
        objects=wiring.objects(),
        landing=wiring.documents(),
        who=_caller,
        clock=wiring.now,
        pause=time.sleep,
        read_credential=wiring.read_credential if names.get("credential-operations") == "true" else None,
    )


def _settings(environment: str, names: Mapping[str, str]) -> Settings:
    known = {
        "landing_bucket": names["landing-bucket"],
        "notices_topic_arn": names["notices-topic-arn"],
        "event_bus_name": names.get("event-bus"),
        "quota_reserve": names.get("quota-reserve"),
        "code_version": names.get("code-version"),
    }
    given = {name: value for name, value in known.items() if value is not None}
    return Settings.model_validate({"environment": environment, **given})


def _caller() -> str:
    """Who runs this: a session's or a user's name; of an account's root nothing better than this machine's user."""
    arn = str(wiring.client("sts").get_caller_identity()["Arn"])
    name = arn.rpartition(":")[2].rpartition("/")[2]
    return getpass.getuser() if name == "root" else name
