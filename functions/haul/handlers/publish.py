"""State "Publish": everything is there, or the first thing that is not, under its own name."""

from typing import Any

from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from haul import publishing, wiring
from haul.models.ledger import GivenWork
from haul.observability import logger


@logger.inject_lambda_context(correlation_id_path="run_id", clear_state=True)
@event_parser(model=GivenWork)
def lambda_handler(given: GivenWork, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    published = publishing.publish(
        given.root,
        ledger=wiring.ledger(),
        landing=wiring.documents(),
        site=wiring.site(),
        now=wiring.now(),
    )
    logger.info("run published", manifest=published.manifest, outcome=published.outcome)
    return published.model_dump(mode="json", by_alias=True)
