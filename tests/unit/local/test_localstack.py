"""LocalStack on this machine: its ports, its end, the S3 that the ledger needs, and what our plugins add to it."""

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local import localstack as module
from infra.local.deploy import DeployError, deploy
from infra.local.localstack import ROOT, LocalStack, LocalStackError
from infra.local.schedules import ScheduleError, fire
from tests.processes import below, is_running, open_files, wait_until_gone

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(autouse=True)
def environment(localstack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in localstack.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client() -> Iterator[Callable[[str], Any]]:
    """Make a client of any service."""
    made: list[Any] = []

    def make(service: str) -> Any:
        made.append(boto3.client(service))  # type: ignore[call-overload]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def functions(client: Callable[[str], Any]) -> "LambdaClient":
    made: LambdaClient = client("lambda")
    return made


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"bucket-{uuid4().hex}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def zipped(**files: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "/") + ".py", text)
    return archive.getvalue()


def make_function(functions: "LambdaClient", source: str, *, layers: list[str] | None = None, timeout: int = 10) -> str:
    name = f"f-{uuid4().hex[:12]}"
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="module.handler",
        Role=ROLE,
        Code={"ZipFile": zipped(module=source)},
        Timeout=timeout,
        Layers=layers or [],
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return name


def invoke(functions: "LambdaClient", name: str, event: object = None) -> tuple[Any, str | None]:
    said = functions.invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(said["Payload"].read()), said.get("FunctionError")


def listening(pids: set[int]) -> set[str]:
    """The addresses that these processes listen on, of both families, as `ss -ltn` has them."""
    sockets = {name for pid in pids for name in open_files(pid)}
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1].partition(":")[0])
    return addresses


def wait_until(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.05)


def test_only_this_machine_can_reach_it(localstack: LocalStack, functions: "LambdaClient") -> None:
    invoke(functions, make_function(functions, "def handler(event, context): return 1"))

    processes = {localstack.pid} | below(localstack.pid)

    assert len(processes) > 1
    assert listening(processes) == {"0100007F"}  # 127.0.0.1, as the kernel writes it


def test_a_second_one_runs_beside_it_and_leaves_nothing_behind(localstack: LocalStack, tmp_path: Path) -> None:
    second = LocalStack(log=tmp_path / "log")
    second.start()
    functions = boto3.client("lambda", endpoint_url=second.endpoint_url)
    assert invoke(functions, make_function(functions, "def handler(event, context): return 'hello'")) == ("hello", None)
    functions.close()
    processes = {second.pid} | below(second.pid)
    folder, port = second.folder, int(second.endpoint_url.rpartition(":")[2])
    assert second.endpoint_url != localstack.endpoint_url

    second.stop()

    assert not any(is_running(pid) for pid in processes)
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    assert "Ready." in (tmp_path / "log").read_text()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """However that ends: here it has no chance to clean up."""
    starter = (
        "import sys, time\nfrom pathlib import Path\nfrom infra.local.localstack import LocalStack\n"
        "local = LocalStack(log=Path(sys.argv[1]))\nlocal.start()\n"
        "print(local.pid, local.folder, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", starter, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().decode().split()

        process.send_signal(signal.SIGKILL)

    wait_until_gone(int(pid))
    assert not Path(folder).exists()


def test_a_missing_environment_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)

    with pytest.raises(LocalStackError, match=r"\.venv-localstack/bin/python is missing; `make setup` installs it"):
        LocalStack(log=tmp_path / "log").start()


def test_one_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = tmp_path / "host.py"
    host.write_text("raise SystemExit('no room')")
    monkeypatch.setattr(module, "_HOST", host)

    with pytest.raises(LocalStackError, match=r"(?s)ended with status 1.*no room"):
        LocalStack(log=tmp_path / "log").start()


# S3, as the ledger and the download need it


def test_of_many_who_create_a_key_one_wins(s3: "S3Client", bucket: str) -> None:
    def create(n: int) -> int:
        try:
            s3.put_object(Bucket=bucket, Key="claim", Body=b"%d" % n, IfNoneMatch="*")
        except ClientError as error:
            status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return status
        return 200

    with ThreadPoolExecutor(max_workers=8) as pool:
        statuses = list(pool.map(create, range(8)))

    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}


def test_an_object_is_replaced_only_by_who_knows_it(s3: "S3Client", bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="run", Body=b"1")
    s3.put_object(Bucket=bucket, Key="run", Body=b"2", IfMatch=first["ETag"])

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="run", Body=b"3", IfMatch=first["ETag"])

    versions = s3.list_object_versions(Bucket=bucket, Prefix="run")["Versions"]
    assert len(versions) == 2


def test_a_wrong_checksum_is_refused(s3: "S3Client", bucket: str) -> None:
    wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4)).decode()

    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket, Key="file", Body=b"bytes", ChecksumCRC32=wrong)


# Lambda, as our executor does it


def test_a_function_is_logged_to_cloudwatch(functions: "LambdaClient", client: Callable[[str], Any]) -> None:
    name = make_function(functions, "def handler(event, context): print('said', event)")
    invoke(functions, name, "this")

    def lines() -> list[str]:
        with suppress(ClientError):
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
            return [event["message"] for event in found["events"]]
        return []

    logs = client("logs")
    wait_until(lambda: len(lines()) >= 4)
    start, said, end, report = lines()
    assert start.startswith("START RequestId: ")
    assert said == "said this\n"
    assert end.startswith("END RequestId: ")
    assert "Max Memory Used: " in report


def test_a_function_imports_from_its_layer(functions: "LambdaClient") -> None:
    layer = functions.publish_layer_version(
        LayerName="one", Content={"ZipFile": zipped(python__shared="value = 'of the layer'")}
    )["LayerVersionArn"]
    name = make_function(functions, "import shared\ndef handler(event, context): return shared.value", layers=[layer])

    assert invoke(functions, name) == ("of the layer", None)


def test_a_function_reaches_aws_without_any_setting(functions: "LambdaClient", s3: "S3Client", bucket: str) -> None:
    source = (
        "import boto3\ndef handler(event, context): boto3.client('s3').put_object(Bucket=event, Key='k', Body=b'b')"
    )

    invoke(functions, make_function(functions, source), bucket)

    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"b"


def test_step_functions_sees_crash_and_time_up_by_lambdas_names(
    functions: "LambdaClient", client: Callable[[str], Any]
) -> None:
    source = "import os, time\ndef handler(event, context): time.sleep(30) if event['wait'] else os._exit(1)"
    name = make_function(functions, source, timeout=1)
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    task = {"Type": "Task", "Resource": arn, "End": True}
    definition = json.dumps({"StartAt": "Task", "States": {"Task": task}})
    machines = client("stepfunctions")
    machine = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]

    def error_of(event: object) -> str:
        execution = machines.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
        wait_until(lambda: machines.describe_execution(executionArn=execution)["status"] != "RUNNING")
        error: str = machines.describe_execution(executionArn=execution)["error"]
        return error

    assert error_of({"wait": False}) == "Runtime.ExitError"
    assert error_of({"wait": True}) == "Sandbox.Timedout"


# Deploying


def assembly_of(folder: Path, stack: str, template: object) -> Path:
    """What the CDK would write for a stack without assets of its own."""
    (folder / f"{stack}.template.json").write_text(json.dumps(template))
    (folder / f"{stack}.assets.json").write_text(json.dumps({"version": "1", "files": {}}))
    return folder


def template_with_a_custom_resource(function_arn: str, **properties: object) -> dict[str, Any]:
    return {
        "Resources": {
            "Greeting": {"Type": "Custom::Greeting", "Properties": {"ServiceToken": function_arn, **properties}}
        },
        "Outputs": {"Said": {"Value": {"Fn::GetAtt": ["Greeting", "Said"]}}, "Id": {"Value": {"Ref": "Greeting"}}},
    }


ANSWERS = """
import json, urllib.request
def handler(event, context):
    given = event["ResourceProperties"]
    data = {"Said": f"{event['RequestType']} {given['Name']} {given['Count']!r} {given.get('Old')}"}
    data["Said"] += str(event.get("OldResourceProperties", {}).get("Name"))
    answer = {"Status": given.get("Status", "SUCCESS"), "Reason": "no such name", "Data": data}
    answer |= {"PhysicalResourceId": "greeting-1"}
    answer, headers = json.dumps(answer).encode(), {"Content-Type": given.get("As", "")}
    request = urllib.request.Request(event["ResponseURL"], data=answer, headers=headers, method="PUT")
    urllib.request.urlopen(request).close()
"""


def test_a_custom_resource_asks_its_function(functions: "LambdaClient", tmp_path: Path) -> None:
    name = make_function(functions, ANSWERS)
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]

    def deployed(**properties: object) -> dict[str, str]:
        template = template_with_a_custom_resource(arn, **properties)
        return deploy(assembly_of(tmp_path, name, template), name, boto3.Session())

    created, updated = deployed(Name="Ann", Count=1), deployed(Name="Bea", Count=True)

    assert created == {"Said": "Create Ann '1' NoneNone", "Id": "greeting-1"}
    assert updated == {"Said": "Update Bea 'true' NoneAnn", "Id": "greeting-1"}
    assert deployed(Name="Bea", Count=True) == updated


def test_a_custom_resource_answers_without_a_content_type_as_on_aws(functions: "LambdaClient", tmp_path: Path) -> None:
    name = make_function(functions, ANSWERS)
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    template = template_with_a_custom_resource(arn, Name="Ann", Count=1, As="application/json")

    with pytest.raises(DeployError, match="HTTP Error 403"):
        deploy(assembly_of(tmp_path, name, template), name, boto3.Session())


@pytest.mark.parametrize(
    ("source", "reason"),
    [(ANSWERS, "no such name"), ("def handler(event, context): raise ValueError('never')", "never")],
)
def test_a_custom_resource_that_fails_is_named_with_its_reason(
    functions: "LambdaClient", tmp_path: Path, source: str, reason: str
) -> None:
    name = make_function(functions, source)
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    template = template_with_a_custom_resource(arn, Name="Ann", Count=1, Status="FAILED")

    with pytest.raises(DeployError, match=rf"(?s)Greeting \(Custom::Greeting\): .*{reason}"):
        deploy(assembly_of(tmp_path, name, template), name, boto3.Session())


# Firing a schedule


def test_a_fired_schedule_starts_its_target_with_its_input_filled_in(client: Callable[[str], Any]) -> None:
    name = f"nightly-{uuid4().hex[:8]}"
    machines, scheduler = client("stepfunctions"), client("scheduler")
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    machine = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]
    scheduler.create_schedule_group(Name=name)
    event = {
        "id": "people@<aws.scheduler.scheduled-time>",
        "more": ["<aws.scheduler.execution-id>", "<aws.scheduler.attempt-number>", "<aws.scheduler.schedule-arn>"],
    }
    scheduler.create_schedule(
        Name=name,
        GroupName=name,
        ScheduleExpression="cron(0 5 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        State="DISABLED",
        Target={"Arn": machine, "RoleArn": ROLE, "Input": json.dumps(event)},
    )

    execution = fire(name, boto3.Session(), scheduled_at=datetime(2026, 11, 22, 5, tzinfo=UTC))

    started = json.loads(machines.describe_execution(executionArn=execution)["input"])
    assert started["id"] == "people@2026-11-22T05:00:00Z"
    execution_id, attempt, arn = started["more"]
    assert execution_id
    assert attempt == "1"
    assert arn.endswith(f"schedule/{name}/{name}")


def test_a_schedule_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ScheduleError, match="there is no schedule nightly-report; there are: "):
        fire("nightly-report", boto3.Session())
