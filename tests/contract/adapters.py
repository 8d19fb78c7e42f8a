"""What the conformance tests must be told of each vendor: a further vendor adds its adapter to `ADAPTERS`."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from haul import connectors
from haul.models.work import Job
from haul.ports import Connector, JobReport
from tests.fakes.simulated import secret_at

RUN = "20261122T050003Z-7c1f9a"


class Simulated(ABC):
    """A vendor's simulator, with jobs that end at once and credentials that occur nowhere else.

    Paths are regular expressions, as the simulator's faults take them.

    Attributes:
        credentials: what simulator and secret both know, under one name; the first is the one that is rotated.
        knobs: what else the simulator is started with.
        fields: what else of the secret differs from the demo's.
        submission: the call that makes a job.
        poll: a call that each look at a job makes first.
        login: the call that answers a token.
        unknown_status: an answer to `poll` with a status word that nobody knows.
    """

    vendor: ClassVar[str]
    credentials: ClassVar[Mapping[str, str]]
    knobs: ClassVar[Mapping[str, Any]] = {}
    fields: ClassVar[Mapping[str, str | None]] = {}
    request: ClassVar[Mapping[str, Any]]
    submission: ClassVar[str]
    poll: ClassVar[str]
    login: ClassVar[str]
    unknown_status: ClassVar[Mapping[str, Any]]

    def __init__(self) -> None:
        made = importlib.import_module(f"infra.local.vendors.{self.vendor}").SIMULATOR
        self.simulator = made(**{"job_seconds": 0, **self.credentials, **self.knobs})
        self.simulator.start()
        self.secret = secret_at(self.simulator.url, self.vendor, **{**self.credentials, **self.fields})

    @abstractmethod
    def connect(self) -> Any:
        """The connector, with the options that nothing is said about."""

    @abstractmethod
    def submit(self, connector: Any) -> Job:
        """Have the vendor make a job of `request`."""

    @abstractmethod
    def look(self, connector: Any, job: Job) -> JobReport:
        """Ask where the job stands."""

    def now(self) -> datetime:
        """What time it is at the vendor."""
        return datetime.fromtimestamp(self.simulator._clock.now(), UTC)

    def rotate(self) -> Mapping[str, str]:
        """Change a credential at the vendor, and nowhere else: the secret's fields that are new."""
        name, value = next(iter(self.credentials.items()))
        changed = {name: f"changed-{value}"}
        self.simulator.configure(**changed)
        self.expire_tokens()
        return changed

    def expire_tokens(self) -> None:
        self.simulator._events()["expire-tokens"]()

    def jobs(self) -> int:
        """How many jobs the vendor has been made to run."""
        return len(self.simulator.jobs())

    def confidential(self) -> Sequence[str]:
        """What the secret keeps, and every token given out so far."""
        return [*self.credentials.values(), *self.simulator._tokens]

    @abstractmethod
    def error(self, text: str) -> Mapping[str, Any]:
        """The vendor's kind of error body."""


class Adapter(Simulated):
    """A vendor and its exports."""

    def connect(self) -> Connector:
        return connectors.connect(self.vendor, self.secret, {})

    def submit(self, connector: Connector) -> Job:
        return Job(id=connector.schedule(self.request, run_id=RUN))

    def look(self, connector: Connector, job: Job) -> JobReport:
        return connector.status(job)


class SimulatedVisier(Simulated):
    vendor = "visier"
    credentials: ClassVar = {"password": "first-K7!pass", "api_key": "key-5fd01c1f7b6e"}
    login = "/visierSecureToken$"

    def error(self, text: str) -> Mapping[str, Any]:
        words = dict.fromkeys(("code", "errorCode"), "Oops") | dict.fromkeys(("message", "localizedMessage"), text)
        return {**words, "rci": "8f1c-22", "userError": True}


class Visier(SimulatedVisier, Adapter):
    request: ClassVar = {"dataVersionNumber": "7000004"}
    submission = "/jobs$"
    poll = "/jobs/"
    unknown_status: ClassVar = {"jobUuid": "c19e2f2b", "status": "PAUSED"}


class SimulatedLiquid(Simulated):
    vendor = "liquid"
    credentials: ClassVar = {"password": "first-K7!pass", "client_secret": "cs-5fd01c1f7b6e"}
    poll = "/batch/status$"
    login = "/oauth2/token$"
    unknown_status: ClassVar = {"status": "Paused", "recordsProcessed": "7"}

    def confidential(self) -> Sequence[str]:
        links = [token for job in self.simulator._jobs.values() for token in job.tokens]
        return [*super().confidential(), *links]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error": "invalid_request", "error_description": text}


class Liquid(SimulatedLiquid, Adapter):
    request: ClassVar = {"jobName": "nightly", "itemType": "Attendee", "contentType": "application/json"}
    submission = "/batch/export$"


class Mediarithmics(Adapter):
    """Known by e-mail and password: a long-lived token has nothing that expires or is renewed."""

    vendor = "mediarithmics"
    credentials: ClassVar = {"password": "first-K7!pass"}
    knobs: ClassVar = {"api_token": "token-5fd01c1f7b6e"}
    fields: ClassVar = {"api_token": None, "email": "demo"}
    request: ClassVar = {
        "organisation_id": "1426",
        "datamart_id": "1509",
        "query": {"query_language": "OTQL", "query_text": "SELECT { emails { id } } FROM UserPoint"},
        "export": {"name": "haul mics-active-emails", "type": "QUERY", "output_format": "JSON"},
    }
    submission = "/executions$"
    poll = "/executions$"
    login = "/access_tokens$"
    unknown_status: ClassVar = {"status": "ok", "data": [{"id": "7897897", "status": "PAUSED"}], "total": 1}

    def jobs(self) -> int:
        return len(self.simulator.executions())

    def error(self, text: str) -> Mapping[str, Any]:
        return {"status": "error", "error": text, "error_id": "9eedef5f-0c1d"}


class Adobe(Adapter):
    vendor = "adobe"
    credentials: ClassVar = {"client_secret": "first-K7!secret", "client_id": "id-5fd01c1f7b6e"}
    knobs: ClassVar = {"profiles": 100}
    request: ClassVar = {
        "fields": "_id,personalEmail.address",
        "filter": {"segments": [{"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff"}]},
        "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
        "schema": {"name": "_xdm.context.profile"},
    }
    submission = "/export/jobs$"
    poll = "/export/jobs/"
    login = "/ims/token/v3$"
    unknown_status: ClassVar = {"id": 11037, "status": "PAUSED"}

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error_code": "999999", "message": text, "detail": text, "error_description": text}


ADAPTERS: Mapping[str, Callable[[], Adapter]] = {
    "adobe": Adobe,
    "mediarithmics": Mediarithmics,
    "liquid": Liquid,
    "visier": Visier,
}
