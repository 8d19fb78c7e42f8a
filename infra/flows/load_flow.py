"""The load flow: from an event, an object or a manifest to a manifest and a notice.

Start load ─► Anything to do? ─► Wait ─► Check load ─► Ready? ─► (Wait | next)
    Publish ─► Notify
    any error before Notify ─► Abandon load ─► Published after all? ─► (Succeeded | Fail)
"""

from dataclasses import dataclass

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from haul.errors import LedgerBusyError, names_of
from haul.models.work import JobStatus
from infra.flows.flow import ANY, TRANSIENT, Flow, Retries
from infra.flows.waiting import Waiting, has_outcome, status_is


@dataclass(frozen=True, kw_only=True)
class LoadSteps:
    """The functions that the flow joins; the last three are the export flow's too."""

    start_load: lambda_.IFunction
    check_load: lambda_.IFunction
    publish: lambda_.IFunction
    notify: lambda_.IFunction
    abandon: lambda_.IFunction


class LoadFlow(Flow):
    """Sends data, or has the vendor work: the state machine `machine`, and a role that may do what its states do."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        steps: LoadSteps,
        dead_letters: sqs.IQueue,
        retries: Retries,
        log_retention: logs.RetentionDays,
    ) -> None:
        self._steps = steps
        super().__init__(
            scope,
            construct_id,
            functions=list(vars(steps).values()),
            dead_letters=dead_letters,
            retries=retries,
            log_retention=log_retention,
        )

    def _definition(self) -> sfn.IChainable:
        steps = self._steps
        succeeded = sfn.Succeed(self, "Succeeded")
        notify = self._notify(steps.notify, succeeded)
        abandon = self._abandon("Abandon load", steps.abandon, succeeded)
        publish = self._step("Publish", steps.publish, names_of(LedgerBusyError))
        check = self._step("Check load", steps.check_load, TRANSIENT)
        start = self._first("Start load", steps.start_load)
        for state in (start, check, publish):
            state.add_catch(abandon, errors=ANY, result_path="$.error")
        publish.next(notify)
        waiting = Waiting(
            self,
            "Waiting",
            check=check,
            ready=publish,
            ended=notify,
            otherwise=self._unexpected("Check load", abandon),
        )
        anything = (
            sfn.Choice(self, "Anything to do?")
            .when(has_outcome(), notify)
            .when(status_is(JobStatus.SUCCEEDED), publish)
            .otherwise(waiting.start)
        )
        return start.next(anything)
