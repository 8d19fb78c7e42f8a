"""LiquidAnalytics, simulated: `with LiquidSimulator(job_seconds=0.2) as liquid: ...`."""

from infra.local.vendors.liquid.scenarios import LiquidKnobs
from infra.local.vendors.liquid.simulator import FileTruth, LiquidSimulator

SIMULATOR = LiquidSimulator

__all__ = ["SIMULATOR", "FileTruth", "LiquidKnobs", "LiquidSimulator"]
