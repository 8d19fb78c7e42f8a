"""A vendor as docs/add-a-vendor.md makes one, found beside the real ones while it is `registered`.

Its files stand here as they would in the project's own folders: `models`, `connectors`, `simulators`.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from haul import connectors
from haul.models import vendors as models
from infra.local import vendors as simulators

FOLDER = Path(__file__).parent
NAME = "pebble"

_PLACES = {models: FOLDER / "models", connectors: FOLDER / "connectors", simulators: FOLDER / "simulators"}


@contextmanager
def registered() -> Iterator[None]:
    """Let the tiny vendor be found by its name. Afterwards nothing is left of it."""
    for package, folder in _PLACES.items():
        package.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for package, folder in _PLACES.items():
            package.__path__.remove(str(folder))
            mine = f"{package.__name__}.{NAME}"
            for name in [name for name in sys.modules if name == mine or name.startswith(f"{mine}.")]:
                del sys.modules[name]
            vars(package).pop(NAME, None)
