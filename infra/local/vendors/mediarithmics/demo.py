"""mediarithmics in the demo: whoever a query finds, and again when it finds more."""

from collections.abc import Sequence
from typing import ClassVar

from haul.models.manifest import ExportManifest
from infra.local.vendors.demo import Question, Served, VendorDemo
from infra.local.vendors.mediarithmics import MediarithmicsSimulator

_POINTS, _FURTHER = 60_000, 3_000

_ADDRESSES = """
    SELECT count(*) AS user_points, count(*) FILTER (len(emails) > 0) AS with_address,
           count(DISTINCT emails[1].id) AS addresses
    FROM "export" """


class MediarithmicsDemo(VendorDemo):
    """The user points of a segment, as lines of JSON."""

    PIPELINE = "mics-active-emails"
    QUESTIONS: ClassVar[Sequence[Question]] = (
        Question("User points and their addresses", _ADDRESSES),
        Question("The same, after more have entered the segment", _ADDRESSES, of=1),
    )

    def __init__(self) -> None:
        self.simulator: MediarithmicsSimulator = MediarithmicsSimulator(job_seconds=3, rows=_POINTS)

    @staticmethod
    def secret(url: str) -> dict[str, str]:
        return {"base_url": url, "api_token": "demo"}

    @property
    def stock(self) -> str:
        return f"{_POINTS:,} user points in the segment"

    def change(self) -> str:
        self.simulator.configure(rows=_POINTS + _FURTHER)
        return f"{_FURTHER:,} further user points have entered the segment"

    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        execution = str(manifest.job.id).rpartition("/")[2]
        return [Served(name, file.sha256, file.rows) for name, file in self.simulator.truth(execution).items()]


DEMO = MediarithmicsDemo
