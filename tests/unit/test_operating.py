"""One operation for one execution: what is run where, what fails it, and what is kept beside it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from haul import operations
from haul.errors import (
    HaulError,
    InvalidEventError,
    LedgerBusyError,
    RequestRejectedError,
    UnknownConnectionError,
    UnreachableError,
    VendorUnavailableError,
)
from haul.models import vendors
from haul.models.event import Outcome
from haul.models.operation import OperationEnd
from haul.operating import RESULT_BYTES, Clerk
from haul.ports import Answer, Execution, Operation

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EXECUTION = Execution("arn:aws:states:eu-west-1:123456789012:execution:Operation:1", NOON)
LIST = {"version": 1, "vendor": "visier", "operation": "list-uploads", "connection": "visier-acme", "parameters": {}}
EXCLUDE = {**LIST, "operation": "exclude-uploads", "parameters": {"tenant": ["WFF_j1r~c7o"], "all": True}}
CREATE = {**LIST, "operation": "create-credential", "parameters": {"secret": "ukg", "name": "UKG"}}


@dataclass
class Shelf:
    """Where long results are kept; it fails to order."""

    bucket: str = "landing"
    kept: dict[str, str] = field(default_factory=dict)
    fails: HaulError | None = None

    def write_document(self, key: str, body: str) -> None:
        if self.fails:
            raise self.fails
        self.kept[key] = body


class Vendor:
    """A connector whose every operation does `act`."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.asked: list[Any] = []
        self._act = act

    def operations(self) -> Mapping[str, Operation]:
        def call(parameters: Any) -> Any:
            self.asked.append(parameters)
            return self._act(parameters)

        def with_credential(parameters: Any, read: Any) -> Answer:
            return Answer({"read": len(read(parameters.secret)), "made": call(parameters)})

        names = list(vendors.operations("visier"))
        return operations.bound(
            "visier",
            {name: call for name in names if name != "create-credential"},
            with_credential={"create-credential": with_credential},
        )


def clerk(asked: Vendor, *, shelf: Shelf | None = None, credentials: Mapping[str, Any] | None = None) -> Clerk:
    def connect(vendor: str, connection: str, options: Mapping[str, Any]) -> Any:
        assert (vendor, connection, options) == ("visier", "visier-acme", {})
        return asked

    return Clerk(
        environment="prod",
        connect=connect,
        documents=shelf or Shelf(),
        read_credential=None if credentials is None else lambda _: credentials,
    )


def run(document: Mapping[str, Any], act: Callable[[Any], Any], **more: Any) -> OperationEnd:
    return clerk(Vendor(act), **more).run(document, EXECUTION, now=NOON)


def test_a_read_ends_with_what_the_vendor_answered() -> None:
    ended = run(LIST, lambda _: {"tenants": []})

    assert ended.model_dump(mode="json") == {
        "version": 1,
        "vendor": "visier",
        "operation": "list-uploads",
        "connection": "visier-acme",
        "outcome": "SUCCEEDED",
        "failures": [],
        "failed": 0,
        "result": {"tenants": []},
        "result_uri": None,
        "ended_at": "2026-11-22T12:00:00Z",
    }


def test_a_partial_change_succeeds_and_says_what_was_not_done() -> None:
    ended = run(EXCLUDE, lambda _: Answer({"totalFailures": 30}, Outcome.PARTIAL, [f"tenant {n}" for n in range(30)]))

    assert ended.outcome is Outcome.PARTIAL
    assert (len(ended.failures), ended.failed) == (20, 30)


def test_nothing_done_fails_under_an_errors_name() -> None:
    failed = Answer({}, Outcome.FAILED, [f"tenant {n}: no" for n in range(7)])

    with pytest.raises(RequestRejectedError, match=r"nothing of what exclude-uploads asked: tenant 0.*; and 2 more"):
        run(EXCLUDE, lambda _: failed)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "version: missing; vendor: missing"),
        ({**LIST, "paramters": {}}, "paramters: unknown field; did you mean parameters"),
        ({**LIST, "vendor": "visir"}, "did you mean visier"),
        ({**LIST, "operation": "list-upload"}, "did you mean list-uploads"),
        ({**LIST, "parameters": {"tenat": []}}, r"parameters\.tenat: unknown field; did you mean tenant"),
        ({**LIST, "parameters": {"tenant": ["<aws.scheduler.scheduled-time>"]}}, "was not replaced"),
        ({**LIST, "connection": "a/b"}, "connection"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_asked(document: Mapping[str, Any], said: str) -> None:
    vendor = Vendor(lambda _: {})

    with pytest.raises(InvalidEventError, match=said):
        clerk(vendor).run(document, EXECUTION, now=NOON)

    assert vendor.asked == []


def test_what_handles_credentials_is_refused_elsewhere_and_told_how_to_switch_on() -> None:
    with pytest.raises(InvalidEventError, match=r"credential_operations: true into infra/environments/prod\.yaml"):
        run(CREATE, lambda _: {})


def test_the_credential_function_runs_nothing_else() -> None:
    ended = run(CREATE, lambda _: "made", credentials={"provider": "UKG"})

    assert ended.result == {"read": 1, "made": "made"}
    with pytest.raises(InvalidEventError, match="handles no credentials"):
        run(LIST, lambda _: {}, credentials={})


def failing(error: HaulError) -> Callable[[Any], Any]:
    def act(_: Any) -> Any:
        raise error

    return act


def test_a_change_that_was_certainly_not_sent_has_a_name_of_its_own() -> None:
    """The flow retries by name, and after a lost reply a change must not be made again."""
    with pytest.raises(UnreachableError, match="no connection"):
        run(EXCLUDE, failing(VendorUnavailableError("no connection", sent=False)))
    with pytest.raises(VendorUnavailableError, match="may have been done"):
        run(EXCLUDE, failing(VendorUnavailableError("the answer was lost")))


@pytest.mark.parametrize("sent", [True, False])
def test_a_read_fails_as_it_fails(*, sent: bool) -> None:
    with pytest.raises(VendorUnavailableError, match=r"^503$"):
        run(LIST, failing(VendorUnavailableError("503", sent=sent)))


@pytest.mark.parametrize("long", ["x", "ü"])
def test_a_long_result_is_kept_beside_the_execution(long: str) -> None:
    shelf = Shelf()
    document = {"data": long * RESULT_BYTES}

    ended = run(LIST, lambda _: document, shelf=shelf)

    [(key, body)] = shelf.kept.items()
    assert ended.result is None
    assert ended.result_uri == f"s3://landing/{key}"
    assert key.startswith("evidence/_operations/visier/list-uploads/20261122T120000Z-")
    assert json.loads(body) == document
    assert len(json.dumps(ended.model_dump(mode="json"))) < RESULT_BYTES


def test_a_result_whose_escapes_are_long_is_kept_too() -> None:
    """Step Functions counts what is sent, and that is ASCII."""
    shelf = Shelf()

    ended = run(LIST, lambda _: {"data": "ü" * (RESULT_BYTES // 5)}, shelf=shelf)

    assert ended.result_uri is not None


def test_a_change_is_not_made_again_because_its_result_could_not_be_kept() -> None:
    busy = Shelf(fails=LedgerBusyError("S3 is busy"))
    document = {"data": "x" * RESULT_BYTES}

    ended = run(EXCLUDE, lambda _: document, shelf=busy)

    assert ended.outcome is Outcome.SUCCEEDED
    assert ended.failures == ["the result could not be kept: LedgerBusyError"]
    with pytest.raises(LedgerBusyError):
        run(LIST, lambda _: document, shelf=busy)


def test_an_operation_without_a_way_to_read_credentials_says_so() -> None:
    operation = Vendor(lambda _: {}).operations()["create-credential"]

    with pytest.raises(UnknownConnectionError, match="secret: ukg cannot be read here"):
        operation.run({"secret": "ukg", "name": "UKG"})


def test_a_connector_that_forgets_a_declared_operation_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="token-info"):
        operations.bound("liquid", {"job-status": lambda _: {}, "cancel-job": lambda _: {}})
