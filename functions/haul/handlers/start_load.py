"""State "Start load": from a trigger to a run with a job at the vendor, or to the reason why there is nothing to do."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import attempts, wiring
from haul.loads import LoadFlow
from haul.observability import logger, metrics
from haul.ports import Execution


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    execution = Execution.read(event["execution"])
    logger.append_keys(execution=execution.id, pipeline=event["event"].get("pipeline"))
    flow = LoadFlow(
        wiring.ledger(),
        wiring.site(),
        connect=wiring.connect_load,
        objects=wiring.objects(time_left=lambda: context.get_remaining_time_in_millis() / 1000),
        landing=wiring.documents(),
    )
    load = attempts.begin(event["event"], execution, flow, now=wiring.now())
    logger.set_correlation_id(load.run_id)
    logger.info("load started", job_id=load.job.id, adopted=load.job.adopted, outcome=load.outcome)
    if load.outcome is None and not load.job.adopted:
        metrics.add_metric("LoadsSubmitted", MetricUnit.Count, 1)
    return load.model_dump(mode="json", by_alias=True)
