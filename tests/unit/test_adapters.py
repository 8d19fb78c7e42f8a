"""AWS that does not answer: in words that the state machine tries again for."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from haul.adapters import sessions
from haul.adapters.ledger import S3Store
from haul.adapters.notices import AwsNotifier
from haul.adapters.secrets import Secret
from haul.errors import LedgerBusyError
from haul.ledger import Ledger
from haul.ports import Notice


def nobody(service: str) -> Any:
    """A client of a service that nobody runs."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url="http://127.0.0.1:1",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: list(ledger.active()),
        lambda ledger: list(ledger.runs("people")),
        lambda ledger: list(ledger.pipelines()),
        lambda ledger: ledger.files("people", "r"),
        lambda ledger: ledger.manifest("people", "r"),
        lambda ledger: ledger.forget_active("people", "r"),
        lambda ledger: ledger.unregister("people"),
    ],
)
def test_a_ledger_that_does_not_answer_is_said_to_be_busy(ask: Callable[[Ledger], object]) -> None:
    ledger = Ledger(S3Store("landing", nobody("s3")))

    with pytest.raises(LedgerBusyError):
        ask(ledger)


def test_a_notice_that_is_not_taken_is_tried_again() -> None:
    notifier = AwsNotifier("arn:aws:sns:eu-west-1:1:t", "default", nobody("sns"), nobody("events"))

    with pytest.raises(LedgerBusyError, match="EndpointConnectionError"):
        notifier.tell(Notice("Haul Run Ended", {"pipeline": "people"}))


def test_a_secret_that_cannot_be_read_now_is_tried_again() -> None:
    secret = Secret("haul/test/acme", nobody("secretsmanager"))

    with pytest.raises(LedgerBusyError, match="EndpointConnectionError"):
        secret.current()


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("events", "put_events"),
        ("s3", "list_parts"),
        ("secretsmanager", "get_secret_value"),
        ("sns", "publish"),
        ("ssm", "get_parameters_by_path"),
        ("stepfunctions", "describe_execution"),
        ("sts", "get_caller_identity"),
    ],
)
def test_a_client_is_as_boto3_would_make_it(service: str, call: str) -> None:
    """Looking for the services is left out, and nothing else."""
    ours = sessions.session().create_client(
        service,
        endpoint_url="http://127.0.0.1:1",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    theirs = nobody(service)

    assert ours.meta.service_model.api_version == theirs.meta.service_model.api_version
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert set(ours.meta.method_to_api_mapping) == set(theirs.meta.method_to_api_mapping)
    assert ours.can_paginate(call) == theirs.can_paginate(call)
    assert ours.waiter_names == theirs.waiter_names
