"""The decision of the publish step: is everything there, and what does the manifest say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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
from haul.models.manifest import (
    CostEstimate,
    Evidence,
    Freshness,
    Manifest,
    ManifestDataset,
    ManifestFile,
    RunFacts,
    Totals,
    Vendor,
)
from haul.models.work import Seller
from haul.ports import Landing, Site

_INLINE_COLUMNS_BYTES = 1_000_000


def publish(export: Export, *, ledger: Ledger, landing: Landing, site: Site, now: datetime) -> Export:
    """Compare plan and records, and make the run visible by one conditional write.

    Raises:
        HaulError: of the first file that did not land, under its own name.
        IncompleteDownloadError: a planned file has no record.
        RowCountError: the files and the vendor's counter disagree.
        BaseMovedError: another run published meanwhile, and this delta no longer fits.
        RunAbandonedError: this attempt was given up.
    """
    record = ledger.run(export.pipeline, export.run_id)
    if record is None:
        raise RunNotFoundError(f"{export.pipeline} has no run {export.run_id}")
    if record.execution != export.execution or record.state not in {RunState.PUBLISHING, RunState.PUBLISHED}:
        require_current(record, export.execution)
        try:
            contents, files = landed_files(export, ledger, landing)
        except ResultExpiredError:
            _give_the_job_up(export, ledger)
            raise
        latest = ledger.latest(export.pipeline)
        require_fit(export.follows(), latest)
        drafting = _Drafting(export, contents, files, latest, landing, now)
        ledger.begin_publishing(export, drafting.draft(record, site, ledger), now=now)
    published = ledger.finish_publishing(export.pipeline, export.run_id, site.bucket, now=now)
    if published and published.error:
        raise (by_name(published.error.name) or PermanentError)(published.error.message)
    if published is None:
        raise RunAbandonedError(f"run {export.run_id} is not being published any more")
    manifest = keys.uri(site.bucket, keys.manifest(export.pipeline, export.run_id))
    return export.model_copy(update={"outcome": published.outcome, "manifest": manifest})


def _give_the_job_up(export: Export, ledger: Ledger) -> None:
    """What a rerun needs to know: this result is gone, so it may submit anew."""
    account = export.seller.account if export.seller else ""
    if found := ledger.job(export.vendor, account, export.fingerprint or ""):
        jobs.end(ledger, found[0], "its result expired while it was downloaded")


def landed_files(export: Export, ledger: Ledger, landing: Landing) -> tuple[Contents, list[FileRecord]]:
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
            raise kind(f"{record.error.message}, {_times(record.tries)}")
        if record.landed is None or record.state is not FileState.LANDED:
            raise IncompleteDownloadError(
                f"the download of {file.vendor_name} stopped half-way, {_times(record.tries)}"
            )
        found.append(record)
    _compare_rows(contents, found)
    return contents, found


def _compare_rows(contents: Contents, files: Sequence[FileRecord]) -> None:
    rows = _sum([file.landed.rows for file in files if file.landed])
    if contents.expected_rows is not None and rows is not None and rows != contents.expected_rows:
        raise RowCountError(f"the files hold {rows:,} rows, and the vendor counted {contents.expected_rows:,}")


def _times(tries: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(tries, f"{tries} times")


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
    """Everything that a manifest is made of, but for its place in the sequence."""

    export: Export
    contents: Contents
    files: Sequence[FileRecord]
    latest: Latest
    landing: Landing
    now: datetime

    def draft(self, record: RunRecord, site: Site, ledger: Ledger) -> Draft:
        export = self.export
        seller = export.seller or Seller(account="", api="")
        limit = seller.submissions_per_day
        used = ledger.submissions(export.vendor, seller.account, now=self.now) if limit is not None else 0
        datasets = [self._dataset(dataset) for dataset in self.contents.datasets]
        waited = _seconds(export.job.submitted_at or export.started_at, export.job.finished_seen_at)
        created = export.watermark.to_created_at
        manifest = Manifest(
            outcome=Outcome.PARTIAL if export.partial else Outcome.SUCCEEDED,
            warnings=[*([export.partial] if export.partial else []), *export.warnings],
            pipeline=export.pipeline,
            environment=export.environment,
            run_id=export.run_id,
            sequence=0,
            published_at=self.now,
            vendor=Vendor(
                name=export.vendor,
                action=export.action,
                connection=export.connection,
                tenant=seller.tenant,
                api=seller.api,
            ),
            request=export.request,
            request_as_given=export.request_as_given,
            mode=export.mode,
            watermark=export.watermark,
            job=export.job,
            totals=self._totals(datasets),
            datasets=datasets,
            tables_added=self.contents.tables_added,
            tables_dropped=self.contents.tables_dropped,
            evidence=[
                Evidence(what=what, uri=self._evidence_uri(what))
                for what in dict.fromkeys([*export.evidence, *self.contents.evidence])
            ],
            classification=export.landing.classification,
            expires_on=_expires(export, self.now),
            run=RunFacts(
                started_at=export.claimed_at,
                waited_s=round(waited),
                downloaded_s=round(_seconds(export.job.finished_seen_at, self.now)),
                polls=export.polls,
                attempts=export.attempt,
                executions=record.executions,
                code_version=site.code_version,
                trigger=export.trigger,
            ),
            freshness=Freshness(vendor_created_to_published_s=round(_seconds(created, self.now)) if created else None),
            cost_estimate=_cost(export, self.files, used=used, limit=limit),
        )
        learned = waited if export.job.submitted_at and not export.job.adopted else None
        return Draft(
            manifest=manifest.model_dump(mode="json", by_alias=True),
            follows=export.follows(),
            version=export.watermark.to,
            version_created_at=created,
            waited_seconds=learned,
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
        if len(dataset.to_json()) > _INLINE_COLUMNS_BYTES:
            what = f"columns-{dataset.name}"
            key = keys.evidence(self.export.pipeline, self.export.run_id, what)
            self.landing.write_document(key, dataset.to_json())
            columns_uri = self._evidence_uri(what)
            body["columns"] = []
        return ManifestDataset.model_validate(
            body
            | {
                "rows": _sum([file.rows for file in landed]),
                "row_actions": {action: actions[action] for action in "+u-"} if counted else None,
                "location": keys.uri(
                    self.landing.bucket, keys.dataset(self.export.pipeline, dataset.name, self.export.run_id)
                ),
                "schema_fingerprint": fingerprint,
                "schema_changed": bool(known) and known.get(dataset.name) != fingerprint,
                "columns_uri": columns_uri,
                "files": landed,
            }
        )

    def _evidence_uri(self, what: str) -> str:
        return keys.uri(self.landing.bucket, keys.evidence(self.export.pipeline, self.export.run_id, what))


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
_PART_BYTES = 16 * 1024 * 1024
_DOWNLOAD_GB = 1.769 / 1.024
_SMALL_GB = 0.25


def _cost(export: Export, files: Sequence[FileRecord], *, used: int, limit: int | None) -> CostEstimate:
    """Estimate at list prices of us-east-1, arm64: state transitions, Lambda's memory by time, S3's writes."""
    items = export.plan.items if export.plan else 0
    transitions = 10 + 3 * export.polls + 3 * items
    seconds = sum(file.seconds for file in files)
    gb_seconds = seconds * _DOWNLOAD_GB + (6 + export.polls) * 0.5 * _SMALL_GB
    parts = sum(2 + (file.landed.bytes if file.landed else 0) // _PART_BYTES for file in files)
    requests = 14 + 2 * export.polls + parts + 4 * len(files)
    usd = transitions * _TRANSITION_USD + gb_seconds * _GB_SECOND_USD + requests * _S3_WRITE_USD
    return CostEstimate(
        usd=round(usd, 6),
        transitions=transitions,
        gb_seconds=round(gb_seconds, 1),
        s3_requests=requests,
        submissions_today=used if limit is not None else None,
        submissions_limit=limit,
    )
