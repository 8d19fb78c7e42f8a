"""State "Download": the files of one plan item, from the vendor into the landing bucket."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.models.export import Download
from haul.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=Download)
def lambda_handler(wanted: Download, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    moved = wiring.downloader(wanted).run()
    logger.info("files downloaded", item=wanted.item.item, files=len(wanted.item.files), bytes=moved)
    metrics.add_metric("BytesLanded", MetricUnit.Bytes, moved)
    return {}
