"""What the local system must know of a vendor to show it: beside the simulator, found by the vendor's name.

A vendor's package has a module `demo` with `DEMO`, a `VendorDemo`. Whatever differs between vendors is said there, so
a new vendor needs no change in the local system.
"""

import importlib
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from haul.models import pipeline_files
from haul.models.manifest import ExportManifest
from infra.local import vendors
from infra.local.localstack import ROOT
from infra.local.vendors.simulator import VendorSimulator

_PIPELINES = ROOT / "infra" / "pipelines"


class UnknownVendorError(Exception):
    """There is no demo of that vendor; says which there are."""


@dataclass(frozen=True)
class Served:
    """A file as the vendor served it. `dataset` is None where no two datasets have files of one name."""

    name: str
    sha256: str
    rows: int
    dataset: str | None = None


@dataclass(frozen=True)
class Question:
    """What a reader asks of what landed, in DuckDB's SQL: each dataset is a table of its name.

    `of` is the delivery, counted from 0. With `of_each`, it is asked of every dataset that has files: as `{table}`.
    `{mark.to}` in the title is the version that was delivered.
    """

    title: str
    sql: str
    of: int = 0
    of_each: bool = False


class VendorDemo(ABC):
    """A vendor at work for one pipeline: exported by hand, changed, exported again by the pipeline's schedule."""

    PIPELINE: ClassVar[str]
    FOLLOWERS: ClassVar[Sequence[str]] = ()
    """Pipelines that each manifest of `PIPELINE` starts."""
    QUESTIONS: ClassVar[Sequence[Question]]

    simulator: VendorSimulator[Any]

    @abstractmethod
    def __init__(self) -> None:
        """Make the simulator, which need not run yet."""

    @staticmethod
    @abstractmethod
    def secret(url: str) -> dict[str, str]:
        """What the vendor's simulator takes when it is reached at `url`."""

    @property
    @abstractmethod
    def stock(self) -> str:
        """What there is to export: `three data versions`."""

    @abstractmethod
    def change(self) -> str:
        """Have something happen at the vendor that the next export shows, and say what."""

    @abstractmethod
    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        """What the vendor served for the job of a manifest, every file of it."""

    @classmethod
    def connection(cls, environment: str) -> str:
        """The connection that the pipeline uses."""
        return pipeline_files.settled(_PIPELINES / f"{cls.PIPELINE}.yaml", environment).connection


def names() -> list[str]:
    """Every vendor that can be shown."""
    packages = [found.name for found in pkgutil.iter_modules(vendors.__path__) if found.ispkg]
    return [name for name in packages if importlib.util.find_spec(f"{vendors.__name__}.{name}.demo")]


def demo_of(vendor: str) -> type[VendorDemo]:
    """Find a vendor's demo.

    Raises:
        UnknownVendorError: there is none of that name.
    """
    if vendor not in names():
        raise UnknownVendorError(f'there is no demo of "{vendor}"; there are: {", ".join(names())}')
    found: type[VendorDemo] = importlib.import_module(f"{vendors.__name__}.{vendor}.demo").DEMO
    return found
