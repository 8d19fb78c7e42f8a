"""Pipeline files become schedules, rules and documents; a wrong one fails synth with its name and its field."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from haul.errors import InvalidEventError
from haul.models import vendors
from haul.models.base import parse
from haul.models.event import Event, Start, unreplaced
from haul.models.ledger import PipelineRecord
from infra import triggers
from tests.infra.conftest import Synthesized, spelled

GOOD = """
pipeline: orders
vendor: visier
action: dv-export
connection: acme
request: {dataVersionNumber: "@latest"}
"""


def test_a_schedule_sends_a_whole_event(prod: Synthesized) -> None:
    target = prod.one("AWS::Scheduler::Schedule", "TriggersVisierPeople")["Target"]
    sent = target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-22T05:00:00Z")
    event = vendors.checked(parse(Event, json.loads(sent)))

    assert unreplaced(json.loads(target["Input"])) == "<aws.scheduler.scheduled-time>"
    assert event.id == "visier-people@2026-11-22T05:00:00Z"
    assert event.trigger.type == "schedule"
    assert event.request == {"dataVersionNumber": "@latest", "baseDataVersionNumber": "@last-published"}


def test_a_schedule_says_when_and_what_becomes_of_a_start_that_fails(prod: Synthesized) -> None:
    schedule = prod.one("AWS::Scheduler::Schedule", "TriggersVisierPeople")

    assert schedule["Name"] == "visier-people"
    assert schedule["GroupName"] == {"Ref": prod.logical_id("AWS::Scheduler::ScheduleGroup", "Triggers")}
    assert schedule["ScheduleExpression"] == "cron(0 5-11 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Paris"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
    assert schedule["State"] == "ENABLED"
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert "DeadLetters" in spelled(schedule["Target"]["DeadLetterConfig"]["Arn"])


def test_a_pipeline_that_is_not_enabled_is_deployed_asleep(local: Synthesized) -> None:
    assert local.one("AWS::Scheduler::Schedule", "TriggersVisierPeople")["State"] == "DISABLED"


def test_a_manifest_starts_the_pipeline_that_waits_for_it(prod: Synthesized) -> None:
    rule = prod.one("AWS::Events::Rule", "TriggersVisierPeopleSnapshot")
    [target] = rule["Targets"]
    start = parse(Start, filled_in(target["InputTransformer"]))

    assert rule["State"] == "ENABLED"
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": prod.logical_id("AWS::S3::Bucket", "Landing")}]},
            "object": {"key": [{"prefix": "manifests/visier-people/"}]},
        },
    }
    assert start.id == "17793124-05d4-b198-2fde-7ededc63b103"
    assert start.pipeline == "visier-people-snapshot"
    assert start.trigger.type == "manifest"
    assert start.source
    assert start.source.manifest
    assert start.source.manifest.key == "manifests/visier-people/20261122T050003Z-7c1f9a.json"
    assert start.source.manifest.version_id == "3HL4kqtJlcpXroDTDmJ"
    assert "DeadLetters" in spelled(target["DeadLetterConfig"]["Arn"])


def test_a_rules_input_stays_short_whatever_key_arrives(prod: Synthesized) -> None:
    """EventBridge takes 8,192 characters, and S3 keys of 1,024."""
    for rule in prod.of_type("AWS::Events::Rule").values():
        for target in rule["Targets"]:
            if "InputTransformer" in target:
                filled = filled_in(target["InputTransformer"], key="\\" * 1024)

                assert len(json.dumps(filled)) < triggers.RULE_INPUT_LIMIT


def test_an_arriving_object_starts_its_pipeline(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(GOOD + "when: {s3: {prefix: inbox/orders/, suffix: .csv}}\n")
    [pipeline] = triggers.read_all("prod", tmp_path)
    template = triggers.rule_input(pipeline, "s3")

    start = parse(Start, filled_in({"InputPathsMap": triggers.INPUT_PATHS, "InputTemplate": template}))

    assert start.source
    assert start.source.object
    assert start.source.object.size == 1048576


def test_every_pipeline_is_put_in_the_ledger_as_the_flow_reads_it(prod: Synthesized) -> None:
    documents = [json.loads(resource["Document"]) for resource in prod.of_type("Custom::HaulPipeline").values()]
    records = [PipelineRecord.model_validate({**document, "deployed_at": datetime.now(UTC)}) for document in documents]

    assert {record.pipeline for record in records} == {path.stem for path in triggers.FOLDER.glob("*.yaml")}
    for document, record in zip(documents, records, strict=True):
        assert set(document) <= set(PipelineRecord.model_fields)
        vendors.checked(parse(Event, record.event))


def test_a_document_is_registered_only_once_its_function_may_write(prod: Synthesized) -> None:
    role = prod.logical_id("AWS::IAM::Role", "RegisterPipeline")
    [policy] = [name for name, found in prod.of_type("AWS::IAM::Policy").items() if found["Roles"] == [{"Ref": role}]]

    for resource in prod.template["Resources"].values():
        if resource["Type"] == "Custom::HaulPipeline":
            assert policy in resource["DependsOn"]


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("orders", GOOD + "ownr: me\n", r"orders\.yaml: ownr: unknown field; did you mean owner\?"),
        ("orders", GOOD.replace("action: dv-export", ""), r"orders\.yaml: action: missing"),
        ("orders", GOOD + "when: {schedule: {cron: 5 * * * *}}\n", r"orders\.yaml: when\.schedule\.cron:"),
        (
            "orders",
            GOOD + "when: {schedule: {rate: 1 hour, time_zone: Europe/Pari}}\n",
            r'orders\.yaml: when\.schedule\.time_zone: "Europe/Pari" is unknown; did you mean Europe/Paris\?',
        ),
        (
            "orders",
            GOOD + "when: {schedule: {rate: 1 hour, flexible: P2D}}\n",
            r"orders\.yaml: when\.schedule\.flexible: must be from PT1M to PT24H",
        ),
        ("orders", GOOD + "when: [\n", r"orders\.yaml: not YAML: .*line"),
        ("sales", GOOD, r'sales\.yaml: pipeline: must be "sales", as the file \(found "orders"\)'),
        (
            "orders",
            GOOD + "environments: {prd: {enabled: false}}\n",
            r"orders\.yaml: environments\.prd: there is no such environment; there are: dev, local, prod",
        ),
        (
            "orders",
            GOOD + "when: {manifest: {pipeline: visier-poeple}}\n",
            r'orders\.yaml: when\.manifest\.pipeline: there is no pipeline "visier-poeple"; there are: orders',
        ),
        (
            "orders",
            GOOD + "when: {manifest: {pipeline: orders}}\n",
            r"orders\.yaml: when\.manifest\.pipeline: starts itself: orders <- orders",
        ),
        (
            "orders",
            GOOD.replace("visier", "vizier"),
            r'orders\.yaml: vendor: "vizier" is unknown; did you mean visier\?',
        ),
    ],
)
def test_a_wrong_pipeline_file_is_refused_by_name_and_field(
    tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    (tmp_path / f"{file}.yaml").write_text(text)

    with pytest.raises(InvalidEventError, match=complaint):
        triggers.read_all("prod", tmp_path)


def test_pipelines_that_start_each_other_are_refused(tmp_path: Path) -> None:
    for name, upstream in (("orders", "sales"), ("sales", "orders")):
        text = GOOD.replace("orders", name) + f"when: {{manifest: {{pipeline: {upstream}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)

    with pytest.raises(InvalidEventError, match="orders <- sales <- orders"):
        triggers.read_all("prod", tmp_path)


def filled_in(transformer: dict[str, Any], key: str = "manifests/visier-people/20261122T050003Z-7c1f9a.json") -> Any:
    """Do as EventBridge does: each placeholder becomes its value, a text with its quotes."""
    event = {
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "time": "2026-11-22T05:00:00Z",
        "detail": {
            "bucket": {"name": "acme-landing"},
            "object": {"key": key, "size": 1048576, "etag": "b1946ac9", "version-id": "3HL4kqtJlcpXroDTDmJ"},
        },
    }
    text = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        text = text.replace(f"<{name}>", json.dumps(value))
    return json.loads(text)
