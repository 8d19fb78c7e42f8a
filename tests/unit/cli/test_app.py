"""What every command has in common: environment, output, exit status."""

import json
import subprocess
import sys
from typing import Any

import boto3
import pytest
from botocore import exceptions as aws

from haul import wiring
from haul.cli import deployment
from haul.cli.failures import CommandError, Exit, explain
from haul.errors import InvalidEventError, QuotaExceededError, TruncatedFileError
from tests.unit.cli.conftest import Haul


def test_the_environment_may_stand_before_or_after_the_command_or_in_a_variable(haul: Haul) -> None:
    before = haul("runs", env="test")
    after = haul("runs", "--env", "test", env=None)
    variable = haul("runs", env=None, variable="test")

    assert (before.exit_code, after.exit_code, variable.exit_code) == (0, 0, 0)
    assert before.stdout == after.stdout == variable.stdout == "no runs yet\n"


@pytest.mark.parametrize("arguments", [("--env", "test", "runs"), ("runs", "--env", "test")])
def test_an_environment_that_is_named_goes_before_the_variable(haul: Haul, arguments: tuple[str, ...]) -> None:
    """Otherwise a command for one environment would act on another."""
    result = haul(*arguments, env=None, variable="elsewhere")

    assert result.exit_code == 0


def test_no_environment_is_a_usage_error_that_says_how_to_name_one(haul: Haul) -> None:
    result = haul("runs", env=None)

    assert result.exit_code == 2
    assert "HAUL_ENV" in result.stderr
    assert result.stdout == ""


def test_an_environment_where_nothing_is_deployed_is_named(haul: Haul) -> None:
    result = haul("runs", env="elsewhere")

    assert result.exit_code == 1
    assert "no Haul is deployed as elsewhere" in result.stderr


@pytest.mark.parametrize("arguments", [("--json", "runs"), ("runs", "--json")])
def test_json_may_stand_before_or_after_the_command(haul: Haul, arguments: tuple[str, ...]) -> None:
    assert json.loads(haul(*arguments).stdout) == []


def test_an_error_is_one_json_document_too(haul: Haul) -> None:
    result = haul("--json", "show", "20261122T05")

    error = json.loads(result.stdout)["error"]
    assert result.exit_code == 2
    assert error["name"] == "CommandError"
    assert "20261122T05" in error["message"]


def test_a_command_that_does_not_exist_is_a_usage_error(haul: Haul) -> None:
    assert haul("fetch").exit_code == 2


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CommandError("no", exit_code=Exit.USAGE), 2, "no"),
        (QuotaExceededError("10 of 10"), 5, "10 of 10"),
        (InvalidEventError("request: missing"), 2, "request: missing"),
        (TruncatedFileError("short"), 1, "short"),
        (aws.NoRegionError(), 1, "region"),
        (aws.NoCredentialsError(), 1, "credentials"),
        (aws.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), 1, "cannot be reached"),
        (aws.ClientError({"Error": {"Code": "ExpiredToken", "Message": "old"}}, "GetObject"), 1, "ExpiredToken"),
    ],
)
def test_what_was_to_be_expected_has_words_and_an_exit_status(error: Exception, status: int, said: str) -> None:
    explained = explain(error)

    assert explained.exit_code == status
    assert said in explained.message


def test_a_throttled_call_says_to_try_again() -> None:
    error: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}

    explained = explain(aws.ClientError(error, "DescribeExecution"))

    assert "try again" in (explained.hint or "")


def test_help_loads_neither_boto3_nor_the_models() -> None:
    code = "import sys; import haul.cli.app; print([m for m in ('boto3', 'pydantic', 'rich') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_region_may_stand_in_the_variable_that_awss_command_line_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 reads another one alone, and would say that there is no region."""
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")

    def client(service: str) -> Any:
        region = boto3.client(service).meta.region_name  # type: ignore[call-overload]
        raise CommandError(f"{service} in {region}")

    monkeypatch.setattr(wiring, "client", client)

    with pytest.raises(CommandError, match="ssm in eu-west-3"):
        deployment.find("dev")


def test_an_endpoint_that_is_no_url_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    wiring.client.cache_clear()

    with pytest.raises(CommandError, match="Invalid endpoint: localhost"):
        deployment.find("dev")
