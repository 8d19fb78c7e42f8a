"""Stories that go on beside each other: each an execution of a customer's, begun early and looked at later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.stack import Execution
from tests.flow.customer import Customer, Runs


@dataclass(frozen=True)
class Story[C: Runs = Customer]:
    """A customer and its first execution."""

    customer: C
    arn: str

    @property
    def end(self) -> Execution:
        """How the execution ended; waits for it."""
        return self.customer.stack.wait(self.arn, timeout=120)


class Stories[C: Runs = Customer](dict[str, Story[C]]):
    """Stories by name. Only so many go on at once: each of them starts processes, which do not all fit on a machine."""

    def __init__(self, *, at_once: int) -> None:
        super().__init__()
        self._at_once = at_once

    def begin(self: "Stories", name: str, customer: Customer, request: Mapping[str, str], **fields: Any) -> None:
        self.tell(name, customer, lambda: customer.start(dict(request), **fields))

    def tell(self, name: str, customer: C, start: Callable[[], str]) -> None:
        """Begin with an execution that `start` starts, as soon as there is room for it."""
        if len(self) >= self._at_once:
            customer.stack.until(self._going_on, lambda number: number < self._at_once, timeout=120)
        self[name] = Story(customer, start())

    def _going_on(self) -> int:
        looks = (story.customer.stack.look(story.arn) for story in self.values())
        return sum(seen.status == "RUNNING" for seen in looks)
