"""LocalStack's own process: runs in LocalStack's environment, as a script, and imports nothing of ours.

Arguments: the folder that LocalStack may write to, and `attached` or `detached`. Attached, standard input is a pipe
whose other end closes with whoever started us, however that ends; LocalStack then ends too. However LocalStack is
told to end, its folder goes with it.
"""

import os
import shutil
import sys
import threading
from pathlib import Path


def _end_with_the_starter(folder: Path) -> None:
    os.read(0, 1)
    _end(folder)


def _end(folder: Path) -> None:
    """End at once: stopping each service takes seconds, and nothing of it is kept.

    The functions' processes hang on pipes of ours, and end when we do.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2] == "attached":
        threading.Thread(target=_end_with_the_starter, args=(folder,), daemon=True).start()
    from localstack.runtime.main import main as run  # noqa: PLC0415 - takes seconds; the pipe is watched from the start
    from localstack.runtime.runtime import LocalstackRuntime  # noqa: PLC0415

    # What its signal handlers call.
    LocalstackRuntime.exit = lambda *_: _end(folder)
    try:
        run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
