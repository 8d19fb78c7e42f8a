"""What starts a pipeline: its schedule and its rules, and its document for the ledger.

A rule's input has at most 8,192 characters, so a rule sends no more than what says which run it is, and the flow
completes it from the pipeline's document.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from haul.errors import InvalidEventError
from haul.models import pipeline_files, vendors
from haul.models.base import duration_text
from haul.models.pipeline import ManifestArrival, Pipeline, S3Arrival, Schedule
from infra import environment as environments
from infra.function import HaulFunction
from infra.permissions import allow

FOLDER = Path(__file__).parent / "pipelines"
RULE_INPUT_LIMIT = 8192
_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"


def read_all(environment: str, folder: Path = FOLDER) -> list[Pipeline]:
    """Read every pipeline file, settled for `environment`.

    Raises:
        InvalidEventError: naming the file and the field.
    """
    return pipeline_files.read_all(folder, environment, environments.names())


class Triggers(Construct):
    """The schedules, rules and documents of all pipelines. `group` is the schedules' own."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipelines: Sequence[Pipeline],
        flow_arns: Mapping[str, str],
        landing: s3.IBucket,
        inbox: s3.IBucket,
        register: HaulFunction,
        dead_letters: sqs.IQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.group = scheduler.CfnScheduleGroup(self, "Schedules")
        self._flow_arns = flow_arns
        self._landing = landing
        self._inbox = inbox
        self._dead_letters = dead_letters
        self._scheduler_role = self._role("SchedulerRole", "scheduler.amazonaws.com")
        allow(self._scheduler_role, ["sqs:SendMessage"], dead_letters.queue_arn)
        self._rule_role = self._role("RuleRole", "events.amazonaws.com")
        for pipeline in pipelines:
            construct = Construct(self, pipeline.pipeline.title().replace("-", ""))
            self._document(construct, pipeline, register)
            if pipeline.when.schedule:
                self._schedule(construct, pipeline, pipeline.when.schedule)
            if pipeline.when.manifest:
                self._manifest_rule(construct, pipeline, pipeline.when.manifest)
            if pipeline.when.s3:
                self._s3_rule(construct, pipeline, pipeline.when.s3)

    def _role(self, construct_id: str, service: str) -> iam.Role:
        account = cdk.Stack.of(self).account
        principal = iam.ServicePrincipal(service, conditions={"StringEquals": {"aws:SourceAccount": account}})
        role = iam.Role(self, construct_id, assumed_by=principal)
        allow(role, ["states:StartExecution"], *self._flow_arns.values())
        return role

    def _flow_of(self, pipeline: Pipeline) -> str:
        return self._flow_arns[vendors.kind_of(pipeline.event())]

    def _document(self, scope: Construct, pipeline: Pipeline, register: HaulFunction) -> None:
        document = cdk.CustomResource(
            scope,
            "Document",
            resource_type="Custom::HaulPipeline",
            service_token=register.function_arn,
            properties={"Document": json.dumps(ledger_document(pipeline), sort_keys=True)},
        )
        # Its role included: CloudFormation would otherwise call it before it may write.
        document.node.add_dependency(register, register.own_role)

    def _schedule(self, scope: Construct, pipeline: Pipeline, schedule: Schedule) -> None:
        window = (
            scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE", maximum_window_in_minutes=math.ceil(schedule.flexible.total_seconds() / 60)
            )
            if schedule.flexible
            else scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF")
        )
        scheduler.CfnSchedule(
            scope,
            "Schedule",
            # By its pipeline's name: a person who looks for it, pauses it or fires it knows no other.
            name=pipeline.pipeline,
            group_name=self.group.ref,
            description=pipeline.description,
            schedule_expression=f"cron({schedule.cron})" if schedule.cron else f"rate({schedule.rate})",
            schedule_expression_timezone=schedule.time_zone,
            flexible_time_window=window,
            state="ENABLED" if pipeline.enabled else "DISABLED",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._flow_of(pipeline),
                role_arn=self._scheduler_role.role_arn,
                input=json.dumps(schedule_input(pipeline)),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=20
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self._dead_letters.queue_arn),
            ),
        )

    def _manifest_rule(self, scope: Construct, pipeline: Pipeline, arrival: ManifestArrival) -> None:
        self._rule(
            scope,
            "ManifestRule",
            pipeline,
            bucket=self._landing,
            key={"prefix": f"manifests/{arrival.pipeline}/"},
            trigger="manifest",
        )

    def _s3_rule(self, scope: Construct, pipeline: Pipeline, arrival: S3Arrival) -> None:
        key = (
            {"wildcard": f"{_escaped(arrival.prefix)}*{_escaped(arrival.suffix)}"}
            if arrival.suffix
            else {"prefix": arrival.prefix}
        )
        self._rule(scope, "ObjectRule", pipeline, bucket=self._inbox, key=key, trigger="s3")

    def _rule(
        self,
        scope: Construct,
        construct_id: str,
        pipeline: Pipeline,
        *,
        bucket: s3.IBucket,
        key: Mapping[str, str],
        trigger: str,
    ) -> None:
        events.CfnRule(
            scope,
            construct_id,
            description=f"{pipeline.pipeline}: {trigger} arrived",
            state="ENABLED" if pipeline.enabled else "DISABLED",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [key]}},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Flow",
                    arn=self._flow_of(pipeline),
                    role_arn=self._rule_role.role_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map=INPUT_PATHS, input_template=rule_input(pipeline, trigger)
                    ),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self._dead_letters.queue_arn),
                )
            ],
        )


def ledger_document(pipeline: Pipeline) -> dict[str, Any]:
    """The pipeline as the ledger keeps it, but for when it was deployed."""
    manifest = pipeline.when.manifest
    return {
        "pipeline": pipeline.pipeline,
        "event": pipeline.event(),
        "owner": pipeline.owner,
        "description": pipeline.description,
        "runbook": pipeline.runbook,
        "enabled": pipeline.enabled,
        "fresh_within": duration_text(pipeline.fresh_within) if pipeline.fresh_within else None,
        "manifest_outcomes": [str(outcome) for outcome in manifest.outcomes] if manifest else None,
    }


def schedule_input(pipeline: Pipeline) -> dict[str, Any]:
    """The whole event; EventBridge Scheduler fills in the time it meant to fire at."""
    return {
        **pipeline.event(),
        "id": f"{pipeline.pipeline}@{_SCHEDULED_TIME}",
        "trigger": {"type": "schedule", "scheduled_at": _SCHEDULED_TIME},
    }


INPUT_PATHS = {
    "id": "$.id",
    "time": "$.time",
    "bucket": "$.detail.bucket.name",
    "key": "$.detail.object.key",
    "version": "$.detail.object.version-id",
    "size": "$.detail.object.size",
    "etag": "$.detail.object.etag",
}


def rule_input(pipeline: Pipeline, trigger: str) -> str:
    """The template of a rule's input: EventBridge puts each value in, with its quotes.

    Raises:
        InvalidEventError: it is longer than EventBridge takes.
    """
    known = {name: f"<{name}>" for name in INPUT_PATHS}
    source_object = {
        "bucket": known["bucket"],
        "key": known["key"],
        "version_id": known["version"],
        "size": known["size"],
        "etag": known["etag"],
    }
    arrival = pipeline.when.manifest
    dataset = {"dataset": arrival.dataset} if arrival and arrival.dataset else {}
    event = {
        "version": 1,
        "id": known["id"],
        "pipeline": pipeline.pipeline,
        "source": {"manifest": source_object, **dataset} if trigger == "manifest" else {"object": source_object},
        "trigger": {"type": trigger, "event_time": known["time"]},
    }
    template = json.dumps(event)
    for placeholder in known.values():
        template = template.replace(f'"{placeholder}"', placeholder)
    if len(template) > RULE_INPUT_LIMIT:
        raise InvalidEventError(
            f"{pipeline.pipeline}: its rule's input has {len(template)} characters, more than {RULE_INPUT_LIMIT}"
        )
    return template


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")
