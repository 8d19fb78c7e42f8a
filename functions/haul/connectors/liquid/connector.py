"""LiquidAnalytics' exports behind our verbs."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from haul import keys
from haul.connectors.liquid import jobs, links
from haul.connectors.liquid.client import JobState, LiquidClient
from haul.errors import (
    EmptyResultError,
    InvalidEventError,
    RequestRejectedError,
    ResultByMailError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.export import Contents, Dataset, Format, RemoteFile
from haul.models.vendors.liquid import ExportOptions
from haul.models.work import Job, JobStatus
from haul.operations import bound
from haul.ports import Capabilities, Connector, DownloadSource, Found, JobReport, Known, Operation, Prepared


@dataclass(frozen=True)
class _Handed:
    """Links that a person handed over."""

    links: Sequence[str] = field(default=(), repr=False)


class LiquidConnector:
    """The exports of one community. There is no list of jobs, and no key of ours by which one could be found again."""

    capabilities = Capabilities(api="ls", can_cancel=True, connections=2, result_lives=jobs.RESULT_LIVES)
    tenant: str | None = None

    def __init__(
        self,
        client: LiquidClient,
        options: ExportOptions,
        *,
        links: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._options = options
        self._handed = _Handed(links)
        self._clock = clock
        self._opened: set[tuple[str | None, int | str]] = set()

    @property
    def account(self) -> str:
        return keys.safe(self._client.credentials.account)

    def with_links(self, links: Sequence[str]) -> Connector:
        """The same connector, for a result whose links came by mail."""
        given = [link.strip() for link in links if link.strip()]
        if not given or not all(self._client.may_be_link(link) for link in given):
            raise InvalidEventError(
                "link: must be one or several https addresses, as the vendor's mail has them; "
                "http is for the connection's own host alone"
            )
        return LiquidConnector(self._client, self._options, links=given, clock=self._clock)

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:  # noqa: ARG002 - an export has no version
        """Take the escapes from the request, and be sure of the login: a submission costs more than finding out."""
        prepared = jobs.without_escapes(request, "request")
        self._client.check_login()
        return Prepared(prepared)

    def find(self, request: Mapping[str, Any]) -> list[Found]:  # noqa: ARG002 - nobody can be asked
        return []

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:  # noqa: ARG002 - no key of ours is taken
        """Submit. Only after a `VendorUnavailableError` whose `sent` is not False may there be a job."""
        state = self._client.export(self._form(request))
        if state.is_("rejected"):
            raise RequestRejectedError(f"LiquidAnalytics rejected the export: {jobs.reason(state)}")
        return state.job_id

    def status(self, job: Job) -> JobReport:
        """Ask where the job stands.

        Raises:
            VendorUnavailableError: LiquidAnalytics does not know the job, which may still be live: a failed poll. A job
                that was seen finished, or whose result cannot be left any more, is EXPIRED.
        """
        job_id = jobs.known_id(job)
        state = self._client.job(job_id)
        if state is not None:
            return jobs.report(state, job_id)
        old = job.submitted_at and self._clock() - job.submitted_at.timestamp() > jobs.RESULT_LIVES.total_seconds()
        if old or job.result_id:
            return JobReport(JobStatus.EXPIRED, reason=f"LiquidAnalytics no longer knows job {job_id}")
        raise VendorUnavailableError(f"LiquidAnalytics does not know job {job_id}")

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:
        """One dataset, named after the item type.

        Files are numbered and named after the job: the vendor's own names come with the files.

        Raises:
            EmptyResultError: there are no records, and `empty` is `fail`.
            ResultByMailError: there are records, or it is not said how many, and no link to them.
            ResultExpiredError: LiquidAnalytics no longer knows the job.
        """
        state = self._completed(job)
        as_json = request["contentType"] == "application/json"
        name, item_type = request["jobName"], request["itemType"]
        records = state.records_processed
        if records == 0 and self._options.empty == "fail":
            raise EmptyResultError(f"job {job.id} exported no {item_type}, and options.empty is fail")
        there = self._links(state)
        if not there and records != 0:
            to = request.get("notificationEmail")
            raise ResultByMailError(
                f"job {job.id} is completed with {jobs.counted(records)}, and LiquidAnalytics told no link to them: "
                + (f"it is in its mail to {to}" if to else "the request names no notificationEmail, so nobody has it")
            )
        header = not as_json and bool(request.get("rowHeader"))
        layout = Format(type="json" if as_json else "csv", compression="none", header=header)
        files = [
            RemoteFile(dataset=item_type, name=file, part=number - 1, vendor_file_id=number, vendor_name=file)
            for number in range(1, len(there) + 1)
            for file in [f"{name}-{number}.{'json' if as_json else 'csv'}"]
        ]
        warns = records == 0 and self._options.empty == "warn"
        return Contents(
            datasets=[Dataset(name=item_type, table=item_type, format=layout)],
            files=files,
            warnings=[f"the export of {item_type} has no records"] if warns else [],
            expected_rows=records if as_json or _makes_a_row_of_each(request.get("template")) else None,
        )

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:
        """Ask for the links anew, for none is kept. A file that is opened again met a failure: has its link expired?"""
        there = self._handed.links or self._links(self._completed(job))
        number = int(file.vendor_file_id)
        if not 1 <= number <= len(there):
            raise UnexpectedResponseError(
                f"{file.vendor_name}: job {job.id} has {len(there)} links now, and this was number {number}"
            )
        link = there[number - 1]
        again = (job.id, number) in self._opened
        self._opened.add((job.id, number))
        if again and self._client.is_gone(link):
            raise ResultExpiredError(
                f"{file.vendor_name}: the link has expired, {jobs.RESULT_LIVES.days} days after the job ended. "
                "Run the export again"
            )
        return self._client.source(link)

    def cancel(self, job: Job) -> None:
        """Ask for the job's end. One that has ended, or that nobody knows any more, needs none."""
        self._client.cancel(jobs.known_id(job))

    def operations(self) -> Mapping[str, Operation]:
        return bound(
            "liquid",
            {
                "token-info": lambda _: self._client.token_info(),
                "job-status": lambda given: _shown(self._client.job(given.job), given.job),
                "cancel-job": lambda given: _shown(self._client.cancel(given.job), given.job),
            },
            previews={
                "cancel-job": lambda given: (
                    f"Cancels job {given.job} at LiquidAnalytics; a run that waits for it fails."
                )
            },
        )

    def _form(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The request as a form; what is not there is left out."""
        form: dict[str, str] = {}
        for name, value in request.items():
            if name == "filters" and value:
                form[name] = repr(dict(value)) if self._options.filters_as == "python" else json.dumps(value)
            elif name == "rowHeader":
                form[name] = "true" if value else "false"
            elif value:
                form[name] = str(value)
        return form

    def _completed(self, job: Job) -> JobState:
        job_id = jobs.known_id(job)
        state = self._client.job(job_id)
        if state is None:
            raise ResultExpiredError(f"LiquidAnalytics no longer knows job {job_id}. Run the export again")
        if not state.is_("completed"):
            raise UnexpectedResponseError(
                f'job {job_id} was completed, and is now "{state.status[: jobs.WORD_LENGTH]}"'
            )
        return state

    def _links(self, state: JobState) -> Sequence[str]:
        return self._handed.links or links.found(state.document, self._client.credentials.base_url)


def _makes_a_row_of_each(template: str | None) -> bool:
    """Whether there is a row for each record: a directive may leave one out, a line break makes two of it."""
    return not template or not re.search(r"[#\r\n]", template.strip())


def _shown(state: JobState | None, job_id: str) -> Any:
    if state is None:
        raise RequestRejectedError(f"LiquidAnalytics does not know job {job_id}")
    return links.without(state.document)
