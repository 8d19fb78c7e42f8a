"""State "Check load": one look at the vendor's job and at all that it started."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import attempts, wiring
from haul.loads import LoadFlow
from haul.models.load import Load
from haul.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=Load)
def lambda_handler(load: Load, context: LambdaContext) -> dict[str, Any]:
    landing = wiring.documents()
    flow = LoadFlow(
        wiring.ledger(),
        wiring.site(),
        connect=wiring.connect_load,
        objects=wiring.objects(time_left=lambda: context.get_remaining_time_in_millis() / 1000),
        landing=landing,
    )
    checked = attempts.check(load, flow.connect(load), flow, landing=landing, now=wiring.now())
    logger.info("load checked", job_id=checked.job.id, status=checked.status, polls=checked.polls)
    metrics.add_metric("LoadChecks", MetricUnit.Count, 1)
    return checked.model_dump(mode="json", by_alias=True)
