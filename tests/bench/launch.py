"""Runs one command and prints what it took: `launch.py DESCRIPTOR CGROUP|- COMMAND...`, by `python -I -S`.

A process of its own, because a child's peak memory begins with what its parent had: this one has next to nothing.
It imports nothing but what it needs for the same reason.
"""

import os
import sys
import time


def main(telling: int, group: str, command: list[str]) -> None:
    os.set_inheritable(telling, False)  # noqa: FBT003  # the interface is the system's
    if group != "-":
        descriptor = os.open(f"{group}/cgroup.procs", os.O_WRONLY)
        os.write(descriptor, b"%d" % os.getpid())
        os.close(descriptor)
    began = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.execvp(command[0], command)  # noqa: S606  # a shell would be measured too
        finally:
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    seconds = time.monotonic() - began
    # Linux gives the peak in KiB. It is that of the largest process below, not of all together.
    took = f"{os.waitstatus_to_exitcode(status)} {seconds} {used.ru_utime + used.ru_stime} {used.ru_maxrss * 1024}"
    os.write(telling, took.encode())


main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
