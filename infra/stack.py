"""What one environment has, and who may touch what."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from haul.models.pipeline import Pipeline
from haul.settings import Settings
from infra.buckets import KEYS, OPERATION_RESULTS, bucket, retention
from infra.environment import Environment, RetentionDays
from infra.flows.export_flow import ExportFlow, ExportSteps
from infra.flows.flow import Flow, Retries
from infra.flows.load_flow import LoadFlow, LoadSteps
from infra.flows.operation_flow import OperationFlow
from infra.function import HaulFunction, Runtime
from infra.layer import Layers
from infra.permissions import acknowledge
from infra.triggers import Triggers
from infra.watch import Watch

_DAYS = logs.RetentionDays
_LOG_RETENTION: dict[RetentionDays, logs.RetentionDays] = {
    1: _DAYS.ONE_DAY,
    3: _DAYS.THREE_DAYS,
    7: _DAYS.ONE_WEEK,
    14: _DAYS.TWO_WEEKS,
    30: _DAYS.ONE_MONTH,
    90: _DAYS.THREE_MONTHS,
    180: _DAYS.SIX_MONTHS,
    365: _DAYS.ONE_YEAR,
    731: _DAYS.TWO_YEARS,
    1827: _DAYS.FIVE_YEARS,
    3653: _DAYS.TEN_YEARS,
}


class HaulStack(cdk.Stack):
    """One environment of Haul: buckets, functions, flow, triggers, notices and what watches them."""

    _all: tuple[HaulFunction, ...]

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        environment: Environment,
        pipelines: Sequence[Pipeline],
        layers: Layers,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        log_retention = _LOG_RETENTION[environment.log_retention_days]
        key = kms.Key.from_key_arn(self, "Key", environment.kms_key) if environment.kms_key else None
        self._key = key
        self.landing = bucket(self, "Landing", name=environment.landing_bucket, key=key, rules=retention(pipelines))
        self.inbox = bucket(self, "Inbox", name=environment.inbox_bucket, key=key)
        self.dead_letters = self._dead_letter_queue()
        self.notices = self._notices(environment.notice_emails)
        self.bus = events.EventBus.from_event_bus_name(self, "Bus", "default")
        self.settings = Settings(
            environment=name,
            landing_bucket=self.landing.bucket_name,
            notices_topic_arn=self.notices.topic_arn,
            event_bus_name=self.bus.event_bus_name,
            quota_reserve=environment.quota_reserve,
            poll_failures_allowed=environment.poll_failures_allowed,
            code_version=version("haul"),
        )
        runtime = Runtime.create(self, layers=layers, log_retention=log_retention, settings=self.settings)
        self._functions(runtime)
        self._operation_functions(runtime, allowed=environment.credential_operations)
        retries = Retries(
            interval=Duration.seconds(environment.retry_interval_seconds), backoff=environment.retry_backoff
        )
        export_flow = ExportFlow(
            self,
            "ExportFlow",
            steps=ExportSteps(
                schedule_export=self.schedule_export,
                check_export=self.check_export,
                plan_download=self.plan_download,
                download_files=self.download_files,
                publish=self.publish,
                notify=self.notify,
                abandon=self.abandon,
            ),
            landing=self.landing,
            key=key,
            dead_letters=self.dead_letters,
            retries=retries,
            log_retention=log_retention,
        )
        load_flow = LoadFlow(
            self,
            "LoadFlow",
            steps=LoadSteps(
                start_load=self.start_load,
                check_load=self.check_load,
                publish=self.publish,
                notify=self.notify,
                abandon=self.abandon,
            ),
            dead_letters=self.dead_letters,
            retries=retries,
            log_retention=log_retention,
        )
        flows = {"export": export_flow, "load": load_flow}
        self._grant()
        self._let_sweep_look_at(flows.values())
        self._watch_executions(flows.values())
        triggers = Triggers(
            self,
            "Triggers",
            pipelines=pipelines,
            flow_arns={kind: flow.machine.state_machine_arn for kind, flow in flows.items()},
            landing=self.landing,
            inbox=self.inbox,
            register=self.register_pipeline,
            dead_letters=self.dead_letters,
        )
        watch = Watch(
            self,
            "Watch",
            service=f"haul-{name}",
            flows={kind: flow.machine for kind, flow in flows.items()},
            functions={function.node.id: function.metric_errors() for function in self._all},
            dead_letters=self.dead_letters,
            alarm_topic=(
                sns.Topic.from_topic_arn(self, "AlarmTopic", environment.alarm_topic)
                if environment.alarm_topic
                else None
            ),
        )
        self._parameters(
            {
                "landing-bucket": self.landing.bucket_name,
                "inbox-bucket": self.inbox.bucket_name,
                **{f"{kind}-flow-arn": flow.machine.state_machine_arn for kind, flow in flows.items()},
                "notices-topic-arn": self.notices.topic_arn,
                "event-bus": self.bus.event_bus_name,
                "schedule-group": triggers.group.ref,
                "dead-letter-queue-url": self.dead_letters.queue_url,
                "sweep-function": self.sweep.function_name,
                "code-version": self.settings.code_version,
                "quota-reserve": str(self.settings.quota_reserve),
            }
        )

        operations = self._operation_flow(retries, log_retention)
        watch.also(
            "OperationFailed",
            operations.machine,
            "An operation failed, timed out or was aborted: its execution's error says why.",
        )

    def _operation_functions(self, runtime: Runtime, *, allowed: bool) -> None:
        """What runs operations. Credentials that vendors keep are a function's of its own, if they are `allowed`."""
        long = Duration.minutes(5)
        self.run_operation = HaulFunction(self, "run_operation", runtime=runtime, timeout=long)
        self.run_credential_operation = (
            HaulFunction(self, "run_credential_operation", runtime=runtime, timeout=long) if allowed else None
        )
        functions = [each for each in (self.run_operation, self.run_credential_operation) if each is not None]
        for function in functions:
            self._secrets(function)
            self._objects(function, ["s3:PutObject"], f"{OPERATION_RESULTS}*")
        if self.run_credential_operation is not None:
            self.run_credential_operation.may(
                ["secretsmanager:GetSecretValue"],
                self._secret_arn(self.settings.credential_secret("*")),
                because="The input names the credential's secret, and Secrets Manager ends each ARN with letters.",
            )
        self._all = (*self._all, *functions)

    def _operation_flow(self, retries: Retries, log_retention: logs.RetentionDays) -> OperationFlow:
        flow = OperationFlow(
            self,
            "OperationFlow",
            run_operation=self.run_operation,
            run_credential_operation=self.run_credential_operation,
            retries=retries,
            log_retention=log_retention,
        )
        allowed = self.run_credential_operation is not None
        self._parameters(
            {
                "operation-flow-arn": flow.machine.state_machine_arn,
                "credential-operations": "true" if allowed else "false",
            }
        )
        return flow

    def _dead_letter_queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "DeadLetters",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            retention_period=Duration.days(14),
        )
        # One statement for all rules: one for each would outgrow the policy with the pipelines.
        rules = self.format_arn(service="events", resource="rule", resource_name=f"{self.stack_name}-*")
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnLike": {"aws:SourceArn": rules}},
            )
        )
        acknowledge(queue, "AwsSolutions-SQS3", "It is the dead-letter queue.")
        return queue

    def _notices(self, emails: Sequence[str]) -> sns.Topic:
        topic = sns.Topic(self, "Notices", enforce_ssl=True, master_key=self._key)
        self.dead_letters.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.dead_letters.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": topic.topic_arn}},
            )
        )
        for address in emails:
            topic.add_subscription(subscriptions.EmailSubscription(address, dead_letter_queue=self.dead_letters))
        return topic

    def _functions(self, runtime: Runtime) -> None:
        # A vendor's answer may take a minute, a step makes several calls, and a submission that is cut off is in doubt.
        # Of a result with thousands of files, as many records are read at its end.
        short, long = Duration.seconds(60), Duration.minutes(5)
        letters = self.dead_letters
        self.schedule_export = HaulFunction(self, "schedule_export", runtime=runtime, timeout=long)
        self.check_export = HaulFunction(self, "check_export", runtime=runtime, timeout=long)
        self.plan_download = HaulFunction(self, "plan_download", runtime=runtime, timeout=long)
        # A whole vCPU, for the gzip check: see docs on cost.
        self.download_files = HaulFunction(
            self, "download_files", runtime=runtime, timeout=Duration.minutes(15), memory_mb=1769, lands_files=True
        )
        # The whole object passes through it, and its content is proved before.
        self.start_load = HaulFunction(
            self, "start_load", runtime=runtime, timeout=Duration.minutes(15), memory_mb=1769
        )
        # It starts what Start load was asked to put off.
        self.check_load = HaulFunction(
            self, "check_load", runtime=runtime, timeout=Duration.minutes(15), memory_mb=1769
        )
        self.publish = HaulFunction(self, "publish", runtime=runtime, timeout=long)
        self.notify = HaulFunction(self, "notify", runtime=runtime, timeout=long)
        self.abandon = HaulFunction(self, "abandon", runtime=runtime, timeout=long, dead_letters=letters)
        self.sweep = HaulFunction(self, "sweep", runtime=runtime, timeout=Duration.minutes(15), dead_letters=letters)
        self.register_pipeline = HaulFunction(
            self, "register_pipeline", runtime=runtime, timeout=short, dead_letters=letters
        )
        self._all = (
            self.schedule_export,
            self.check_export,
            self.plan_download,
            self.download_files,
            self.start_load,
            self.check_load,
            self.publish,
            self.notify,
            self.abandon,
            self.sweep,
            self.register_pipeline,
        )

    def _grant(self) -> None:
        giving_up = (self.abandon, self.sweep)
        connecting = (
            self.schedule_export,
            self.check_export,
            self.plan_download,
            self.download_files,
            self.start_load,
            self.check_load,
        )
        for function in (*connecting, *giving_up):
            self._secrets(function)
        for function in (*connecting, self.publish, self.notify, *giving_up):
            self._objects(function, ["s3:GetObject", "s3:PutObject"], "ledger/*")
        self._let_read_manifests(giving_up)
        for function in (self.notify, *giving_up):
            self._objects(function, ["s3:PutObject"], "runs/*")
        for function in (self.notify, *giving_up):
            self._let_settle(function)
        for function in (self.start_load, self.check_load):
            self._let_send(function)
        self._objects(self.notify, ["s3:GetObject"], "manifests/*")
        self._objects(
            self.download_files,
            [
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            "raw/*",
        )
        for function in giving_up:
            self._objects(function, ["s3:AbortMultipartUpload"], "raw/*")
        self._objects(self.register_pipeline, ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "ledger/*/pipeline")
        for function in self._all:
            # Without it S3 answers 403 for a key that does not exist, and much here depends on the difference. A
            # condition on the prefix would not do: reading an object carries none.
            function.may(["s3:ListBucket"], self.landing.bucket_arn)
            if self._key:
                function.may(["kms:Decrypt", "kms:GenerateDataKey"], self._key.key_arn)

    def _let_read_manifests(self, giving_up: Sequence[HaulFunction]) -> None:
        """Whoever begins a run may meet one that stopped in the middle of publishing, and completes it."""
        beginning = (self.schedule_export, self.check_export, self.start_load, self.check_load)
        for function in (*beginning, self.publish, *giving_up):
            self._objects(function, ["s3:GetObject", "s3:PutObject"], "manifests/*")
        for function in (*beginning, self.publish):
            self._objects(function, ["s3:GetObject"], "evidence/*")
        for function in (self.check_export, self.check_load, self.plan_download, self.publish):
            self._objects(function, ["s3:PutObject"], "evidence/*")

    def _let_settle(self, function: HaulFunction) -> None:
        # A settled run is no longer looked at.
        self._objects(function, ["s3:DeleteObject"], "ledger/_active/*")
        function.may(["sns:Publish"], self.notices.topic_arn)
        function.may(["events:PutEvents"], self.bus.event_bus_arn)
        function.may(
            ["secretsmanager:DeleteSecret"],
            self._secret_arn(self.settings.link_secret("*")),
            because="The links of a run are a secret named after it, of which there is one for each such run.",
        )

    def _let_send(self, function: HaulFunction) -> None:
        """An object of the inbox, or files that have landed."""
        reading = ["s3:GetObject", "s3:GetObjectVersion"]
        self._objects(function, reading, "raw/*")
        function.may(reading, self.inbox.arn_for_objects("*"), because=KEYS)
        function.may(["s3:ListBucket"], self.inbox.bucket_arn)

    def _objects(self, function: HaulFunction, actions: Sequence[str], keys: str) -> None:
        function.may(actions, self.landing.arn_for_objects(keys), because=KEYS)

    def _secrets(self, function: HaulFunction) -> None:
        function.may(
            ["secretsmanager:GetSecretValue"],
            self._secret_arn(f"{self.settings.secret_prefix}*"),
            because="A pipeline names its connection, and Secrets Manager ends each ARN with letters of its own.",
        )

    def _secret_arn(self, name: str) -> str:
        return self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )

    def _let_sweep_look_at(self, flows: Iterable[Flow]) -> None:
        for flow in flows:
            executions = self.format_arn(
                service="states",
                resource="execution",
                resource_name=f"{flow.machine.state_machine_name}:*",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            self.sweep.may(["states:DescribeExecution"], executions, because="Every execution has a name of its own.")

    def _watch_executions(self, flows: Iterable[Flow]) -> None:
        events.Rule(
            self,
            "ExecutionEnded",
            description="An execution that ended badly: Abandon settles its run",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": ["FAILED", "ABORTED", "TIMED_OUT"],
                    "stateMachineArn": [flow.machine.state_machine_arn for flow in flows],
                },
            ),
            targets=[targets.LambdaFunction(self.abandon, dead_letter_queue=self.dead_letters)],
        )
        events.Rule(
            self,
            "Hourly",
            description="What no event told: the Sweep looks for it",
            schedule=events.Schedule.rate(Duration.hours(1)),
            targets=[targets.LambdaFunction(self.sweep, dead_letter_queue=self.dead_letters)],
        )

    def _parameters(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            ssm.StringParameter(
                self,
                f"Parameter{name.title().replace('-', '')}",
                parameter_name=f"/haul/{self.settings.environment}/{name}",
                string_value=value,
            )
