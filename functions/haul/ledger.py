"""What Haul itself knows, and who may act on it.

S3 alone decides, by conditional writes: a document is created once (`If-None-Match: *`) or replaced as it was read
(`If-Match`). Every document names its writer and counts its revisions, so a write whose answer was lost is found
out by reading back: if it is ours, we won.

    claim      this trigger is this run                     created once
    run        RUNNING → PUBLISHING → PUBLISHED             only the winner of a transition acts, and only the
               RUNNING → ENDED                              execution that the record names may act for the run
               RUNNING → ABANDONED → RUNNING (rerun)
    job        INTENT → SUBMITTED → ENDED                   only the writer whose INTENT won may submit
    quota      a day's submissions                          counted before the intent, once per submission
    latest     reserved → published                         a sequence without holes; forward only
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from haul import keys
from haul.errors import (
    BaseMovedError,
    LedgerBusyError,
    QuotaExceededError,
    RunAbandonedError,
    RunNotFoundError,
)
from haul.models.base import digest
from haul.models.event import Outcome, Start
from haul.models.ledger import (
    Claim,
    Draft,
    FileRecord,
    JobRecord,
    Latest,
    LedgerDocument,
    PipelineRecord,
    Published,
    Quota,
    Reservation,
    RunRecord,
    RunState,
)
from haul.models.load import Items, LoadItem
from haul.models.manifest import ExportManifest, LoadManifest, Previous, read_manifest
from haul.models.work import ErrorRecord, Work
from haul.ports import ConflictError, Store, Stored, UnclearError

_TRIES = 25
_DURATIONS_KEPT = 30
_READ_AT_ONCE = 10
"""As many as boto3 keeps connections."""

LIVE = frozenset({RunState.RUNNING, RunState.PUBLISHING})


def trigger_key(start: Start, execution: str) -> str:
    """What makes two triggers of a pipeline the same.

    The object's version (where its bucket keeps none, its content), the upstream run, the event's id, or nothing but
    the execution.
    """
    if start.source and start.source.object:
        found = start.source.object
        kept = found.version_id if found.version_id not in {None, "", "null"} else found.etag
        what = f"object {found.bucket}/{found.key}@{kept}" if kept else _by_id(start, execution)
    elif start.source and start.source.manifest:
        upstream = keys.run_of_manifest(start.source.manifest.key)
        what = f"manifest {upstream[1] if upstream else start.source.manifest.key}"
    else:
        what = _by_id(start, execution)
    return f"{start.pipeline} {what}"


def _by_id(start: Start, execution: str) -> str:
    return f"id {start.id}" if start.id else f"execution {execution}"


@dataclass(frozen=True)
class Opened:
    """A trigger's run. `ours` is whether this execution acts for it."""

    record: RunRecord
    ours: bool


@dataclass(frozen=True)
class _Written[D: LedgerDocument]:
    """A document as it is after an attempt to write it, under its ETag."""

    document: D
    etag: str
    is_ours: bool


class Ledger:
    """The documents of one landing bucket, written by one invocation."""

    def __init__(self, store: Store, *, writer: str | None = None) -> None:
        self._store = store
        self._writer = writer or uuid.uuid4().hex
        self._files: dict[str, tuple[FileRecord, str]] = {}

    @property
    def writer(self) -> str:
        """Who writes by this ledger: the name of one invocation."""
        return self._writer

    # Runs ---------------------------------------------------------------------------------------------------------

    def open_run(self, start: Start, event: dict[str, Any], execution: str, *, now: datetime) -> Opened:
        """Claim the trigger, or take up the run that it already is.

        Raises:
            RunAbandonedError: this execution was given up.
            RunNotFoundError: there is no such run to rerun, or it published.
        """
        if start.rerun:
            return self._reopen(start.pipeline, start.rerun.run_id, execution, now=now)
        claim = self._claim(start, event, execution, now=now)
        record = self._record_of(claim)
        if record.execution == execution and record.state is RunState.ABANDONED:
            raise RunAbandonedError(f"run {record.run_id} was given up: {_why(record)}")
        return Opened(record, ours=record.execution == execution)

    def find_run(self, start: Start, execution: str) -> RunRecord | None:
        """Look up the run of a trigger without claiming it."""
        if start.rerun:
            return self.run(start.pipeline, start.rerun.run_id)
        found = self._read(Claim, self._claim_key(start, execution))
        return self._record_of(found[0]) if found else None

    def look_up(self, start: Start, execution: str) -> RunRecord | None:
        """The run of a trigger as far as it is written down; for those who may only read."""
        if start.rerun:
            return self.run(start.pipeline, start.rerun.run_id)
        found = self._read(Claim, self._claim_key(start, execution))
        return self.run(start.pipeline, found[0].run_id) if found else None

    def _claim_key(self, start: Start, execution: str) -> str:
        return keys.claim(start.pipeline, digest(trigger_key(start, execution)))

    def _claim(self, start: Start, event: dict[str, Any], execution: str, *, now: datetime) -> Claim:
        trigger = trigger_key(start, execution)
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{digest(trigger)[:6]}"
        claim = Claim(
            run_id=run_id,
            pipeline=start.pipeline,
            trigger_key=trigger,
            execution=execution,
            claimed_at=now,
            event=event,
        )
        return self._create(self._claim_key(start, execution), claim).document

    def _record_of(self, claim: Claim) -> RunRecord:
        """Read the claim's run, or make it: the claimer may have died in between, so anybody may."""
        key = keys.record(claim.pipeline, claim.run_id)
        if found := self._read(RunRecord, key):
            return found[0]
        self._create(keys.active(claim.pipeline, claim.run_id), claim)
        record = RunRecord(
            run_id=claim.run_id,
            pipeline=claim.pipeline,
            execution=claim.execution,
            executions=[claim.execution],
            claimed_at=claim.claimed_at,
            started_at=claim.claimed_at,
            event=claim.event,
        )
        return self._create(key, record).document

    def _reopen(self, pipeline: str, run_id: str, execution: str, *, now: datetime) -> Opened:
        def next_attempt(record: RunRecord) -> RunRecord | None:
            if execution in record.executions:
                if record.execution != execution or record.state is RunState.ABANDONED:
                    raise RunAbandonedError(f"this attempt of run {run_id} was given up: {_why(record)}")
                return None
            if record.state in {RunState.PUBLISHED, RunState.ENDED}:
                raise RunNotFoundError(f"run {run_id} of {pipeline} ended {record.outcome}: there is nothing to rerun")
            if record.state is not RunState.ABANDONED:
                return None
            return record.model_copy(
                update={
                    "state": RunState.RUNNING,
                    "attempt": record.attempt + 1,
                    "execution": execution,
                    "executions": [*record.executions, execution],
                    "started_at": now,
                    "ended_at": None,
                    "outcome": None,
                    "error": None,
                    "late_told_at": None,
                    "told": False,
                }
            )

        if self.run(pipeline, run_id) is None:
            raise RunNotFoundError(f"{pipeline} has no run {run_id}")
        marker = keys.active(pipeline, run_id)
        self._create(marker, LedgerDocument())
        record = self._update_run(pipeline, run_id, next_attempt)
        # Whoever settled the attempt before may have taken the marker away only now.
        self._create(marker, LedgerDocument())
        return Opened(record, ours=record.execution == execution)

    def run(self, pipeline: str, run_id: str) -> RunRecord | None:
        found = self._read(RunRecord, keys.record(pipeline, run_id))
        return found[0] if found else None

    def runs(self, pipeline: str) -> Iterator[str]:
        """The run_ids of a pipeline, oldest first."""
        prefix = keys.records(pipeline)
        return (key.removeprefix(prefix) for key in self._keys(prefix))

    def active_run(self, pipeline: str, run_id: str) -> RunRecord | None:
        """The record of an active run, made from its claim where the claimer died before it could."""
        if found := self.run(pipeline, run_id):
            return found
        marker = self._read(Claim, keys.active(pipeline, run_id))
        return self._record_of(marker[0]) if marker else None

    def active(self, pipeline: str | None = None) -> Iterator[tuple[str, str]]:
        """Pipeline and run_id of every run that nobody has settled yet, of one pipeline or of all."""
        prefix = f"{keys.ACTIVE}{pipeline}/" if pipeline else keys.ACTIVE
        return (keys.run_of_active(key) for key in self._keys(prefix))

    def note(self, work: Work, *, next_poll_at: datetime | None = None) -> None:
        """Keep the attempt's state in its run.

        Raises:
            RunAbandonedError: the attempt was given up meanwhile and must not go on.
        """

        def noted(record: RunRecord) -> RunRecord:
            require_current(record, work.execution)
            return record.model_copy(update={"work": work, "next_poll_at": next_poll_at})

        self._update_run(work.pipeline, work.run_id, noted)

    def end(self, work: Work, *, now: datetime) -> RunRecord:
        """RUNNING → ENDED: there was nothing to publish."""

        def ended(record: RunRecord) -> RunRecord | None:
            if record.state is RunState.ENDED and record.execution == work.execution:
                return None
            require_current(record, work.execution)
            return record.model_copy(
                update={"state": RunState.ENDED, "outcome": work.outcome, "ended_at": now, "work": work}
            )

        return self._update_run(work.pipeline, work.run_id, ended)

    def abandon(
        self, record: RunRecord, outcome: Outcome, error: ErrorRecord, *, now: datetime
    ) -> tuple[RunRecord, bool]:
        """RUNNING → ABANDONED, if `record`'s execution still acts for the run; the run as it is, and whether we won."""

        def abandoned(current: RunRecord) -> RunRecord | None:
            if current.execution != record.execution or current.state is not RunState.RUNNING:
                return None
            return current.model_copy(
                update={"state": RunState.ABANDONED, "outcome": outcome, "error": error, "ended_at": now}
            )

        current = self._update_run(record.pipeline, record.run_id, abandoned)
        return current, current.state is RunState.ABANDONED and current.execution == record.execution

    def told(self, record: RunRecord) -> RunRecord:
        """People and programs know how the run ended: nobody needs to look at it any more; the run as it is."""

        def marked(current: RunRecord) -> RunRecord | None:
            stale = current.execution != record.execution or current.state in LIVE
            return None if stale or current.told else current.model_copy(update={"told": True})

        current = self._update_run(record.pipeline, record.run_id, marked)
        if current.told:
            self.forget_active(record.pipeline, record.run_id)
        return current

    def told_late(self, record: RunRecord, *, now: datetime) -> None:
        """Keep that this attempt was said to be late."""

        def marked(current: RunRecord) -> RunRecord | None:
            same = current.execution == record.execution and current.state in LIVE
            return current.model_copy(update={"late_told_at": now}) if same else None

        self._update_run(record.pipeline, record.run_id, marked)

    def is_told_unclaimed(self, execution: str) -> bool:
        """Whether it was told that an execution ended before it had a run."""
        return self._get(keys.unclaimed(digest(execution))) is not None

    def told_unclaimed(self, execution: str) -> None:
        self._create(keys.unclaimed(digest(execution)), LedgerDocument())

    def forget_active(self, pipeline: str, run_id: str) -> None:
        """Nobody needs to look at the run any more, unless a rerun brings it back just now."""
        key = keys.active(pipeline, run_id)
        self._asked(lambda: self._store.delete(key))
        record = self.run(pipeline, run_id)
        if record and not record.told:
            self._create(key, LedgerDocument())

    def _update_run(self, pipeline: str, run_id: str, change: Callable[[RunRecord], RunRecord | None]) -> RunRecord:
        updated = self._update(RunRecord, keys.record(pipeline, run_id), change)
        if updated is None:
            raise RunNotFoundError(f"{pipeline} has no run {run_id}")
        return updated

    # Files --------------------------------------------------------------------------------------------------------

    def file(self, pipeline: str, run_id: str, n: int) -> FileRecord | None:
        key = keys.file(pipeline, run_id, n)
        found = self._read(FileRecord, key)
        if found is None:
            return None
        self._files[key] = found
        return found[0]

    def files(self, pipeline: str, run_id: str) -> list[FileRecord]:
        """What every file of the run came to so far, by number."""
        return self._read_all(FileRecord, keys.files(pipeline, run_id))

    def write_file(
        self, pipeline: str, run_id: str, n: int, change: Callable[[FileRecord | None], FileRecord | None]
    ) -> FileRecord | None:
        """Change a file's record, or make it.

        One writer works on a file, so what this one has seen last is most likely what is there: it is not read again
        unless somebody else was in between.
        """
        key = keys.file(pipeline, run_id, n)
        found = self._upsert(FileRecord, key, change, known=self._files.pop(key, None))
        if found is None:
            return None
        self._files[key] = found
        return found[0]

    # Jobs ---------------------------------------------------------------------------------------------------------

    def job(self, vendor: str, account: str, fingerprint: str) -> tuple[JobRecord, str] | None:
        """The one job for a fingerprint, and the ETag to replace it by."""
        return self._read(JobRecord, keys.job(vendor, account, fingerprint))

    def jobs(self, vendor: str) -> list[JobRecord]:
        """The records of all jobs of a vendor, whatever the account."""
        return self._read_all(JobRecord, keys.jobs(vendor))

    def put_job(self, record: JobRecord, etag: str | None) -> tuple[JobRecord, bool]:
        """Write the job as read under `etag` (None: it did not exist); the job as it is, and whether we won."""
        key = keys.job(record.vendor, record.account, record.fingerprint)
        written = self._create(key, record) if etag is None else self._replace(key, record, etag)
        return written.document, written.is_ours

    def change_job(self, record: JobRecord, change: Callable[[JobRecord], JobRecord | None]) -> JobRecord:
        key = keys.job(record.vendor, record.account, record.fingerprint)
        updated = self._update(JobRecord, key, change)
        if updated is None:
            raise LedgerBusyError("the job's record is gone from the ledger")
        return updated

    def is_live(self, owner: str) -> bool:
        """Whether the run `<pipeline>/<run_id>` still acts."""
        pipeline, run_id = owner.split("/")
        record = self.run(pipeline, run_id)
        return record is not None and record.state in LIVE

    # Quota --------------------------------------------------------------------------------------------------------

    def submissions(self, vendor: str, account: str, *, now: datetime) -> int:
        found = self._read(Quota, keys.quota(vendor, account, _day(now)))
        return len(found[0].submissions) if found else 0

    def count_submission(
        self, vendor: str, account: str, submission: str, *, limit: int, reserve: int, now: datetime
    ) -> int:
        """Count a submission against the day, once however often this is called; how many there are now.

        Raises:
            QuotaExceededError: `limit` less `reserve` are used up.
        """
        day = _day(now)

        def counted(quota: Quota | None) -> Quota | None:
            quota = quota or Quota(day=day)
            if submission in quota.submissions:
                return None
            used = len(quota.submissions)
            if used >= limit - reserve:
                kept = f", {reserve} of them reserved for manual runs" if reserve and used < limit else ""
                raise QuotaExceededError(
                    f"{used} of {limit} submissions to {account} are used on {day} (UTC){kept}; nothing was submitted"
                )
            return quota.model_copy(update={"submissions": [*quota.submissions, submission]})

        quota = self._upsert(Quota, keys.quota(vendor, account, day), counted)
        return len(quota[0].submissions) if quota else 0

    # Publishing ---------------------------------------------------------------------------------------------------

    def latest(self, pipeline: str) -> Latest:
        found = self._read(Latest, keys.latest(pipeline))
        return found[0] if found else Latest()

    def settled_latest(self, pipeline: str, bucket: str, *, now: datetime) -> Latest:
        """`latest`, after completing a publishing that stopped half-way."""
        latest = self.latest(pipeline)
        if latest.reserved:
            self.finish_publishing(pipeline, latest.reserved.run_id, bucket, now=now)
            latest = self.latest(pipeline)
        return latest

    def begin_publishing(self, work: Work, draft: Draft, *, now: datetime) -> RunRecord:
        """RUNNING → PUBLISHING: from here on the run will be published, by whoever finds it.

        Raises:
            RunAbandonedError: Abandon was faster.
        """
        attempt = work.attempt
        self._create(keys.draft(work.pipeline, work.run_id, attempt), draft)

        def publishing(record: RunRecord) -> RunRecord | None:
            if record.execution == work.execution and record.state in {RunState.PUBLISHING, RunState.PUBLISHED}:
                return None
            require_current(record, work.execution)
            return record.model_copy(update={"state": RunState.PUBLISHING, "work": work, "ended_at": now})

        return self._update_run(work.pipeline, work.run_id, publishing)

    def finish_publishing(self, pipeline: str, run_id: str, bucket: str, *, now: datetime) -> RunRecord | None:
        """PUBLISHING → PUBLISHED, from wherever it stopped; None if the run is not being published.

        Sequence, manifest, latest, run: each step is done once, whoever does it. A delta that no longer fits what is
        published goes to ABANDONED instead: nothing of it is visible yet, and it will never fit again.
        """
        record = self.run(pipeline, run_id)
        if record is None or record.state not in {RunState.PUBLISHING, RunState.PUBLISHED}:
            return None
        if record.state is RunState.PUBLISHED:
            return record
        stored = self._read(Draft, keys.draft(pipeline, run_id, record.attempt))
        if stored is None:
            raise RunNotFoundError(f"run {run_id} of {pipeline} is being published, but its draft is gone")
        draft = stored[0]
        manifest_key = keys.manifest(pipeline, run_id)
        uri = keys.uri(bucket, manifest_key)
        try:
            reservation = self._reserve(pipeline, run_id, draft, bucket, now=now)
        except BaseMovedError as error:
            misfit = ErrorRecord(name=type(error).__name__, message=str(error))
            return self._update_run(pipeline, run_id, lambda current: _did_not_fit(current, misfit, now=now))
        if reservation:
            latest = self.latest(pipeline)
            previous = Previous(run_id=latest.last.run_id, manifest=latest.last.manifest) if latest.last else None
            manifest = read_manifest(
                {
                    **draft.manifest,
                    "sequence": reservation.sequence,
                    "published_at": now,
                    "previous": previous,
                }
            )
            self._create_text(manifest_key, manifest.to_json())
            published = Published(
                run_id=run_id,
                sequence=reservation.sequence,
                manifest=uri,
                published_at=now,
                started_at=record.claimed_at,
            )
            self._upsert(Latest, keys.latest(pipeline), lambda found: _moved(found, published, draft))

        def done(current: RunRecord) -> RunRecord | None:
            if current.state is not RunState.PUBLISHING:
                return None
            work = current.work.model_copy(update={"manifest": uri}) if current.work else None
            outcome = Outcome(draft.manifest["outcome"])
            return current.model_copy(update={"state": RunState.PUBLISHED, "outcome": outcome, "work": work})

        return self._update_run(pipeline, run_id, done)

    def _reserve(self, pipeline: str, run_id: str, draft: Draft, bucket: str, *, now: datetime) -> Reservation | None:
        """Keep the next sequence for the run; None if the run has had its place in `latest` already.

        Raises:
            BaseMovedError: the published version is not the one that this delta starts from.
        """
        for _ in range(_TRIES):
            found = self._read(Latest, keys.latest(pipeline))
            latest = found[0] if found else Latest()
            if latest.reserved and latest.reserved.run_id == run_id:
                return latest.reserved
            # Read after `latest`: a manifest without a reservation has been through `latest`, and if that happens
            # only now, the write below fails and we look again.
            if self._get(keys.manifest(pipeline, run_id)):
                return None
            if latest.reserved:
                self.finish_publishing(pipeline, latest.reserved.run_id, bucket, now=now)
                continue
            require_fit(draft.follows, latest)
            reservation = Reservation(run_id=run_id, sequence=(latest.last.sequence if latest.last else 0) + 1)
            wanted = latest.model_copy(update={"reserved": reservation})
            key = keys.latest(pipeline)
            written = self._replace(key, wanted, found[1]) if found else self._create(key, wanted)
            if written.is_ours:
                return reservation
        raise LedgerBusyError(f"too many runs of {pipeline} are being published at once")

    def manifest(self, pipeline: str, run_id: str) -> ExportManifest | LoadManifest | None:
        stored = self._get(keys.manifest(pipeline, run_id))
        return read_manifest(stored.body) if stored else None

    # Pipelines ----------------------------------------------------------------------------------------------------

    def pipeline(self, name: str) -> PipelineRecord | None:
        found = self._read(PipelineRecord, keys.pipeline(name))
        return found[0] if found else None

    def pipelines(self) -> Iterator[str]:
        """Every name below which the ledger has something."""
        found = self._asked(lambda: list(self._store.folders("ledger/")))
        return (name for name in found if not name.startswith("_"))

    def register(self, record: PipelineRecord) -> None:
        """Keep a pipeline as deployed; what was told about it stays told."""

        def deployed(found: PipelineRecord | None) -> PipelineRecord:
            return record if found is None else record.model_copy(update={"stale_told_at": found.stale_told_at})

        self._upsert(PipelineRecord, keys.pipeline(record.pipeline), deployed)

    def unregister(self, name: str) -> None:
        self._asked(lambda: self._store.delete(keys.pipeline(name)))

    def told_stale(self, name: str, *, now: datetime) -> None:
        """Keep that the pipeline was said to be stale."""
        key = keys.pipeline(name)
        self._update(PipelineRecord, key, lambda record: record.model_copy(update={"stale_told_at": now}))

    # Conditional writes -------------------------------------------------------------------------------------------

    def _read[D: LedgerDocument](self, model: type[D], key: str) -> tuple[D, str] | None:
        stored = self._get(key)
        return (model.model_validate_json(stored.body), stored.etag) if stored else None

    def _get(self, key: str) -> Stored | None:
        return self._asked(lambda: self._store.get(key))

    def _keys(self, prefix: str) -> list[str]:
        return self._asked(lambda: list(self._store.keys(prefix)))

    def _asked[T](self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (UnclearError, ConflictError) as error:
            raise LedgerBusyError(f"the ledger did not answer: {error}") from error

    def _create[D: LedgerDocument](self, key: str, document: D) -> "_Written[D]":
        """Write a new document."""
        ours = document.model_copy(update={"writer": self._writer, "revision": 1})
        body = ours.to_json()
        for _ in range(_TRIES):
            try:
                etag = self._store.create(key, body)
            except (ConflictError, UnclearError):
                if stored := self._get(key):
                    found = type(document).model_validate_json(stored.body)
                    return _Written(found, stored.etag, is_ours=stored.body == body)
                continue
            return _Written(ours, etag, is_ours=True)
        raise LedgerBusyError("the ledger did not take a new document")

    def _create_text(self, key: str, body: str) -> None:
        for _ in range(_TRIES):
            try:
                self._store.create(key, body)
            except (ConflictError, UnclearError):
                if self._get(key):
                    return
                continue
            return
        raise LedgerBusyError("the landing bucket did not take a new document")

    def _replace[D: LedgerDocument](self, key: str, document: D, etag: str) -> "_Written[D]":
        """Replace a document as it was read."""
        ours = document.model_copy(update={"writer": self._writer, "revision": document.revision + 1})
        body = ours.to_json()
        for _ in range(_TRIES):
            try:
                etag_now = self._store.replace(key, body, etag)
            except (ConflictError, UnclearError):
                stored = self._get(key)
                if stored and stored.etag == etag:
                    continue
                if stored is None:
                    return _Written(document, etag, is_ours=False)
                found = type(document).model_validate_json(stored.body)
                return _Written(found, stored.etag, is_ours=stored.body == body)
            return _Written(ours, etag_now, is_ours=True)
        raise LedgerBusyError("the ledger did not take a change")

    def items(self, pipeline: str, run_id: str) -> list[LoadItem]:
        """What became of each part of a load whose manifest has no room for it."""
        stored = self._get(keys.evidence(pipeline, run_id, keys.ITEMS))
        return Items.model_validate_json(stored.body).items if stored else []

    def _read_all[D: LedgerDocument](self, model: type[D], prefix: str) -> list[D]:
        """Read beside each other: there may be thousands, and one after the other they would outlast a function."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - polls do without it

        with ThreadPoolExecutor(_READ_AT_ONCE) as readers:
            read = list(readers.map(lambda key: self._read(model, key), self._keys(prefix)))
        return [stored[0] for stored in read if stored]

    def _update[D: LedgerDocument](self, model: type[D], key: str, change: Callable[[D], D | None]) -> D | None:
        """Read, change, replace, until nobody was in between; None if there is no such document."""
        for _ in range(_TRIES):
            found = self._read(model, key)
            if found is None:
                return None
            wanted = change(found[0])
            if wanted is None:
                return found[0]
            written = self._replace(key, wanted, found[1])
            if written.is_ours:
                return written.document
        raise LedgerBusyError("too many writers want the same ledger document")

    def _upsert[D: LedgerDocument](
        self, model: type[D], key: str, change: Callable[[D | None], D | None], *, known: tuple[D, str] | None = None
    ) -> tuple[D, str] | None:
        """Change a document, or make it, until nobody was in between; it and its ETag.

        `known` is what it was when it was seen last. A change that comes to nothing is decided by what is there now.
        """
        for _ in range(_TRIES):
            found = known or self._read(model, key)
            wanted = change(found[0] if found else None)
            if wanted is None and known is None:
                return found
            known = None
            if wanted is not None:
                written = self._replace(key, wanted, found[1]) if found else self._create(key, wanted)
                if written.is_ours:
                    return written.document, written.etag
        raise LedgerBusyError("too many writers want the same ledger document")


def require_current(record: RunRecord, execution: str) -> None:
    """Let an execution act for a run only while it is the one that the record names.

    Raises:
        RunAbandonedError: it is not.
    """
    if record.execution != execution:
        raise RunAbandonedError(f"run {record.run_id} has a later attempt, {record.attempt}")
    if record.state is not RunState.RUNNING:
        raise RunAbandonedError(f"run {record.run_id} is {record.state}: {_why(record)}")


def require_fit(follows: str | None, latest: Latest) -> None:
    """Let a delta that starts from what was published be published only while that is so.

    Raises:
        BaseMovedError: it is not so any more.
    """
    if follows is not None and latest.version != follows:
        published = f"run {latest.last.run_id} published {latest.version}" if latest.last else "nothing is published"
        raise BaseMovedError(f"{published} while this run made a delta from {follows}, which readers no longer have")


def _did_not_fit(record: RunRecord, misfit: ErrorRecord, *, now: datetime) -> RunRecord | None:
    if record.state is not RunState.PUBLISHING:
        return None
    return record.model_copy(
        update={"state": RunState.ABANDONED, "outcome": Outcome.FAILED, "error": misfit, "ended_at": now}
    )


def _why(record: RunRecord) -> str:
    return f"{record.error.name}: {record.error.message}" if record.error else f"{record.outcome or 'no outcome yet'}"


def _day(now: datetime) -> str:
    return f"{now:%Y-%m-%d}"


def _moved(found: Latest | None, published: Published, draft: Draft) -> Latest | None:
    """Move `latest` to a published run; the watermark never goes back."""
    latest = found or Latest()
    if latest.reserved is None or latest.reserved.run_id != published.run_id:
        return None
    update: dict[str, Any] = {"last": published, "reserved": None, "schemas": {**latest.schemas, **draft.schemas}}
    if draft.version and _is_newer(draft, latest):
        update |= {"version": draft.version, "version_created_at": draft.version_created_at}
    if draft.waited_seconds is not None:
        update["waited_seconds"] = [*latest.waited_seconds, draft.waited_seconds][-_DURATIONS_KEPT:]
    return latest.model_copy(update=update)


def _is_newer(draft: Draft, latest: Latest) -> bool:
    if latest.version is None or draft.version_created_at is None or latest.version_created_at is None:
        return True
    return draft.version_created_at >= latest.version_created_at
