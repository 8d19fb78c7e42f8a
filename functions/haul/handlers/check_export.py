"""State "Check export": one look at the vendor's job."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import attempts, wiring
from haul.exports import ExportFlow
from haul.models.export import Export
from haul.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=Export)
def lambda_handler(export: Export, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    flow = ExportFlow(wiring.ledger(), wiring.site(), connect=wiring.connect)
    checked = attempts.check(export, wiring.connector(export), flow, landing=wiring.documents(), now=wiring.now())
    logger.info("export checked", job_id=checked.job.id, status=checked.status, polls=checked.polls)
    metrics.add_metric("ExportChecks", MetricUnit.Count, 1)
    return checked.model_dump(mode="json", by_alias=True)
