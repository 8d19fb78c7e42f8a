"""The environment of every function, read once per cold start.

The stack builds one of these too and deploys its `to_env()`, so a variable that the code
needs and the stack forgot is a failed synth and not a failed run.
"""

import os
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

PREFIX = "HAUL_"
CREDENTIALS = "haul-credential"


class Settings(BaseModel):
    """Names of what the stack made. `quota_reserve` is kept of each day's submissions for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    landing_bucket: str
    notices_topic_arn: str
    event_bus_name: str = "default"
    quota_reserve: int = 2
    poll_failures_allowed: int = 10
    code_version: str = "0.1.0"

    @property
    def secret_prefix(self) -> str:
        """Connections are secrets below this name."""
        return f"haul/{self.environment}/"

    def link_secret(self, run_id: str) -> str:
        """Name the secret of the links that a person handed over for a run; no connection has a slash in its name."""
        return f"{self.secret_prefix}link/{run_id}"

    def credential_secret(self, name: str) -> str:
        """Name the secret of a credential that a vendor is to keep: apart from connections, which are read widely."""
        return f"{CREDENTIALS}/{self.environment}/{name}"

    def to_env(self) -> dict[str, str]:
        """Spell the settings as a function's environment variables."""
        return {PREFIX + name.upper(): str(value) for name, value in self.model_dump().items()}

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read back what `to_env` wrote."""
        values = {name: env[PREFIX + name.upper()] for name in cls.model_fields if PREFIX + name.upper() in env}
        return cls.model_validate(values)
