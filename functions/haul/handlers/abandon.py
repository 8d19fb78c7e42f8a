"""State "Abandon export", and the rule on bad ends: nothing is left half-done, and somebody is told."""

import json
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.endings import Ending
from haul.observability import logger, metrics


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    ending = _from_rule(event["detail"]) if "detail" in event else _from_catch(event)
    logger.append_keys(execution=ending.execution)
    ended = wiring.endings().abandon(ending, now=wiring.now())
    logger.set_correlation_id(ended.run_id)
    logger.info("run abandoned", status=ending.status, error=ended.error, published=ended.published)
    if not ended.published:
        metrics.add_metric("RunsAbandoned", MetricUnit.Count, 1)
    return {"published": ended.published, "error": ended.error, "cause": ended.cause}


def _from_catch(event: dict[str, Any]) -> Ending:
    """A state failed: its input, with what was caught under `error`."""
    state = event["state"]
    caught = state.get("error", {})
    return Ending(
        execution=event["execution"]["id"],
        error=caught.get("Error"),
        cause=caught.get("Cause", ""),
        event=state,
        run_id=state.get("run_id"),
    )


def _from_rule(detail: dict[str, Any]) -> Ending:
    """An execution ended: EventBridge's word of it."""
    return Ending(
        execution=detail["executionArn"],
        status=detail["status"],
        error=detail.get("error"),
        cause=detail.get("cause"),
        event=json.loads(detail.get("input") or "{}"),
    )
