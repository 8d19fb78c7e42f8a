"""The layers of a function, merged as AWS merges them under /opt: in their order, a later file over an earlier one."""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Merged:
    folder: Path
    users: set[str] = field(default_factory=set)


class Layers:
    """Merged trees, each shared by the functions that have the same layers, and removed with the last of them.

    Shared, so that a module is compiled for the first function that imports it and not for each.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._merged: dict[tuple[Path, ...], _Merged] = {}

    def take(self, user: str, unpacked: Sequence[Path]) -> Path | None:
        """The tree of these unpacked layers, made if it is not there; `user` needs it until it gives it back."""
        if not unpacked:
            return None
        with self._lock:
            merged = self._merged.get(tuple(unpacked))
            if merged is None:
                merged = self._merged[tuple(unpacked)] = _Merged(_merge(unpacked))
            merged.users.add(user)
            return merged.folder

    def give_back(self, user: str) -> None:
        with self._lock:
            for layers, merged in list(self._merged.items()):
                merged.users.discard(user)
                if not merged.users:
                    del self._merged[layers]
                    shutil.rmtree(merged.folder, ignore_errors=True)


def _merge(unpacked: Sequence[Path]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lambda-opt-"))
    for layer in unpacked:
        for source in layer.rglob("*"):
            target = folder / source.relative_to(layer)
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                # Both lie in the same temporary folder, so nothing is copied.
                target.hardlink_to(source)
    return folder
