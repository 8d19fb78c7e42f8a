"""What exports and imports of LiquidAnalytics share: a job's status object in our words, and a request's own text."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from haul.connectors.liquid import links
from haul.connectors.liquid.client import JobState
from haul.errors import InvalidEventError, UnexpectedResponseError
from haul.models.symbols import is_symbol, unescaped
from haul.models.work import Job, JobStatus
from haul.ports import JobReport
from haul.rest import excerpt

RESULT_LIVES = timedelta(days=7)
WORD_LENGTH = 60
_RUNNING = ("initialized", "accepted", "processing", "canceling")
_REASON_LENGTH = 500


def report(state: JobState, job_id: str) -> JobReport:
    word, records = state.status.lower(), state.records_processed
    counts = {} if records is None else {"recordsProcessed": records}
    evidence = {"job-status": links.without(state.document)}
    if word in _RUNNING:
        progress = state.status if not records else f"{state.status}, {counted(records)}"
        return JobReport(JobStatus.RUNNING, progress=progress, counts=counts)
    if word == "completed":
        return JobReport(
            JobStatus.SUCCEEDED,
            result_id=job_id,
            result_expires_at=_expires(state),
            counts=counts,
            evidence=evidence,
        )
    if word in ("failed", "rejected", "canceled"):
        status = JobStatus.CANCELLED if word == "canceled" else JobStatus.FAILED
        return JobReport(status, reason=f"{state.status}: {reason(state)}", counts=counts, evidence=evidence)
    return JobReport(JobStatus.UNKNOWN, word=links.removed(state.status)[:WORD_LENGTH])


def reason(state: JobState) -> str:
    """Why the vendor says that it is so; never a link."""
    return excerpt(links.removed(state.reason), _REASON_LENGTH) or "it gives no reason"


def counted(records: int | None) -> str:
    return "an unknown number of records" if records is None else f"{records:,} record{'' if records == 1 else 's'}"


def known_id(job: Job) -> str:
    if not job.id:
        raise UnexpectedResponseError("there is no job id to ask LiquidAnalytics about")
    return job.id


def without_escapes(value: Any, at: str) -> Any:
    match value:
        case str() if is_symbol(value):
            raise InvalidEventError(f"{at}: {value} is not understood here")
        case str():
            return unescaped(value)
        case Mapping():
            return {name: without_escapes(inner, f"{at}.{name}") for name, inner in value.items()}
        case list():
            return [without_escapes(inner, f"{at}[{number}]") for number, inner in enumerate(value)]
        case _:
            return value


def _expires(state: JobState) -> datetime | None:
    """Not before: a job may have waited, and counts only the time that it ran."""
    if state.submit_time is None or state.run_time is None:
        return None
    return state.submit_time + timedelta(milliseconds=state.run_time) + RESULT_LIVES
