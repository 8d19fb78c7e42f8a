"""The error tree: names that state machine, records, advice and runbook share."""

import re
from collections.abc import Iterator

import pytest

from haul import errors, notices
from haul.errors import HaulError, PermanentError, TransientError

BRANCH = re.compile(r"^ {4}(?P<stem>[ │]*[├└]── )?(?P<name>\w+Error)\b", re.MULTILINE)


def drawn() -> list[tuple[int, str]]:
    """Each name of the module docstring's tree, and how deep it hangs."""
    tree = (errors.__doc__ or "").partition("A state machine")[0]
    return [(len(match["stem"] or "") // 4, match["name"]) for match in BRANCH.finditer(tree)]


def defined(kind: type[HaulError] = HaulError, depth: int = 0) -> Iterator[tuple[int, str]]:
    if kind.__module__ == errors.__name__:
        yield depth, kind.__name__
        for sub in kind.__subclasses__():
            yield from defined(sub, depth + 1)


def leaves(kind: type[HaulError]) -> list[type[HaulError]]:
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]


def test_the_tree_that_is_drawn_is_the_tree_that_there_is() -> None:
    assert drawn() == list(defined())


def test_every_name_is_unique_and_says_that_it_is_an_error() -> None:
    names = [name for _, name in defined()]

    assert len(set(names)) == len(names)
    assert all(name.endswith("Error") for name in names)


def test_every_error_is_either_worth_another_try_or_not() -> None:
    assert HaulError.__subclasses__()[:2] == [TransientError, PermanentError]
    assert not set(errors.names_of(TransientError)) & set(errors.names_of(PermanentError))


def test_names_are_spelled_from_the_top_down() -> None:
    assert errors.names_of(errors.DamagedFileError) == [
        "DamagedFileError",
        "TruncatedFileError",
        "CorruptFileError",
        "ErrorPageError",
        "FileChangedError",
    ]


@pytest.mark.parametrize("name", [name for _, name in defined()])
def test_a_kept_name_finds_its_class(name: str) -> None:
    assert errors.by_name(name) is getattr(errors, name)


def test_an_unknown_name_finds_nothing() -> None:
    assert errors.by_name("States.Timeout") is None
    assert errors.by_name("TruncatedFileError", PermanentError) is None


def test_lambdas_own_names_are_none_of_ours() -> None:
    assert not set(errors.INFRASTRUCTURE_ERRORS) & set(errors.names_of(HaulError))
    assert len(set(errors.INFRASTRUCTURE_ERRORS)) == len(errors.INFRASTRUCTURE_ERRORS)


def test_there_is_advice_for_every_error_that_can_reach_a_person_and_for_no_other() -> None:
    """The names above the leaves only group them: nothing raises them."""
    reaching = {leaf.__name__ for kind in (TransientError, PermanentError) for leaf in leaves(kind)}

    assert set(notices.ADVICE) == reaching


def test_an_error_with_facts_survives_being_told() -> None:
    slow = errors.RateLimitedError("the vendor asked us to slow down", retry_after=30)
    lost = errors.VendorUnavailableError("no connection", sent=False)

    assert (str(slow), slow.retry_after) == ("the vendor asked us to slow down", 30)
    assert (str(lost), lost.sent) == ("no connection", False)
    assert errors.VendorUnavailableError("the answer was lost").sent
