"""What the fake vendor takes: a module like those of `haul.models.vendors`, found beside them by the tests."""

from typing import Annotated

from haul.models.base import Written
from haul.models.load import SourceOptions
from haul.models.symbols import Symbols
from haul.models.vendors import Action


class FakeRequest(Written):
    """A version, or the newest."""

    version: Annotated[str, Symbols("@latest", "@upstream.data_version")]
    base: Annotated[str | None, Symbols("@last-published")] = None


class FakeOptions(Written):
    """What Haul does about it."""

    reuse_available_export: bool = True
    spend_reserved_submission: bool = False
    retry_if_retryable: int = 0


class FakeLoadRequest(Written):
    """What is to be loaded."""

    what: Annotated[str, Symbols("@upstream.run_id")]


TITLE = "Fake"

ACTIONS = {
    "export": Action("export", FakeRequest, FakeOptions),
    "load": Action("load", FakeLoadRequest, FakeOptions),
    "import": Action("load", FakeLoadRequest, SourceOptions, takes_source=True),
}
