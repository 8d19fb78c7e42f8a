"""State "Plan download": what the job made, and which child of the map downloads what."""

from typing import Any

from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import exports, wiring
from haul.models.export import Export
from haul.observability import logger


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@event_parser(model=Export)
def lambda_handler(export: Export, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    planned = exports.plan(
        export, ledger=wiring.ledger(), connector=wiring.connector(export), landing=wiring.documents()
    )
    logger.info("download planned", files=planned.plan.files if planned.plan else 0)
    return planned.model_dump(mode="json", by_alias=True)
