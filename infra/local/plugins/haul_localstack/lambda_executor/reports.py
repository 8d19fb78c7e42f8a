"""The lines that Lambda itself adds to a function's log, in the format that the function asked for."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Report:
    """One invocation, as Lambda accounts for it."""

    request_id: str
    version: str
    begun: datetime
    duration_ms: float
    init_ms: float | None
    memory_mb: int
    max_memory_mb: int
    status: str  # "success", "error", "timeout"
    error_type: str | None = None


def enclose(log: str, report: Report, *, as_json: bool) -> str:
    """What the function printed, between its START and its REPORT."""
    if log and not log.endswith("\n"):
        log += "\n"
    return _json_start(report) + log + _json_report(report) if as_json else _start(report) + log + _report(report)


def _start(report: Report) -> str:
    return f"START RequestId: {report.request_id} Version: {report.version}\n"


def _report(report: Report) -> str:
    fields = [
        f"REPORT RequestId: {report.request_id}",
        f"Duration: {report.duration_ms:.2f} ms",
        f"Billed Duration: {_billed_ms(report)} ms",
        f"Memory Size: {report.memory_mb} MB",
        f"Max Memory Used: {report.max_memory_mb} MB",
    ]
    if report.init_ms is not None:
        fields.append(f"Init Duration: {report.init_ms:.2f} ms")
    if report.status != "success":
        fields.append(f"Status: {report.status}")
    if report.error_type:
        fields.append(f"Error Type: {report.error_type}")
    return f"END RequestId: {report.request_id}\n" + "\t".join(fields) + "\n"


def _json_start(report: Report) -> str:
    return _event("platform.start", report.begun, {"requestId": report.request_id, "version": report.version})


def _json_report(report: Report) -> str:
    metrics: dict[str, float] = {
        "durationMs": round(report.duration_ms, 3),
        "billedDurationMs": _billed_ms(report),
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.max_memory_mb,
    }
    if report.init_ms is not None:
        metrics["initDurationMs"] = round(report.init_ms, 3)
    record: dict[str, object] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    if report.error_type:
        record["errorType"] = report.error_type
    return _event("platform.report", datetime.now(UTC), record)


def _event(kind: str, at: datetime, record: dict[str, object]) -> str:
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "type": kind, "record": record}) + "\n"


def _billed_ms(report: Report) -> int:
    return -int(-(report.duration_ms + (report.init_ms or 0)) // 1)
