"""The deployed stack, as a test or a demo uses it.

    stack = Stack(boto3.Session(...))
    execution = stack.run(event)
    assert stack.landed("visier-people", execution.run_id).keys() == {"Employee/Employee-newColumns_part0.csv.gz"}

Endpoints and region come from the environment (or the session), so the same code looks at an account.
"""

import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3

from haul import keys
from haul.models import vendors
from infra.local import schedules

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient

type Json = dict[str, Any]

# A notice is on its way for a moment after the execution that sent it has ended.
_NOTICE_SECONDS = 20


class StillRunningError(Exception):
    """An execution did not end in the time it was given; says in which state it stands."""


@dataclass(frozen=True)
class Execution:
    """An execution of the flow, as it stood when it was looked at."""

    arn: str
    status: str
    input: Json
    output: Json | None
    error: str | None
    cause: str | None

    @property
    def run_id(self) -> str | None:
        """The run that it was an attempt of, if it came far enough to say so."""
        return (self.output or {}).get("run_id")


@dataclass(frozen=True)
class Notice:
    """What a subscriber of the topic is sent."""

    subject: str
    body: str
    attributes: dict[str, str]


@dataclass
class _Mailbox:
    """A queue that is subscribed to all that the stack tells, and what came out of it so far."""

    url: str
    notices: list[Notice] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)


class Stack:
    """One deployed environment. Its clients are there for whatever has no method here."""

    def __init__(self, session: boto3.Session, *, environment: str = "local") -> None:
        self.environment = environment
        self._session = session
        self._mailbox: _Mailbox | None = None
        self._clients: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of every client."""
        for client in self._clients:
            client.close()

    # Clients

    @functools.cached_property
    def s3(self) -> "S3Client":
        return self._kept(self._session.client("s3"))

    @functools.cached_property
    def stepfunctions(self) -> "SFNClient":
        return self._kept(self._session.client("stepfunctions"))

    @functools.cached_property
    def secrets(self) -> "SecretsManagerClient":
        return self._kept(self._session.client("secretsmanager"))

    @functools.cached_property
    def functions(self) -> "LambdaClient":
        return self._kept(self._session.client("lambda"))

    @functools.cached_property
    def sqs(self) -> "SQSClient":
        return self._kept(self._session.client("sqs"))

    @functools.cached_property
    def sns(self) -> "SNSClient":
        return self._kept(self._session.client("sns"))

    @functools.cached_property
    def eventbridge(self) -> "EventBridgeClient":
        return self._kept(self._session.client("events"))

    @functools.cached_property
    def cloudwatch_logs(self) -> "CloudWatchLogsClient":
        return self._kept(self._session.client("logs"))

    @functools.cached_property
    def ssm(self) -> "SSMClient":
        return self._kept(self._session.client("ssm"))

    def _kept[C](self, client: C) -> C:
        self._clients.append(client)
        return client

    # What the stack says of itself

    @functools.cached_property
    def parameters(self) -> dict[str, str]:
        """What is under `/haul/<environment>/`, by the last part of its name."""
        prefix = f"/haul/{self.environment}/"
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=prefix, Recursive=True)
        return {
            parameter["Name"].removeprefix(prefix): parameter["Value"]
            for page in pages
            for parameter in page["Parameters"]
        }

    @property
    def landing_bucket(self) -> str:
        return self.parameters["landing-bucket"]

    @property
    def inbox_bucket(self) -> str:
        return self.parameters["inbox-bucket"]

    @property
    def flow_arns(self) -> dict[str, str]:
        """The state machines, by the kind of run that they are for."""
        ending = "-flow-arn"
        return {name.removesuffix(ending): arn for name, arn in self.parameters.items() if name.endswith(ending)}

    # Executions

    def start(self, event: Json) -> str:
        """Start the flow that `event` is for; answers with the execution's ARN."""
        arn = self.flow_arns[self._kind_of(event)]
        started = self.stepfunctions.start_execution(stateMachineArn=arn, input=json.dumps(event))
        return started["executionArn"]

    def _kind_of(self, event: Json) -> str:
        """An event that names no action is an export's, or that of its deployed pipeline."""
        deployed = {} if "action" in event else self.document(keys.pipeline(str(event.get("pipeline")))) or {}
        return vendors.kind_of(deployed.get("event", event))

    def look(self, arn: str) -> Execution:
        """The execution as it stands."""
        seen = self.stepfunctions.describe_execution(executionArn=arn)
        return Execution(
            arn=arn,
            status=seen["status"],
            input=json.loads(seen["input"]),
            output=json.loads(seen["output"]) if seen.get("output") else None,
            error=seen.get("error"),
            cause=seen.get("cause"),
        )

    def wait(self, arn: str, timeout: float = 60) -> Execution:
        """Wait for the execution's end, good or bad.

        Raises:
            StillRunningError: it has not ended within `timeout` seconds.
        """
        try:
            return self.until(lambda: self.look(arn), lambda seen: seen.status != "RUNNING", timeout=timeout)
        except TimeoutError:
            raise StillRunningError(f"{arn} is still in {self.state(arn)} after {timeout} s") from None

    def run(self, event: Json, timeout: float = 60) -> Execution:
        return self.wait(self.start(event), timeout)

    def stop(self, arn: str, *, error: str = "Stopped", cause: str = "") -> None:
        """Abort the execution from outside."""
        self.stepfunctions.stop_execution(executionArn=arn, error=error, cause=cause)

    def fire(self, schedule: str, *, scheduled_at: datetime | None = None) -> str:
        """Start what a schedule starts; answers with the execution's ARN."""
        return schedules.fire(schedule, self._session, scheduled_at=scheduled_at)

    def executions(self) -> list[str]:
        """The ARNs of all executions, of each flow the latest first."""
        pages = self.stepfunctions.get_paginator("list_executions")
        return [
            execution["executionArn"]
            for arn in self.flow_arns.values()
            for page in pages.paginate(stateMachineArn=arn)
            for execution in page["executions"]
        ]

    def history(self, arn: str) -> list[Json]:
        pages = self.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [dict(event) for page in pages for event in page["events"]]

    def states(self, arn: str) -> list[str]:
        """The names of the states that were entered, in order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.history(arn)
            if "stateEnteredEventDetails" in event
        ]

    def state(self, arn: str) -> str:
        """The state that was entered last."""
        return (self.states(arn) or ["its first state"])[-1]

    def wait_for_state(self, arn: str, state: str, timeout: float = 60) -> None:
        """Wait until the execution has entered `state`.

        Raises:
            TimeoutError: it has not within `timeout` seconds, or has ended before; says where it has been.
        """

        def entered() -> list[str]:
            ended = self.look(arn)
            states = self.states(arn)
            if ended.status != "RUNNING" and state not in states:
                raise TimeoutError(f"{arn} is {ended.status} after {states}: {ended.error} {ended.cause}")
            return states

        self.until(entered, lambda states: state in states, timeout=timeout)

    @staticmethod
    def until[T](look: Callable[[], T], enough: Callable[[T], bool], *, timeout: float = 30) -> T:
        """Look until it is enough.

        Raises:
            TimeoutError: it is not within `timeout` seconds; says what was seen last.
        """
        give_up = time.monotonic() + timeout
        while not enough(seen := look()):
            if time.monotonic() > give_up:
                raise TimeoutError(f"still {seen!r} after {timeout} s")
            time.sleep(0.1)
        return seen

    # What landed

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Every object of the landing bucket whose key begins so."""
        return {key: self.object(key) for key in self.keys(prefix)}

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.landing_bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def object(self, key: str) -> bytes:
        with self.s3.get_object(Bucket=self.landing_bucket, Key=key)["Body"] as body:
            return body.read()

    def document(self, key: str) -> Json | None:
        """A JSON document of the landing bucket; None if there is none."""
        try:
            document: Json = json.loads(self.object(key))
        except self.s3.exceptions.NoSuchKey:
            return None
        return document

    def landed(self, pipeline: str, run_id: str) -> dict[str, bytes]:
        """The files of a run, by `<dataset>/<file>`, published or not."""
        landed = {}
        for key, body in self.objects(f"raw/{pipeline}/").items():
            dataset, run, name = key.removeprefix(f"raw/{pipeline}/").split("/", 2)
            if run == f"run_id={run_id}":
                landed[f"{dataset}/{name}"] = body
        return landed

    def manifest(self, pipeline: str, run_id: str) -> Json | None:
        return self.document(f"manifests/{pipeline}/{run_id}.json")

    def run_document(self, pipeline: str, run_id: str) -> Json | None:
        return self.document(f"runs/{pipeline}/{run_id}.json")

    def manifests(self, pipeline: str) -> list[Json]:
        """Every manifest of a pipeline, the oldest first."""
        return [json.loads(body) for _, body in sorted(self.objects(f"manifests/{pipeline}/").items())]

    # What it told

    def notices(self, pipeline: str, *, at_least: int = 1, timeout: float = _NOTICE_SECONDS) -> list[Notice]:
        """What subscribers were sent about a pipeline; waits for `at_least` so many, and 0 waits for none."""

        def sent() -> list[Notice]:
            return [notice for notice in self._mail().notices if notice.attributes.get("pipeline") == pipeline]

        return self.until(sent, lambda notices: len(notices) >= at_least, timeout=timeout)

    def events(self, pipeline: str, *, at_least: int = 1, timeout: float = _NOTICE_SECONDS) -> list[Json]:
        """What was put on the bus about a pipeline; waits for `at_least` so many, and 0 waits for none."""

        def put() -> list[Json]:
            return [event for event in self._mail().events if event["detail"].get("pipeline") == pipeline]

        return self.until(put, lambda events: len(events) >= at_least, timeout=timeout)

    def listen(self) -> None:
        """Subscribe to notices and events; what is told before is never heard."""
        if self._mailbox is not None:
            return
        name = f"haul-{self.environment}-mailbox"
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sns.subscribe(TopicArn=self.parameters["notices-topic-arn"], Protocol="sqs", Endpoint=arn)
        bus = self.parameters["event-bus"]
        self.eventbridge.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps({"source": ["haul"]}))
        self.eventbridge.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "mailbox", "Arn": arn}])
        self._mailbox = _Mailbox(url)

    def _mail(self) -> _Mailbox:
        self.listen()
        assert self._mailbox is not None  # noqa: S101 - listen made it
        for body in self._received(self._mailbox.url):
            if "TopicArn" in body:
                attributes = {name: given["Value"] for name, given in body.get("MessageAttributes", {}).items()}
                self._mailbox.notices.append(Notice(body.get("Subject", ""), body["Message"], attributes))
            else:
                self._mailbox.events.append(body)
        return self._mailbox

    def _received(self, url: str) -> Iterator[Json]:
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                yield json.loads(message["Body"])
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    # What it is given and what it says

    def connect(self, connection: str, **fields: str) -> None:
        """Make or replace the secret of a connection."""
        name, secret = f"haul/{self.environment}/{connection}", json.dumps(fields)
        try:
            self.secrets.create_secret(Name=name, SecretString=secret)
        except self.secrets.exceptions.ResourceExistsException:
            self.secrets.put_secret_value(SecretId=name, SecretString=secret)

    def function_name(self, module: str) -> str:
        """What the function of a handler's module is called: `check_export`."""
        construct = re.compile(rf"-{_construct(module)}[0-9A-F]{{8}}-")
        pages = self.functions.get_paginator("list_functions").paginate()
        names = [function["FunctionName"] for page in pages for function in page["Functions"]]
        return next(name for name in names if construct.search(name))

    def invoke(self, module: str, event: Json) -> Json:
        """Invoke a function with `event` and wait for its answer; an error is an answer too."""
        name = self.function_name(module)
        answer: Json = json.load(self.functions.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"])
        return answer

    def logs(self, function: str) -> str:
        """Everything that a function logged, by the name of its module: `check_export`."""
        construct = _construct(function)
        pages = self.cloudwatch_logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/lambda/")
        groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
        lines = []
        for group in groups:
            if construct in group:
                found = self.cloudwatch_logs.get_paginator("filter_log_events").paginate(logGroupName=group)
                lines += [event["message"] for page in found for event in page["events"]]
        return "".join(lines)


def _construct(module: str) -> str:
    return module.title().replace("_", "")
