"""How much may go wrong before a result counts as part of one: a share such as `5%`, or a number."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_PATTERN = r"^(\d+|(\d{1,2}(\.\d+)?|100(\.0+)?)%)$"
_WRITTEN = re.compile(_PATTERN, re.ASCII)


def _checked(value: str | int) -> str | int:
    text = str(value)
    if not _WRITTEN.fullmatch(text):
        raise ValueError('a share such as "10%", at most all, or a number')
    return value if isinstance(value, int) or value.endswith("%") else int(value)


type Threshold = Annotated[
    str | int,
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _PATTERN},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]


def exceeds(number: int, of: int | None, most: str | int) -> bool:
    """Whether `number` of `of` is more than `most`; of a whole that is not known, any share is too much."""
    if isinstance(most, int):
        return number > most
    return number > 0 and (of is None or number > of * float(most.removesuffix("%")) / 100)
