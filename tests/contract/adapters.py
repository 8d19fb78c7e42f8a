"""What the conformance tests must be told of each vendor: a further vendor adds its adapter to `ADAPTERS`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from haul import connectors
from haul.ports import Connector
from infra.local.vendors.adobe import AdobeSimulator
from infra.local.vendors.liquid import LiquidSimulator
from infra.local.vendors.mediarithmics import MediarithmicsSimulator
from infra.local.vendors.simulator import VendorSimulator
from infra.local.vendors.visier import VisierSimulator
from tests.fakes.secret import FakeSecret


class Adapter(Protocol):
    """A vendor's simulator, with jobs that end at once and credentials that occur nowhere else.

    Paths are regular expressions, as the simulator's faults take them.
    """

    secret: FakeSecret
    request: Mapping[str, Any]
    submission: str
    poll: str
    login: str
    unknown_status: Mapping[str, Any]

    @property
    def simulator(self) -> VendorSimulator[Any]: ...

    def connect(self) -> Connector: ...

    def rotate(self) -> Mapping[str, str]:
        """Change the password at the vendor, and nowhere else: the secret's fields that are new."""
        ...

    def expire_tokens(self) -> None: ...

    def jobs(self) -> int:
        """How many jobs the vendor has been made to run."""
        ...

    def confidential(self) -> Sequence[str]:
        """What the secret keeps, and every token given out so far."""
        ...

    def error(self, text: str) -> Mapping[str, Any]:
        """The vendor's kind of error body."""
        ...


class Visier:
    secret: FakeSecret
    request: Mapping[str, Any] = {"dataVersionNumber": "7000004"}
    submission = "/jobs$"
    poll = "/jobs/"
    login = "/visierSecureToken$"
    unknown_status: Mapping[str, Any] = {"jobUuid": "c19e2f2b", "status": "PAUSED"}

    def __init__(self) -> None:
        self.simulator = VisierSimulator(job_seconds=0, password="first-K7!pass", api_key="key-5fd01c1f7b6e")
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

    def connect(self) -> Connector:
        return connectors.connect("visier", self.secret, {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(password="changed-K7!pass")
        self.simulator.invalidate_tokens()
        return {"password": "changed-K7!pass"}

    def expire_tokens(self) -> None:
        self.simulator.invalidate_tokens()

    def jobs(self) -> int:
        return len(self.simulator.jobs())

    def confidential(self) -> Sequence[str]:
        return ["first-K7!pass", "key-5fd01c1f7b6e", *self.simulator._tokens]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"localizedMessage": text, "errorCode": "Oops", "message": text, "rci": "8f1c-22", "userError": True}


class Liquid:
    secret: FakeSecret
    request: Mapping[str, Any] = {"jobName": "nightly", "itemType": "Attendee", "contentType": "application/json"}
    submission = "/batch/export$"
    poll = "/batch/status$"
    login = "/oauth2/token$"
    unknown_status: Mapping[str, Any] = {"status": "Paused", "recordsProcessed": "7"}

    def __init__(self) -> None:
        self.simulator = LiquidSimulator(job_seconds=0, password="first-K7!pass", client_secret="cs-5fd01c1f7b6e")
        self.simulator.start()
        self.secret = FakeSecret(
            {
                "base_url": self.simulator.url,
                "client_id": "demo",
                "client_secret": "cs-5fd01c1f7b6e",
                "username": "demo",
                "password": "first-K7!pass",
                "community": "demo",
            }
        )

    def connect(self) -> Connector:
        return connectors.connect("liquid", self.secret, {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(password="changed-K7!pass")
        self.simulator.invalidate_tokens()
        return {"password": "changed-K7!pass"}

    def expire_tokens(self) -> None:
        self.simulator.invalidate_tokens()

    def jobs(self) -> int:
        return len(self.simulator.jobs())

    def confidential(self) -> Sequence[str]:
        links = [token for job in self.simulator._jobs.values() for token in job.tokens]
        return ["first-K7!pass", "cs-5fd01c1f7b6e", *self.simulator._tokens, *links]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error": "invalid_request", "error_description": text}


class Mediarithmics:
    """Known by e-mail and password: a long-lived token has nothing that expires or is renewed."""

    secret: FakeSecret
    request: Mapping[str, Any] = {
        "organisation_id": "1426",
        "datamart_id": "1509",
        "query": {"query_language": "OTQL", "query_text": "SELECT { emails { id } } FROM UserPoint"},
        "export": {"name": "haul mics-active-emails", "type": "QUERY", "output_format": "JSON"},
    }
    submission = "/executions$"
    poll = "/executions$"
    login = "/access_tokens$"
    unknown_status: Mapping[str, Any] = {"status": "ok", "data": [{"id": "7897897", "status": "PAUSED"}], "total": 1}

    def __init__(self) -> None:
        self.simulator = MediarithmicsSimulator(job_seconds=0, password="first-K7!pass", api_token="token-5fd01c1f7b6e")
        self.simulator.start()
        self.secret = FakeSecret({"base_url": self.simulator.url, "email": "demo", "password": "first-K7!pass"})

    def connect(self) -> Connector:
        return connectors.connect("mediarithmics", self.secret, {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(password="changed-K7!pass")
        self.simulator.invalidate_tokens()
        return {"password": "changed-K7!pass"}

    def expire_tokens(self) -> None:
        self.simulator.invalidate_tokens()

    def jobs(self) -> int:
        return len(self.simulator.executions())

    def confidential(self) -> Sequence[str]:
        return ["first-K7!pass", *self.simulator._tokens]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"status": "error", "error": text, "error_id": "9eedef5f-0c1d"}


class Adobe:
    secret: FakeSecret
    request: Mapping[str, Any] = {
        "fields": "_id,personalEmail.address",
        "filter": {"segments": [{"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff"}]},
        "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
        "schema": {"name": "_xdm.context.profile"},
    }
    submission = "/export/jobs$"
    poll = "/export/jobs/"
    login = "/ims/token/v3$"
    unknown_status: Mapping[str, Any] = {"id": 11037, "status": "PAUSED"}

    def __init__(self) -> None:
        self.simulator = AdobeSimulator(
            job_seconds=0, profiles=100, client_id="id-5fd01c1f7b6e", client_secret="first-K7!secret"
        )
        self.simulator.start()
        self.secret = FakeSecret(
            {
                "base_url": self.simulator.url,
                "ims_url": self.simulator.url,
                "client_id": "id-5fd01c1f7b6e",
                "client_secret": "first-K7!secret",
                "org_id": "demo@AdobeOrg",
                "sandbox": "prod",
                "scopes": "openid,session",
            }
        )

    def connect(self) -> Connector:
        return connectors.connect("adobe", self.secret, {})

    def rotate(self) -> Mapping[str, str]:
        self.simulator.configure(client_secret="changed-K7!secret")
        self.simulator.invalidate_tokens()
        return {"client_secret": "changed-K7!secret"}

    def expire_tokens(self) -> None:
        self.simulator.invalidate_tokens()

    def jobs(self) -> int:
        return len(self.simulator.jobs())

    def confidential(self) -> Sequence[str]:
        return ["first-K7!secret", "id-5fd01c1f7b6e", *self.simulator._tokens]

    def error(self, text: str) -> Mapping[str, Any]:
        return {"error_code": "999999", "message": text, "detail": text, "error_description": text}


ADAPTERS: Mapping[str, Callable[[], Adapter]] = {
    "adobe": Adobe,
    "mediarithmics": Mediarithmics,
    "liquid": Liquid,
    "visier": Visier,
}
