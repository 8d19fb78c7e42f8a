"""Visier, simulated: `with VisierSimulator(job_seconds=0.2) as visier: ...`."""

from infra.local.vendors.visier.scenarios import VisierKnobs
from infra.local.vendors.visier.simulator import FileTruth, VisierSimulator

SIMULATOR = VisierSimulator

__all__ = ["SIMULATOR", "FileTruth", "VisierKnobs", "VisierSimulator"]
