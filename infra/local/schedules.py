"""Firing a schedule by name.

LocalStack stores EventBridge Scheduler's schedules and never runs them. This reads one back and does what Scheduler
would do: fill in its attributes and start the target with its input.
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient


class ScheduleError(Exception):
    """There is no such schedule, more than one, or its target is no state machine."""


def fire(
    schedule: str, session: boto3.Session, *, group: str | None = None, scheduled_at: datetime | None = None
) -> str:
    """Start the target of `schedule` as if it were `scheduled_at` (now), enabled or not.

    Returns:
        The ARN of the execution that it started.
    """
    scheduler = session.client("scheduler")
    try:
        found = scheduler.get_schedule(Name=schedule, GroupName=group or _group_of(schedule, scheduler))
    finally:
        scheduler.close()
    target = found["Target"]
    if ":stateMachine:" not in target["Arn"]:
        raise ScheduleError(f"schedule {schedule} targets {target['Arn']}; only a state machine can be started here")
    attributes = {
        "<aws.scheduler.schedule-arn>": found["Arn"],
        "<aws.scheduler.scheduled-time>": f"{(scheduled_at or datetime.now(UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "<aws.scheduler.execution-id>": uuid.uuid4().hex[:16],
        "<aws.scheduler.attempt-number>": "1",
    }
    given = target.get("Input", "{}")
    for name, value in attributes.items():
        given = given.replace(name, value)
    machines = session.client("stepfunctions")
    try:
        return machines.start_execution(stateMachineArn=target["Arn"], input=given)["executionArn"]
    finally:
        machines.close()


def _group_of(schedule: str, scheduler: "EventBridgeSchedulerClient") -> str:
    known = [
        (known["Name"], known["GroupName"])
        for page in scheduler.get_paginator("list_schedules").paginate()
        for known in page["Schedules"]
    ]
    groups = [group for name, group in known if name == schedule]
    if not groups:
        names = ", ".join(sorted(name for name, _ in known)) or "none at all"
        raise ScheduleError(f"there is no schedule {schedule}; there are: {names}")
    if len(groups) > 1:
        raise ScheduleError(f"schedule {schedule} is in several groups: {', '.join(groups)}; name one")
    return groups[0]
