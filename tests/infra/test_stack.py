"""What the stack has besides rights, flow and triggers: buckets, functions, dead letters, alarms, parameters."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from haul import keys
from haul.settings import PREFIX, Settings
from infra import environment, triggers
from tests.infra.conftest import Synthesized, spelled

HANDLERS = Path(__file__).parents[2] / "functions" / "haul" / "handlers"


@pytest.mark.parametrize("name", ["Landing", "Inbox"])
def test_a_bucket_is_private_versioned_encrypted_and_kept(prod: Synthesized, name: str) -> None:
    logical_id = prod.logical_id("AWS::S3::Bucket", name)
    bucket = prod.one("AWS::S3::Bucket", name)

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "BucketEncryption" in bucket
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert prod.template["Resources"][logical_id]["DeletionPolicy"] == "Retain"
    [policy] = [
        policy for policy in prod.of_type("AWS::S3::BucketPolicy").values() if policy["Bucket"] == {"Ref": logical_id}
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [
        statement.get("Condition")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]


def test_what_is_landed_goes_when_its_retention_is_over(prod: Synthesized) -> None:
    rules = {rule["Id"]: rule for rule in prod.one("AWS::S3::Bucket", "Landing")["LifecycleConfiguration"]["Rules"]}

    assert rules["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 9}
    assert rules["ledger-versions"]["Prefix"] == "ledger/"
    assert rules["ledger-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "ExpirationInDays" not in rules["ledger-versions"]
    for pipeline in triggers.read_all("prod"):
        for folder in ("raw", "evidence"):
            rule = rules[f"{folder}-{pipeline.pipeline}"]
            assert rule["Prefix"] == f"{folder}/{pipeline.pipeline}/"
            assert rule["ExpirationInDays"] == pipeline.landing.retention_days
            assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_an_operations_result_goes_with_the_execution_that_names_it(prod: Synthesized) -> None:
    rules = {rule["Id"]: rule for rule in prod.one("AWS::S3::Bucket", "Landing")["LifecycleConfiguration"]["Rules"]}

    rule = rules["operation-results"]

    assert keys.operation_result("visier", "list-uploads", "mark").startswith(rule["Prefix"])
    assert rule["Prefix"] == "evidence/_operations/"
    assert rule["ExpirationInDays"] == 90
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_nothing_ever_deletes_a_manifest_or_the_ledger(prod: Synthesized) -> None:
    rules = prod.one("AWS::S3::Bucket", "Landing")["LifecycleConfiguration"]["Rules"]
    deleting = [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule]

    assert deleting
    assert {prefix.split("/")[0] for prefix in deleting} == {"raw", "evidence"}


def test_own_buckets_are_used_and_not_made(owned: Synthesized) -> None:
    assert owned.of_type("AWS::S3::Bucket") == {}
    assert parameters(owned)["landing-bucket"] == "acme-landing"
    assert parameters(owned)["inbox-bucket"] == "acme-inbox"


def test_every_function_is_given_whole_settings(prod: Synthesized) -> None:
    for function in functions(prod):
        variables = {name: spelled(value) for name, value in function["Environment"]["Variables"].items()}
        settings = Settings.from_env(variables)

        assert {name for name in variables if name.startswith(PREFIX)} == set(settings.to_env())
        assert settings.environment == "prod"
        assert variables["POWERTOOLS_SERVICE_NAME"] == "haul-prod"


def test_every_function_logs_json_to_a_group_of_its_own_that_forgets(prod: Synthesized) -> None:
    groups = prod.of_type("AWS::Logs::LogGroup")
    used = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions(prod)]

    assert len(set(used)) == len(used)
    assert {function["LoggingConfig"]["LogFormat"] for function in functions(prod)} == {"JSON"}
    assert {group.get("RetentionInDays") for group in groups.values()} == {90}


def test_every_function_runs_a_module_that_is_there(prod: Synthesized) -> None:
    assert modules(prod) == {path.stem for path in HANDLERS.glob("[!_]*.py")} - {"run_credential_operation"}


def test_credentials_that_vendors_keep_are_touched_only_where_the_environment_asks(
    prod: Synthesized, owned: Synthesized
) -> None:
    assert modules(owned) - modules(prod) == {"run_credential_operation"}
    assert (parameters(prod)["credential-operations"], parameters(owned)["credential-operations"]) == ("false", "true")


def test_the_download_has_a_whole_cpu_and_all_the_time_there_is(prod: Synthesized) -> None:
    download = prod.one("AWS::Lambda::Function", "DownloadFiles")

    assert (download["MemorySize"], download["Timeout"]) == (1769, 900)


def test_functions_run_on_what_the_environment_says(prod: Synthesized) -> None:
    assert {json.dumps(function["Architectures"]) for function in functions(prod)} == {'["arm64"]'}


def test_every_asynchronous_edge_has_a_dead_letter_queue(prod: Synthesized) -> None:
    queue = f"${{{prod.logical_id('AWS::SQS::Queue', 'DeadLetters')}.Arn}}"
    targets = [target for rule in prod.of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    schedules = [schedule["Target"] for schedule in prod.of_type("AWS::Scheduler::Schedule").values()]
    invoked = prod.of_type("AWS::Lambda::EventInvokeConfig").values()

    assert len(targets) > 2
    assert {spelled(target["DeadLetterConfig"]["Arn"]) for target in [*targets, *schedules]} == {queue}
    assert {spelled(config["DestinationConfig"]["OnFailure"]["Destination"]) for config in invoked} == {queue}
    assert {re.sub(r"\W|[0-9A-F]{8}\W*$", "", spelled(config["FunctionName"])) for config in invoked} == {
        "Abandon",
        "Sweep",
        "RegisterPipeline",
    }


def test_a_subscription_has_a_dead_letter_queue_that_takes_from_the_topic(owned: Synthesized) -> None:
    subscription = owned.one("AWS::SNS::Subscription")
    topic = owned.logical_id("AWS::SNS::Topic", "Notices")

    assert subscription["Endpoint"] == "data@example.com"
    assert "DeadLetters" in spelled(subscription["RedrivePolicy"]["deadLetterTargetArn"])
    assert {"ArnEquals": {"aws:SourceArn": {"Ref": topic}}} in queue_conditions(owned)


def test_the_dead_letter_queue_is_encrypted_and_refuses_plain_http(prod: Synthesized) -> None:
    assert prod.one("AWS::SQS::Queue")["SqsManagedSseEnabled"] is True
    assert {"Bool": {"aws:SecureTransport": "false"}} in queue_conditions(prod)


def test_the_queues_policy_does_not_grow_with_the_pipelines(prod: Synthesized) -> None:
    """One statement lets every rule of the stack in: a policy of a queue has a limit."""
    pipelines = [rule for name, rule in prod.of_type("AWS::Events::Rule").items() if name.startswith("Triggers")]

    assert pipelines
    assert not [rule for rule in queue_conditions(prod) if "Triggers" in json.dumps(rule)]


def test_an_execution_that_ends_badly_is_abandoned(prod: Synthesized) -> None:
    rule = prod.one("AWS::Events::Rule", "ExecutionEnded")

    assert rule["EventPattern"]["detail"]["status"] == ["FAILED", "ABORTED", "TIMED_OUT"]
    assert rule["EventPattern"]["detail"]["stateMachineArn"] == [
        {"Ref": prod.logical_id("AWS::StepFunctions::StateMachine", flow)} for flow in ("ExportFlow", "LoadFlow")
    ]
    assert [spelled(target["Arn"]) for target in rule["Targets"]] == [
        f"${{{prod.logical_id('AWS::Lambda::Function', 'Abandon')}.Arn}}"
    ]


def test_the_sweep_comes_by_every_hour(prod: Synthesized) -> None:
    rule = prod.one("AWS::Events::Rule", "Hourly")

    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert "Sweep" in spelled(rule["Targets"][0]["Arn"])


def test_failed_late_stale_and_dead_letters_raise_alarms(prod: Synthesized) -> None:
    alarms = prod.of_type("AWS::CloudWatch::Alarm")

    assert {re.sub(r"^Watch|[0-9A-F]{8}$", "", name) for name in alarms} == {
        "Failed",
        "Late",
        "Stale",
        "DeadLetters",
        "OperationFailed",
    }
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}
    assert [alarm.get("AlarmActions") for alarm in alarms.values()] == [None] * 5


def test_alarms_go_where_the_environment_says(owned: Synthesized) -> None:
    actions: list[Any] = [alarm["AlarmActions"] for alarm in owned.of_type("AWS::CloudWatch::Alarm").values()]

    assert actions == [["arn:aws:sns:eu-west-1:123456789012:acme-alarms"]] * 5


def test_what_the_command_line_needs_is_in_parameters(prod: Synthesized) -> None:
    assert set(parameters(prod)) == {
        "landing-bucket",
        "inbox-bucket",
        "export-flow-arn",
        "load-flow-arn",
        "notices-topic-arn",
        "event-bus",
        "schedule-group",
        "dead-letter-queue-url",
        "sweep-function",
        "code-version",
        "quota-reserve",
        "operation-flow-arn",
        "credential-operations",
    }


def test_tags_are_on_everything_that_has_tags(owned: Synthesized) -> None:
    for kind in ("AWS::Lambda::Function", "AWS::StepFunctions::StateMachine", "AWS::SNS::Topic", "AWS::SQS::Queue"):
        for resource in owned.of_type(kind).values():
            assert {"Key": "cost-centre", "Value": "4711"} in resource["Tags"]


def test_an_environment_files_schema_is_in_step() -> None:
    assert environment.SCHEMA.read_text() == environment.schema(), "do: python -m infra.environment"


def modules(stack: Synthesized) -> set[str]:
    return {function["Handler"].removeprefix("haul.handlers.").split(".")[0] for function in functions(stack)}


def functions(stack: Synthesized) -> list[dict[str, Any]]:
    return list(stack.of_type("AWS::Lambda::Function").values())


def parameters(stack: Synthesized) -> dict[str, str]:
    found = stack.of_type("AWS::SSM::Parameter").values()
    return {parameter["Name"].removeprefix("/haul/prod/"): spelled(parameter["Value"]) for parameter in found}


def queue_conditions(stack: Synthesized) -> list[Any]:
    return [
        statement.get("Condition")
        for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]
