"""What each role may do, whole: a right that is added or lost changes a line here."""

import json
import re
from collections import defaultdict
from typing import Any

import pytest

from tests.infra.conftest import Synthesized, spelled

READ_WRITE = {"s3:GetObject", "s3:PutObject"}
SETTLE = {"ledger/_active/*": {"s3:DeleteObject"}}
TELL = {"topic": {"sns:Publish"}, "bus": {"events:PutEvents"}}
FORGET = {"links": {"secretsmanager:DeleteSecret"}}
LEDGER = {"ledger/*": READ_WRITE}
SECRETS = {"secrets": {"secretsmanager:GetSecretValue"}}
LETTERS = {"dead letters": {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}}
# Everybody: to tell a key that does not exist from one that may not be read, and to write logs.
ALWAYS = {"landing": {"s3:ListBucket"}, "own logs": {"logs:CreateLogStream", "logs:PutLogEvents"}}
SEND = {
    "manifests/*": READ_WRITE,
    "raw/*": {"s3:GetObject", "s3:GetObjectVersion"},
    "inbox/*": {"s3:GetObject", "s3:GetObjectVersion"},
    "inbox": {"s3:ListBucket"},
}
GIVE_UP = {
    **LEDGER,
    **SECRETS,
    **SETTLE,
    **TELL,
    **FORGET,
    **LETTERS,
    "manifests/*": READ_WRITE,
    "runs/*": {"s3:PutObject"},
    "raw/*": {"s3:AbortMultipartUpload"},
}

MAY: dict[str, dict[str, set[str]]] = {
    "ScheduleExport": {**LEDGER, **SECRETS, "manifests/*": READ_WRITE, "evidence/*": {"s3:GetObject"}},
    "CheckExport": {**LEDGER, **SECRETS, "manifests/*": READ_WRITE, "evidence/*": READ_WRITE},
    "PlanDownload": {**LEDGER, **SECRETS, "evidence/*": {"s3:PutObject"}},
    "DownloadFiles": {
        **LEDGER,
        **SECRETS,
        "raw/*": {*READ_WRITE, "s3:GetObjectVersion", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"},
    },
    "StartLoad": {**LEDGER, **SECRETS, **SEND, "evidence/*": {"s3:GetObject"}},
    "CheckLoad": {**LEDGER, **SECRETS, **SEND, "evidence/*": READ_WRITE},
    "Publish": {
        **LEDGER,
        "manifests/*": READ_WRITE,
        "evidence/*": READ_WRITE,
    },
    "Notify": {
        **LEDGER,
        **SETTLE,
        **TELL,
        **FORGET,
        "runs/*": {"s3:PutObject"},
        "manifests/*": {"s3:GetObject"},
    },
    "Abandon": GIVE_UP,
    "Sweep": {**GIVE_UP, "executions": {"states:DescribeExecution"}},
    "RunOperation": {**SECRETS, "evidence/_operations/*": {"s3:PutObject"}},
    "RegisterPipeline": {**LETTERS, "ledger/*/pipeline": {*READ_WRITE, "s3:DeleteObject"}},
}


@pytest.mark.parametrize("function", MAY)
def test_a_function_may_do_what_its_step_needs_and_no_more(prod: Synthesized, function: str) -> None:
    granted = granted_to(prod, f"{function}Role")

    assert granted == {**MAY[function], **ALWAYS}


def test_every_function_has_a_role_of_its_own(prod: Synthesized) -> None:
    roles = [json.dumps(function["Role"]) for function in prod.of_type("AWS::Lambda::Function").values()]

    assert len(roles) == len(MAY)
    assert len(set(roles)) == len(roles)


def test_no_action_is_a_wildcard(prod: Synthesized) -> None:
    actions = [action for statement in statements(prod) for action in listed(statement["Action"])]

    assert actions
    assert [action for action in actions if "*" in action] == []


def test_only_log_delivery_has_no_resource_to_name(prod: Synthesized) -> None:
    unnamed = [statement for statement in statements(prod) if "*" in listed(statement["Resource"])]

    assert [{action.split(":")[0] for action in listed(statement["Action"])} for statement in unnamed] == [
        {"logs"}
    ] * len(prod.of_type("AWS::StepFunctions::StateMachine"))


def test_schedules_and_rules_may_start_the_flows_and_nothing_else(prod: Synthesized) -> None:
    machines = [prod.logical_id("AWS::StepFunctions::StateMachine", flow) for flow in ("ExportFlow", "LoadFlow")]
    start = {f"${{{flow}}}": {"states:StartExecution"} for flow in machines}

    assert granted_to(prod, "TriggersRuleRole") == start
    assert granted_to(prod, "TriggersSchedulerRole") == {**start, "dead letters": {"sqs:SendMessage"}}


def test_the_flow_may_invoke_its_own_functions_and_read_plans(prod: Synthesized) -> None:
    granted = granted_to(prod, "ExportFlowRole")
    invoked = {resource for resource, actions in granted.items() if "lambda:InvokeFunction" in actions}

    flow = prod.logical_id("AWS::StepFunctions::StateMachine", "ExportFlow")
    assert {re.sub(r"^\$\{(\w+?)[0-9A-F]{8}\.Arn\}$", r"\1", resource) for resource in invoked} == {
        *MAY.keys() - {"Sweep", "RegisterPipeline", "StartLoad", "CheckLoad", "RunOperation"}
    }
    assert {key: actions for key, actions in granted.items() if key not in invoked and key != "*"} == {
        "ledger/*/plans/*": {"s3:GetObject"},
        "dead letters": {"sqs:SendMessage"},
        f"${{{flow}}}": {"states:StartExecution"},
        "map executions": {"states:DescribeExecution", "states:StopExecution"},
    }


def test_the_operation_flow_may_invoke_its_functions_and_log(prod: Synthesized, owned: Synthesized) -> None:
    for stack, expected in ((prod, {"RunOperation"}), (owned, {"RunOperation", "RunCredentialOperation"})):
        granted = granted_to(stack, "OperationFlowRole")
        invoked = {resource for resource, actions in granted.items() if actions == {"lambda:InvokeFunction"}}

        assert {re.sub(r"^\$\{(\w+?)[0-9A-F]{8}\.Arn\}$", r"\1", resource) for resource in invoked} == expected
        assert granted.keys() - invoked == {"*"}


def test_only_the_credential_function_reads_what_vendors_are_to_keep(prod: Synthesized, owned: Synthesized) -> None:
    """Connections have names that no such secret has: what reads those reads none of these."""
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    granted = granted_to(owned, "RunCredentialOperationRole")

    assert granted.pop(key) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert {name.removeprefix("arn:aws:s3:::acme-landing/"): actions for name, actions in granted.items()}.keys() >= {
        "secrets",
        "credentials",
    }
    assert granted["credentials"] == {"secretsmanager:GetSecretValue"}
    for stack, readers in ((prod, []), (owned, ["RunCredentialOperationRole"])):
        roles = [name[:-8] for name in stack.of_type("AWS::IAM::Role")]
        assert [role for role in roles if "credentials" in granted_to(stack, role)] == readers


def test_the_load_flow_may_invoke_its_own_functions(prod: Synthesized) -> None:
    granted = granted_to(prod, "LoadFlowRole")
    invoked = {resource for resource, actions in granted.items() if "lambda:InvokeFunction" in actions}

    assert {re.sub(r"^\$\{(\w+?)[0-9A-F]{8}\.Arn\}$", r"\1", resource) for resource in invoked} == {
        "StartLoad",
        "CheckLoad",
        "Publish",
        "Notify",
        "Abandon",
    }
    assert {key: actions for key, actions in granted.items() if key not in invoked and key != "*"} == {
        "dead letters": {"sqs:SendMessage"},
    }


def test_an_own_key_is_used_for_everything_and_by_everyone(owned: Synthesized) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

    for function in MAY:
        assert granted_to(owned, f"{function}Role")[key] == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert granted_to(owned, "ExportFlowRole")[key] == {"kms:Decrypt"}
    assert owned.one("AWS::SNS::Topic")["KmsMasterKeyId"] == key


def test_a_boundary_bounds_every_role(owned: Synthesized) -> None:
    roles = owned.of_type("AWS::IAM::Role")

    assert roles
    assert {spelled(role["PermissionsBoundary"]) for role in roles.values()} == {
        "arn:${AWS::Partition}:iam::123456789012:policy/acme-boundary"
    }


def statements(stack: Synthesized) -> list[dict[str, Any]]:
    return [
        statement
        for policy in stack.of_type("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def granted_to(stack: Synthesized, role: str) -> dict[str, set[str]]:
    """Resources by a name that a person gives them, and what the role may do to each."""
    role_id = stack.logical_id("AWS::IAM::Role", role)
    landing = next(iter(name for name in stack.of_type("AWS::S3::Bucket") if name.startswith("Landing")), "")
    granted: dict[str, set[str]] = defaultdict(set)
    for policy in stack.of_type("AWS::IAM::Policy").values():
        if {"Ref": role_id} in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Allow"
                for resource in listed(statement["Resource"]):
                    granted[_called(spelled(resource), landing)] |= set(listed(statement["Action"]))
    return dict(granted)


def _called(resource: str, landing: str) -> str:
    names = {
        rf"\$\{{{landing}\.Arn\}}/(.*)": r"\1",
        rf"\$\{{{landing}\.Arn\}}": "landing",
        r"\$\{Inbox\w+\.Arn\}(/\*)?": r"inbox\1",
        r"\$\{Notices\w+\}": "topic",
        r"\$\{DeadLetters\w+\.Arn\}": "dead letters",
        r"\$\{\w+Logs\w+\.Arn\}": "own logs",
        r".*:secretsmanager:.*:secret:haul/prod/\*": "secrets",
        r".*:secretsmanager:.*:secret:haul-credential/prod/\*": "credentials",
        r".*:secretsmanager:.*:secret:haul/prod/link/\*": "links",
        r".*:event-bus/default": "bus",
        r".*:execution:\$\{(Export|Load)FlowMachine\w+\.Name\}:\*": "executions",
        r".*:execution:\$\{ExportFlowMachine\w+\.Name\}/\*": "map executions",
    }
    for pattern, name in names.items():
        if match := re.fullmatch(pattern, resource):
            return match.expand(name)
    return resource
