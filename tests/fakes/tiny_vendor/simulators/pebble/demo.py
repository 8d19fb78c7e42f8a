"""Pebble in the demo: its orders, and again when there are more."""

from collections.abc import Sequence
from typing import ClassVar

from haul.models.manifest import ExportManifest
from infra.local.vendors.demo import Question, Served, VendorDemo
from infra.local.vendors.pebble import PebbleSimulator


class PebbleDemo(VendorDemo):
    """A table of orders."""

    PIPELINE = "pebble-orders"
    QUESTIONS: ClassVar[Sequence[Question]] = (
        Question("Orders", "SELECT count(*) AS orders, sum(amount::int) AS amount FROM orders"),
    )

    def __init__(self) -> None:
        self.simulator: PebbleSimulator = PebbleSimulator(job_seconds=3)

    @staticmethod
    def secret(url: str) -> dict[str, str]:
        return {"base_url": url, "key": "demo"}

    @property
    def stock(self) -> str:
        return "1,000 orders"

    def change(self) -> str:
        self.simulator.configure(rows=1100)
        return "100 further orders have come in"

    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        job = str(manifest.job.id)
        return [Served("orders.csv", self.simulator.truth(job), manifest.totals.rows or 0)]


DEMO = PebbleDemo
