"""The first code in a function's process: tie it to the one that started it, then become the runtime client.

Run as a script with two arguments: the reading end of a pipe, and the handler's name. Nothing is ever written to the
pipe. Its other end closes with the process that started us, however that ends, and then this process and all that it
started must go too. It imports nothing that it would take away from the function's own start.
"""

import fcntl
import os
import runpy
import signal
import sys


def tie_to(lifeline: int) -> None:
    """Have the whole process group killed when the other end of `lifeline` closes."""
    os.set_inheritable(lifeline, False)  # noqa: FBT003 - takes no keyword
    if sys.platform == "linux":
        # The kernel does it without a thread, whose presence would make every fork in the function a warning.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
        try:
            already_closed = os.read(lifeline, 1) == b""
        except BlockingIOError:
            already_closed = False
        if already_closed:
            os._exit(1)
    else:
        import threading  # noqa: PLC0415 - only where it is needed

        threading.Thread(target=_wait_for_the_end_of, args=(lifeline,), daemon=True).start()


def _wait_for_the_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    tie_to(int(sys.argv[1]))
    sys.argv = ["awslambdaric", sys.argv[2]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
