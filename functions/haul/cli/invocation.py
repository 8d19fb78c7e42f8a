"""One call of `haul`: which environment, what kind of output, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from haul.cli.failures import EXPECTED, CommandError, Exit, explain
from haul.cli.output import Output

if TYPE_CHECKING:
    from haul.cli.deployment import Deployment


def _find(environment: str) -> "Deployment":
    from haul.cli import deployment  # noqa: PLC0415 - boto3 and all models: `haul validate` does without

    return deployment.find(environment)


@dataclass
class Invocation:
    """What stands before the subcommand, completed by what stands after it. `find` looks an environment up."""

    environment: str | None = None
    as_json: bool = False
    find: Callable[[str], "Deployment"] = _find

    def output(self) -> Output:
        return Output(as_json=self.as_json)

    def deployment(self) -> "Deployment":
        if self.environment is None:
            raise CommandError(
                "which environment?", exit_code=Exit.USAGE, hint="--env NAME, or once for all: export HAUL_ENV=NAME"
            )
        return self.find(self.environment)

    def run(self, act: Callable[[Output], int]) -> int:
        """Do it; what was to be expected becomes a sentence and an exit status, what was not a traceback."""
        out = self.output()
        try:
            return act(out)
        except EXPECTED as error:
            explained = explain(error)
            out.problem(explained.name, explained.message, hint=explained.hint)
            return explained.exit_code
