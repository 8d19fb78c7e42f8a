"""Compiling what is deployed: it lies in read-only folders, so Lambda would do it again at each cold start."""

import compileall
import py_compile
import sys
from pathlib import Path

from haul.errors import HaulError

PYTHON = "3.13"


class OtherPythonError(HaulError):
    """This is not the Python that functions run on, which would not take its bytecode."""


def compile_tree(root: Path, *, at: str) -> None:
    """Compile every module below `root`, which will lie at `at`.

    Unchecked, because what is deployed has no times of its own.

    Raises:
        OtherPythonError: this is another Python.
    """
    if sys.version_info[:2] != tuple(map(int, PYTHON.split("."))):
        raise OtherPythonError(
            f"functions run on Python {PYTHON} and are compiled by it; this is {sys.version.split()[0]}"
        )
    compileall.compile_dir(
        root,
        quiet=1,
        stripdir=str(root),
        prependdir=at,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
