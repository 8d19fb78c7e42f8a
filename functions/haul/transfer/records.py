"""What a format's reader is to the checks: fed a file in order, it counts rows and refuses what is not its format."""

from collections.abc import Sequence
from typing import Protocol

from haul.errors import CorruptFileError

MAX_RECORD_BYTES = 16 << 20


class Records(Protocol):
    """The records of one file, whatever its format."""

    @property
    def rows(self) -> int: ...

    @property
    def actions(self) -> dict[str, int] | None:
        """Rows by `_DiffAction_`, where there is one."""
        ...

    @property
    def header(self) -> list[str] | None:
        """The columns in the file's order, where the format names them once."""
        ...

    @property
    def verified(self) -> list[str]:
        """What `finish` proves, the way the manifest names it."""
        ...

    def begin(self, start: bytes) -> None:
        """Refuse a file that cannot begin like this. `start` is the whole file or its first 256 KiB."""
        ...

    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def is_page(self, start: bytes, *, refused: bool) -> bool:
        """Tell an error page in place of the file by how it starts.

        Args:
            start: the whole file or a generous beginning.
            refused: it is not of this format anyway. Of what could be the file only the unmistakable is a page.
        """
        ...


def compare_columns(name: str, where: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse columns that are not the wanted ones, in any order. What is there instead is not told: it may be a row."""
    if missing := [column for column in wanted if column not in found]:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise CorruptFileError(f"{name}: its {where} lacks {', '.join(missing[:5])}{more}")
    if len(found) != len(wanted):
        raise CorruptFileError(f"{name}: its {where} has {len(found):,} columns where the export has {len(wanted):,}")
