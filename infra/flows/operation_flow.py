"""The operation flow: one vendor call that answers at once, for schedules and other programs.

Which kind? ─► Read                  a read: tried again after anything that may pass
           ├─► Change credentials    a function of its own, where the environment has it
           └─► Change                tried again only where certainly nothing was sent; also whatever is not known,
                                     which the function refuses
"""

from collections.abc import Callable, Iterator, Sequence

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from haul.errors import (
    INFRASTRUCTURE_ERRORS,
    LedgerBusyError,
    RateLimitedError,
    TransientError,
    UnreachableError,
    names_of,
)
from haul.models import vendors
from haul.models.vendors import OperationKind
from infra.flows.flow import LOG_DELIVERY, Retries
from infra.permissions import acknowledge, allow

_READ_AGAIN = (*names_of(TransientError), *INFRASTRUCTURE_ERRORS)
# Of Lambda's own errors a throttle alone says that nothing ran.
_CHANGE_AGAIN = (
    *(name for kind in (RateLimitedError, UnreachableError, LedgerBusyError) for name in names_of(kind)),
    "Lambda.TooManyRequestsException",
)


class OperationFlow(Construct):
    """The state machine `machine`. Without `run_credential_operation` what handles credentials is refused."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        run_operation: lambda_.IFunction,
        run_credential_operation: lambda_.IFunction | None,
        retries: Retries,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, construct_id)
        self._retries = retries
        functions = [function for function in (run_operation, run_credential_operation) if function is not None]
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        allow(role, ["lambda:InvokeFunction"], *(function.function_arn for function in functions))
        allow(
            role,
            LOG_DELIVERY,
            "*",
            because="CloudWatch's log delivery has no resources to name; Step Functions demands these actions.",
        )
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(
                self._definition(run_operation, run_credential_operation)
            ),
            timeout=Duration.hours(1),
            role=role.without_policy_updates(),
            logs=sfn.LogOptions(
                destination=logs.LogGroup(self, "Logs", retention=log_retention),
                level=sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
        )
        self.machine.node.add_dependency(role)
        acknowledge(self.machine, "AwsSolutions-SF1", "Steps are in the execution's history; errors alone are logged.")
        acknowledge(self.machine, "AwsSolutions-SF2", "One step needs no trace.")

    def _definition(self, run: lambda_.IFunction, run_credential: lambda_.IFunction | None) -> sfn.IChainable:
        change = self._step("Change", run, _CHANGE_AGAIN)
        there = sfn.Condition.and_(*(sfn.Condition.is_present(f"$.{name}") for name in ("vendor", "operation")))
        kind = sfn.Choice(self, "Which kind?").when(sfn.Condition.not_(there), change)
        if run_credential is not None:
            change_credentials = self._step("Change credentials", run_credential, _CHANGE_AGAIN)
            kind.when(sfn.Condition.or_(*_each(_handles_credentials)), change_credentials)
        read = self._step("Read", run, _READ_AGAIN)
        return kind.when(sfn.Condition.or_(*_each(_only_reads)), read).otherwise(change)

    def _step(self, state: str, function: lambda_.IFunction, errors: Sequence[str]) -> tasks.LambdaInvoke:
        task = tasks.LambdaInvoke(
            self,
            state,
            lambda_function=function,
            payload=sfn.TaskInput.from_object(
                {
                    "input": sfn.JsonPath.entire_payload,
                    "execution": {
                        "id": sfn.JsonPath.string_at("$$.Execution.Id"),
                        "started_at": sfn.JsonPath.string_at("$$.Execution.StartTime"),
                    },
                }
            ),
            payload_response_only=True,
            # Which of Lambda's own errors are tried again is among `errors`.
            retry_on_service_exceptions=False,
        )
        task.add_retry(
            errors=list(errors),
            interval=self._retries.interval,
            backoff_rate=self._retries.backoff,
            max_attempts=6,
            jitter_strategy=sfn.JitterType.FULL,
        )
        return task


def _only_reads(kind: OperationKind) -> bool:
    return not (kind.changes or kind.handles_credentials)


def _handles_credentials(kind: OperationKind) -> bool:
    return kind.handles_credentials


def _each(chosen: Callable[[OperationKind], bool]) -> Iterator[sfn.Condition]:
    """A condition for each operation of each vendor that is chosen."""
    for vendor in vendors.names():
        for name, kind in vendors.operations(vendor).items():
            if chosen(kind):
                yield sfn.Condition.and_(
                    sfn.Condition.string_equals("$.vendor", vendor), sfn.Condition.string_equals("$.operation", name)
                )
