"""LiquidAnalytics in the demo: attendees by a template and a filter, and again when more have registered."""

from collections.abc import Sequence
from typing import ClassVar

from haul.models.manifest import ExportManifest
from infra.local.vendors.demo import Question, Served, VendorDemo
from infra.local.vendors.liquid import LiquidSimulator

_ATTENDEES, _FURTHER = 60_000, 3_000

_LAST_NAMES = 'SELECT lastName, count(*) AS attendees FROM "Attendee" GROUP BY ALL ORDER BY ALL LIMIT 5'


class LiquidDemo(VendorDemo):
    """A community with its attendees, as CSV in two files."""

    PIPELINE = "liquid-attendees"
    QUESTIONS: ClassVar[Sequence[Question]] = (
        Question("Attendees by last name", _LAST_NAMES),
        Question("The same, after more have registered", _LAST_NAMES, of=1),
    )

    def __init__(self) -> None:
        self.simulator: LiquidSimulator = LiquidSimulator(job_seconds=3, attendees=_ATTENDEES, files=2)

    @staticmethod
    def secret(url: str) -> dict[str, str]:
        return {
            "base_url": url,
            "client_id": "demo",
            "client_secret": "demo",
            "username": "demo",
            "password": "demo",
            "community": "demo",
        }

    @property
    def stock(self) -> str:
        return f"{_ATTENDEES:,} attendees"

    def change(self) -> str:
        self.simulator.configure(attendees=_ATTENDEES + _FURTHER)
        return f"{_FURTHER:,} further attendees have registered"

    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        files = self.simulator.truth(str(manifest.job.id))
        return [Served(name, file.sha256, file.rows) for name, file in files.items()]


DEMO = LiquidDemo
