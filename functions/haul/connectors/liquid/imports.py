"""LiquidAnalytics' imports behind our verbs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from haul import keys
from haul.connectors.liquid import jobs
from haul.connectors.liquid.client import LiquidClient
from haul.errors import InvalidEventError, RequestRejectedError, VendorUnavailableError
from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.vendors.liquid import ImportOptions
from haul.models.work import Job, JobStatus
from haul.ports import Capabilities, Found, LoadReport, Prepared, Source

_JSON = "application/json"
_OF_CSV = ("headerRow", "template")
_OUTCOMES = {
    JobStatus.SUCCEEDED: Outcome.SUCCEEDED,
    JobStatus.FAILED: Outcome.FAILED,
    JobStatus.CANCELLED: Outcome.CANCELLED,
}


class LiquidImports:
    """The imports of one community. There is no list of jobs, and no key of ours by which one could be found again."""

    capabilities = Capabilities(api="ls", can_cancel=True)
    tenant: str | None = None

    def __init__(self, client: LiquidClient, options: ImportOptions) -> None:
        self._client = client
        self._options = options

    @property
    def account(self) -> str:
        return keys.safe(self._client.credentials.account)

    def prepare(self, request: Mapping[str, Any]) -> Prepared:
        """Take the escapes from the request, and be sure of the login."""
        if self._options.reshape == "ndjson-to-json" and request["contentType"] != _JSON:
            raise InvalidEventError(
                f"options.reshape: ndjson-to-json makes JSON, which is request.contentType {_JSON} and not "
                f"{request['contentType']}"
            )
        prepared = jobs.without_escapes(request, "request")
        self._client.check_login()
        return Prepared(prepared)

    def find(self, request: Mapping[str, Any], *, since: datetime) -> list[Found]:  # noqa: ARG002 - nobody can be asked
        return []

    def start(self, request: Mapping[str, Any], source: Source | None, *, run_id: str) -> str:  # noqa: ARG002 - no key of ours is taken
        """Send the file. Only after a `VendorUnavailableError` whose `sent` is not False may there be a job."""
        if source is None:
            raise InvalidEventError("source: an import is of an object, and the event names none")
        state = self._client.load(
            _fields(request), source, content_type=request["contentType"], template=request.get("template")
        )
        if state.is_("rejected"):
            raise RequestRejectedError(f"LiquidAnalytics rejected the import: {jobs.reason(state)}")
        return state.job_id

    def status(self, job: Job, request: Mapping[str, Any]) -> LoadReport:  # noqa: ARG002 - the job knows what it is
        """Ask where the job stands.

        Raises:
            VendorUnavailableError: LiquidAnalytics does not know the job, which may still be live: a failed poll.
        """
        job_id = jobs.known_id(job)
        state = self._client.job(job_id)
        if state is None:
            raise VendorUnavailableError(f"LiquidAnalytics does not know job {job_id}")
        seen = jobs.report(state, job_id)
        ended = _OUTCOMES.get(seen.status)
        items = [LoadItem(outcome=ended, message=seen.reason or "")] if ended else []
        return LoadReport(
            seen.status,
            progress=seen.progress,
            reason=seen.reason,
            word=seen.word,
            counts=seen.counts,
            evidence=seen.evidence,
            items=items,
            records=state.records_processed,
        )

    def cancel(self, job: Job) -> None:
        """Ask for the job's end. What it took in until then stays; one that has ended needs no end."""
        self._client.cancel(jobs.known_id(job))


def _fields(request: Mapping[str, Any]) -> dict[str, str]:
    """The request as the form's fields, booleans spelt as the vendor's examples have them; the template goes apart."""
    fields = {name: str(value) for name, value in request.items() if value is not None and name not in _OF_CSV}
    if request["contentType"] != _JSON:
        fields["headerRow"] = str(bool(request.get("headerRow")))
    return fields
