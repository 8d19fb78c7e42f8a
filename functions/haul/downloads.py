"""The decision of the download step: which files of a plan item to land, and what is remembered of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from haul import keys
from haul.errors import (
    DownloadTooSlowError,
    HaulError,
    LedgerBusyError,
    RateLimitedError,
    RunAbandonedError,
    TransientError,
    by_name,
)
from haul.ledger import Ledger, require_current
from haul.models.export import Contents, Dataset, Download, PlannedFile, RemoteFile
from haul.models.landed import LandedFile, Progress
from haul.models.ledger import FileRecord, FileState
from haul.models.work import ErrorRecord
from haul.pacing import Pace
from haul.ports import Connector, DownloadSource, Landing, OutOfTimeError

PACE_SECONDS = 60
RESTARTS = 3
_PACED_TRIES = 3
_TRIES = 4
_LAST_SECONDS = 30.0
_LAST_PART = 0.1
_MOST = 0.8


class LandFile(Protocol):
    """Moves one file from its source into the landing bucket, proving it on the way."""

    def __call__(
        self,
        open_source: Callable[[], DownloadSource],
        landing: Landing,
        key: str,
        *,
        file: RemoteFile,
        dataset: Dataset,
        verify: Literal["full", "length"],
        sha256: bool,
        on_upload: Callable[[str | None], None],
        may_finish: Callable[[], None],
        resume: Progress | None,
        on_progress: Callable[[Progress | None], None],
        on_restart: Callable[[], None],
        time_left: Callable[[], float],
        before_call: Callable[[], None],
        ranges: int,
    ) -> LandedFile: ...


@dataclass(frozen=True)
class Downloaded:
    """What an invocation came to: `finished` unless its time ended before its files did."""

    bytes: int
    finished: bool


@dataclass
class Downloader:
    """Lands the files of one plan item and keeps a record of each.

    `time_left` is how many seconds the invocation has. Some of them are kept for what has to be done at its end.
    """

    wanted: Download
    ledger: Ledger
    connector: Connector
    landing: Landing
    land_file: LandFile
    pause: Callable[[float], None]
    clock: Callable[[], datetime]
    time_left: Callable[[], float] = lambda: math.inf
    pace: Pace = field(default_factory=lambda: Pace(None, lambda: 0.0))

    def __post_init__(self) -> None:
        self._time = self.time_left()
        self._kept = min(_LAST_SECONDS, self._time * _LAST_PART)

    def run(self) -> Downloaded:
        """Land every file that has not landed yet, or as many as the time allows.

        Every file gets its record, `LANDED` or what went wrong. What a later try may mend is raised in the end,
        after the other files had their turn; what it cannot mend stays in the record alone, for Publish to raise.

        Raises:
            RunAbandonedError: the attempt was given up.
            TransientError: of the first file that another try may land.
        """
        raw = self.landing.read(self.wanted.plan.contents_key)
        contents = Contents.model_validate_json(raw or b"{}")
        datasets = {dataset.name: dataset for dataset in contents.datasets}
        moved = 0
        first: TransientError | None = None
        for planned in self._in_order():
            known = self._record(planned)
            if self._has_landed(known) or self._is_given_up(known):
                continue
            self.require_current_attempt()
            if self._seconds_left() <= 0:
                return Downloaded(moved, finished=False)
            try:
                moved += self._land(planned, known, datasets[planned.file.dataset]).bytes
            except OutOfTimeError:
                return Downloaded(moved, finished=False)
            except RunAbandonedError:
                raise
            except TransientError as error:
                self._failed(planned, error)
                first = first or error
            except HaulError as error:
                self._failed(planned, error)
        if first:
            raise first
        return Downloaded(moved, finished=True)

    def _in_order(self) -> list[PlannedFile]:
        """First the file inside which the invocation before has ended: it gets the time that it did not get there."""
        files = self.wanted.item.files
        if not self.wanted.turn:
            return files
        paused = {planned.n for planned in files if (known := self._record(planned)) and known.paused}
        return sorted(files, key=lambda planned: planned.n not in paused)

    def _seconds_left(self) -> float:
        return self.time_left() - self._kept

    def require_current_attempt(self) -> None:
        """Be sure that the attempt goes on: a child of a map that was stopped runs to its end.

        Raises:
            RunAbandonedError: it does not, and a later attempt may have landed other files under the same keys.
        """
        record = self.ledger.run(self.wanted.pipeline, self.wanted.run_id)
        if record:
            require_current(record, self.wanted.execution)

    def _has_landed(self, record: FileRecord | None) -> bool:
        """Whether this result's file is there, verified, from an earlier try or attempt."""
        if record is None or record.landed is None or record.state is not FileState.LANDED:
            return False
        head = self.landing.head(record.key)
        landed = record.landed
        return head is not None and head.bytes == landed.bytes and head.checksum in {None, landed.checksum.value}

    def _is_given_up(self, record: FileRecord | None) -> bool:
        """Whether a file failed such that the turns which others need are not spent on it."""
        if not self.wanted.turn or record is None or record.error is None or record.state is not FileState.FAILED:
            return False
        return record.tries >= _TRIES or by_name(record.error.name, TransientError) is None

    def _record(self, planned: PlannedFile) -> FileRecord | None:
        """What is known of the file, if it is of the same result."""
        record = self.ledger.file(self.wanted.pipeline, self.wanted.run_id, planned.n)
        return record if record and record.result_id == self.wanted.job.result_id else None

    def _land(self, planned: PlannedFile, known: FileRecord | None, dataset: Dataset) -> LandedFile:
        begun = self.clock()
        has_most_of_the_time = self._seconds_left() >= _MOST * (self._time - self._kept)
        if known and known.upload_id and not known.progress:
            self.landing.abort(known.key, known.upload_id)  # of a try that was killed
        hand = _Hand(self, planned)
        record = hand.take(known)
        earlier = record.seconds

        def attempt() -> LandedFile:
            return self.land_file(
                lambda: self.connector.open(planned.file, self.wanted.job),
                self.landing,
                planned.key,
                file=planned.file,
                dataset=dataset,
                verify=self.wanted.landing.verify,
                sha256=self.wanted.landing.sha256,
                on_upload=hand.upload_changed,
                may_finish=hand.may_finish,
                resume=hand.progress,
                on_progress=hand.progressed,
                on_restart=lambda: hand.restarted() if record.paused else None,
                time_left=self._seconds_left,
                before_call=self._wait_for_our_turn,
                ranges=self.wanted.plan.ranges,
            )

        try:
            landed = self._paced(attempt)
        except OutOfTimeError as stopped:
            hand.pause(stopped, seconds=earlier + (self.clock() - begun).total_seconds())
            if has_most_of_the_time and not stopped.advanced:
                hand.restarted()
            raise
        key = landed.uri.removeprefix(keys.uri(self.landing.bucket, ""))
        seconds = earlier + (self.clock() - begun).total_seconds()
        facts = {"state": FileState.LANDED, "landed": landed, "key": key, "seconds": seconds, "error": None}
        # Whoever else works on it: this is the file, and it is there.
        self.change(planned, lambda known: known.model_copy(update=facts | _NOTHING_IN_PROGRESS))
        return landed

    def _failed(self, planned: PlannedFile, error: HaulError) -> None:
        self.require_current_attempt()
        kept = ErrorRecord(name=type(error).__name__, message=str(error))

        def failed(found: FileRecord) -> FileRecord:
            if found.state is FileState.LANDED and found.result_id == self.wanted.job.result_id:
                return found  # by another try beside this one
            if found.token not in {None, self.ledger.writer}:
                return found  # another try is at it
            return found.model_copy(update={"state": FileState.FAILED, "error": kept, "paused": False})

        self.change(planned, failed)

    def change(self, planned: PlannedFile, change: Callable[[FileRecord], FileRecord]) -> FileRecord:
        """Change a file's record, which is of this result from now on; the record as it is then."""

        def changed(found: FileRecord | None) -> FileRecord:
            known = change(found or FileRecord(n=planned.n, key=planned.key, state=FileState.LANDING))
            return known.model_copy(update={"result_id": self.wanted.job.result_id})

        record = self.ledger.write_file(self.wanted.pipeline, self.wanted.run_id, planned.n, changed)
        assert record is not None  # noqa: S101 - what is changed is there
        return record

    def _wait_for_our_turn(self) -> None:
        """Ask the vendor no more often than it allows."""
        seconds = self.pace.seconds_to_wait()
        if seconds >= self._seconds_left():
            raise OutOfTimeError
        if seconds > 0:
            self.pause(seconds)

    def _paced(self, attempt: Callable[[], LandedFile]) -> LandedFile:
        """Give a vendor that asks for it a short rest, a bounded number of times."""
        for _ in range(_PACED_TRIES):
            try:
                return attempt()
            except RateLimitedError as error:
                seconds = error.retry_after or PACE_SECONDS
                if seconds > min(PACE_SECONDS, self._seconds_left()):
                    raise
                self.pause(seconds)
        return attempt()


_NOTHING_IN_PROGRESS: dict[str, Any] = {"upload_id": None, "progress": None, "paused": False}


class _Hand:
    """This invocation's hand on a file's record.

    Taking the file writes a token of one's own: an invocation that still runs beside this one, or thinks it does, finds
    the token gone and can neither note uploads nor finish the file under this one's feet.
    """

    def __init__(self, downloader: Downloader, planned: PlannedFile) -> None:
        self._downloader = downloader
        self._planned = planned
        self._token = downloader.ledger.writer
        self._upload_id: str | None = None
        self.progress: Progress | None = None

    def take(self, known: FileRecord | None) -> FileRecord:
        """Begin a try; the record as it was just before, of this result."""
        before = known or FileRecord(n=self._planned.n, key=self._planned.key, state=FileState.LANDING)
        self.progress = before.progress
        facts = {
            "state": FileState.LANDING,
            "key": before.progress.key if before.progress else self._planned.key,
            "token": self._token,
            "tries": before.tries + 1,
            "upload_id": before.progress.upload_id if before.progress else None,
            "progress": before.progress,
            "paused": False,
            "restarts": before.restarts if self._downloader.wanted.turn else 0,
            "seconds": before.seconds,
            "error": None,
            "landed": None,
        }
        self._downloader.change(self._planned, lambda found: found.model_copy(update=facts))
        self._upload_id = before.progress.upload_id if before.progress else None
        return before

    def upload_changed(self, upload_id: str | None) -> None:
        ended, self._upload_id = self._upload_id, upload_id

        def noted(found: FileRecord) -> FileRecord:
            # A try beside this one may have noted its own, which must not be forgotten.
            if upload_id is None and (found.upload_id != ended or found.token != self._token):
                return found
            self._require_token(found)
            return found.model_copy(update={"upload_id": upload_id})

        self._downloader.change(self._planned, noted)

    def progressed(self, progress: Progress | None) -> None:
        ended, self.progress = self.progress, progress

        def noted(found: FileRecord) -> FileRecord:
            if progress is None and found.token != self._token:
                return found
            self._require_token(found)
            facts = {"progress": progress, "key": progress.key if progress else found.key}
            return found.model_copy(update=facts)

        if progress or ended:
            self._downloader.change(self._planned, noted)

    def may_finish(self) -> None:
        """Be sure that nobody else has taken the file, and that the attempt goes on.

        Raises:
            LedgerBusyError: another invocation works on it.
            RunAbandonedError: the attempt was given up.
        """
        wanted = self._downloader.wanted
        found = self._downloader.ledger.file(wanted.pipeline, wanted.run_id, self._planned.n)
        if found:
            self._require_token(found)
        self._downloader.require_current_attempt()

    def pause(self, stopped: OutOfTimeError, *, seconds: float) -> None:
        """Leave the file to the next invocation: the try is not over."""

        def paused(found: FileRecord) -> FileRecord:
            if found.token != self._token:
                return found
            progress = found.progress.model_copy(update={"done": stopped.done}) if found.progress else None
            facts = {"paused": True, "tries": max(0, found.tries - 1), "progress": progress, "seconds": seconds}
            return found.model_copy(update=facts)

        self._downloader.change(self._planned, paused)

    def restarted(self) -> None:
        """Count that the bytes of a whole invocation were lost.

        Raises:
            DownloadTooSlowError: that happens again and again.
        """

        def counted(found: FileRecord) -> FileRecord:
            return found.model_copy(update={"restarts": found.restarts + 1}) if found.token == self._token else found

        times = self._downloader.change(self._planned, counted).restarts
        if times >= RESTARTS:
            raise DownloadTooSlowError(
                f"{self._planned.file.vendor_name} does not come within the time of one invocation: {times} of them "
                "ended before it did, and none could go on where another had stopped"
            )

    def _require_token(self, found: FileRecord) -> None:
        if found.token != self._token:
            raise LedgerBusyError(f"another invocation has taken over {self._planned.file.vendor_name}")
