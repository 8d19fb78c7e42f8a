"""State "Notify": the run document, and a notice for people and programs."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.models.ledger import GivenWork
from haul.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=GivenWork)
def lambda_handler(given: GivenWork, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    work = given.root
    record = wiring.ledger().run(work.pipeline, work.run_id)
    if record and record.execution == work.execution:
        wiring.endings().settle(record, now=wiring.now())
        metrics.add_dimension(name="outcome", value=str(record.outcome))
        metrics.add_metric("RunsEnded", MetricUnit.Count, 1)
    logger.info("run told", outcome=work.outcome, joined=work.joined)
    return {}
