"""Processes of this machine as /proc shows them: what runs below one, what it holds open, whether it has ended.

Each of them, and each descriptor, may end at any moment, and says nothing then about the others.
"""

import time
from contextlib import suppress
from pathlib import Path


def read(path: str | Path) -> bytes:
    """A file of a process; empty if the process has ended."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def below(ancestor: int) -> set[int]:
    """Every process that descends from `ancestor`."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        if fields := _fields(stat):
            parents[int(stat.parent.name)] = int(fields[1])
    found: set[int] = set()
    new = {ancestor}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


def open_files(pid: int) -> set[str]:
    """What a process holds open, as its descriptors' links name it: a path, or `socket:[INODE]`."""
    names = set()
    for descriptor in Path("/proc").glob(f"{pid}/fd/*"):
        with suppress(OSError):
            names.add(str(descriptor.readlink()))
    return names


def is_running(pid: int) -> bool:
    """Whether there is such a process, and more of it than its remains."""
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return bool(fields) and fields[0] != "Z"


def wait_until_gone(pid: int, *, seconds: float = 20) -> None:
    """Wait for the end of a process that need not be our child."""
    give_up = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < give_up, f"process {pid} still runs"
        time.sleep(0.01)


def _fields(stat: Path) -> list[str]:
    """State, parent and what follows; empty if the process has ended."""
    # The program's name comes before them, in parentheses, and may hold anything.
    return read(stat).rpartition(b")")[2].decode().split()
