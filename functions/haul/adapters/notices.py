"""Telling people by SNS and programs by EventBridge."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from haul.adapters.refusals import code_of
from haul.errors import LedgerBusyError
from haul.ports import Notice

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient


class AwsNotifier:
    """A `haul.ports.Notifier`: the event for programs first, then the message for people."""

    def __init__(self, topic_arn: str, bus: str, sns: "SNSClient", events: "EventBridgeClient") -> None:
        self._topic_arn = topic_arn
        self._bus = bus
        self._sns = sns
        self._events = events

    def tell(self, notice: Notice) -> None:
        try:
            self._tell(notice)
        except (ClientError, BotoCoreError) as error:
            why = code_of(error) if isinstance(error, ClientError) else type(error).__name__
            raise LedgerBusyError(f"a notice was not taken: {why}") from error

    def _tell(self, notice: Notice) -> None:
        answer = self._events.put_events(
            Entries=[
                {
                    "Source": "haul",
                    "DetailType": notice.detail_type,
                    "Detail": json.dumps(notice.detail),
                    "EventBusName": self._bus,
                }
            ]
        )
        if answer["FailedEntryCount"]:
            raise LedgerBusyError(f"EventBridge refused an event: {answer['Entries'][0].get('ErrorCode')}")
        if notice.subject is None:
            return
        self._sns.publish(
            TopicArn=self._topic_arn,
            Subject=notice.subject,
            Message=notice.body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in notice.attributes.items()
            },
        )
