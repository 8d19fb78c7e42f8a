"""What both flows are made of: steps that are tried again, and the ends of every run."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from haul.errors import INFRASTRUCTURE_ERRORS, TransientError, UnexpectedResponseError, names_of
from infra.permissions import acknowledge, allow

ANY = ["States.ALL"]
TRANSIENT = names_of(TransientError)
_ID = "$$.Execution.Id"
LOG_DELIVERY = (
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
class Retries:
    """When a failed step is tried again."""

    interval: Duration
    backoff: float


class Flow(Construct):
    """The state machine `machine`, and a role that may do what its states do."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Sequence[lambda_.IFunction],
        dead_letters: sqs.IQueue,
        retries: Retries,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, construct_id)
        self._retries = retries
        self._dead_letters = dead_letters
        self._functions = functions
        self.role = self._role()
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(self._definition()),
            # A deadline is at most seven days; then comes the download.
            timeout=Duration.days(8),
            role=self.role.without_policy_updates(),
            logs=sfn.LogOptions(
                destination=logs.LogGroup(self, "Logs", retention=log_retention),
                level=sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
        )
        self.machine.node.add_dependency(self.role)
        acknowledge(self.machine, "AwsSolutions-SF1", "Steps are in the execution's history; errors alone are logged.")
        acknowledge(self.machine, "AwsSolutions-SF2", "Nobody reads traces of a flow that waits for hours.")

    @abstractmethod
    def _definition(self) -> sfn.IChainable:
        """The states, from the first on."""

    def _first(self, state: str, function: lambda_.IFunction) -> tasks.LambdaInvoke:
        """The state that turns an event into a run: it has to know its execution."""
        return self._step(
            state,
            function,
            TRANSIENT,
            payload={
                "event": sfn.JsonPath.entire_payload,
                "execution": {
                    "id": sfn.JsonPath.string_at(_ID),
                    "started_at": sfn.JsonPath.string_at("$$.Execution.StartTime"),
                },
            },
        )

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

    def _notify(self, function: lambda_.IFunction, succeeded: sfn.Succeed) -> tasks.LambdaInvoke:
        """The run has its outcome by now: a notice that fails is kept, and does not fail the run."""
        notify = self._step("Notify", function, TRANSIENT, result_path=sfn.JsonPath.DISCARD)
        keep = tasks.SqsSendMessage(
            self,
            "Keep the notice",
            queue=self._dead_letters,
            message_body=sfn.TaskInput.from_json_path_at("$"),
            result_path=sfn.JsonPath.DISCARD,
        )
        keep.add_catch(succeeded, errors=ANY, result_path=sfn.JsonPath.DISCARD)
        keep.next(succeeded)
        notify.add_catch(keep, errors=ANY, result_path="$.error")
        notify.next(succeeded)
        return notify

    def _abandon(self, state: str, function: lambda_.IFunction, succeeded: sfn.Succeed) -> tasks.LambdaInvoke:
        abandon = self._step(
            state,
            function,
            TRANSIENT,
            payload={"execution": {"id": sfn.JsonPath.string_at(_ID)}, "state": sfn.JsonPath.entire_payload},
        )
        # The execution fails under the name that brought it here, and the Sweep does what Abandon could not.
        not_abandoned = sfn.Fail(self, "Fail, not abandoned", error_path="$.error.Error", cause_path="$.error.Cause")
        abandon.add_catch(not_abandoned, errors=ANY, result_path="$.abandon_error")
        published = sfn.Condition.boolean_equals("$.published", value=True)
        fail = sfn.Fail(self, "Fail", error_path="$.error", cause_path="$.cause")
        abandon.next(sfn.Choice(self, "Published after all?").when(published, succeeded).otherwise(fail))
        return abandon

    def _unexpected(self, check: str, abandon: sfn.IChainable) -> sfn.IChainable:
        """Nothing known leads here; a run that got here still has to be given up properly."""
        error = {
            "Error": UnexpectedResponseError.__name__,
            "Cause": f"{check} answered a status that the flow does not know",
        }
        wrong = sfn.Pass(self, "Unexpected status", result=sfn.Result.from_object(error), result_path="$.error")
        return wrong.next(abandon)

    def _role(self) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        allow(role, ["lambda:InvokeFunction"], *(function.function_arn for function in self._functions))
        allow(role, ["sqs:SendMessage"], self._dead_letters.queue_arn)
        allow(
            role,
            LOG_DELIVERY,
            "*",
            because="CloudWatch's log delivery has no resources to name; Step Functions demands these actions.",
        )
        return role
