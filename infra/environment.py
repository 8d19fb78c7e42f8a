"""An environment file, `infra/environments/<environment>.yaml`: where a stack goes and what it meets there.

`python -m infra.environment` writes the files' JSON Schema anew.
"""

import json
import platform
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, StringConstraints

from haul.errors import InvalidEventError
from haul.models.base import Written, parse

FOLDER = Path(__file__).parent / "environments"
SCHEMA = FOLDER / "environment.schema.json"

type Architecture = Literal["arm64", "x86_64"]
type Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[^\s]+$")]
type BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
type RetentionDays = Literal[1, 3, 7, 14, 30, 90, 180, 365, 731, 1827, 3653]


class Environment(Written):
    """Where one stack goes. Everything has a default, so an empty file is a right one."""

    model_config = ConfigDict(title="Haul environment")

    account: Annotated[
        Annotated[str, StringConstraints(pattern=r"^\d{12}$")] | None,
        Field(description="AWS account; without it the one that the AWS environment names"),
    ] = None
    region: Annotated[
        str | None, Field(description="AWS region; without it the one that the AWS environment names")
    ] = None
    architecture: Annotated[
        Literal["arm64", "x86_64", "machine"],
        Field(description="what the functions run on; machine: whatever synthesizes"),
    ] = "arm64"
    landing_bucket: Annotated[
        BucketName | None,
        Field(
            description="a bucket of your own: versioned, sending its events to EventBridge, its lifecycle your affair"
        ),
    ] = None
    inbox_bucket: Annotated[
        BucketName | None,
        Field(description="a bucket of your own: versioned, sending its events to EventBridge"),
    ] = None
    kms_key: Annotated[
        Arn | None, Field(description="ARN of the key for buckets and notices; without it S3 and SNS use their own")
    ] = None
    permissions_boundary: Annotated[
        str | None, Field(description="name or ARN of a managed policy that bounds every role")
    ] = None
    alarm_topic: Annotated[Arn | None, Field(description="ARN of the SNS topic that alarms go to")] = None
    notice_emails: Annotated[tuple[str, ...], Field(description="who is sent every notice by mail")] = ()
    log_retention_days: RetentionDays = 30
    termination_protection: bool = False
    tags: Annotated[dict[str, str], Field(default_factory=dict)]
    check_template: Annotated[bool, Field(description="apply CDK's own rules to the template, which takes a while")] = (
        True
    )
    quota_reserve: Annotated[int, Field(ge=0, description="submissions a day that are kept for people")] = 2
    poll_failures_allowed: Annotated[int, Field(ge=1, description="polls in a row that may get no answer")] = 10
    credential_operations: Annotated[
        bool, Field(description="allow operations that make, delete or assign credentials which a vendor keeps")
    ] = False
    retry_interval_seconds: Annotated[int, Field(ge=1, description="before the first retry of a step")] = 5
    retry_backoff: Annotated[float, Field(ge=1, description="how much longer than the one before each retry waits")] = 2

    def resolved_architecture(self) -> Architecture:
        """Settle `machine`."""
        return machine() if self.architecture == "machine" else self.architecture


def machine() -> Architecture:
    """This machine's own architecture, the way Lambda spells it."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def names() -> list[str]:
    """Every environment that has a file."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Environment:
    """Read an environment's file.

    Raises:
        InvalidEventError: there is no such file, or a field of it is wrong.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise InvalidEventError(f"environment {name}: there is no {path.name} in infra/environments; {known()}")
    try:
        return parse(Environment, read_yaml(path) or {})
    except InvalidEventError as error:
        raise InvalidEventError(f"infra/environments/{path.name}: {error}") from None


def known() -> str:
    return f"there are: {', '.join(names())}"


def read_yaml(path: Path) -> Any:
    """Read a YAML file, or say in which line it is none."""
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidEventError(f"not YAML: {' '.join(str(error).split())}") from None


def schema() -> str:
    """The JSON Schema of an environment file, as it is published beside the files."""
    return json.dumps(Environment.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema())
