"""mediarithmics, simulated: `with MediarithmicsSimulator(job_seconds=0.2) as mics: ...`."""

from infra.local.vendors.mediarithmics.scenarios import MediarithmicsKnobs
from infra.local.vendors.mediarithmics.simulator import FileTruth, MediarithmicsSimulator

SIMULATOR = MediarithmicsSimulator

__all__ = ["SIMULATOR", "FileTruth", "MediarithmicsKnobs", "MediarithmicsSimulator"]
