"""mediarithmics' query exports behind our verbs.

A job is an execution; its id is `<export>/<execution>`, as mediarithmics lists executions by export and gives no way
to ask for one alone.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from haul import keys
from haul.connectors.mediarithmics import definitions, executions
from haul.connectors.mediarithmics.client import MediarithmicsClient
from haul.connectors.mediarithmics.definitions import Definitions
from haul.connectors.mediarithmics.replies import Execution
from haul.errors import (
    EmptyResultError,
    HaulError,
    InvalidEventError,
    RequestRejectedError,
    ResultExpiredError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.export import Contents, RemoteFile
from haul.models.symbols import unescaped
from haul.models.vendors.mediarithmics import QueryExportOptions
from haul.models.work import Job, JobStatus
from haul.operations import bound
from haul.ports import Capabilities, DownloadSource, Found, JobReport, Known, Operation, Prepared

_LISTED_WITHIN = timedelta(minutes=2)
_LONGEST = timedelta(days=8)
"""Longer than any run's deadline: what began before is nobody's any more."""
_CLOCKS_APART = timedelta(minutes=2)


class MediarithmicsConnector:
    """The query exports that one user may run. mediarithmics cancels none, and tells no limit and no retention."""

    capabilities = Capabilities(
        api="v1",
        lists_running_jobs=True,
        listing_lag=_LISTED_WITHIN,
        lists_finished_jobs=True,
    )
    tenant = None

    def __init__(
        self, client: MediarithmicsClient, options: QueryExportOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock

    @property
    def account(self) -> str:
        """The host: a secret knows no organisation, and every request names its own."""
        return keys.safe(self._client.credentials.account)

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:  # noqa: ARG002 - there are no versions
        """Have the query checked, and look what the export of that name runs.

        Raises:
            InvalidEventError: the query is wrong, or there is no such export, or it runs another query and
                `on_query_change` is `fail`.
        """
        plain = _unescaped(request)
        warnings = self._look_at_export(plain) if "exportId" in plain else self._look_at_query(plain)
        return Prepared(plain, warnings=warnings)

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        """Look for executions of the same query. Where they stand is for `status` to judge: none has a result here."""
        shown = [
            (execution, export_id) for export_id in self._exports_of(request) for execution in self._recent(export_id)
        ]
        return [
            Found(executions.status(each), job_id=_job_id(export_id, each), created_at=each.creation_date)
            for each, export_id in sorted(shown, key=lambda pair: pair[0].age, reverse=True)
        ]

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:  # noqa: ARG002 - no key of ours is taken
        """Start an execution, unless one of the same query is on its way: mediarithmics' console starts no second one.

        Only after a `VendorUnavailableError` whose `sent` is not False may there be an execution of ours.
        """
        try:
            exports = self._exports_of(request)
            for export_id in exports:
                for execution in self._recent(export_id):
                    if executions.is_live(execution):
                        return _job_id(export_id, execution)
            export_id = exports[0] if exports else definitions.create(self._client, request).id
        except (VendorUnavailableError, UnexpectedResponseError) as error:
            raise VendorUnavailableError(f"{error}; no execution was started", sent=False) from None
        return _job_id(export_id, self._client.execute(export_id))

    def status(self, job: Job) -> JobReport:
        """Find the execution in the list and judge it; of a failed one, keep what it left behind.

        Raises:
            VendorUnavailableError: it is not listed, and may still be live: a failed poll, bounded like any other.
        """
        export_id, execution_id = _ids(job)
        execution = self._client.execution(export_id, execution_id)
        if execution is None:
            return self._not_listed(job, export_id, execution_id)
        where = executions.status(execution)
        match where:
            case JobStatus.UNKNOWN:
                return JobReport(where, word=execution.status[:60] or "no status", progress=execution.status[:60])
            case JobStatus.SUCCEEDED:
                return JobReport(
                    where,
                    result_id=execution_id,
                    counts=executions.counts(execution),
                    partial=executions.partial(execution, self._options.max_erroneous_tasks),
                    evidence={"execution": execution.kept},
                )
            case JobStatus.FAILED | JobStatus.CANCELLED:
                return self._ended_badly(where, execution)
            case _:
                return JobReport(JobStatus.RUNNING, progress=executions.progress(execution))

    def _not_listed(self, job: Job, export_id: str, execution_id: str) -> JobReport:
        what = f"mediarithmics does not list execution {execution_id} of export {export_id}"
        oldest = datetime.fromtimestamp(self._clock(), UTC) - _LONGEST
        if job.result_id or (job.submitted_at and job.submitted_at < oldest):
            return JobReport(JobStatus.EXPIRED, reason=f"{what} any more")
        if self._client.export(export_id) is None:
            return JobReport(JobStatus.EXPIRED, reason=f"{what}; the export itself is gone")
        raise VendorUnavailableError(what)

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:  # noqa: ARG002 - the execution says it all
        """List the files of a finished execution.

        Raises:
            ResultExpiredError: the execution or one of its files is gone.
            EmptyResultError: no file has a byte, and `options.empty` is `fail`.
        """
        export_id, execution_id = _ids(job)
        execution = self._client.execution(export_id, execution_id)
        export = self._client.export(export_id)
        if execution is None:
            raise ResultExpiredError(f"mediarithmics no longer lists execution {execution_id} of export {export_id}")
        contents = executions.contents(execution, export.output_format if export else "JSON")
        warnings = [
            *executions.warnings(execution, self._options.max_erroneous_tasks),
            *self._empty(contents, export_id, execution_id),
            *_joined_late(execution, job),
        ]
        return contents.model_copy(update={"warnings": warnings})

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:
        export_id, execution_id = _ids(job)
        source = self._client.file(export_id, execution_id, str(file.vendor_file_id))
        if source is None:
            raise ResultExpiredError(_gone(file.vendor_name, execution_id))
        return source

    def cancel(self, job: Job) -> None:
        raise RequestRejectedError(
            f"mediarithmics publishes no way to cancel an export; execution {job.id} runs on, and the next run of the "
            "same query joins it"
        )

    def operations(self) -> Mapping[str, Operation]:
        client = self._client
        return bound(
            "mediarithmics",
            {
                "connected-user": lambda _: client.connected_user().document,
                "list-exports": lambda given: _all(client.exports(given.organisation)),
                "export-details": lambda given: self._export_details(given.export),
                "list-executions": lambda given: _all(client.executions(given.export)),
                "execution-status": lambda given: self._execution_status(given.job),
                "check-query": lambda given: client.check_query(given.datamart, given.query).document,
            },
        )

    # What a request means

    def _look_at_query(self, request: Mapping[str, Any]) -> list[str]:
        query = request["query"]
        warnings = self._check(request["datamart_id"], query["query_language"], query["query_text"])
        found = definitions.named(self._client, request)
        changed = self._changed(request, found)
        if changed and self._options.on_query_change == "fail":
            raise InvalidEventError(
                f"request.query: {changed}, and options.on_query_change is fail. Give the export another name, or set "
                "on_query_change: new-export"
            )
        return [*warnings, *([f"{changed}; a new export of that name is made"] if changed else [])]

    def _look_at_export(self, request: Mapping[str, Any]) -> list[str]:
        organisation, export_id = request["organisation_id"], request["exportId"]
        export = self._client.export(export_id, organisation)
        if export is None or export.organisation_id not in ("", organisation):
            raise InvalidEventError(f'request.exportId: organisation {organisation} has no export "{export_id}"')
        query = self._client.query(export.datamart_id, export.query_id) if self._options.check_query else None
        if query is not None:
            return self._check(export.datamart_id, query.query_language, query.query_text)
        return [f"the query of export {export_id} cannot be read, so it was not checked"] * self._options.check_query

    def _check(self, datamart: str, language: str, text: str) -> list[str]:
        """Have a query checked.

        Raises:
            InvalidEventError: it is wrong; executed, it would export an empty file.
        """
        if not self._options.check_query:
            return []
        if language != "OTQL":
            return [f"the query is {language}, and mediarithmics checks OTQL alone: a wrong one exports an empty file"]
        problem = self._client.check_query(datamart, text).problem
        if problem:
            raise InvalidEventError(f"request.query.query_text: mediarithmics refuses it: {problem}")
        return []

    def _changed(self, request: Mapping[str, Any], found: Definitions) -> str | None:
        """Say that every export of the name runs another query; None if one runs this, or there is none."""
        if found.ours or not (found.others or found.unreadable):
            return None
        ids = ", ".join(export.id for export in [*found.others, *found.unreadable])
        what = "has another query" if not found.unreadable else "has another query, or one that cannot be read"
        return f'export "{request["export"]["name"]}" ({ids}) {what}'

    def _exports_of(self, request: Mapping[str, Any]) -> list[str]:
        """The exports that run exactly what the request asks for, newest first.

        Raises:
            InvalidEventError: the export of that name has got another query, and `on_query_change` is `fail`.
        """
        if "exportId" in request:
            return [request["exportId"]]
        found = definitions.named(self._client, request)
        changed = self._changed(request, found)
        if changed and self._options.on_query_change == "fail":
            raise InvalidEventError(f"request.query: {changed}, and options.on_query_change is fail")
        return [export.id for export in found.ours]

    # Executions

    def _recent(self, export_id: str) -> Iterator[Execution]:
        """The executions that may matter to a run, newest first where mediarithmics lists them so."""
        oldest = datetime.fromtimestamp(self._clock(), UTC) - _LONGEST
        before: datetime | None = None
        orders = set[bool]()
        for execution in self._client.executions(export_id):
            at = execution.creation_date
            if at and before and at != before:
                orders.add(at < before)
            if orders == {True} and at and at < oldest:  # the list descends, so only older ones are left
                return
            before = at or before
            yield execution

    def _ended_badly(self, where: JobStatus, execution: Execution) -> JobReport:
        retryable = where is JobStatus.FAILED and execution.is_retryable is True
        told = execution.problem or f"mediarithmics calls it {execution.status} and gives no reason"
        again = "; it says that another try may succeed (is_retryable)" if retryable else ""
        evidence: dict[str, Any] = {"execution": execution.kept}
        left = self._error_file(execution) if where is JobStatus.FAILED else None
        if left:
            evidence["export-error"] = {"file": "export.error", "text": left}
        kept = "; its export.error is kept as evidence" if left else ""
        return JobReport(
            where,
            reason=f"{told}{again}{kept}",
            counts=executions.counts(execution),
            evidence=evidence,
            retryable=retryable,
        )

    def _error_file(self, execution: Execution) -> str | None:
        """What the execution left behind; that it failed must be known even where this cannot be had."""
        try:
            return self._client.error_file(execution.organisation_id, execution.id)
        except HaulError:
            return None

    def _empty(self, contents: Contents, export_id: str, execution_id: str) -> list[str]:
        names = [file.vendor_name for file in contents.files]
        empty = []
        for name in names if self._options.empty != "allow" else []:
            is_empty = self._client.is_empty(export_id, execution_id, name)
            if is_empty is None:
                raise ResultExpiredError(_gone(name, execution_id))
            empty += [name] if is_empty else []
        if len(empty) == len(names) and self._options.empty == "fail":
            raise EmptyResultError(
                f"execution {execution_id} succeeded with an empty file; mediarithmics also answers a wrong query so. "
                "Nothing was downloaded, because options.empty is fail"
            )
        return executions.empties(empty, names, self._options.empty)

    # Operations

    def _export_details(self, export_id: str) -> Mapping[str, Any]:
        export = self._client.export(export_id)
        if export is None:
            raise RequestRejectedError(f"mediarithmics knows no export {export_id} (404)")
        return export.document

    def _execution_status(self, job: str) -> Mapping[str, Any]:
        export_id, execution_id = _ids(Job(id=job))
        execution = self._client.execution(export_id, execution_id)
        if execution is None:
            raise RequestRejectedError(f"mediarithmics lists no execution {execution_id} of export {export_id}")
        return execution.document


def _job_id(export_id: str, execution: Execution) -> str:
    return f"{export_id}/{execution.id}"


def _ids(job: Job) -> tuple[str, str]:
    export_id, slash, execution_id = (job.id or "").partition("/")
    if not (slash and export_id and execution_id):
        raise UnexpectedResponseError(f'"{job.id or ""}" is no job of mediarithmics, such as 9879/7897897')
    return export_id, execution_id


def _joined_late(execution: Execution, job: Job) -> list[str]:
    """Warn of a result that is as old as an execution which was on its way before this run asked for one."""
    created, asked = execution.creation_date, job.submitted_at
    if created is None or asked is None or asked - created < _CLOCKS_APART:
        return []
    return [f"execution {execution.id} was on its way already; it began at {created:%Y-%m-%d %H:%M:%S} UTC"]


def _gone(name: str, execution_id: str) -> str:
    return f"{name}: mediarithmics no longer has this file of execution {execution_id} (404)"


def _unescaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _unescaped(inner) for name, inner in value.items()}
    return unescaped(value) if isinstance(value, str) else value


def _all(items: Iterator[Any]) -> dict[str, Any]:
    return {"data": [item.document for item in items]}
