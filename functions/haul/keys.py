"""The layout of the landing bucket: every key that Haul reads or writes is spelled here."""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9_=~@-][A-Za-z0-9._=~@-]{0,199}")
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._=~@-]+")

ACTIVE = "ledger/_active/"
"""One empty document per run that has not been settled: what the Sweep looks at."""


ITEMS = "items"
"""Evidence of a load: what became of each part."""


def safe(name: str) -> str:
    """Make a vendor's name usable as one segment of a key; different names stay different."""
    if _SAFE.fullmatch(name):
        return name
    cleaned = _UNSAFE_CHARACTERS.sub("_", name).lstrip(".")[:180] or "_"
    stem, dot, suffix = cleaned.partition(".")
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{stem}-{mark}{dot}{suffix}"


def uri(bucket: str, key: str) -> str:
    """Spell an object the way manifests do."""
    return f"s3://{bucket}/{key}"


def dataset(pipeline: str, name: str, run_id: str) -> str:
    """The folder of one dataset of a run, with its slash."""
    return f"raw/{pipeline}/{safe(name)}/run_id={run_id}/"


def raw(pipeline: str, dataset_name: str, run_id: str, file_name: str) -> str:
    return dataset(pipeline, dataset_name, run_id) + safe(file_name)


def evidence(pipeline: str, run_id: str, what: str) -> str:
    return f"evidence/{pipeline}/{run_id}/{safe(what)}.json"


def operation_result(vendor: str, operation: str, mark: str) -> str:
    """Where an operation's result lies that is too long for its execution; `mark` tells executions apart."""
    return f"evidence/_operations/{safe(vendor)}/{safe(operation)}/{safe(mark)}.json"


def manifest(pipeline: str, run_id: str) -> str:
    return f"manifests/{pipeline}/{run_id}.json"


def run_of_manifest(key: str) -> tuple[str, str] | None:
    """The pipeline and run_id of a manifest's key, None for any other key."""
    match = re.fullmatch(r"manifests/([^/]+)/([^/]+)\.json", key)
    return (match[1], match[2]) if match else None


def run(pipeline: str, run_id: str) -> str:
    return f"runs/{pipeline}/{run_id}.json"


def claim(pipeline: str, trigger_digest: str) -> str:
    return f"ledger/{pipeline}/claims/{trigger_digest}"


def record(pipeline: str, run_id: str) -> str:
    return f"ledger/{pipeline}/runs/{run_id}"


def records(pipeline: str) -> str:
    return f"ledger/{pipeline}/runs/"


def files(pipeline: str, run_id: str) -> str:
    return f"ledger/{pipeline}/files/{run_id}/"


def file(pipeline: str, run_id: str, n: int) -> str:
    return f"{files(pipeline, run_id)}{n:05}"


def plan(pipeline: str, run_id: str, attempt: int) -> str:
    return f"ledger/{pipeline}/plans/{run_id}.{attempt}.items.json"


def contents(pipeline: str, run_id: str, attempt: int) -> str:
    return f"ledger/{pipeline}/plans/{run_id}.{attempt}.contents.json"


def draft(pipeline: str, run_id: str, attempt: int) -> str:
    return f"ledger/{pipeline}/drafts/{run_id}.{attempt}"


def latest(pipeline: str) -> str:
    return f"ledger/{pipeline}/latest"


def pipeline(name: str) -> str:
    return f"ledger/{name}/pipeline"


def job(vendor: str, account: str, fingerprint: str) -> str:
    return f"ledger/_jobs/{vendor}/{safe(account)}/{fingerprint}"


def jobs(vendor: str) -> str:
    return f"ledger/_jobs/{vendor}/"


def quota(vendor: str, account: str, day: str) -> str:
    return f"ledger/_quota/{vendor}/{safe(account)}/{day}"


def active(pipeline_name: str, run_id: str) -> str:
    return f"{ACTIVE}{pipeline_name}/{run_id}"


def unclaimed(execution_digest: str) -> str:
    return f"ledger/_unclaimed/{execution_digest}"


def run_of_active(key: str) -> tuple[str, str]:
    """The pipeline and run_id of an active run's key."""
    pipeline_name, run_id = key.removeprefix(ACTIVE).split("/")
    return pipeline_name, run_id
