"""Visier's data version exports behind our verbs."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from haul import keys
from haul.connectors.visier import contents, versions
from haul.connectors.visier.calls import VisierCalls
from haul.connectors.visier.client import VisierClient
from haul.connectors.visier.replies import JobState
from haul.errors import (
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.export import Contents, RemoteFile
from haul.models.vendors.visier import DvExportOptions
from haul.models.work import Job, JobStatus
from haul.operations import bound
from haul.ports import Capabilities, DownloadSource, Found, JobReport, Known, Operation, Prepared

_RESULT_LIVES = timedelta(days=14)
_STATE_FIELDS = {"jobUuid", "completed", "failed", "exportUuid"}
_WORD_LENGTH = 60


class VisierConnector:
    """The exports of one tenant. Visier does no paging, has no job list, and cancels nothing."""

    capabilities = Capabilities(
        api="v1alpha",
        lists_finished_jobs=True,
        content_fixed_by_request=True,
        submissions_per_day=10,
        calls_per_minute=100,
        result_lives=_RESULT_LIVES,
    )

    def __init__(
        self,
        client: VisierClient,
        options: DvExportOptions,
        *,
        managing: VisierCalls,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._managing = managing
        self._options = options
        self._clock = clock

    @property
    def account(self) -> str:
        name = self._client.credentials.account
        return keys.safe(f"{self.tenant}@{name}" if self.tenant else name)

    @property
    def tenant(self) -> str | None:
        return self._options.target_tenant

    @property
    def calls_left(self) -> Mapping[str, int]:
        return self._client.calls_left

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:
        """Resolve `@latest` and `@last-published` against the versions that Visier lists."""
        return versions.prepare(
            request,
            self._client.data_versions().data_versions,
            known,
            first_run=self._options.first_run,
            base_gone=self._options.base_gone,
        )

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        """Look for finished exports of the same pair: a running job is in no list, and a list holds no job ids."""
        pair = (request["dataVersionNumber"], request.get("baseDataVersionNumber") or "")
        return sorted(
            (
                Found(
                    JobStatus.SUCCEEDED,
                    result_id=export.uuid,
                    created_at=export.timestamp,
                    result_expires_at=export.timestamp + _RESULT_LIVES if export.timestamp else None,
                )
                for export in self._client.exports().data_version_exports
                if (export.data_version_number, export.base_data_version_number) == pair
            ),
            key=lambda found: found.created_at.timestamp() if found.created_at else 0.0,
            reverse=True,
        )

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:  # noqa: ARG002 - Visier takes no key of ours
        """Submit. Only after a `VendorUnavailableError` whose `sent` is not False may there be a job."""
        return self._client.submit(request["dataVersionNumber"], request.get("baseDataVersionNumber"))

    def status(self, job: Job) -> JobReport:
        """Read the two flags, `failed` first: a failed job may be completed too.

        Raises:
            VendorUnavailableError: Visier does not know the job, which may still be live: a failed poll, bounded like
                any other. Once no result of it can be left, the job is EXPIRED.
        """
        job_id = _known_id(job.id, "job")
        state = self._client.job(job_id)
        if state is not None:
            return _report(state)
        if job.submitted_at and self._clock() - job.submitted_at.timestamp() > _RESULT_LIVES.total_seconds():
            return JobReport(JobStatus.EXPIRED, reason=f"Visier no longer knows job {job_id}")
        raise VendorUnavailableError(f"Visier does not know job {job_id} (404)")

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:  # noqa: ARG002 - the details say it all
        export_uuid = _known_id(job.result_id, "result")
        details = self._client.export(export_uuid)
        if details is None:
            raise ResultExpiredError(_expired(export_uuid))
        return contents.read(details, retyped_column=self._options.retyped_column)

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:
        export_uuid = _known_id(job.result_id, "result")
        source = self._client.file(export_uuid, file.vendor_file_id)
        if source is None:
            raise ResultExpiredError(f"{file.vendor_name}: {_expired(export_uuid)}")
        return source

    def cancel(self, job: Job) -> None:
        raise RequestRejectedError(
            f"Visier cannot cancel a data version export; job {job.id} runs on, and its result can be adopted"
        )

    def operations(self) -> Mapping[str, Operation]:
        exports = {
            "list-data-versions": lambda _: self._client.data_versions().document,
            "list-exports": lambda _: self._client.exports().document,
            "export-details": lambda given: self._export_details(given.export),
            "job-status": lambda given: self._job_status(given.job),
        }
        from haul.connectors.visier.management import VisierManagement  # noqa: PLC0415 - polls start without them
        from haul.connectors.visier.operations import ManagementOperations  # noqa: PLC0415

        of = ManagementOperations(VisierManagement(self._managing))
        return bound("visier", {**exports, **of.calls}, with_credential=of.calls_with_credential, previews=of.previews)

    def _export_details(self, export_uuid: str) -> Mapping[str, Any]:
        details = self._client.export(export_uuid)
        if details is None:
            raise ResultExpiredError(_expired(export_uuid))
        return details.document

    def _job_status(self, job_uuid: str) -> Mapping[str, Any]:
        state = self._client.job(job_uuid)
        if state is None:
            raise RequestRejectedError(f"Visier does not know job {job_uuid} (404)")
        return state.document


def _report(state: JobState) -> JobReport:
    flags = {"completed": state.completed, "failed": state.failed}
    if state.failed is True:
        return JobReport(
            JobStatus.FAILED, reason="Visier failed the job, and gives no reason; its job list may tell more"
        )
    odd = [f"{name}={flag}" for name, flag in flags.items() if flag not in (None, True, False)]
    if not odd and state.completed is None and state.failed is None:
        # Empty values may be left out, so no flag is no end. But is there a word that we do not know?
        odd = [f"{name}={value}" for name, value in state.document.items() if name not in _STATE_FIELDS]
    if odd:
        return JobReport(JobStatus.UNKNOWN, word=", ".join(odd)[:_WORD_LENGTH])
    if state.completed is not True:
        return JobReport(JobStatus.RUNNING)
    if not state.export_uuid:
        word = "completed without exportUuid"
        return JobReport(JobStatus.RUNNING, word=word, progress=word)
    return JobReport(JobStatus.SUCCEEDED, result_id=state.export_uuid)


def _known_id(value: str | None, what: str) -> str:
    if not value:
        raise UnexpectedResponseError(f"there is no {what} id to ask Visier about")
    return value


def _expired(export_uuid: str) -> str:
    return (
        f"Visier no longer has export {export_uuid} (404): exports live {_RESULT_LIVES.days} days. "
        "A further export of the same versions needs another submission"
    )
