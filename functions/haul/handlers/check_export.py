"""State "Check export": one look at the vendor's job."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import exports, wiring
from haul.models.export import Export
from haul.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=Export)
def lambda_handler(export: Export, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    checked = exports.check(
        export,
        ledger=wiring.ledger(),
        connector=wiring.connector(export),
        landing=wiring.documents(),
        site=wiring.site(),
        now=wiring.now(),
    )
    logger.info("export checked", job_id=checked.job.id, status=checked.status, polls=checked.polls)
    metrics.add_metric("ExportChecks", MetricUnit.Count, 1)
    return checked.model_dump(mode="json", by_alias=True)
