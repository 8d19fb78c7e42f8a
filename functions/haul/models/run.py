"""The run document: how every run ended, good or bad, under `runs/<pipeline>/<run_id>.json`."""

from typing import Any, Literal

from haul.models.base import Document, Instant
from haul.models.event import Outcome, Trigger
from haul.models.work import ErrorRecord, Job, Watermark


class Run(Document):
    """A run that ended. A later attempt replaces it.

    `readers_see` is the version that readers of the pipeline's manifests have, after this run, `readers_since` when
    they got it. `submissions_today` counts the account's jobs of the day (UTC) against `submissions_limit`.
    """

    version: Literal[1] = 1
    kind: Literal["export", "load"] | None = None
    pipeline: str
    environment: str
    run_id: str
    outcome: Outcome
    error: ErrorRecord | None = None
    advice: str | None = None
    published: bool
    manifest: str | None = None
    joined: str | None = None
    warnings: list[str] = []
    vendor: str | None = None
    action: str | None = None
    connection: str | None = None
    request: dict[str, Any] = {}
    watermark: Watermark = Watermark.model_construct()
    job: Job = Job.model_construct()
    readers_see: str | None = None
    readers_since: Instant | None = None
    submissions_today: int | None = None
    submissions_limit: int | None = None
    claimed_at: Instant
    started_at: Instant
    ended_at: Instant
    polls: int = 0
    attempts: int
    executions: list[str]
    files_landed: int = 0
    files_planned: int = 0
    owner: str | None = None
    trigger: Trigger = Trigger.model_construct()
    code_version: str
