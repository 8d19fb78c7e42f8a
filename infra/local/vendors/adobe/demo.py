"""Adobe Experience Platform in the demo: two segments, and then those of them who have come in since."""

from collections.abc import Sequence
from typing import ClassVar

from haul.models.manifest import ExportManifest
from infra.local.vendors.adobe import AdobeSimulator
from infra.local.vendors.demo import Question, Served, VendorDemo

_PROFILES, _FURTHER = 20_000, 5_000

_MEMBERS = """
    WITH found AS (SELECT coalesce(personalEmail.address, '') AS address FROM {table})
    SELECT count(*) AS profiles, count(DISTINCT address) AS addresses, min(address) AS first FROM found"""


class AdobeDemo(VendorDemo):
    """Profiles of two segments, each a dataset of its own, as Parquet."""

    PIPELINE = "adobe-loyal-customers"
    QUESTIONS: ClassVar[Sequence[Question]] = (
        Question("Profiles of each segment", _MEMBERS, of_each=True),
        Question("Profiles of each segment that have come in since", _MEMBERS, of=1, of_each=True),
    )

    def __init__(self) -> None:
        self.simulator: AdobeSimulator = AdobeSimulator(job_seconds=3, profiles=_PROFILES)

    @staticmethod
    def secret(url: str) -> dict[str, str]:
        return {
            "base_url": url,
            "ims_url": url,
            "client_id": "demo",
            "client_secret": "demo",
            "org_id": "demo@AdobeOrg",
            "sandbox": "prod",
            "scopes": "openid,session",
        }

    @property
    def stock(self) -> str:
        return f"{_PROFILES:,} profiles"

    def change(self) -> str:
        self.simulator.ingest(_FURTHER)
        return f"{_FURTHER:,} further profiles have come in"

    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        return [
            Served(part.name, part.sha256, part.rows, f"segment={part.segment_id}")
            for part in self.simulator.truth(str(manifest.job.id))
        ]


DEMO = AdobeDemo
