"""The functions that send know when they end."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from haul import wiring
from haul.adapters import sources
from haul.handlers import check_load, start_load
from haul.models.load import Load

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = SimpleNamespace(
    function_name="load",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:load",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 12_500,
)
STARTED = {"event": {"pipeline": "imports"}, "execution": {"id": "arn:1", "started_at": NOON.isoformat()}}
CHECKED = Load(
    kind="load",
    run_id="20261122T120000Z-7c1f9a",
    pipeline="imports",
    environment="dev",
    execution="arn:1",
    claimed_at=NOON,
    started_at=NOON,
    deadline=NOON,
    vendor="liquid",
    action="import",
    connection="liquid-acme",
    request={},
    request_as_given={},
    options={},
).model_dump(mode="json", by_alias=True)


class OpenedError(Exception):
    """What loads send was opened, for so many seconds."""


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("handler", "event"), [(start_load.lambda_handler, STARTED), (check_load.lambda_handler, CHECKED)]
)
def test_what_is_sent_is_read_for_as_long_as_the_function_has(
    monkeypatch: pytest.MonkeyPatch, handler: Callable[..., Any], event: dict[str, Any]
) -> None:
    def opened(_client: object, *, time_left: Callable[[], float]) -> None:
        raise OpenedError(time_left())

    monkeypatch.setattr(sources, "S3Objects", opened)
    for name in ("ledger", "site", "documents", "client", "connect_load"):
        monkeypatch.setattr(wiring, name, lambda *_: None)

    with pytest.raises(OpenedError, match=r"12\.5"):
        handler(event, CONTEXT)
