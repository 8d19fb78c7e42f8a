"""How much may go wrong."""

import pytest
from pydantic import TypeAdapter, ValidationError

from haul.models.threshold import Threshold, exceeds


@pytest.mark.parametrize(
    ("number", "of", "most", "over"),
    [
        (0, 10, 0, False),
        (1, 10, 0, True),
        (1, 10, "10%", False),
        (2, 10, "10%", True),
        (1, 3, "33.3%", True),
        (1, 3, "33.4%", False),
        (2, None, 2, False),
        (3, None, 2, True),
        (1, None, "50%", True),
        (0, None, "0%", False),
    ],
)
def test_a_number_is_compared_with_a_number_or_a_share_of_the_whole(
    number: int, of: int | None, most: str | int, over: object
) -> None:
    assert exceeds(number, of, most) is over


@pytest.mark.parametrize(
    ("written", "read"), [("5", 5), (0, 0), ("0%", "0%"), ("33.4%", "33.4%"), ("100%", "100%"), ("100.0%", "100.0%")]
)
def test_it_is_a_share_or_a_number(written: str | int, read: str | int) -> None:
    assert TypeAdapter(Threshold).validate_python(written) == read


@pytest.mark.parametrize("written", ["110%", "100.1%", "1.5", "-1", -1, "%", "ten", "5 %", ""])
def test_nothing_else_is_taken_for_one(written: str | int) -> None:
    with pytest.raises(ValidationError, match="a share such as"):
        TypeAdapter(Threshold).validate_python(written)
