"""The wait-and-check loop: wait as long as the state says, look once, and again until the job has ended."""

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from haul.models.work import JobStatus

STILL_RUNNING = (JobStatus.RUNNING, JobStatus.UNKNOWN)


class Waiting(Construct):
    """`Wait` → `check` → `Ready?` → `Wait`, `ready` or `ended`.

    `start` is where the loop is entered. A status that is neither running nor a success is not waited on: `check`
    raises for every bad end that it knows, so such a status is a mistake and goes to `otherwise`. A run that has an
    outcome already (it joined another) goes to `ended`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        check: sfn.TaskStateBase,
        ready: sfn.IChainable,
        ended: sfn.IChainable,
        otherwise: sfn.IChainable,
    ) -> None:
        super().__init__(scope, construct_id)
        self.start = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.wait_seconds"))
        choice = (
            sfn.Choice(self, "Ready?")
            .when(has_outcome(), ended)
            .when(status_is(JobStatus.SUCCEEDED), ready)
            .when(status_is(*STILL_RUNNING), self.start)
            .otherwise(otherwise)
        )
        self.start.next(check).next(choice)


def has_outcome() -> sfn.Condition:
    return sfn.Condition.is_string("$.outcome")


def status_is(*statuses: JobStatus) -> sfn.Condition:
    conditions = [sfn.Condition.string_equals("$.status", status) for status in statuses]
    return sfn.Condition.or_(*conditions) if len(conditions) > 1 else conditions[0]
