"""What the decisions ask of the outside: a vendor's connector, a store with conditional writes, a landing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from haul.errors import UnknownConnectionError
from haul.models.base import Written, parse
from haul.models.event import Outcome, S3Object
from haul.models.export import Contents, RemoteFile
from haul.models.load import LoadItem
from haul.models.vendors import OperationKind
from haul.models.work import Job, JobStatus, Watermark


@dataclass(frozen=True)
class Capabilities:
    """What a vendor's API can and cannot do, as data, so that no flow names a vendor.

    Attributes:
        api: the vendor's name for its API version.
        lists_running_jobs: `find` sees a job from its submission on, after `listing_lag`.
        lists_finished_jobs: `find` sees a job once it has a result.
        content_fixed_by_request: two results of the same request are the same data, so a finished one may be adopted.
        can_cancel: a running job can be cancelled.
        submissions_per_day: how many jobs an account may submit a UTC day, None without such a limit.
        calls_per_minute: the vendor's limit on calls, None where none is known.
        connections: how many downloads may run beside each other.
        honours_range: a download may be continued or split by byte ranges.
        ranges: how many of its connections one file may take at once, where ranges are honoured.
        result_lives: how long a finished job's result can be fetched.
        adoptable_for: how long a result must still live to be adopted.
        identifies_jobs: what `find` shows is of exactly this request. Without it, it is only of its kind and time, so
            that one such job is taken for ours, and of several none.
    """

    api: str
    lists_running_jobs: bool = False
    listing_lag: timedelta = timedelta(0)
    lists_finished_jobs: bool = False
    content_fixed_by_request: bool = False
    can_cancel: bool = False
    submissions_per_day: int | None = None
    calls_per_minute: int | None = None
    connections: int = 4
    honours_range: bool = False
    ranges: int = 1
    result_lives: timedelta | None = None
    adoptable_for: timedelta = timedelta(hours=24)
    identifies_jobs: bool = True


@dataclass(frozen=True)
class Site:
    """Where a run happens, and what its environment allows."""

    environment: str
    bucket: str
    quota_reserve: int = 2
    poll_failures_allowed: int = 10
    code_version: str = "0"


@dataclass(frozen=True)
class Execution:
    """One execution of a state machine; `id` is its ARN."""

    id: str
    started_at: datetime

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Execution":
        """Make one of what a state machine hands over."""
        return cls(given["id"], datetime.fromisoformat(given["started_at"]))


@dataclass(frozen=True)
class Known:
    """What a run knows of its own pipeline when its symbols are resolved."""

    last_version: str | None = None
    last_version_created_at: datetime | None = None


@dataclass(frozen=True)
class Prepared:
    """A request that can be sent: every symbol resolved, every version there.

    `nothing_new` says why there is nothing to export, and then nothing is sent. `is_delta` is about what the
    result will be, not what was asked: a first run of a delta may be a full export.
    """

    request: dict[str, Any]
    is_delta: bool = False
    watermark: Watermark = field(default_factory=Watermark)
    nothing_new: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A job that the vendor shows us. `created_at` is when it was made or finished, as the vendor tells."""

    status: JobStatus
    job_id: str | None = None
    result_id: str | None = None
    created_at: datetime | None = None
    result_expires_at: datetime | None = None


@dataclass(frozen=True)
class JobReport:
    """One look at a job. `reason` is why it failed, `partial` why a job that succeeded did so in part alone.

    `word` is the vendor's own where we did not know it. On a RUNNING job it says what contradicts that: such a look
    counts as a failed poll. `partial` says of a SUCCEEDED job why its result is only part of what was asked for.
    `evidence` maps names to the vendor's own documents about the end of a job. `retryable` says of a FAILED job that
    the vendor itself would try once more.
    """

    status: JobStatus
    result_id: str | None = None
    result_expires_at: datetime | None = None
    progress: str | None = None
    reason: str | None = None
    word: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    partial: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    retryable: bool = False


@dataclass(frozen=True)
class LoadReport(JobReport):
    """One look at a load's job and at every job that it started: SUCCEEDED only when all of them have ended.

    `items` are what became of each tenant, or of the one load; `family` counts the jobs by kind, `records` what the
    vendor took in. `kind` is which of the vendor's kinds the job is, handed back in `Job.kind` with the next look.
    `awaited` says what should still appear, such as children that are not listed yet: the status is then what it comes
    to if nothing does, and it is believed once that has been so for `awaited_for`.
    """

    kind: str | None = None
    items: Sequence[LoadItem] = ()
    family: dict[str, int] = field(default_factory=dict)
    records: int | None = None
    awaited: str | None = None
    awaited_for: timedelta = timedelta(0)


@dataclass(frozen=True)
class DownloadSource:
    """An open door to a file: never stored, never logged.

    `headers` hold credentials and are sent to `host` (name:port) alone; only `host` may have a private address.
    `honours_range` lets byte ranges be asked for from the start; whether they are honoured the replies have to prove.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    host: str
    honours_range: bool = False

    def __repr__(self) -> str:
        return f"DownloadSource(host={self.host!r})"


class Connect(Protocol):
    """Builds the connector of a vendor for one connection."""

    def __call__(self, vendor: str, connection: str, options: Mapping[str, Any]) -> "Connector":
        """Connect, without calling the vendor yet.

        Raises:
            UnknownConnectionError: there is no such secret.
            InvalidSecretError: the secret lacks something.
        """
        ...


class ConnectLoad(Protocol):
    """Builds the connector of one of a vendor's load actions for one connection."""

    def __call__(self, vendor: str, action: str, connection: str, options: Mapping[str, Any]) -> "LoadConnector":
        """Connect, without calling the vendor yet; errors as `Connect`."""
        ...


class JobConnector(Protocol):
    """What every vendor's jobs have in common. Each call is tried once; failures are `haul.errors`."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def account(self) -> str:
        """Whose quota and jobs these are, safe as a part of a key."""
        ...

    @property
    def tenant(self) -> str | None:
        """The vendor's tenant that is acted for, where that is not the account's own."""
        ...

    def cancel(self, job: Job) -> None:
        """Cancel a running job, with all that it started; one that has ended stays as it is."""
        ...


class Connector(JobConnector, Protocol):
    """An export vendor behind our verbs."""

    def prepare(self, request: Mapping[str, Any], known: Known) -> Prepared:
        """Resolve what only the vendor can, and refuse what the vendor would."""
        ...

    def find(self, request: Mapping[str, Any]) -> list[Found]:
        """Look for jobs of exactly this request, newest first."""
        ...

    def schedule(self, request: Mapping[str, Any], *, run_id: str) -> str:
        """Submit, and return the job's id.

        Raises:
            VendorUnavailableError: the reply was lost or is a server's error; unless `sent` is False the job may exist.
        """
        ...

    def status(self, job: Job) -> JobReport: ...

    def contents(self, job: Job, request: Mapping[str, Any]) -> Contents:
        """List what a finished job made; `request` is the one that was submitted."""
        ...

    def open(self, file: RemoteFile, job: Job) -> DownloadSource:
        """Resolve a file to where it can be read, with fresh credentials."""
        ...

    def operations(self) -> Mapping[str, "Operation"]: ...


class Source(Protocol):
    """What a load sends, unpacked and reshaped as its options say: the object versions that were named, no others."""

    @property
    def name(self) -> str:
        """A file name for the vendor."""
        ...

    @property
    def size(self) -> int:
        """Bytes that `chunks` comes to; found out, and the content checked, before this can be asked."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Read it from its begin, as often as asked."""
        ...


class Objects(Protocol):
    """The objects that loads send."""

    def settle(self, named: S3Object) -> S3Object:
        """The one version that is meant, with its size and ETag: the newest where none is named.

        Raises:
            SourceGoneError: it is not there (any more).
            SourceNotReadableError: S3 refuses us.
        """
        ...

    def open(self, objects: Sequence[S3Object], options: Mapping[str, Any]) -> Source:
        """What is to be sent of exactly these versions, unpacked and reshaped as the options say.

        Raises:
            SourceGoneError: one is not there any more.
            SourceNotReadableError: S3 refuses us.
            DamagedSourceError: one is not what the options take it for.
            SourceTooSlowError: there is no time to read all of it, here or while it is sent.
            InvalidEventError: the options do not fit the objects.
        """
        ...


class LoadConnector(JobConnector, Protocol):
    """One load action of a vendor behind our verbs."""

    def prepare(self, request: Mapping[str, Any]) -> Prepared:
        """Refuse what the vendor would, before anything is sent."""
        ...

    def find(self, request: Mapping[str, Any], *, since: datetime) -> list[Found]:
        """Look for jobs of this request that began at `since` or later, newest first."""
        ...

    def start(self, request: Mapping[str, Any], source: Source | None, *, run_id: str) -> str:
        """Submit, sending `source` where the action takes one, and return the job's id.

        Raises:
            VendorUnavailableError: `sent` is False wherever the call that makes the job was certainly not sent yet.
        """
        ...

    def status(self, job: Job, request: Mapping[str, Any]) -> LoadReport: ...


@runtime_checkable
class CountsCalls(Protocol):
    """A connector whose vendor tells how many calls are left."""

    @property
    def calls_left(self) -> Mapping[str, int]:
        """By the vendor's windows, such as `Minute`, as its last answer had it; empty before the first."""
        ...


@runtime_checkable
class TakesLinks(Protocol):
    """A connector whose vendor may tell a result's links by mail alone."""

    def with_links(self, links: Sequence[str]) -> Connector:
        """The same connector, for one result that a person has the links of. They are capabilities: nothing shows them.

        Raises:
            InvalidEventError: there is none, or one that is no link.
        """
        ...


class HandedLinks(Protocol):
    """The links that people handed over, by run: secrets, kept until the run has ended."""

    def forget(self, run_id: str) -> None:
        """Delete those of a run; nothing happens where there are none.

        Raises:
            LedgerBusyError: they may still be there.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """What an operation came to.

    `document` is JSON, as the vendor gave it wherever that can be shown; `rows` is the same flat, for a table, where
    the vendor's own nesting hides what a person looks for. `outcome` is SUCCEEDED, PARTIAL or FAILED: a vendor may
    answer 200 and have done a part of it, or nothing. `failures` then say what was not done, each in a line.
    """

    document: Any
    outcome: Outcome = Outcome.SUCCEEDED
    failures: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] | None = None


class ReadCredential(Protocol):
    """Reads the content of a credential that a vendor is to keep, by the name that stands in the parameters."""

    def __call__(self, name: str, /) -> Mapping[str, Any]:
        """A JSON object, which nothing may show.

        Raises:
            UnknownConnectionError: there is no such secret, or no right to read it.
            InvalidSecretError: it is not a JSON object.
        """
        ...


@dataclass(frozen=True)
class Operation:
    """A vendor call that answers at once.

    `call` takes the parameters as `kind.parameters` has them; `preview` reads what a change would do to what is there,
    and says so in a few lines.
    """

    kind: OperationKind
    call: Callable[[Any, ReadCredential], Answer]
    preview: Callable[[Any], str]

    def run(self, parameters: Mapping[str, Any], read_credential: ReadCredential | None = None) -> Answer:
        """Check the parameters and make the call.

        Raises:
            InvalidEventError: a parameter is missing, unknown or wrong; nothing was sent.
        """
        return self.call(self.checked(parameters), read_credential or _no_credentials)

    def shown(self, parameters: Mapping[str, Any]) -> str:
        """Say what the call would change; nothing is.

        Raises:
            InvalidEventError: a parameter is missing, unknown or wrong; nothing was sent.
        """
        return self.preview(self.checked(parameters))

    def checked(self, parameters: Mapping[str, Any]) -> Written:
        return parse(self.kind.parameters, dict(parameters), at="parameters")


def _no_credentials(name: str, /) -> Mapping[str, Any]:
    raise UnknownConnectionError(f"secret: {name} cannot be read here")


class OutOfTimeError(Exception):
    """The invocation's time ends before the file does. Never leaves the download.

    `advanced` says that this invocation put more of it in safety for the next one to find, `done` how much there is.
    """

    def __init__(self, *, advanced: bool = False, done: int = 0) -> None:
        super().__init__("the invocation's time ends")
        self.advanced = advanced
        self.done = done


class UploadEndedError(Exception):
    """A multipart upload was completed or aborted, by us or by another writer. Never leaves the download."""


class ConflictError(Exception):
    """Another writer was faster: the key exists, or its ETag is another. Never leaves the ledger."""


class UnclearError(Exception):
    """The store did not answer: the write may have happened. Never leaves the ledger."""


@dataclass(frozen=True)
class Stored:
    """A document and its ETag."""

    body: str
    etag: str


@dataclass(frozen=True)
class Notice:
    """What people and programs are told. `subject` is None where only programs are."""

    detail_type: str
    detail: dict[str, Any]
    subject: str | None = None
    body: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Notifier(Protocol):
    """Delivers a notice at least once, to people and to programs."""

    def tell(self, notice: Notice) -> None: ...


@dataclass(frozen=True)
class ExecutionState:
    """What the orchestrator says of an execution; `status` in its own words."""

    status: str
    error: str | None = None
    cause: str | None = None


class Executions(Protocol):
    """Looks executions up."""

    def describe(self, execution: str) -> ExecutionState | None:
        """None where there is no such execution (any more)."""
        ...


class Store(Protocol):
    """S3's conditional semantics and no more: strongly consistent, whole documents, one key at a time.

    Writes raise `ConflictError` where the condition does not hold and `UnclearError` where the answer was lost.
    """

    def get(self, key: str) -> Stored | None: ...

    def create(self, key: str, body: str) -> str:
        """Write a key that does not exist; its ETag."""
        ...

    def replace(self, key: str, body: str, etag: str) -> str:
        """Write a key whose ETag is `etag`; the new one."""
        ...

    def delete(self, key: str) -> None: ...

    def keys(self, prefix: str) -> Iterator[str]: ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The distinct next path segments below `prefix`, which ends in a slash."""
        ...


@dataclass(frozen=True)
class Part:
    """An uploaded part of a multipart upload."""

    number: int
    etag: str
    bytes: int
    checksum: str


@dataclass(frozen=True)
class ObjectHead:
    """What S3 says of an object; `checksum` is its full-object CRC64NVME, None if it has another."""

    bytes: int
    version_id: str | None
    checksum: str | None


class PartSender(Protocol):
    """A connection to the landing bucket that streams parts, one after the other: each thread has its own."""

    def send(self, key: str, upload_id: str, number: int, *, length: int, fill: Callable[[memoryview], None]) -> Part:
        """Stream a part of `length` bytes; `fill` puts the next ones into all of the space that it is given.

        Its checksum is computed on the way and sent last, and S3 refuses a part that does not come to it. What `fill`
        raises passes through, and there is no such part then.

        Raises:
            UploadEndedError: there is no such upload (any more).
        """
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """A landed object's bytes, in order."""

    def readinto(self, space: memoryview) -> int:
        """Put the next bytes into `space` and say how many; 0 at the end."""
        ...


class Documents(Protocol):
    """The landing bucket, for all who move no bytes: documents, and uploads that are given up.

    Every write may raise `VendorUnavailableError`'s cousin `LedgerBusyError` where S3 does not answer, and
    `LandingNotWritableError` where it refuses us.
    """

    @property
    def bucket(self) -> str: ...

    def read(self, key: str) -> bytes | None:
        """A whole small document."""
        ...

    def write_document(self, key: str, body: str) -> None:
        """Write a JSON document, or write it anew."""
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """End an upload; nothing happens if it has ended already."""
        ...


class Landing(Documents, Protocol):
    """The landing bucket, for bytes too. CRC64NVME sums are base64, and S3 refuses wrong ones."""

    def put(self, key: str, body: bytes | bytearray | memoryview, *, checksum: str, content_type: str) -> str | None:
        """Write a small object in one request; its version id."""
        ...

    def begin(self, key: str, *, content_type: str) -> str:
        """Create a multipart upload with full-object CRC64NVME; its id."""
        ...

    def sender(self) -> PartSender:
        """Open a way to stream parts."""
        ...

    def parts(self, key: str, upload_id: str) -> list[Part] | None:
        """List what an upload holds, by number; None if it has ended."""
        ...

    def complete(self, key: str, upload_id: str, parts: list[Part], *, checksum: str) -> str | None:
        """Make the object of its parts, S3 checking checksum and size; its version id. A lost reply is found out."""
        ...

    def head(self, key: str) -> ObjectHead | None: ...

    def reading(self, key: str, version_id: str | None) -> AbstractContextManager[Reader]:
        """Read an object of any size, from its beginning."""
        ...
