"""Violence against the functions' processes: found below LocalStack, then killed or held still, by their ids."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.localstack import LocalStack
from infra.local.stack import Stack
from infra.local.vendors.simulator import VendorSimulator

_ESTABLISHED = "01"


def kill_caller(localstack: LocalStack, vendor: VendorSimulator[Any], function: str) -> None:
    """Kill the process of a function, named as Lambda names it, that has a connection to the simulator."""
    port = urlsplit(vendor.url).port or 0
    callers = [pid for pid in processes_of(localstack, function) if _is_connected(pid, port)]
    assert len(callers) == 1, f"{len(callers)} processes of {function} are connected to {vendor.url}"
    os.kill(callers[0], signal.SIGKILL)


@contextmanager
def held_still(localstack: LocalStack, function: str) -> Iterator[None]:
    """Stop every process of a function where it stands, until the end of the block."""
    pids = processes_of(localstack, function)
    assert pids, f"no process of {function} lives"
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def warm_up(stack: Stack, module: str) -> None:
    """Have a process of the function live: an event that it refuses starts one."""
    stack.invoke(module, {})


def processes_of(localstack: LocalStack, function: str) -> list[int]:
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    return [pid for pid in _below(localstack.pid) if wanted in _read(f"/proc/{pid}/environ").split(b"\0")]


def _below(ancestor: int) -> list[int]:
    """Every process that descends from `ancestor`."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # The program's name, in parentheses, may hold anything; state and parent come after it.
        fields = _read(stat).rpartition(b")")[2].split()
        if fields:
            parents[int(stat.parent.name)] = int(fields[1])
    found, new = [ancestor], [ancestor]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        found += new
    return found[1:]


def _is_connected(pid: int, port: int) -> bool:
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                sockets.add(found[1])
    return not sockets.isdisjoint(_sockets_to(port))


def _sockets_to(port: int) -> set[str]:
    """The inodes of the established connections to a port of this machine."""
    remote = f":{port:04X}"
    rows = (line.split() for line in _read("/proc/net/tcp").decode().splitlines()[1:])
    return {row[9] for row in rows if row[2].endswith(remote) and row[3] == _ESTABLISHED}


def _read(path: str | Path) -> bytes:
    """A file of a process, which may have ended."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
