"""What the conformance tests of loads must be told of each load action: a further one adds its adapter."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from haul import connectors
from haul.models.work import Job
from haul.ports import LoadConnector, LoadReport, Source
from tests.contract.adapters import RUN, Simulated, SimulatedLiquid, SimulatedVisier


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


class LoadAdapter(Simulated):
    """A vendor and one of its loads. `submission` is the call that makes the job, also where others follow."""

    action: ClassVar[str]
    source: ClassVar[Source | None] = None

    def connect(self) -> LoadConnector:
        return connectors.connect_load(self.vendor, self.action, self.secret, {})

    def submit(self, connector: LoadConnector) -> Job:
        return Job(id=connector.start(self.request, self.source, run_id=RUN), submitted_at=self.now())

    def look(self, connector: LoadConnector, job: Job) -> LoadReport:
        return connector.status(job, self.request)


class _Visier(SimulatedVisier, LoadAdapter):
    knobs: ClassVar = {"scenario": "load"}
    unknown_status: ClassVar = {"jobId": "bf944bf1", "status": "Paused"}

    def jobs(self) -> int:
        """Without those that a load led to."""
        return sum(not job["parent"] for job in self.simulator.loads.jobs())


class VisierExtractAndLoad(_Visier):
    action = "extract-and-load"
    request: ClassVar = {"allTenants": True, "runProcessingJob": True}
    submission = "/startExtractAndLoad$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierExtraction(_Visier):
    action = "extraction-job"
    request: ClassVar = {"tenants": ["WFF_j1r~c7o"]}
    submission = "/v1alpha/op/jobs/extraction-jobs$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierProcessing(_Visier):
    action = "processing-job"
    request: ClassVar = {"allTenants": True}
    submission = "/v1alpha/op/jobs/processing-jobs$"
    poll = "/dispatching-jobs/[^/]+$"


class VisierStartLoad(_Visier):
    action = "start-load"
    request: ClassVar = {"files": ["WFF_j1r_hcm_files_20181030102030.zip.gpg"]}
    submission = "/startload$"
    poll = "/receiving-jobs/[^/]+$"


class VisierUpload(_Visier):
    action = "upload"
    request: ClassVar = {"processingData": True}
    source: ClassVar = BytesSource("Employee.csv", b"EmployeeID\n" + b"E0001\n" * 1000)
    submission = "/op/jobs/receiving-jobs$"
    poll = "/op/jobs/receiving-jobs/[^/]+$"


class LiquidImport(SimulatedLiquid, LoadAdapter):
    """CSV, as the vendor's example has it."""

    action = "import"
    request: ClassVar = {
        "jobName": "from-s3",
        "itemType": "Attendee",
        "contentType": "plain/text",
        "headerRow": True,
        "merge": True,
    }
    source: ClassVar = BytesSource("attendees.csv", b"id,lastName\n" + b"N1,Curie\n" * 1000)
    submission = "/batch/import$"


LOAD_ADAPTERS: Mapping[tuple[str, str], Callable[[], LoadAdapter]] = {
    ("liquid", "import"): LiquidImport,
    ("visier", "extract-and-load"): VisierExtractAndLoad,
    ("visier", "extraction-job"): VisierExtraction,
    ("visier", "processing-job"): VisierProcessing,
    ("visier", "start-load"): VisierStartLoad,
    ("visier", "upload"): VisierUpload,
}
