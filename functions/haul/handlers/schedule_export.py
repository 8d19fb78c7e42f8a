"""State "Schedule export": from a trigger to a run with a job, or to the reason why there is nothing to do."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import attempts, wiring
from haul.exports import ExportFlow
from haul.observability import logger, metrics
from haul.ports import Execution


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    execution = Execution.read(event["execution"])
    logger.append_keys(execution=execution.id, pipeline=event["event"].get("pipeline"))
    flow = ExportFlow(wiring.ledger(), wiring.site(), connect=wiring.connect)
    export = attempts.begin(event["event"], execution, flow, now=wiring.now())
    logger.set_correlation_id(export.run_id)
    logger.info("export scheduled", job_id=export.job.id, adopted=export.job.adopted, outcome=export.outcome)
    if export.outcome is None and not export.job.adopted:
        metrics.add_metric("ExportsSubmitted", MetricUnit.Count, 1)
    return export.model_dump(mode="json", by_alias=True)
