"""What vendors answer, read into models: absent and null mean empty, unknown fields stay unread."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from haul.errors import UnexpectedResponseError


class VendorReply(BaseModel):
    """A JSON object of a vendor's; `document` is the object as it came."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True, defer_build=True)

    _document: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def document(self) -> Mapping[str, Any]:
        return self._document

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: item for name, item in value.items() if item is not None}
        return value


def read[M: VendorReply](model: type[M], what: str, body: Any) -> M:
    """Read a reply to the call `what`.

    Raises:
        UnexpectedResponseError: it has another shape. The message names the fields and not what they hold.
    """
    try:
        reply = model.model_validate(body)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in detail['loc']) or 'the whole'}: {detail['type'].replace('_', ' ')}"
            for detail in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    else:
        reply._document = body  # noqa: SLF001 - its own module
        return reply
    shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
    raise UnexpectedResponseError(f"{what} answered JSON of another shape than its contract has: {shown}")
