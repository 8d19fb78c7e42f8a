"""What the conformance tests of loads must be told of each load action: a further one adds its adapter."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from haul import connectors
from haul.ports import LoadConnector, Source
from infra.local.vendors.simulator import VendorSimulator
from infra.local.vendors.visier import VisierSimulator
from tests.contract.adapters import Liquid
from tests.fakes.secret import FakeSecret


@dataclass(frozen=True)
class BytesSource:
    """A source in memory."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 1024):
            yield self.data[at : at + 1024]


class LoadAdapter(Protocol):
    """A vendor's simulator, with loads that end at once and credentials that occur nowhere else.

    Paths are regular expressions, as the simulator's faults take them. `submission` is the call that makes the job,
    `poll` one that each look at a job makes first.
    """

    secret: FakeSecret
    request: Mapping[str, Any]
    source: Source | None
    submission: str
    poll: str
    login: str
    unknown_status: Mapping[str, Any]

    @property
    def simulator(self) -> VendorSimulator[Any]: ...

    def connect(self, options: Mapping[str, Any] | None = None) -> LoadConnector: ...

    def rotate(self) -> Mapping[str, str]:
        """Change the password at the vendor, and nowhere else: the secret's fields that are new."""
        ...

    def expire_tokens(self) -> None: ...

    def jobs(self) -> int:
        """How many loads the vendor has been made to run, without those that they led to."""
        ...

    def confidential(self) -> Sequence[str]:
        """What the secret keeps, and every token given out so far."""
        ...

    def error(self, text: str) -> Mapping[str, Any]:
        """The vendor's kind of error body."""
        ...


class _Visier:
    secret: FakeSecret
    action: str
    request: Mapping[str, Any]
    source: Source | None = None
    submission: str
    poll: str
    login = "/visierSecureToken$"
    unknown_status: Mapping[str, Any] = {"jobId": "bf944bf1", "status": "Paused"}

    def __init__(self) -> None:
        self.simulator = VisierSimulator(
            scenario="load", job_seconds=0, password="first-K7!pass", api_key="key-5fd01c1f7b6e"
        )
        self.simulator.start()
        self.secret = FakeSecret(
            {
                "base_url": self.simulator.url,
                "vanity_name": "demo",
                "username": "demo",
                "password": "first-K7!pass",
                "api_key": "key-5fd01c1f7b6e",
            }
        )

    def connect(self, options: Mapping[str, Any] | None = None) -> LoadConnector:
        return connectors.connect_load("visier", self.action, self.secret, options or {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(password="changed-K7!pass")
        self.simulator.invalidate_tokens()
        return {"password": "changed-K7!pass"}

    def expire_tokens(self) -> None:
        self.simulator.invalidate_tokens()

    def jobs(self) -> int:
        return sum(not job["parent"] for job in self.simulator.loads.jobs())

    def confidential(self) -> Sequence[str]:
        return ["first-K7!pass", "key-5fd01c1f7b6e", *self.simulator._tokens]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"localizedMessage": text, "code": "Oops", "message": text, "rci": "8f1c-22", "userError": True}


class VisierExtractAndLoad(_Visier):
    action = "extract-and-load"
    request: Mapping[str, Any] = {"allTenants": True, "runProcessingJob": True}
    submission = "/startExtractAndLoad$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierExtraction(_Visier):
    action = "extraction-job"
    request: Mapping[str, Any] = {"tenants": ["WFF_j1r~c7o"]}
    submission = "/v1alpha/op/jobs/extraction-jobs$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierProcessing(_Visier):
    action = "processing-job"
    request: Mapping[str, Any] = {"allTenants": True}
    submission = "/v1alpha/op/jobs/processing-jobs$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierStartLoad(_Visier):
    action = "start-load"
    request: Mapping[str, Any] = {"files": ["WFF_j1r_hcm_files_20181030102030.zip.gpg"]}
    submission = "/startload$"
    poll = "/receiving-jobs/[^/]+$"


class VisierUpload(_Visier):
    action = "upload"
    request: Mapping[str, Any] = {"processingData": True}
    source: Source | None = BytesSource("Employee.csv", b"EmployeeID\n" + b"E0001\n" * 1000)
    submission = "/op/jobs/receiving-jobs$"
    poll = "/op/jobs/receiving-jobs/[^/]+$"


class LiquidImport:
    """A community as its exports know it, and an import of CSV."""

    request: Mapping[str, Any] = {
        "jobName": "from-s3",
        "itemType": "Attendee",
        "contentType": "plain/text",
        "headerRow": True,
        "merge": True,
    }
    source: Source | None = BytesSource("attendees.csv", b"id,lastName\n" + b"N1,Curie\n" * 1000)
    submission = "/batch/import$"
    poll = Liquid.poll
    login = Liquid.login
    unknown_status = Liquid.unknown_status

    def __init__(self) -> None:
        self._community = Liquid()
        self.simulator = self._community.simulator
        self.secret = self._community.secret

    def connect(self, options: Mapping[str, Any] | None = None) -> LoadConnector:
        return connectors.connect_load("liquid", "import", self.secret, options or {})

    def rotate(self) -> Mapping[str, str]:
        return self._community.rotate()

    def expire_tokens(self) -> None:
        self._community.expire_tokens()

    def jobs(self) -> int:
        return self._community.jobs()

    def confidential(self) -> Sequence[str]:
        return self._community.confidential()

    def error(self, text: str) -> Mapping[str, Any]:
        return self._community.error(text)


LOAD_ADAPTERS: Mapping[tuple[str, str], Callable[[], LoadAdapter]] = {
    ("liquid", "import"): LiquidImport,
    ("visier", "extract-and-load"): VisierExtractAndLoad,
    ("visier", "extraction-job"): VisierExtraction,
    ("visier", "processing-job"): VisierProcessing,
    ("visier", "start-load"): VisierStartLoad,
    ("visier", "upload"): VisierUpload,
}
