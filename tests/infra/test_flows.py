"""The state machines' definitions: a snapshot of each, and what has to hold of any.

A definition that was changed on purpose is written anew, and the change read in the diff, by

    HAUL_RENEW_SNAPSHOTS=1 .venv/bin/pytest tests/infra/test_flows.py
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from haul.errors import INFRASTRUCTURE_ERRORS, DamagedFileError, HaulError, PermanentError, TransientError, names_of
from haul.models import vendors
from haul.models.export import Download, Export
from haul.models.load import Load
from tests.infra.conftest import Synthesized, spelled

SNAPSHOTS = Path(__file__).with_name("snapshots")

type State = dict[str, Any]


@pytest.fixture(scope="module")
def operations(owned: Synthesized) -> State:
    return definition(owned, "OperationFlow")


@pytest.fixture(scope="module")
def flow(prod: Synthesized) -> State:
    return definition(prod, "ExportFlow")


@pytest.fixture(scope="module")
def load(prod: Synthesized) -> State:
    return definition(prod, "LoadFlow")


@pytest.fixture(scope="module", params=["ExportFlow", "LoadFlow"])
def either(prod: Synthesized, request: pytest.FixtureRequest) -> State:
    return definition(prod, request.param)


@pytest.mark.parametrize(("construct", "file"), [("ExportFlow", "export_flow"), ("LoadFlow", "load_flow")])
def test_a_flow_is_as_it_was(prod: Synthesized, construct: str, file: str) -> None:
    flow = definition(prod, construct)
    snapshot = SNAPSHOTS / f"{file}.json"
    text = json.dumps(flow, indent=2) + "\n"
    if os.environ.get("HAUL_RENEW_SNAPSHOTS"):
        snapshot.write_text(text)

    assert json.loads(text) == json.loads(snapshot.read_text())


def test_the_operation_flow_is_as_it_was(operations: State) -> None:
    snapshot = SNAPSHOTS / "operation_flow.json"
    text = json.dumps(operations, indent=2) + "\n"
    if os.environ.get("HAUL_RENEW_SNAPSHOTS"):
        snapshot.write_text(text)

    assert json.loads(text) == json.loads(snapshot.read_text())


def test_only_a_read_is_tried_again_after_what_may_have_been_done(operations: State) -> None:
    may_have_been = {"VendorUnavailableError", "Lambda.Unknown", "Sandbox.Timedout", "Lambda.ServiceException"}

    for name in ("Change", "Change credentials"):
        [retry] = operations["States"][name]["Retry"]
        assert set(retry["ErrorEquals"]) == {
            "RateLimitedError",
            "UnreachableError",
            "LedgerBusyError",
            "Lambda.TooManyRequestsException",
        }, name
    [retry] = operations["States"]["Read"]["Retry"]
    assert may_have_been < set(retry["ErrorEquals"])


def test_every_operation_goes_to_the_state_of_its_kind(prod: Synthesized, owned: Synthesized) -> None:
    """Where there is no function for credentials, the other one is asked, and refuses."""
    for stack, credentials in ((prod, "Change"), (owned, "Change credentials")):
        choice = definition(stack, "OperationFlow")["States"]["Which kind?"]
        for vendor in vendors.names():
            for name, kind in vendors.operations(vendor).items():
                expected = credentials if kind.handles_credentials else "Change" if kind.changes else "Read"
                assert chosen(choice, {"vendor": vendor, "operation": name}) == expected, name
        for unknown in ({}, {"vendor": "visier"}, {"vendor": "visier", "operation": "no-such"}, {"operation": "x"}):
            assert chosen(choice, unknown) == "Change", unknown


def chosen(choice: State, given: dict[str, str]) -> str:
    """Where a Choice goes, for the comparisons that this flow uses."""

    def holds(rule: State) -> bool:
        match rule:
            case {"Not": inner}:
                return not holds(inner)
            case {"And": inner}:
                return all(map(holds, inner))
            case {"Or": inner}:
                return any(map(holds, inner))
            case {"IsPresent": True, "Variable": path}:
                return path.removeprefix("$.") in given
            case {"StringEquals": value, "Variable": path}:
                return bool(given[path.removeprefix("$.")] == value)
        raise AssertionError(rule)

    return str(next((rule["Next"] for rule in choice["Choices"] if holds(rule)), choice["Default"]))


def test_every_state_machine_has_a_snapshot(prod: Synthesized) -> None:
    assert len(prod.of_type("AWS::StepFunctions::StateMachine")) == len(list(SNAPSHOTS.glob("*.json")))


def test_every_error_that_is_retried_exists(either: State) -> None:
    known = {*names_of(HaulError), *INFRASTRUCTURE_ERRORS}
    retried = {name for _, state in states(either) for retry in state.get("Retry", []) for name in retry["ErrorEquals"]}

    assert retried
    assert retried <= known


def test_what_is_permanent_is_never_retried(either: State) -> None:
    for name, state in states(either):
        for retry in state.get("Retry", []):
            assert not set(retry["ErrorEquals"]) & set(names_of(PermanentError)), name


def test_a_step_is_retried_after_anything_that_may_pass(flow: State) -> None:
    for name in ("Schedule export", "Check export", "Plan download", "Abandon export", "Notify"):
        [retry] = flow["States"][name]["Retry"]

        assert set(retry.pop("ErrorEquals")) == {*names_of(TransientError), *INFRASTRUCTURE_ERRORS}
        assert retry == {"IntervalSeconds": 5, "MaxAttempts": 6, "BackoffRate": 2, "JitterStrategy": "FULL"}


def test_a_step_of_a_load_is_retried_after_anything_that_may_pass(load: State) -> None:
    for name in ("Start load", "Check load", "Abandon load", "Notify"):
        [retry] = load["States"][name]["Retry"]

        assert set(retry["ErrorEquals"]) == {*names_of(TransientError), *INFRASTRUCTURE_ERRORS}


def test_whatever_goes_wrong_in_a_load_before_the_notice_is_abandoned(load: State) -> None:
    for name in ("Start load", "Check load", "Publish"):
        assert load["States"][name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Abandon load"}
        ], name
    assert load["States"]["Unexpected status"]["Next"] == "Abandon load"


def test_a_damaged_file_that_publish_reports_is_final(flow: State) -> None:
    [retry] = flow["States"]["Publish"]["Retry"]

    assert not set(retry["ErrorEquals"]) & set(names_of(DamagedFileError))
    assert {"LedgerBusyError", "VendorUnavailableError", *INFRASTRUCTURE_ERRORS} == set(retry["ErrorEquals"])


def test_whatever_goes_wrong_before_the_notice_is_abandoned(flow: State) -> None:
    for name in ("Schedule export", "Check export", "Plan download", "Download files", "Publish"):
        assert flow["States"][name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Abandon export"}
        ], name


def test_an_abandoned_run_ends_in_fail(flow: State) -> None:
    choice = flow["States"]["Published after all?"]

    assert flow["States"]["Abandon export"]["Next"] == "Published after all?"
    assert flow["States"][choice["Default"]]["Type"] == "Fail"
    assert [flow["States"][rule["Next"]]["Type"] for rule in choice["Choices"]] == ["Succeed"]


def test_an_unknown_status_is_not_waited_on_for_ever(flow: State) -> None:
    ready = flow["States"]["Ready?"]

    assert ready["Default"] == "Unexpected status"
    assert flow["States"]["Unexpected status"]["Next"] == "Abandon export"


def test_a_result_without_files_needs_no_map(flow: State) -> None:
    files = flow["States"]["Any files?"]

    assert flow["States"]["Plan download"]["Next"] == "Any files?"
    assert files["Choices"] == [{"Variable": "$.plan.items", "NumericEquals": 0, "Next": "Publish"}]
    assert files["Default"] == "Download files"


def test_a_child_never_fails_and_says_nothing(flow: State) -> None:
    child = flow["States"]["Download files"]["ItemProcessor"]

    assert child["States"]["Download"]["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "Recorded elsewhere"}]
    assert child["States"]["Recorded elsewhere"] == {"Type": "Pass", "Result": {}, "End": True}
    assert "ResultWriter" not in flow["States"]["Download files"]


def test_a_child_downloads_again_while_files_are_left(flow: State) -> None:
    child = flow["States"]["Download files"]["ItemProcessor"]["States"]

    choice = child["Unfinished?"]

    assert child["Download"]["Next"] == "Unfinished?"
    assert choice["Choices"] == [{"Variable": "$.unfinished", "BooleanEquals": True, "Next": "Download"}]
    assert choice["Default"] == "Recorded elsewhere"


def test_a_child_is_given_a_download_made_of_the_export(flow: State) -> None:
    selector = flow["States"]["Download files"]["ItemSelector"]
    given = {name.removesuffix(".$"): path for name, path in selector.items()}

    assert set(given) == set(Download.model_fields) - {"turn", "unfinished"}
    assert given.pop("item") == "$$.Map.Item.Value"
    assert given == {name: f"$.{name}" for name in given}
    assert set(given) <= set(Export.model_fields)


def test_paths_of_the_flow_are_fields_of_the_export(flow: State) -> None:
    """But for what a state adds by itself, and what Abandon and Download answer."""
    added = {"error", "abandon_error", "published", "cause", "unfinished"}
    paths = set(re.findall(r'"\$\.([a-z_]+)', json.dumps(flow)))

    assert paths
    assert paths - added <= set(Export.model_fields)


def test_paths_of_the_load_flow_are_fields_of_the_load(load: State) -> None:
    added = {"error", "abandon_error", "published", "cause"}
    paths = set(re.findall(r'"\$\.([a-z_]+)', json.dumps(load)))

    assert paths
    assert paths - added <= set(Load.model_fields)


def test_retries_come_quickly_on_one_machine(local: Synthesized) -> None:
    for _, state in states(definition(local, "ExportFlow")):
        for retry in state.get("Retry", []):
            assert (retry["IntervalSeconds"], retry["BackoffRate"]) == (1, 1)


def test_the_flow_outlives_the_longest_deadline(either: State) -> None:
    week = 7 * 24 * 3600

    assert either["TimeoutSeconds"] > week


def definition(stack: Synthesized, construct: str) -> State:
    machine = stack.one("AWS::StepFunctions::StateMachine", construct)
    # Logical ids end in a hash of their path, which is no part of what the machine does.
    text = re.sub(r"\$\{(\w+?)[0-9A-F]{8}(\.\w+)?\}", r"${\1\2}", spelled(machine["DefinitionString"]))
    found: State = json.loads(text)
    return found


def states(machine: State) -> Iterator[tuple[str, State]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])
