"""How much may go wrong."""

import pytest

from haul.models.threshold import exceeds


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
