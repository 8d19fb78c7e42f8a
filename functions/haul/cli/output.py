"""What a command says: lines for people, or with `--json` one document and nothing else on standard output."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

type Cell = str | Text

_GAP = "  "


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = _console(stderr=as_json)
        self._problems = _console(stderr=True)

    def say(self, text: Cell = "", style: str = "") -> None:
        """A line for people; with `--json` nobody reads it."""
        if not self.as_json:
            self.console.print(text, style=style or None, soft_wrap=True)

    def progress(self, text: Cell) -> None:
        """A line about what goes on, also with `--json`: it goes to standard error then."""
        self.console.print(text, soft_wrap=True)

    def table(self, rows: Sequence[Sequence[Cell]], *, header: Sequence[str] = (), indent: str = "") -> None:
        for line in columns(rows, header=header):
            self.say(Text(indent) + line)

    def document(self, value: Any) -> None:
        """The one JSON document of this command; without `--json` it is not shown."""
        if self.as_json:
            self.print_json(value)

    def print_json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")

    def problem(self, name: str, message: str, *, hint: str | None = None) -> None:
        self.document({"error": {"name": name, "message": message, "hint": hint}})
        self._problems.print(Text.assemble(("haul: ", "bold red"), message), soft_wrap=True)
        if hint:
            self._problems.print(Text(f"  {hint}"), soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    # What vendors and people wrote is shown as it is: brackets are no markup, numbers no highlights.
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def columns(rows: Sequence[Sequence[Cell]], *, header: Sequence[str] = ()) -> list[Text]:
    """Align cells in columns, whatever the width of the terminal: lines can be searched and piped."""
    lines = [[Text(name, style="bold") for name in header]] if header else []
    lines += [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*lines, strict=True)]
    return [_aligned(line, widths) for line in lines]


def _aligned(line: Sequence[Text], widths: Sequence[int]) -> Text:
    text = Text(_GAP).join(
        cell + Text(" " * (width - cell_len(cell.plain))) for cell, width in zip(line, widths, strict=True)
    )
    text.rstrip()
    return text
