"""Customers of the deployed stack: a pipeline, its connection, and a vendor of its own, mostly Visier."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from infra.local.stack import Execution, Json, Stack
from infra.local.vendors.visier import FileTruth, VisierSimulator

FULL = {"dataVersionNumber": "@latest"}
DELTA = {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"}
FOUR_FILES = {"dataVersionNumber": "7000002", "baseDataVersionNumber": "7000001"}
NO_FILES = {"dataVersionNumber": "7000003", "baseDataVersionNumber": "7000002"}
"""Nothing changed between the two: an export with everything but downloads, for stories that end before them."""

PASSWORD = "a-password-that-nobody-may-see"
API_KEY = "an-api-key-that-nobody-may-see"


class Runs:
    """The runs of a pipeline, of whatever vendor: the next attempt of the last one, and what came of it."""

    stack: Stack
    pipeline: str

    # What it does

    def rerun(self, *, resubmit: bool = False) -> Execution:
        """The next attempt of the customer's last run, as `haul rerun` starts it."""
        return self.stack.wait(self.start_again(resubmit=resubmit))

    def start_again(self, *, resubmit: bool = False) -> str:
        """Start the next attempt of the last run, and do not wait for its end."""
        again = {"run_id": self.run_ids[-1], "resubmit": resubmit}
        return self.stack.start(
            {"version": 1, "pipeline": self.pipeline, "rerun": again, "trigger": {"type": "manual"}}
        )

    # What came of it

    @property
    def run_ids(self) -> list[str]:
        """The runs that the ledger knows, oldest first."""
        prefix = f"ledger/{self.pipeline}/runs/"
        return [key.removeprefix(prefix) for key in self.stack.keys(prefix)]

    @property
    def record(self) -> Json:
        """The last run as the ledger has it."""
        record = self.stack.document(f"ledger/{self.pipeline}/runs/{self.run_ids[-1]}")
        assert record is not None
        return record

    @property
    def document(self) -> Json:
        """How the last run ended, as `runs/` tells."""
        document = self.stack.run_document(self.pipeline, self.run_ids[-1])
        assert document is not None
        return document

    @property
    def manifest(self) -> Json:
        """The last run's."""
        manifest = self.stack.manifest(self.pipeline, self.run_ids[-1])
        assert manifest is not None
        return manifest

    @property
    def manifests(self) -> list[Json]:
        return self.stack.manifests(self.pipeline)

    @property
    def landed(self) -> dict[str, str]:
        """SHA-256 of what lies in the last run's folders, by file name, published or not."""
        files = self.stack.landed(self.pipeline, self.run_ids[-1])
        return {path.split("/")[1]: hashlib.sha256(body).hexdigest() for path, body in files.items()}

    def subjects(self, at_least: int = 1) -> list[str]:
        """Of the notices that people were sent; the names in them as `PIPELINE` and `VERSIONS`."""
        notices = self.stack.notices(self.pipeline, at_least=at_least)
        return [notice.subject.replace(f"{self.pipeline} local", "PIPELINE") for notice in notices]

    def body(self, number: int = 0) -> str:
        return self.stack.notices(self.pipeline, at_least=number + 1)[number].body

    def outcomes(self, at_least: int = 1) -> list[str]:
        """Of the events that programs were sent."""
        events = self.stack.events(self.pipeline, at_least=at_least)
        return [event["detail"].get("outcome", event["detail-type"]) for event in events]


@dataclass(frozen=True)
class Customer(Runs):
    """Starts its pipeline, and looks at what came of it."""

    stack: Stack
    visier: VisierSimulator
    pipeline: str
    connection: str

    # What it does

    def event(self, request: Json = NO_FILES, **fields: Any) -> Json:
        return {
            "version": 1,
            "pipeline": self.pipeline,
            "vendor": "visier",
            "action": "dv-export",
            "connection": self.connection,
            "request": request,
            **fields,
            "limits": {"poll_floor_seconds": 1, **fields.get("limits", {})},
        }

    def start(self, request: Json = NO_FILES, **fields: Any) -> str:
        return self.stack.start(self.event(request, **fields))

    def run(self, request: Json = NO_FILES, **fields: Any) -> Execution:
        return self.stack.wait(self.start(request, **fields))

    # What Visier saw

    @property
    def submissions(self) -> int:
        """How often Visier was sent a job, whatever it did with it."""
        return self.visier.calls("POST", "/data-version-exports/jobs")

    @property
    def truth(self) -> dict[str, FileTruth]:
        """What a download of the newest export must come to, by file name."""
        return self.visier.truth(str(self.visier.exports()[-1]["uuid"]))

    @property
    def true_sums(self) -> dict[str, str]:
        return {name: file.sha256 for name, file in self.truth.items()}

    def downloads(self, name: str) -> int:
        """How often a file of the newest export was asked for."""
        return sum(
            call.path.endswith((f"/files/{self.truth[name].file_id}", f"/file/{self.truth[name].file_id}"))
            for call in self.visier.log
        )


def report(stack: Stack, arn: str, status: str | None = None) -> None:
    """Have Abandon told how an execution ended (as `status`), as EventBridge may do at any time and more than once."""
    seen = stack.look(arn)
    detail = {"executionArn": arn, "status": status or seen.status, "input": json.dumps(seen.input)}
    if seen.error:
        detail |= {"error": seen.error, "cause": seen.cause or ""}
    stack.invoke("abandon", {"detail-type": "Step Functions Execution Status Change", "detail": detail})


class NewCustomer(Protocol):
    """Makes a customer; `knobs` are its Visier's."""

    def __call__(self, name: str, **knobs: Any) -> Customer: ...
