"""A connector's operations: the calls behind what `haul.models.vendors` declares."""

from collections.abc import Callable, Mapping
from typing import Any

from haul.models import vendors
from haul.models.vendors import OperationKind
from haul.ports import Answer, Operation, ReadCredential

type Call = Callable[[Any], Any]
"""Takes checked parameters. What it returns is the vendor's document, or an `Answer` where there is more to say."""
type CallWithCredential = Callable[[Any, ReadCredential], Answer]


def bound(
    vendor: str,
    calls: Mapping[str, Call],
    *,
    with_credential: Mapping[str, CallWithCredential] | None = None,
    previews: Mapping[str, Callable[[Any], str]] | None = None,
) -> dict[str, Operation]:
    """Join each declared operation of `vendor` with its call; one without a call, or the reverse, is a mistake here."""
    whole = {**{name: _without_credential(call) for name, call in calls.items()}, **(with_credential or {})}
    kinds = vendors.operations(vendor)
    if kinds.keys() != whole.keys():
        raise KeyError(f"{vendor}: {', '.join(sorted(kinds.keys() ^ whole.keys()))}")
    chosen = previews or {}
    return {name: Operation(kind, whole[name], chosen.get(name) or _summarized(kind)) for name, kind in kinds.items()}


def _without_credential(call: Call) -> CallWithCredential:
    def made(parameters: Any, _: ReadCredential) -> Answer:
        answer = call(parameters)
        return answer if isinstance(answer, Answer) else Answer(answer)

    return made


def _summarized(kind: OperationKind) -> Callable[[Any], str]:
    return lambda _: f"{kind.summary[0].upper()}{kind.summary[1:]}."
