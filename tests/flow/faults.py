"""Violence against the functions' processes: found below LocalStack, then killed or held still, by their ids."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from infra.local.localstack import LocalStack
from infra.local.stack import Stack
from infra.local.vendors.simulator import VendorSimulator
from tests.processes import below, open_files, read

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
    return [pid for pid in below(localstack.pid) if wanted in read(f"/proc/{pid}/environ").split(b"\0")]


def _is_connected(pid: int, port: int) -> bool:
    return not open_files(pid).isdisjoint(_sockets_to(port))


def _sockets_to(port: int) -> set[str]:
    """The sockets of the established connections to a port of this machine, named as descriptors name them."""
    remote = f":{port:04X}"
    rows = (line.split() for line in read("/proc/net/tcp").decode().splitlines()[1:])
    return {f"socket:[{row[9]}]" for row in rows if row[2].endswith(remote) and row[3] == _ESTABLISHED}
