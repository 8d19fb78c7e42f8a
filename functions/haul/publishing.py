"""The decision of the publish step: is everything there, and what does the manifest say."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from haul import jobs, keys
from haul.errors import (
    IncompleteDownloadError,
    PermanentError,
    ResultExpiredError,
    RowCountError,
    RunAbandonedError,
    RunNotFoundError,
    by_name,
)
from haul.ledger import Ledger, require_current, require_fit
from haul.models.base import digest
from haul.models.event import Outcome
from haul.models.export import Contents, Dataset, Export, RemoteFile
from haul.models.landed import LandedFile
from haul.models.ledger import Draft, FileRecord, FileState, Latest, RunRecord, RunState
from haul.models.load import Items, Load
from haul.models.manifest import (
    CostEstimate,
    Evidence,
    ExportManifest,
    Freshness,
    LoadManifest,
    LoadTotals,
    ManifestDataset,
    ManifestFile,
    RunFacts,
    Totals,
    Vendor,
)
from haul.models.work import Seller, Work
from haul.ports import Documents, Site

_INLINE_BYTES = 1_000_000


def publish[W: Work](work: W, *, ledger: Ledger, landing: Documents, site: Site, now: datetime) -> W:
    """Make the run visible by one conditional write: of an export once all that was planned has landed.

    Raises:
        HaulError: of the first file that did not land, under its own name.
        IncompleteDownloadError: a planned file has no record.
        RowCountError: the files and the vendor's counter disagree.
        BaseMovedError: another run published meanwhile, and this delta no longer fits.
        RunAbandonedError: this attempt was given up.
    """
    record = ledger.run(work.pipeline, work.run_id)
    if record is None:
        raise RunNotFoundError(f"{work.pipeline} has no run {work.run_id}")
    if record.execution != work.execution or record.state not in {RunState.PUBLISHING, RunState.PUBLISHED}:
        require_current(record, work.execution)
        making = _Making(work, record, ledger, landing, site, now)
        ledger.begin_publishing(work, _draft(making, work), now=now)
    published = ledger.finish_publishing(work.pipeline, work.run_id, site.bucket, now=now)
    if published and published.error:
        raise (by_name(published.error.name) or PermanentError)(published.error.message)
    if published is None:
        raise RunAbandonedError(f"run {work.run_id} is not being published any more")
    manifest = keys.uri(site.bucket, keys.manifest(work.pipeline, work.run_id))
    return work.model_copy(update={"outcome": published.outcome, "manifest": manifest})


@dataclass(frozen=True)
class _Making:
    """What every manifest says, but for its place in the sequence."""

    work: Work
    record: RunRecord
    ledger: Ledger
    landing: Documents
    site: Site
    now: datetime

    @property
    def waited(self) -> float:
        job = self.work.job
        return _seconds(job.submitted_at or self.work.started_at, job.finished_seen_at)

    @property
    def learned(self) -> float | None:
        """How long the vendor took, where this run saw its whole job."""
        return self.waited if self.work.job.submitted_at and not self.work.job.adopted else None

    def facts(
        self, evidence: Iterable[str], *, downloaded: float | None, files: Sequence[FileRecord] = ()
    ) -> dict[str, Any]:
        work, now = self.work, self.now
        seller = work.seller or Seller(account="", api="")
        limit = seller.submissions_per_day
        used = self.ledger.submissions(work.vendor, seller.account, now=now) if limit is not None else 0
        return {
            "outcome": Outcome.PARTIAL if work.partial else Outcome.SUCCEEDED,
            "warnings": [*([work.partial] if work.partial else []), *work.warnings],
            "pipeline": work.pipeline,
            "environment": work.environment,
            "run_id": work.run_id,
            "sequence": 0,
            "published_at": now,
            "vendor": Vendor(
                name=work.vendor,
                action=work.action,
                connection=work.connection,
                tenant=seller.tenant,
                api=seller.api,
            ),
            "request": work.request,
            "request_as_given": work.request_as_given,
            "watermark": work.watermark,
            "job": work.job,
            "evidence": [Evidence(what=what, uri=self.evidence_uri(what)) for what in dict.fromkeys(evidence)],
            "classification": work.landing.classification,
            "run": RunFacts(
                started_at=work.claimed_at,
                waited_s=round(self.waited),
                downloaded_s=round(downloaded) if downloaded is not None else None,
                polls=work.polls,
                attempts=work.attempt,
                executions=self.record.executions,
                code_version=self.site.code_version,
                trigger=work.trigger,
            ),
            "cost_estimate": _cost(work, files, used=used, limit=limit),
        }

    def evidence_uri(self, what: str) -> str:
        return keys.uri(self.landing.bucket, keys.evidence(self.work.pipeline, self.work.run_id, what))


def _draft(making: _Making, work: Work) -> Draft:
    if isinstance(work, Export):
        return _of_export(making, work)
    assert isinstance(work, Load)  # noqa: S101 - there is no third kind
    return _of_load(making, work)


def _of_export(making: _Making, export: Export) -> Draft:
    try:
        contents, files = landed_files(export, making.ledger, making.landing)
    except ResultExpiredError:
        _give_the_job_up(export, making.ledger)
        raise
    latest = making.ledger.latest(export.pipeline)
    require_fit(export.follows(), latest)
    return _Drafting(making, export, contents, files, latest).draft()


def _of_load(making: _Making, load: Load) -> Draft:
    raw = making.landing.read(load.items_key) if load.items_key else None
    if raw is None:
        raise IncompleteDownloadError(f"what became of the load is not known: {load.items_key or 'nothing'} is gone")
    items = Items.model_validate_json(raw).items
    failed = sum(item.outcome is not Outcome.SUCCEEDED for item in items)
    short = len(raw) <= _INLINE_BYTES
    manifest = LoadManifest(
        **making.facts(load.evidence, downloaded=None),
        source=load.source,
        objects=load.objects,
        items=items if short else [],
        items_uri=None if short else keys.uri(making.landing.bucket, str(load.items_key)),
        totals=LoadTotals(succeeded=len(items) - failed, failed=failed, records=load.records),
    )
    return Draft(
        manifest=manifest.model_dump(mode="json", by_alias=True),
        version=load.watermark.to,
        waited_seconds=making.learned,
    )


def _give_the_job_up(export: Export, ledger: Ledger) -> None:
    """What a rerun needs to know: this result is gone, so it may submit anew."""
    account = export.seller.account if export.seller else ""
    if found := ledger.job(export.vendor, account, export.fingerprint or ""):
        jobs.end(ledger, found[0], "its result expired while it was downloaded")


def landed_files(export: Export, ledger: Ledger, landing: Documents) -> tuple[Contents, list[FileRecord]]:
    """Read what was planned and what landed; the same number of both, in the plan's order."""
    if export.plan is None:
        raise IncompleteDownloadError("the run has no plan")
    raw = landing.read(export.plan.contents_key)
    if raw is None:
        raise IncompleteDownloadError(f"the plan {export.plan.contents_key} is gone")
    contents = Contents.model_validate_json(raw)
    records = {record.n: record for record in ledger.files(export.pipeline, export.run_id)}
    found = []
    for n, file in enumerate(contents.files):
        record = records.get(n)
        if record is None or record.result_id != export.job.result_id:
            raise IncompleteDownloadError(f"{file.vendor_name} was planned, but nothing is known of its download")
        if record.error and record.state is FileState.FAILED:
            kind = by_name(record.error.name) or PermanentError
            raise kind(f"{record.error.message}{_times(record.tries)}")
        if record.landed is None or record.state is not FileState.LANDED:
            raise IncompleteDownloadError(f"the download of {file.vendor_name} stopped half-way{_times(record.tries)}")
        found.append(record)
    _compare_rows(contents, found)
    return contents, found


def _compare_rows(contents: Contents, files: Sequence[FileRecord]) -> None:
    rows = _sum([file.landed.rows for file in files if file.landed])
    if contents.expected_rows is not None and rows is not None and rows != contents.expected_rows:
        raise RowCountError(f"the files hold {rows:,} rows, and the vendor counted {contents.expected_rows:,}")


def _times(tries: int) -> str:
    """How often a file was tried, as the end of a sentence; a single try goes without saying."""
    if tries <= 1:
        return ""
    return ", " + {2: "twice", 3: "three times", 4: "four times"}.get(tries, f"{tries} times")


def schema_fingerprint(dataset: Dataset) -> str:
    """What stays the same as long as a reader's table fits: names, types, keys and format."""
    shape = {
        "columns": [[column.name, column.type, column.nullable] for column in dataset.columns],
        "key": dataset.primary_key,
        "format": dataset.format.model_dump(mode="json"),
    }
    return f"sha256:{digest(shape)}"


@dataclass(frozen=True)
class _Drafting:
    """Everything that the manifest of an export is made of."""

    making: _Making
    export: Export
    contents: Contents
    files: Sequence[FileRecord]
    latest: Latest

    def draft(self) -> Draft:
        export, making = self.export, self.making
        datasets = [self._dataset(dataset) for dataset in self.contents.datasets]
        created = export.watermark.to_created_at
        age = round(_seconds(created, making.now)) if created else None
        manifest = ExportManifest(
            **making.facts(
                [*export.evidence, *self.contents.evidence],
                downloaded=_seconds(export.job.finished_seen_at, making.now),
                files=self.files,
            ),
            mode=export.mode,
            totals=self._totals(datasets),
            datasets=datasets,
            tables_added=self.contents.tables_added,
            tables_dropped=self.contents.tables_dropped,
            expires_on=_expires(export, making.now),
            freshness=Freshness(vendor_created_to_published_s=age),
        )
        return Draft(
            manifest=manifest.model_dump(mode="json", by_alias=True),
            follows=export.follows(),
            version=export.watermark.to,
            version_created_at=created,
            waited_seconds=making.learned,
            schemas={dataset.name: dataset.schema_fingerprint for dataset in datasets},
        )

    def _totals(self, datasets: Sequence[ManifestDataset]) -> Totals:
        landed = [record.landed for record in self.files if record.landed]
        return Totals(
            datasets=len(datasets),
            files=len(landed),
            bytes=sum(file.bytes for file in landed),
            bytes_uncompressed=_sum([file.bytes_uncompressed for file in landed]),
            rows=_sum([file.rows for file in landed]),
        )

    def _dataset(self, dataset: Dataset) -> ManifestDataset:
        both = zip(self.contents.files, self.files, strict=True)
        records = [
            (remote, record.landed) for remote, record in both if remote.dataset == dataset.name and record.landed
        ]
        dataset = _as_in_the_files(dataset, records)
        names = [column.name for column in dataset.columns]
        landed = [
            ManifestFile(
                **file.model_dump(exclude={"header"} if file.header == names else None),
                part=remote.part,
                vendor_file_id=remote.vendor_file_id,
                vendor_name=remote.vendor_name,
            )
            for remote, file in records
        ]
        actions: Counter[str] = Counter()
        for file in landed:
            actions.update(file.row_actions or {})
        counted = any(file.row_actions is not None for file in landed)
        fingerprint = schema_fingerprint(dataset)
        known = self.latest.schemas
        body = dataset.model_dump(mode="json")
        columns_uri = None
        if len(dataset.to_json()) > _INLINE_BYTES:
            what = f"columns-{dataset.name}"
            key = keys.evidence(self.export.pipeline, self.export.run_id, what)
            self.making.landing.write_document(key, dataset.to_json())
            columns_uri = self.making.evidence_uri(what)
            body["columns"] = []
        return ManifestDataset.model_validate(
            body
            | {
                "rows": _sum([file.rows for file in landed]),
                "row_actions": {action: actions[action] for action in "+u-"} if counted else None,
                "location": keys.uri(
                    self.making.landing.bucket, keys.dataset(self.export.pipeline, dataset.name, self.export.run_id)
                ),
                "schema_fingerprint": fingerprint,
                "schema_changed": bool(known) and known.get(dataset.name) != fingerprint,
                "columns_uri": columns_uri,
                "files": landed,
            }
        )


def _as_in_the_files(dataset: Dataset, files: Sequence[tuple[RemoteFile, LandedFile]]) -> Dataset:
    """Put the columns in the order of the files' headers: Athena and others read CSV by position."""
    headers = {tuple(file.header) for _, file in files if file.header}
    columns = {column.name: column for column in dataset.columns}
    if len(headers) != 1 or set(*headers) != columns.keys():
        return dataset
    return dataset.model_copy(update={"columns": [columns[name] for name in headers.pop()]})


def _expires(export: Export, now: datetime) -> str | None:
    days = export.landing.retention_days
    return f"{now + timedelta(days=days):%Y-%m-%d}" if days else None


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


_TRANSITION_USD = 25e-6
_GB_SECOND_USD = 13.3334e-6
_S3_WRITE_USD = 5e-6
_PART_BYTES = 32 << 20
"""Of most vendors; where ranges are honoured parts are twice as large, and of an unknown length half."""
_DOWNLOAD_GB = 1.769 / 1.024
_SMALL_GB = 0.5


def _cost(work: Work, files: Sequence[FileRecord], *, used: int, limit: int | None) -> CostEstimate:
    """Estimate at list prices of us-east-1, arm64: state transitions, Lambda's memory by time, S3's writes."""
    items = work.plan.items if isinstance(work, Export) and work.plan else 0
    transitions = 10 + 3 * work.polls + 5 * items
    seconds = sum(file.seconds for file in files)
    gb_seconds = seconds * _DOWNLOAD_GB + (6 + work.polls) * 0.5 * _SMALL_GB
    parts = sum(2 + (file.landed.bytes if file.landed else 0) // _PART_BYTES for file in files)
    requests = 14 + 2 * work.polls + parts + 4 * len(files)
    usd = transitions * _TRANSITION_USD + gb_seconds * _GB_SECOND_USD + requests * _S3_WRITE_USD
    return CostEstimate(
        usd=round(usd, 6),
        transitions=transitions,
        gb_seconds=round(gb_seconds, 1),
        s3_requests=requests,
        submissions_today=used if limit is not None else None,
        submissions_limit=limit,
    )
