"""State "Change credentials" of the operation flow: one call about what a vendor keeps to reach other systems with."""

from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.observability import logger
from haul.ports import Execution


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    execution = Execution(event["execution"]["id"], datetime.fromisoformat(event["execution"]["started_at"]))
    logger.append_keys(execution=execution.id)
    ended = wiring.clerk(credentials=True).run(event["input"], execution, now=wiring.now())
    logger.info("operation ended", vendor=ended.vendor, operation=ended.operation, outcome=ended.outcome)
    return ended.model_dump(mode="json")
