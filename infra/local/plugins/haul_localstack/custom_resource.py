"""CloudFormation's custom resources, of which LocalStack's open release would only say that they succeeded.

The function is sent the request that AWS sends, and answers to its ResponseURL. Unlike on AWS, a function that fails
fails its resource at once, not when the resource's time is up.
"""

import json
import queue
import uuid
from typing import Any

from localstack import config
from localstack.http import Request, Response
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)
from localstack.services.edge import ROUTER

_PATH = "/_haul/custom-resources/"
_ANSWER_SECONDS = 120

# What the function said, beside the properties that it was given.
_ID, _GIVEN = "PhysicalResourceId", "GivenProperties"

type Json = dict[str, Any]


class CustomResourcePlugin(CloudFormationResourceProviderPlugin):  # type: ignore[misc] # of LocalStack's environment
    name = "AWS::CloudFormation::CustomResource"

    def load(self) -> None:
        self.factory = CustomResourceProvider


class CustomResourceProvider(ResourceProvider):  # type: ignore[misc] # of LocalStack's environment
    """Type `AWS::CloudFormation::CustomResource` and every `Custom::...`."""

    TYPE = "AWS::CloudFormation::CustomResource"
    SCHEMA = {"typeName": TYPE, "primaryIdentifier": [f"/properties/{_ID}"]}  # noqa: RUF012 - LocalStack reads it so

    def create(self, request: ResourceRequest) -> ProgressEvent:
        return self._ask("Create", request, given=request.desired_state)

    def update(self, request: ResourceRequest) -> ProgressEvent:
        before = request.previous_state or {}
        return self._ask("Update", request, given=request.desired_state, before=before)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        before = request.previous_state or request.desired_state or {}
        return self._ask("Delete", request, given=before.get(_GIVEN, before), before=before)

    def _ask(self, kind: str, request: ResourceRequest, *, given: Json, before: Json | None = None) -> ProgressEvent:
        given = _as_strings({name: value for name, value in given.items() if name not in {_ID, _GIVEN}})
        event = {
            "RequestType": kind,
            "ServiceToken": given["ServiceToken"],
            "StackId": request.stack_id,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": request.logical_resource_id,
            "ResourceType": request.resource_type,
            "ResourceProperties": given,
        }
        if before is not None:
            event[_ID] = before[_ID]
            if kind == "Update":
                event["OldResourceProperties"] = before.get(_GIVEN, {})
        try:
            answer = _Exchange(event).answer(request.aws_client_factory.lambda_)
        except CustomResourceError as error:
            return ProgressEvent(status=OperationStatus.FAILED, resource_model={}, message=str(error))
        identifier = answer.get(_ID) or event.get(_ID) or event["RequestId"]
        model = {**given, **answer.get("Data", {}), _ID: identifier, _GIVEN: given}
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model)


class CustomResourceError(Exception):
    """The function failed, said that it failed, or said nothing."""


class _Exchange:
    """One request to a function, and the address that is open for its answer."""

    def __init__(self, event: Json) -> None:
        self._event = event
        self._answers: queue.SimpleQueue[Json] = queue.SimpleQueue()

    def answer(self, functions: Any) -> Json:
        path = f"{_PATH}{uuid.uuid4()}"
        rule = ROUTER.add(path, self._receive, methods=["PUT"])
        try:
            url = f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}{path}"
            said = functions.invoke(
                FunctionName=self._event["ServiceToken"], Payload=json.dumps({**self._event, "ResponseURL": url})
            )
            if "FunctionError" in said:
                raise CustomResourceError(f"{self._event['ServiceToken']} failed: {said['Payload'].read().decode()}")
            return self._checked(self._answers.get(timeout=_ANSWER_SECONDS))
        except queue.Empty:
            raise CustomResourceError(
                f"{self._event['ServiceToken']} did not answer to its ResponseURL within {_ANSWER_SECONDS} s"
            ) from None
        finally:
            ROUTER.remove(rule)

    def _receive(self, request: Request, **_: object) -> Response:
        if request.content_type:
            # On AWS the address is signed for an answer without one, and S3 refuses any other.
            return Response("SignatureDoesNotMatch: the answer must have an empty Content-Type", status=403)
        self._answers.put(json.loads(request.get_data()))
        return Response(status=200)

    @staticmethod
    def _checked(answer: Json) -> Json:
        if answer.get("Status") != "SUCCESS":
            raise CustomResourceError(str(answer.get("Reason") or answer))
        return answer


def _as_strings(value: Any) -> Any:
    """CloudFormation hands on every number and truth value of a property as a string."""
    match value:
        case dict():
            return {name: _as_strings(item) for name, item in value.items()}
        case list():
            return [_as_strings(item) for item in value]
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            return value
