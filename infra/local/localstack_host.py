"""LocalStack's own process: runs in LocalStack's environment, as a script, and imports nothing of ours.

Arguments: the folder that LocalStack may write to, and `attached` or `detached`. Attached, standard input is a pipe
whose other end closes with whoever started us, however that ends; LocalStack then ends too. However LocalStack ends,
its folder goes with it.
"""

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

# How long LocalStack may take to stop its services before it is made to.
_STOP_SECONDS = 8


def _end_with_the_starter(folder: Path) -> None:
    os.read(0, 1)
    _end_soon(folder)


def _end_soon(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)  # the functions' processes end with ours by themselves


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2] == "attached":
        threading.Thread(target=_end_with_the_starter, args=(folder,), daemon=True).start()
    from localstack.runtime.main import main as run  # noqa: PLC0415 - takes seconds; the pipe is watched from the start

    try:
        run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.flush()
        os._exit(0)  # past threads of LocalStack's that would keep the process


if __name__ == "__main__":
    main()
