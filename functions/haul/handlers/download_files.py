"""State "Download": the files of one plan item, from the vendor into the landing bucket.

What one invocation has no time for the next one goes on with: the answer is its input then.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import wiring
from haul.models.export import Download
from haul.observability import logger, metrics

_TURNS = 2_000
"""Three weeks of downloading, which no deadline allows, and not too many events for one child's history."""


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@metrics.log_metrics
@event_parser(model=Download)
def lambda_handler(wanted: Download, context: LambdaContext) -> dict[str, Any]:
    came = wiring.downloader(wanted, time_left=lambda: context.get_remaining_time_in_millis() / 1000).run()
    metrics.add_metric("BytesLanded", MetricUnit.Bytes, came.bytes)
    item, files = wanted.item.item, len(wanted.item.files)
    if came.finished or wanted.turn >= _TURNS:
        logger.info("files downloaded", item=item, files=files, bytes=came.bytes)
        return {"unfinished": False}
    logger.info("files downloaded in part", item=item, files=files, bytes=came.bytes, turn=wanted.turn)
    return wanted.model_copy(update={"turn": wanted.turn + 1, "unfinished": True}).model_dump(
        mode="json", by_alias=True
    )
