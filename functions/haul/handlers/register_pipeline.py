"""The custom resource behind every deployed pipeline: keeps its document where short events are completed from."""

import json
import urllib.request
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.models.base import parse
from haul.models.ledger import PipelineRecord
from haul.observability import logger


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    reason = "see the function's log"
    try:
        name = _register(event)
    except Exception as error:  # noqa: BLE001 - CloudFormation waits an hour for an answer that never comes
        logger.exception("pipeline not registered")
        name, reason, status = event.get("PhysicalResourceId", "unregistered"), str(error), "FAILED"
    else:
        logger.info("pipeline registered", pipeline=name, request=event["RequestType"])
        status = "SUCCESS"
    _answer(event, {"Status": status, "Reason": f"{reason} ({context.log_stream_name})", "PhysicalResourceId": name})


def _register(event: dict[str, Any]) -> str:
    document = json.loads(event["ResourceProperties"]["Document"])
    record = parse(PipelineRecord, {**document, "deployed_at": wiring.now()})
    if event["RequestType"] == "Delete":
        wiring.ledger().unregister(record.pipeline)
    else:
        wiring.ledger().register(record)
    return record.pipeline


def _answer(event: dict[str, Any], answer: dict[str, str]) -> None:
    """Tell CloudFormation, at the one-time address that it gave."""
    same = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    body = json.dumps(answer | same).encode()
    request = urllib.request.Request(event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
    urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - CloudFormation's own https address
