"""Adobe Experience Platform, simulated: `with AdobeSimulator(job_seconds=0.2) as adobe: ...`."""

from infra.local.vendors.adobe.scenarios import AdobeKnobs
from infra.local.vendors.adobe.simulator import AdobeSimulator, PartTruth

SIMULATOR = AdobeSimulator

__all__ = ["SIMULATOR", "AdobeKnobs", "AdobeSimulator", "PartTruth"]
