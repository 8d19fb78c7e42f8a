"""Processes that outlive the command that started them: remembered, recognised and ended."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process by its id and the time it began: an id alone is given to another one day."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        return cls(pid, _began(pid) or "")

    @property
    def is_alive(self) -> bool:
        return bool(self.began) and _began(self.pid) == self.began

    def end(self, *, seconds: float = 12) -> None:
        """Ask it to end, and after a while make it. Nothing happens to another process of that id."""
        if not self.is_alive:
            return
        give_up = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            while self.is_alive and time.monotonic() < give_up:
                time.sleep(0.05)
            if self.is_alive:
                os.kill(self.pid, signal.SIGKILL)


def _began(pid: int) -> str | None:
    """When the process began, in whatever way this system tells; None if there is none, or only its remains."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name of the program, in parentheses, may hold anything; state and start time come after it.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None
