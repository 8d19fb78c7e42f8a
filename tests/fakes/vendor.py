"""A vendor in memory behind the `Connector` port; it loses replies to order."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from awscrt.checksums import crc64nvme

from haul.errors import (
    InvalidEventError,
    RateLimitedError,
    ResultByMailError,
    ResultExpiredError,
    VendorUnavailableError,
)
from haul.models.export import Column, Contents, Dataset, RemoteFile
from haul.models.landed import Checksum, LandedFile
from haul.models.work import Job, JobStatus, Watermark
from haul.ports import (
    Capabilities,
    Connector,
    DownloadSource,
    Found,
    JobReport,
    Known,
    Landing,
    Operation,
    Prepared,
)

LIKE_VISIER = Capabilities(
    api="v0",
    lists_finished_jobs=True,
    content_fixed_by_request=True,
    submissions_per_day=10,
    result_lives=timedelta(days=14),
)
LISTS_RUNNING_AND_CANCELS = replace(
    LIKE_VISIER, lists_running_jobs=True, can_cancel=True, listing_lag=timedelta(minutes=5)
)

type SubmitFault = Literal["lost-reply", "lost-request", "unreachable", "rate-limited"]


@dataclass
class FakeJob:
    id: str
    request: dict[str, Any]
    run_id: str
    made_at: datetime
    status: JobStatus = JobStatus.RUNNING
    finished_at: datetime | None = None

    @property
    def result_id(self) -> str | None:
        return f"result-of-{self.id}" if self.status is JobStatus.SUCCEEDED else None


@dataclass
class FakeVendor:
    """One account. `jobs` is what really exists there, whatever was answered."""

    clock: Callable[[], datetime]
    capabilities: Capabilities = LIKE_VISIER
    account: str = "acme"
    tenant: str | None = None
    newest: str = "7000001"
    jobs: list[FakeJob] = field(default_factory=list)
    submit_faults: list[SubmitFault] = field(default_factory=list)
    status_faults: int = 0
    cancelled: list[str] = field(default_factory=list)
    posts: int = 0
    files_per_result: int = 2
    partial: str | None = None
    retryable: bool = False
    expected_rows: int | None = None
    by_mail: bool = False
    links: Sequence[str] = ()
    served: list[Sequence[str]] = field(default_factory=list)

    def with_links(self, links: Sequence[str]) -> Connector:
        if not links or not all(link.startswith("https://") for link in links):
            raise InvalidEventError("link: must be https addresses")
        return replace(self, links=links)

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:
        version = self.newest if request["version"] == "@latest" else request["version"]
        base = known.last_version if request.get("base") == "@last-published" else request.get("base")
        mark = Watermark(from_=base, to=version, to_created_at=created(version))
        if known.last_version == version and (request["version"] == "@latest" or base == version):
            return Prepared({"version": version}, nothing_new=f"{version} is published already", watermark=mark)
        pair = {"version": version, "base": base} if base else {"version": version}
        return Prepared(pair, is_delta=base is not None, watermark=mark)

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        shown = [
            job
            for job in reversed(self.jobs)
            if job.request == dict(request)
            and (
                job.status is JobStatus.SUCCEEDED
                or (self.capabilities.lists_running_jobs and job.status is JobStatus.RUNNING)
            )
        ]
        return [
            Found(job.status, job.id, job.result_id, job.finished_at or job.made_at, self._expires(job))
            for job in shown
            if self._lives(job)
        ]

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:
        fault = self.submit_faults.pop(0) if self.submit_faults else None
        match fault:
            case "lost-request":
                raise VendorUnavailableError("no answer")
            case "unreachable":
                raise VendorUnavailableError("no connection", sent=False)
            case "rate-limited":
                raise RateLimitedError("slow down", retry_after=7)
        self.posts += 1
        job = FakeJob(f"j{self.posts}", dict(request), run_id, self.clock())
        self.jobs.append(job)
        if fault == "lost-reply":
            raise VendorUnavailableError("connection reset")
        return job.id

    def status(self, job: Job) -> JobReport:
        if self.status_faults:
            self.status_faults -= 1
            raise VendorUnavailableError("503")
        found = self.job(job.id or "")
        if found.status is JobStatus.SUCCEEDED and not self._lives(found):
            return JobReport(JobStatus.EXPIRED)
        ended = found.status is not JobStatus.RUNNING
        return JobReport(
            found.status,
            found.result_id,
            self._expires(found),
            reason="it broke",
            partial=self.partial,
            retryable=self.retryable,
            evidence={"final-status": {"job": found.id}} if ended else {},
        )

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:
        assert any(each.request == dict(request) for each in self.jobs)
        if self.by_mail and not self.links:
            raise ResultByMailError("the links came by mail")
        if self.links:
            self.served.append(self.links)
        elif not any(each.result_id == job.result_id and self._lives(each) for each in self.jobs):
            raise ResultExpiredError("the result is gone")
        files = [
            RemoteFile(dataset="T", name=f"T_part{n}.csv.gz", part=n, vendor_file_id=n, vendor_name=f"T_part{n}.csv.gz")
            for n in range(self.files_per_result)
        ]
        column = Column(name="id", vendor_type="String", type="string")
        return Contents(
            datasets=[Dataset(name="T", table="T", columns=[column])],
            files=files,
            evidence={"details": {}},
            expected_rows=self.expected_rows,
        )

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:
        del file, job
        raise AssertionError("nothing is opened here: the fake transfer makes its files up")

    def cancel(self, job: Job) -> None:
        self.job(job.id or "").status = JobStatus.CANCELLED
        self.cancelled.append(job.id or "")

    def operations(self) -> Mapping[str, Operation]:
        return {}

    def job(self, job_id: str) -> FakeJob:
        return next(job for job in self.jobs if job.id == job_id)

    def finish(self, status: JobStatus = JobStatus.SUCCEEDED) -> None:
        """End every job that runs."""
        for job in self.jobs:
            if job.status is JobStatus.RUNNING:
                job.status, job.finished_at = status, self.clock()

    def live(self) -> list[FakeJob]:
        return [job for job in self.jobs if job.status is JobStatus.RUNNING]

    def _expires(self, job: FakeJob) -> datetime | None:
        return job.finished_at + timedelta(days=14) if job.finished_at else None

    def _lives(self, job: FakeJob) -> bool:
        expires = self._expires(job)
        return expires is None or expires > self.clock()


def created(version: str) -> datetime:
    """When the fake vendor made a version: later numbers later."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=int(version) % 100_000)


def fake_land_file(
    open_source: object, landing: Landing, key: str, *, may_finish: Callable[[], None], **_: Any
) -> LandedFile:
    """Land a file without a network: the bytes are its key."""
    del open_source
    may_finish()
    body = key.encode()
    checksum = _crc(body)
    version = landing.put(key, body, checksum=checksum, content_type="text/plain")
    return LandedFile(
        uri=f"s3://{landing.bucket}/{key}",
        version_id=version,
        bytes=len(body),
        bytes_uncompressed=len(body),
        rows=1,
        checksum=Checksum(value=checksum),
        verified=["length"],
    )


def _crc(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()
