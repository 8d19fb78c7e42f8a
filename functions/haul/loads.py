"""The decisions of the load flow: what is to be sent, has the job and all that it started ended, what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from haul import attempts, jobs, keys
from haul.errors import HaulError, InvalidEventError, LoadFailedError
from haul.ledger import Ledger
from haul.models import vendors
from haul.models.event import Outcome, Rerun, S3Object
from haul.models.ledger import Latest
from haul.models.load import Items, Load
from haul.models.manifest import ExportManifest, LoadManifest
from haul.models.work import Job, JobStatus
from haul.ports import (
    ConnectLoad,
    Documents,
    Found,
    JobReport,
    LoadConnector,
    LoadReport,
    Objects,
    Prepared,
    Site,
)

_OBJECTS = 150
"""Each is named in the state, which has 256 KiB."""


@dataclass(frozen=True)
class _Vendor:
    """A load vendor, asked for jobs."""

    connector: LoadConnector
    objects: Objects

    @property
    def in_flight(self) -> timedelta:
        """The function that sends lives for fifteen minutes."""
        return timedelta(minutes=16)

    def find(self, load: Load, since: datetime) -> list[Found]:
        return self.connector.find(load.request, since=since)

    def submit(self, load: Load) -> str:
        source = self.objects.open(load.objects, load.options) if load.objects else None
        return self.connector.start(load.request, source, run_id=load.run_id)

    def look(self, load: Load, job: Job) -> LoadReport:
        return self.connector.status(job, load.request)


class LoadFlow(attempts.Flow[Load, LoadConnector]):
    """What the load flow does in its own way."""

    kind = "load"
    state = Load

    def __init__(
        self, ledger: Ledger, site: Site, *, connect: ConnectLoad, objects: Objects, landing: Documents
    ) -> None:
        super().__init__(ledger, site)
        self._connect = connect
        self._objects = objects
        self._landing = landing

    @override
    def connect(self, work: Load) -> LoadConnector:
        return self._connect(work.vendor, work.action, work.connection, work.options)

    @override
    def vendor(self, connector: LoadConnector) -> _Vendor:
        return _Vendor(connector, self._objects)

    @override
    def sourced(self, work: Load, upstream: ExportManifest | LoadManifest | None) -> Load:
        if not vendors.actions(work.vendor)[work.action].takes_source:
            return work
        named = _named(work, upstream)
        if folder := next((each.key for each in named if each.key.endswith("/")), None):
            return _nothing(work, f"{folder} is a folder: there is nothing to send")
        settled = [self._objects.settle(each) for each in named]
        work = work.model_copy(update={"objects": settled})
        if any(each.size for each in settled) and self._objects.open(settled, work.options).size:
            return work
        what = f"{settled[0].key} is empty" if len(settled) == 1 else "there are no bytes to send"
        if work.options.get("empty") == "fail":
            raise InvalidEventError(f"source: {what}, and options.empty says to fail then")
        return _nothing(work, f"{what}: there is nothing to send")

    @override
    def prepare(self, connector: LoadConnector, work: Load, request: Mapping[str, Any], latest: Latest) -> Prepared:
        return connector.prepare(request)

    @override
    def again(self, work: Load, rerun: Rerun | None) -> dict[str, Any]:
        if rerun and rerun.link:
            raise InvalidEventError("rerun.link: a load has no result that a link could be of; rerun it without")
        return {"awaited_since": None, "partial": None}

    @override
    def seen(self, work: Load, report: JobReport, *, now: datetime) -> tuple[Load, JobReport]:
        """Take a job for ended only once what should still appear had its time."""
        assert isinstance(report, LoadReport)  # noqa: S101 - a load connector gives no other
        job = work.job.model_copy(update={"kind": report.kind or work.job.kind, "family": report.family})
        since = (work.awaited_since or now) if report.awaited else None
        work = work.model_copy(update={"job": job, "awaited_since": since})
        if since is None or now - since >= report.awaited_for:
            return work, report
        progress = ", ".join(part for part in (report.progress, report.awaited) if part)
        return work, LoadReport(JobStatus.RUNNING, progress=progress)

    @override
    def ended(self, work: Load, report: JobReport) -> Load:
        """Keep what became of each part, also of a load that failed, and the version where one alone was made."""
        assert isinstance(report, LoadReport)  # noqa: S101 - a load connector gives no other
        key = keys.evidence(work.pipeline, work.run_id, keys.ITEMS)
        self._landing.write_document(key, Items(items=list(report.items)).to_json())
        versions = {item.data_version for item in report.items if item.data_version}
        mark = work.watermark.model_copy(update={"to": versions.pop() if len(versions) == 1 else None})
        return work.model_copy(
            update={
                "items_key": key,
                "evidence": [*dict.fromkeys([*work.evidence, keys.ITEMS])],
                "records": report.records,
                "watermark": mark,
            }
        )

    @override
    def result_of(self, work: Load, report: JobReport) -> str | None:
        return work.job.id

    @override
    def failure(self, message: str) -> HaulError:
        return LoadFailedError(message)


def _nothing(work: Load, message: str) -> Load:
    return work.model_copy(update={"outcome": Outcome.NOTHING_NEW, "message": message})


def _named(work: Load, upstream: ExportManifest | LoadManifest | None) -> list[S3Object]:
    """The object, or the files of the manifest's dataset.

    Raises:
        InvalidEventError: neither is there.
    """
    source = work.source
    if source and source.object:
        return [source.object]
    if source is None or upstream is None:
        raise InvalidEventError(f"source: missing; {work.action} sends an object, or a dataset of a manifest")
    if not isinstance(upstream, ExportManifest):
        raise InvalidEventError(f"source.manifest: run {upstream.run_id} was a load, which has no files to send")
    known = {dataset.name: dataset for dataset in upstream.datasets}
    if source.dataset is None and len(known) > 1:
        raise InvalidEventError(f"source.dataset: missing; the manifest has {', '.join(sorted(known))}")
    name = source.dataset or next(iter(known), "")
    if name not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise InvalidEventError(f'source.dataset: the manifest has no dataset "{name}"; {there}')
    files = known[name].files
    if len(files) > _OBJECTS:
        raise InvalidEventError(f"source.dataset: {name} has {len(files):,} files; a load takes at most {_OBJECTS}")
    return [_object(file.uri, file.version_id, file.bytes) for file in files]


def _object(uri: str, version_id: str | None, size: int) -> S3Object:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return S3Object(bucket=bucket, key=key, version_id=version_id, size=size)


def vendor(connector: LoadConnector, objects: Objects) -> jobs.Vendor[Load]:
    """The vendor as this flow asks it for jobs."""
    return _Vendor(connector, objects)
