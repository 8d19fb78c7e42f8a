"""What an execution's word, counters and files mean to us. Pure."""

from typing import Literal

from haul.connectors.mediarithmics.replies import Execution
from haul.models.export import Contents, Dataset, Format, RemoteFile
from haul.models.threshold import exceeds
from haul.models.work import JobStatus

_STATUS = {
    "PENDING": JobStatus.RUNNING,
    "RUNNING": JobStatus.RUNNING,
    "SCHEDULED": JobStatus.RUNNING,
    "WAITING_DEPENDENT_JOB": JobStatus.RUNNING,
    "EXECUTOR_NOT_RESPONDING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "SUCCESS": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "LOST": JobStatus.FAILED,
    "CANCELED": JobStatus.CANCELLED,
    "CANCELLED": JobStatus.CANCELLED,
}
_FORMATS: dict[str, tuple[str, Format]] = {
    "JSON": ("ndjson", Format(type="ndjson", compression="none", header=False, newline_in_fields=False)),
    "CSV": ("csv", Format(type="csv", compression="none")),
}


def status(execution: Execution) -> JobStatus:
    """Where an execution stands; a word that is added later is waited on like RUNNING, and reported."""
    return _STATUS.get(execution.status.strip().upper(), JobStatus.UNKNOWN)


def is_live(execution: Execution) -> bool:
    """Whether an execution may still come to something. Only one that has ended has an end, whatever it is called."""
    return status(execution) in (JobStatus.RUNNING, JobStatus.UNKNOWN) and execution.end_date is None


def counts(execution: Execution) -> dict[str, int]:
    """The counters that mediarithmics tells, under its own names."""
    told = {name: getattr(execution, name) for name in ("num_tasks", "completed_tasks", "erroneous_tasks")}
    return {name: count for name, count in told.items() if count is not None}


def progress(execution: Execution) -> str:
    """Write what a running execution has done so far."""
    word = execution.status.lower().replace("_", " ")
    cancelling = f", cancel_status {execution.cancel_status}" if execution.cancel_status else ""
    if execution.num_tasks is None or execution.completed_tasks is None:
        return word + cancelling
    return f"{word}, {execution.completed_tasks:,} of {execution.num_tasks:,} tasks{cancelling}"


def partial(execution: Execution, most: str | int | None) -> str | None:
    """Say why a result counts as part of one: more erroneous tasks than `most`, a share such as `10%` or a number."""
    erroneous, tasks = execution.erroneous_tasks, execution.num_tasks
    if most is None or not erroneous:
        return None
    over = exceeds(erroneous, tasks, most)
    return f"{_erroneous(execution)}, more than options.max_erroneous_tasks allows ({most})" if over else None


def warnings(execution: Execution, most: str | int | None) -> list[str]:
    """Tell what is odd about the counters of a result that is taken as whole."""
    if execution.erroneous_tasks is None:
        untold = "mediarithmics tells no task counters, so options.max_erroneous_tasks could not be judged"
        return [untold] if most is not None else []
    if execution.erroneous_tasks and partial(execution, most) is None:
        return [_erroneous(execution)]
    return []


def contents(execution: Execution, output_format: str) -> Contents:
    """List the files of an execution: one dataset for each, as only files of one name are sure to look alike."""
    suffix, format_ = _FORMATS.get(output_format.upper(), _FORMATS["JSON"])
    names = execution.output_files
    return Contents(
        datasets=[Dataset(name=name, table=name, format=format_) for name in names],
        files=[
            RemoteFile(dataset=name, name=f"{name}.{suffix}", part=0, vendor_file_id=name, vendor_name=name)
            for name in names
        ],
        evidence={"execution": execution.kept},
    )


def empties(empty: list[str], names: list[str], policy: Literal["fail", "warn", "allow"]) -> list[str]:
    """Warn of files without a byte."""
    if policy == "allow" or not empty:
        return []
    which = "the result" if len(empty) == len(names) else f"output file {', '.join(empty)}"
    return [f"{which} is empty: mediarithmics also answers a wrong query so"]


def _erroneous(execution: Execution) -> str:
    erroneous, tasks = execution.erroneous_tasks or 0, execution.num_tasks
    of, share = (f" of {tasks:,}", f" ({erroneous / tasks:.1%})") if tasks else ("", "")
    return f"{erroneous:,}{of} tasks of execution {execution.id} were erroneous{share}"
