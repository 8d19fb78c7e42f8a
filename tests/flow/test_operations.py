"""Operations through the deployed flow: what is tried again, what is not, and what nobody may see."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from haul.cli.app import app
from infra.local.stack import Execution, Stack
from infra.local.vendors.visier import VisierSimulator
from tests.flow.conftest import connect, new_simulator, unique

C7O, E1A = "WFF_j1r~c7o", "WFF_j1r~e1a"
KEY = "a-key-that-only-visier-may-keep"
TIMES = ["2021-12-13T08:00:00.123Z", "2020-01-01T00:00:00.000Z"]


@dataclass(frozen=True)
class Told:
    """One execution of the operation flow, with a vendor of its own."""

    stack: Stack
    visier: VisierSimulator
    arn: str

    @property
    def end(self) -> Execution:
        return self.stack.wait(self.arn, timeout=120)

    @property
    def output(self) -> dict[str, Any]:
        output = self.end.output
        assert output is not None, self.end
        return output

    @property
    def states(self) -> list[str]:
        return self.stack.states(self.arn)


class Teller:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.simulators: list[VisierSimulator] = []
        self.told: dict[str, Told] = {}

    def tell(self, story: str, operation: str, fault: Mapping[str, Any] | None = None, /, **parameters: Any) -> None:
        account = unique(f"operation {story}")
        visier = new_simulator(account)
        visier.start()
        self.simulators.append(visier)
        if fault:
            visier.fault("PUT", "/exclude$", **fault)
        event = {
            "version": 1,
            "vendor": "visier",
            "operation": operation,
            "connection": connect(self.stack, visier, account),
            "parameters": parameters,
        }
        machine = self.stack.flow_arns["operation"]
        started = self.stack.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(event))
        self.told[story] = Told(self.stack, visier, started["executionArn"])
        _ = self.told[story].end


def new_credential(stack: Stack) -> str:
    """Keep what a credential holds as a secret; its name as operations take it."""
    name = f"ukg-{uuid4().hex[:6]}"
    stack.secrets.create_secret(
        Name=f"haul-credential/{stack.environment}/{name}",
        SecretString=json.dumps({"provider": "UKG", "ultimateAuthParams": {"apiKey": KEY}}),
    )
    return name


@pytest.fixture(scope="module")
def told(stack: Stack) -> Iterator[dict[str, Told]]:
    teller = Teller(stack)
    secret = new_credential(stack)
    teller.tell("a read", "list-uploads", tenant=[C7O], number=1)
    teller.tell("a partial change", "exclude-uploads", tenant=[C7O], upload_time=TIMES)
    teller.tell("a change that does nothing", "exclude-uploads", tenant=[C7O], upload_time=TIMES[1:])
    teller.tell("a refused change", "exclude-uploads", tenat=[C7O])
    teller.tell("a change too early", "exclude-uploads", {"status": 429, "times": 1}, tenant=[E1A], all=True)
    teller.tell("a lost reply", "exclude-uploads", {"drop_reply": True}, tenant=[E1A], all=True)
    teller.tell("a credential", "create-credential", secret=secret, name="UKG", tenant=C7O)
    yield teller.told
    for visier in teller.simulators:
        visier.stop()


def test_a_read_ends_with_what_the_vendor_answered(told: dict[str, Told]) -> None:
    read = told["a read"]

    assert read.states == ["Which kind?", "Read"]
    assert read.output["outcome"] == "SUCCEEDED"
    assert read.output["result"]["tenants"] == [
        {"tenantCode": C7O, "uploads": [{"uploadTime": TIMES[0], "included": True}]}
    ]


def test_a_partial_change_succeeds_and_says_what_was_not_done(told: dict[str, Told]) -> None:
    change = told["a partial change"]

    assert change.states == ["Which kind?", "Change"]
    assert (change.end.status, change.output["outcome"]) == ("SUCCEEDED", "PARTIAL")
    assert change.output["failures"] == [f"{C7O} {TIMES[1]}: The upload does not exist for the tenant."]
    assert change.visier.management.tenants[C7O].uploads[TIMES[0]] is False


def test_a_change_that_does_nothing_fails(told: dict[str, Told]) -> None:
    change = told["a change that does nothing"]

    assert (change.end.status, change.end.error) == ("FAILED", "RequestRejectedError")
    assert "The upload does not exist for the tenant." in (change.end.cause or "")


def test_wrong_parameters_fail_at_once_and_nothing_is_sent(told: dict[str, Told]) -> None:
    change = told["a refused change"]

    assert (change.end.status, change.end.error) == ("FAILED", "InvalidEventError")
    assert "parameters.tenat: unknown field; did you mean tenant?" in (change.end.cause or "")
    assert change.visier.log == []


def test_a_change_that_was_refused_for_coming_too_early_is_tried_again(told: dict[str, Told]) -> None:
    change = told["a change too early"]

    assert change.output["outcome"] == "SUCCEEDED"
    assert change.visier.calls("PUT", "/exclude") == 2


def test_a_change_whose_reply_was_lost_is_not_made_again(told: dict[str, Told]) -> None:
    change = told["a lost reply"]

    assert (change.end.status, change.end.error) == ("FAILED", "VendorUnavailableError")
    assert "It may have been done" in (change.end.cause or "")
    assert change.visier.calls("PUT", "/exclude") == 1


def test_a_credential_reaches_the_vendor_and_nothing_else(told: dict[str, Told], stack: Stack) -> None:
    made = told["a credential"]
    written = json.dumps(stack.history(made.arn), default=str) + stack.logs("run_credential_operation")

    assert made.states == ["Which kind?", "Change credentials"]
    assert made.output["result"]["uuid"] == made.visier.management.tenants[C7O].credentials[-1].uuid
    assert made.visier.management.tenants[C7O].credentials[-1].content == {"apiKey": KEY}
    assert "operation ended" in written
    assert KEY not in written


def test_a_person_makes_a_credential_of_a_secret_too(stack: Stack, visier: VisierSimulator, connection: str) -> None:
    secret = new_credential(stack)
    call = ["call", "visier", "create-credential", "--connection", connection, "--tenant", C7O]

    made = CliRunner().invoke(app, [*call, "--secret", secret, "--name", "UKG", "--yes"])
    gone = CliRunner().invoke(app, [*call, "--secret", f"{secret}-not", "--name", "UKG", "--yes"])

    assert made.exit_code == 0, made.output
    assert visier.management.tenants[C7O].credentials[-1].content == {"apiKey": KEY}
    assert KEY not in made.output
    assert gone.exit_code == 1
    assert f"secret: there is no secret haul-credential/{stack.environment}/{secret}-not" in gone.stderr
