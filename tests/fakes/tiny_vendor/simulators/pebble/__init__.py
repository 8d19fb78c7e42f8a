"""Pebble, simulated: `with PebbleSimulator(job_seconds=0.2) as pebble: ...`."""

from infra.local.vendors.pebble.simulator import PebbleSimulator

SIMULATOR = PebbleSimulator

__all__ = ["SIMULATOR", "PebbleSimulator"]
