"""Visier in the demo: a full export of a data version, and the delta to the next."""

from collections.abc import Sequence
from typing import ClassVar

from haul.models.manifest import ExportManifest
from infra.local.vendors.demo import Question, Served, VendorDemo
from infra.local.vendors.visier import VisierSimulator

_FLIGHTS_PER_AIRLINE = """
    SELECT any_value(Airline_Name) AS airline, count(*) AS flights, count(*) FILTER (Cancelled = 'true') AS cancelled,
           round(avg(TRY_CAST(Departure_Delay AS INTEGER)), 1) AS mean_delay_min
    FROM "Flight" LEFT JOIN "Airline" USING (AirlineID)
    GROUP BY AirlineID ORDER BY flights DESC LIMIT 5"""


class VisierDemo(VendorDemo):
    """Three data versions, and a fourth."""

    PIPELINE = "visier-people"
    FOLLOWERS = ("visier-people-snapshot",)
    QUESTIONS: ClassVar[Sequence[Question]] = (
        Question("Flights per airline, of data version {mark.to}", _FLIGHTS_PER_AIRLINE),
        Question(
            "Rows by _DiffAction_, from {mark.from_} to {mark.to}",
            "SELECT _DiffAction_ AS action, count(*) AS rows FROM {table} GROUP BY ALL ORDER BY ALL",
            of=1,
            of_each=True,
        ),
    )

    def __init__(self) -> None:
        self.simulator: VisierSimulator = VisierSimulator(job_seconds=3, published=3)

    @staticmethod
    def secret(url: str) -> dict[str, str]:
        return {"base_url": url, "username": "demo", "password": "demo", "api_key": "demo", "vanity_name": "demo"}

    @property
    def stock(self) -> str:
        return "three data versions"

    def change(self) -> str:
        return f"Visier has made data version {self.simulator.publish()}"

    def served(self, manifest: ExportManifest) -> Sequence[Served]:
        files = self.simulator.truth(str(manifest.job.result_id))
        return [Served(name, file.sha256, file.rows) for name, file in files.items()]


DEMO = VisierDemo
