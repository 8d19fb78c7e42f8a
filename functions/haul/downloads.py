"""The decision of the download step: which files of a plan item to land, and what is remembered of each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from haul import keys
from haul.errors import HaulError, RateLimitedError, RunAbandonedError, TransientError
from haul.ledger import Ledger, require_current
from haul.models.export import Contents, Dataset, Download, PlannedFile, RemoteFile
from haul.models.landed import LandedFile
from haul.models.ledger import FileRecord, FileState
from haul.models.work import ErrorRecord
from haul.ports import Connector, DownloadSource, Landing

PACE_SECONDS = 60
_PACED_TRIES = 3


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
    ) -> LandedFile: ...


@dataclass(frozen=True)
class Downloader:
    """Lands the files of one plan item and keeps a record of each."""

    wanted: Download
    ledger: Ledger
    connector: Connector
    landing: Landing
    land_file: LandFile
    pause: Callable[[float], None]
    clock: Callable[[], datetime]

    def run(self) -> int:
        """Land every file that has not landed yet; how many bytes were moved.

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
        for planned in self.wanted.item.files:
            self._still_ours()
            if self._has_landed(planned):
                continue
            try:
                moved += self._land(planned, datasets[planned.file.dataset]).bytes
            except RunAbandonedError:
                raise
            except TransientError as error:
                self._failed(planned, error)
                first = first or error
            except HaulError as error:
                self._failed(planned, error)
        if first:
            raise first
        return moved

    def _still_ours(self) -> None:
        """Be sure that the attempt goes on: a child of a map that was stopped runs to its end.

        Raises:
            RunAbandonedError: it does not, and a later attempt may have landed other files under the same keys.
        """
        record = self.ledger.run(self.wanted.pipeline, self.wanted.run_id)
        if record:
            require_current(record, self.wanted.execution)

    def _has_landed(self, planned: PlannedFile) -> bool:
        """Whether this result's file is there, verified, from an earlier try or attempt."""
        record = self._record(planned)
        if record is None or record.landed is None or record.state is not FileState.LANDED:
            return False
        head = self.landing.head(record.key)
        landed = record.landed
        return head is not None and head.bytes == landed.bytes and head.checksum in {None, landed.checksum.value}

    def _record(self, planned: PlannedFile) -> FileRecord | None:
        """What is known of the file, if it is of the same result."""
        record = self.ledger.file(self.wanted.pipeline, self.wanted.run_id, planned.n)
        return record if record and record.result_id == self.wanted.job.result_id else None

    def _land(self, planned: PlannedFile, dataset: Dataset) -> LandedFile:
        begun = self.clock()
        known = self._record(planned)
        tries = (known.tries if known else 0) + 1
        if known and known.upload_id:
            self.landing.abort(known.key, known.upload_id)  # of a try that was killed
        self._remember(
            planned, state=FileState.LANDING, key=planned.key, tries=tries, upload_id=None, error=None, landed=None
        )

        ours: str | None = None

        def upload_changed(upload_id: str | None) -> None:
            nonlocal ours
            ended, ours = ours, upload_id

            def noted(known: FileRecord) -> FileRecord:
                # A try beside this one may have noted its own, which must not be forgotten.
                if upload_id is None and known.upload_id != ended:
                    return known
                return known.model_copy(update={"upload_id": upload_id})

            self._change(planned, noted)

        def attempt() -> LandedFile:
            return self.land_file(
                lambda: self.connector.open(planned.file, self.wanted.job),
                self.landing,
                planned.key,
                file=planned.file,
                dataset=dataset,
                verify=self.wanted.landing.verify,
                sha256=self.wanted.landing.sha256,
                on_upload=upload_changed,
                may_finish=self._still_ours,
            )

        landed = _paced(attempt, self.pause)
        key = landed.uri.removeprefix(keys.uri(self.landing.bucket, ""))
        seconds = (self.clock() - begun).total_seconds()
        self._remember(planned, state=FileState.LANDED, landed=landed, key=key, upload_id=None, seconds=seconds)
        return landed

    def _failed(self, planned: PlannedFile, error: HaulError) -> None:
        self._still_ours()
        kept = ErrorRecord(name=type(error).__name__, message=str(error))

        def failed(found: FileRecord) -> FileRecord:
            if found.state is FileState.LANDED and found.result_id == self.wanted.job.result_id:
                return found  # by another try beside this one
            return found.model_copy(update={"state": FileState.FAILED, "error": kept})

        self._change(planned, failed)

    def _remember(self, planned: PlannedFile, **facts: Any) -> None:
        self._change(planned, lambda known: known.model_copy(update=facts))

    def _change(self, planned: PlannedFile, change: Callable[[FileRecord], FileRecord]) -> None:
        def changed(found: FileRecord | None) -> FileRecord:
            known = change(found or FileRecord(n=planned.n, key=planned.key, state=FileState.LANDING))
            return known.model_copy(update={"result_id": self.wanted.job.result_id})

        self.ledger.write_file(self.wanted.pipeline, self.wanted.run_id, planned.n, changed)


def _paced(attempt: Callable[[], LandedFile], pause: Callable[[float], None]) -> LandedFile:
    """Give a vendor that asks for it a short rest, a bounded number of times."""
    for _ in range(_PACED_TRIES):
        try:
            return attempt()
        except RateLimitedError as error:
            seconds = error.retry_after or PACE_SECONDS
            if seconds > PACE_SECONDS:
                raise
            pause(seconds)
    return attempt()
