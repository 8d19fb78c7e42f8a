"""The hourly sweep: lost runs, late runs, stale pipelines."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.observability import logger, metrics


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    swept = wiring.endings().sweep(now=wiring.now())
    found = {
        "abandoned": swept.abandoned,
        "settled": swept.settled,
        "late": swept.late,
        "stale": swept.stale,
    }
    logger.info("swept", extra=found)
    metrics.add_metric("RunsSwept", MetricUnit.Count, len(swept.abandoned) + len(swept.settled))
    metrics.add_metric("RunsLate", MetricUnit.Count, len(swept.late))
    metrics.add_metric("PipelinesStale", MetricUnit.Count, len(swept.stale))
    for name, error in swept.failures.items():
        logger.error("not swept", exc_info=error, extra={"swept": name})
    if swept.failures:
        # Lambda tries an asynchronous invocation again, then keeps it where the alarm on dead letters sees it.
        raise next(iter(swept.failures.values()))
    return found
