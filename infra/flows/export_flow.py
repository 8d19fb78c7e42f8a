"""The export flow: from an event to a manifest and a notice.

Schedule export ─► Anything to do? ─► Wait ─► Check export ─► Ready? ─► (Wait | next)
    Plan download ─► Any files? ─► Download files (Distributed Map) ─► Publish ─► Notify
    any error before Notify ─► Abandon export ─► Published after all? ─► (Succeeded | Fail)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from haul.errors import (
    INFRASTRUCTURE_ERRORS,
    LedgerBusyError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
    names_of,
)
from haul.models.export import Download
from haul.models.work import JobStatus
from infra.buckets import KEYS
from infra.flows.waiting import Waiting, has_outcome, status_is
from infra.permissions import acknowledge, acknowledge_wildcard, allow

_ID = "$$.Execution.Id"
_ANY = ["States.ALL"]
_TRANSIENT = names_of(TransientError)
_TURNS = 2_000
"""Three weeks of downloading, which no deadline allows, and not too many events for one child's history."""
_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)


@dataclass(frozen=True, kw_only=True)
class ExportSteps:
    """The functions that the flow joins, each named after its state."""

    schedule_export: lambda_.IFunction
    check_export: lambda_.IFunction
    plan_download: lambda_.IFunction
    download_files: lambda_.IFunction
    publish: lambda_.IFunction
    notify: lambda_.IFunction
    abandon: lambda_.IFunction


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When a failed step is tried again."""

    interval: Duration
    backoff: float


class ExportFlow(Construct):
    """The state machine `machine`, and a role that may do what its states do."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        steps: ExportSteps,
        landing: s3.IBucket,
        key: kms.IKey | None,
        dead_letters: sqs.IQueue,
        retries: Retries,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, construct_id)
        self._retries = retries
        self._dead_letters = dead_letters
        role = self._role(steps, landing, key, dead_letters)
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(self._definition(steps)),
            # A deadline is at most seven days; then comes the download.
            timeout=Duration.days(8),
            role=role.without_policy_updates(),
            logs=sfn.LogOptions(
                destination=logs.LogGroup(self, "Logs", retention=log_retention),
                level=sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
        )
        self.machine.node.add_dependency(role)
        self._let_it_run_its_map(role)
        acknowledge(self.machine, "AwsSolutions-SF1", "Steps are in the execution's history; errors alone are logged.")
        acknowledge(self.machine, "AwsSolutions-SF2", "Nobody reads traces of a flow that waits for hours.")

    def _definition(self, steps: ExportSteps) -> sfn.IChainable:
        succeeded = sfn.Succeed(self, "Succeeded")
        notify = self._notify(steps.notify, succeeded)
        abandon = self._abandon(steps.abandon, succeeded)

        publish = self._step("Publish", steps.publish, [*names_of(LedgerBusyError), *names_of(VendorUnavailableError)])
        download = self._download(steps.download_files)
        plan = self._step("Plan download", steps.plan_download, _TRANSIENT)
        check = self._step("Check export", steps.check_export, _TRANSIENT)
        schedule = self._step(
            "Schedule export",
            steps.schedule_export,
            _TRANSIENT,
            payload={
                "event": sfn.JsonPath.entire_payload,
                "execution": {
                    "id": sfn.JsonPath.string_at(_ID),
                    "started_at": sfn.JsonPath.string_at("$$.Execution.StartTime"),
                },
            },
        )
        for state in (schedule, check, plan, download, publish):
            state.add_catch(abandon, errors=_ANY, result_path="$.error")

        # A delta without a change has no files, and whether a map takes an empty list is not documented.
        files = (
            sfn.Choice(self, "Any files?")
            .when(sfn.Condition.number_equals("$.plan.items", 0), publish)
            .otherwise(download.next(publish))
        )
        plan.next(files)
        publish.next(notify)
        waiting = Waiting(self, "Waiting", check=check, ready=plan, ended=notify, otherwise=self._unexpected(abandon))
        anything = (
            sfn.Choice(self, "Anything to do?")
            .when(has_outcome(), notify)
            .when(status_is(JobStatus.SUCCEEDED), plan)
            .otherwise(waiting.start)
        )
        return schedule.next(anything)

    def _step(
        self,
        state: str,
        function: lambda_.IFunction,
        errors: Sequence[str],
        *,
        payload: Mapping[str, Any] | None = None,
        result_path: str | None = None,
        attempts: int = 6,
    ) -> tasks.LambdaInvoke:
        """A state that hands its input, or `payload`, to `function` and goes on with the answer."""
        task = tasks.LambdaInvoke(
            self,
            state,
            lambda_function=function,
            payload=sfn.TaskInput.from_object(payload) if payload else None,
            payload_response_only=True,
            # Those errors are among ours, under our intervals.
            retry_on_service_exceptions=False,
            result_path=result_path,
        )
        task.add_retry(
            errors=[*errors, *INFRASTRUCTURE_ERRORS],
            interval=self._retries.interval,
            backoff_rate=self._retries.backoff,
            max_attempts=attempts,
            jitter_strategy=sfn.JitterType.FULL,
        )
        return task

    def _download(self, function: lambda_.IFunction) -> sfn.DistributedMap:
        """Children never fail: what came of each file is in the ledger, and Publish compares it with the plan.

        A map would report a failed child under a name that says nothing about the file. A child whose time ended before
        its files did answers with its own next input, and nothing else comes as far as that choice.
        """
        child = self._step("Download", function, _TRANSIENT, attempts=3)
        recorded = sfn.Pass(self, "Recorded elsewhere", result=sfn.Result.from_object({}))
        child.add_catch(recorded, errors=_ANY)
        unfinished = sfn.Condition.and_(
            sfn.Condition.is_present("$.turn"), sfn.Condition.number_less_than("$.turn", _TURNS)
        )
        child.next(sfn.Choice(self, "Unfinished?").when(unfinished, child).otherwise(recorded))
        of_the_state = {
            name: sfn.JsonPath.object_at(f"$.{name}") for name in Download.model_fields if name not in {"item", "turn"}
        }
        return sfn.DistributedMap(
            self,
            "Download files",
            label="DownloadFiles",
            map_execution_type=sfn.StateMachineType.STANDARD,
            item_reader=sfn.S3JsonItemReader(
                bucket_name_path=sfn.JsonPath.string_at("$.plan.bucket"), key=sfn.JsonPath.string_at("$.plan.key")
            ),
            item_selector={**of_the_state, "item": sfn.JsonPath.object_at("$$.Map.Item.Value")},
            max_concurrency_path="$.plan.concurrency",
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(child)

    def _notify(self, function: lambda_.IFunction, succeeded: sfn.Succeed) -> tasks.LambdaInvoke:
        """The run has its outcome by now: a notice that fails is kept, and does not fail the run."""
        notify = self._step("Notify", function, _TRANSIENT, result_path=sfn.JsonPath.DISCARD)
        keep = tasks.SqsSendMessage(
            self,
            "Keep the notice",
            queue=self._dead_letters,
            message_body=sfn.TaskInput.from_json_path_at("$"),
            result_path=sfn.JsonPath.DISCARD,
        )
        keep.add_catch(succeeded, errors=_ANY, result_path=sfn.JsonPath.DISCARD)
        keep.next(succeeded)
        notify.add_catch(keep, errors=_ANY, result_path="$.error")
        notify.next(succeeded)
        return notify

    def _abandon(self, function: lambda_.IFunction, succeeded: sfn.Succeed) -> tasks.LambdaInvoke:
        abandon = self._step(
            "Abandon export",
            function,
            _TRANSIENT,
            payload={"execution": {"id": sfn.JsonPath.string_at(_ID)}, "state": sfn.JsonPath.entire_payload},
        )
        # The execution fails under the name that brought it here, and the Sweep does what Abandon could not.
        not_abandoned = sfn.Fail(self, "Fail, not abandoned", error_path="$.error.Error", cause_path="$.error.Cause")
        abandon.add_catch(not_abandoned, errors=_ANY, result_path="$.abandon_error")
        published = sfn.Condition.boolean_equals("$.published", value=True)
        fail = sfn.Fail(self, "Fail", error_path="$.error", cause_path="$.cause")
        abandon.next(sfn.Choice(self, "Published after all?").when(published, succeeded).otherwise(fail))
        return abandon

    def _unexpected(self, abandon: sfn.IChainable) -> sfn.IChainable:
        """Nothing known leads here; a run that got here still has to be given up properly."""
        error = {
            "Error": UnexpectedResponseError.__name__,
            "Cause": "Check export answered a status that the flow does not know",
        }
        wrong = sfn.Pass(self, "Unexpected status", result=sfn.Result.from_object(error), result_path="$.error")
        return wrong.next(abandon)

    def _role(
        self, steps: ExportSteps, landing: s3.IBucket, key: kms.IKey | None, dead_letters: sqs.IQueue
    ) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        allow(role, ["lambda:InvokeFunction"], *(function.function_arn for function in vars(steps).values()))
        allow(role, ["s3:GetObject"], landing.arn_for_objects("ledger/*/plans/*"), because=KEYS)
        allow(role, ["sqs:SendMessage"], dead_letters.queue_arn)
        if key:
            allow(role, ["kms:Decrypt"], key.key_arn)
        allow(
            role,
            _LOG_DELIVERY,
            "*",
            because="CloudWatch's log delivery has no resources to name; Step Functions demands these actions.",
        )
        return role

    def _let_it_run_its_map(self, role: iam.Role) -> None:
        """In a policy of its own: it names the machine, and the machine is made with the role's other one.

        CDK's policy for the same is never attached, since the role takes no updates; it names the wrong executions.
        """
        self.machine.node.try_remove_child("DistributedMapPolicy")
        executions = cdk.Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.machine.state_machine_name}/*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        policy = iam.Policy(self, "MapPolicy", roles=[role])
        policy.add_statements(
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[self.machine.state_machine_arn]),
            iam.PolicyStatement(actions=["states:DescribeExecution", "states:StopExecution"], resources=[executions]),
        )
        acknowledge_wildcard(policy, executions, "A map names its children's executions itself.")
