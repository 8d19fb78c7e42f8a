"""What the demo tenant knows: its tables as they were in each data version.

The rows are real (see `data/README.md`); what happens to them from version to version is made here:

    7000001  the first: 1 to 14 January
    7000002  rows: four more days of flights, arrivals corrected, cancellations deleted, planes in, changed and out
    7000003  nothing changed
    7000004  rows and structure: Plane.Built becomes a date, Plane loses Cruise_Speed and gains Wide_Body, Flight gains
             On_Time; Diversion is new, Heliport is gone
    7000005  rows, and Heliport is back; not listed until it is published
    7000006  nothing changed; not listed until it is published

Airport never changes, and Cargo_Claim is always empty.
"""

import csv
import gzip
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"
_YEAR = 2013

type Row = tuple[str, ...]  # fields as they stand in the CSV file


@dataclass(frozen=True)
class Column:
    name: str
    data_type: str = "String"
    key: bool = False
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """Rows by primary key, whose columns come first."""

    name: str
    columns: tuple[Column, ...]
    rows: Mapping[Row, Row]

    @property
    def key_size(self) -> int:
        return sum(column.key for column in self.columns)


type Tables = Mapping[str, Table]

NUMBERS = tuple(range(7000001, 7000007))
"""The data versions that have tables of their own, in the order of creation."""


def tables(number: int) -> Tables:
    """The tables as of data version `number`."""
    return _VERSIONS[number]()


def _key(name: str, data_type: str = "String") -> Column:
    return Column(name, data_type, key=True, nullable=False)


def _table(name: str, columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    columns = tuple(columns)
    size = sum(column.key for column in columns)
    return Table(name, columns, {row[:size]: row for row in rows})


def _edited(table: Table, edit: Callable[[Row], Row | None], added: Iterable[Row] = ()) -> Table:
    """The table with every row edited (None: deleted), and with rows added."""
    kept = [row for row in map(edit, table.rows.values()) if row is not None]
    return _table(table.name, table.columns, [*kept, *added])


def _changed(row: Row, **fields: str) -> Row:
    """The row with the fields at the given places (`_7="x"`) replaced."""
    places = {int(place[1:]): value for place, value in fields.items()}
    return tuple(places.get(at, value) for at, value in enumerate(row))


def _day(day: int) -> str:
    return _epoch_ms(datetime(_YEAR, 1, day, tzinfo=UTC))


def _epoch_ms(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _flag(value: object) -> str:
    return "true" if value else "false"


def _read(name: str) -> list[dict[str, str]]:
    with gzip.open(_DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@cache
def _flights() -> list[Row]:
    """Every departure, numbered within its aircraft and date."""
    rows, seen = list[Row](), dict[tuple[str, str], int]()
    for flight in _read("flights"):
        subject = (flight["tailnum"], _day(int(flight["day"])))
        seen[subject] = seen.get(subject, -1) + 1
        rows.append(
            (
                *subject,
                str(seen[subject]),
                flight["carrier"],
                flight["flight"],
                flight["origin"],
                flight["dest"],
                _epoch_ms(datetime.fromisoformat(flight["time_hour"])),
                flight["dep_delay"],
                flight["arr_delay"],
                flight["air_time"],
                flight["distance"],
                _flag(not flight["dep_time"]),
            )
        )
    return rows


_FLIGHT = (
    _key("PlaneID"),
    _key("Flight_Date", "Date"),
    _key("EventIndexOnDate", "Integer"),
    Column("AirlineID", nullable=False),
    Column("Flight_Number", "Integer", nullable=False),
    Column("Origin", nullable=False),
    Column("Destination", nullable=False),
    Column("Scheduled_Hour", "Date"),
    Column("Departure_Delay", "Integer"),
    Column("Arrival_Delay", "Integer"),
    Column("Air_Time", "Integer"),
    Column("Distance", "Number"),
    Column("Cancelled", "Boolean", nullable=False),
)
_DATE, _CARRIER, _DEPARTED_LATE, _ARRIVED_LATE, _AIR_TIME, _CANCELLED = 1, 3, 8, 9, 10, 12

_PLANE = (
    _key("PlaneID"),
    Column("Built", "Integer"),
    Column("Plane_Type"),
    Column("Manufacturer"),
    Column("Model"),
    Column("Engines", "Integer"),
    Column("Seats", "Integer"),
    Column("Cruise_Speed", "Integer"),
    Column("Engine_Type"),
)

_NOTES = [  # what breaks naive readers of CSV
    "Returned to gate",
    "Oil, hydraulics, tyres",
    'Captain said "no fuel"',
    "First line\nsecond line\r\nthird, with a comma",
    "",
    "Zürich → São Paulo, café à bord, 東京 ✈",
    " leading and trailing space ",
    '"',
    "=1+1",
    "N/A",
    "tab\there; semicolon; 'apostrophe'",
    'a "quoted"\nnewline, ""twice""',
    "Ne\u0301e d\u00e9compos\u00e9e \U0001f6eb",
]


def _flights_of(first: int, last: int) -> list[Row]:
    days = {_day(day) for day in range(first, last + 1)}
    return [row for row in _flights() if row[_DATE] in days]


def _planes(*, late: bool) -> list[Row]:
    """The aircraft; those known only from the second version on if `late`, else the others."""
    rows = [tuple(plane.values()) for plane in _read("planes")]
    return [row for row in rows if row[0].endswith("WN") is late]


def _airlines(*, late: bool) -> list[Row]:
    return [(row["carrier"], row["name"]) for row in _read("airlines") if (row["carrier"] == "VX") is late]


def _airport_rows() -> list[Row]:
    return [
        (a["faa"], a["name"], a["lat"], a["lon"], a["alt"], a["tz"], _flag(a["dst"] == "A"), a["tzone"])
        for a in _read("airports")
    ]


def _heliports() -> Table:
    return _table(
        "Heliport",
        [_key("AirportID"), Column("Heliport_Name")],
        [row[:2] for row in _airport_rows() if "heliport" in row[1].lower()],
    )


def _notes() -> Table:
    planes = [row[0] for row in _planes(late=False)]
    return _table(
        "Plane_Note",
        [_key("NoteID"), Column("PlaneID"), Column("Author"), Column("Note")],
        [
            (f"n{at:03}", planes[at * 7], "" if at % 4 else "Ground crew, JFK", _NOTES[at % len(_NOTES)])
            for at in range(3 * len(_NOTES))
        ],
    )


@cache
def _first() -> Tables:
    made = [
        _table("Airline", [_key("AirlineID"), Column("Airline_Name")], _airlines(late=False)),
        _table(
            "Airport",
            [
                _key("AirportID"),
                Column("Airport_Name"),
                Column("Latitude", "Number"),
                Column("Longitude", "Number"),
                Column("Altitude_Ft", "Integer"),
                Column("UTC_Offset", "Integer"),
                Column("Daylight_Saving", "Boolean"),
                Column("Time_Zone"),
            ],
            _airport_rows(),
        ),
        _table("Plane", _PLANE, _planes(late=False)),
        _table("Flight", _FLIGHT, _flights_of(1, 14)),
        _notes(),
        _heliports(),
        _table("Cargo_Claim", [_key("ClaimID"), Column("Claimed_On", "Date"), Column("Amount", "Number")], []),
    ]
    return {table.name: table for table in made}


@cache
def _second() -> Tables:
    def flight(row: Row) -> Row | None:
        if row[_CANCELLED] == "true" and row[_DATE] == _day(1):
            return None
        if row[_DATE] == _day(14) and row[_CARRIER] == "UA" and row[_ARRIVED_LATE]:
            return _changed(row, _9=str(int(row[_ARRIVED_LATE]) + 1))
        return row

    def plane(row: Row) -> Row | None:
        if not row[1]:
            return None
        return _changed(row, _3="AIRBUS") if row[3] == "AIRBUS INDUSTRIE" else row

    def note(row: Row) -> Row | None:
        if row[0] == "n004":
            return None
        return _changed(row, _3='Updated:\n"done", says l\'équipe') if row[0] == "n001" else row

    def airline(row: Row) -> Row | None:
        if row[0] == "HA":
            return None
        return _changed(row, _1="American Airlines Inc. (formerly US Airways)") if row[0] == "US" else row

    before = dict(_first())
    return before | {
        "Airline": _edited(before["Airline"], airline, _airlines(late=True)),
        "Plane": _edited(before["Plane"], plane, _planes(late=True)),
        "Flight": _edited(before["Flight"], flight, _flights_of(15, 18)),
        "Plane_Note": _edited(before["Plane_Note"], note, [("n900", "N102UW", "", "Neu:\n„geprüft“")]),
    }


@cache
def _fourth() -> Tables:
    before = dict(_second())
    del before["Heliport"]
    plane_columns = [
        *(replace(column, data_type="Date") if column.name == "Built" else column for column in _PLANE[:7]),
        _PLANE[8],
        Column("Wide_Body", "Boolean"),
    ]
    flights = _edited(before["Flight"], lambda row: None if row[_DATE] == _day(2) else row, _flights_of(19, 21))
    diversions = ((*row[:3], row[6]) for row in _flights_of(1, 21) if row[_DEPARTED_LATE] and not row[_AIR_TIME])
    made = [
        _table(
            "Plane",
            plane_columns,
            (
                (row[0], _built(row[1]), *row[2:7], row[8], _flag(int(row[6] or 0) >= 250))
                for row in before["Plane"].rows.values()
            ),
        ),
        _table("Flight", (*_FLIGHT, Column("On_Time", "Boolean")), map(_with_on_time, flights.rows.values())),
        _table("Diversion", (*_FLIGHT[:3], _FLIGHT[6]), diversions),
        _edited(before["Airline"], lambda row: _changed(row, _1="ExpressJet") if row[0] == "EV" else row),
    ]
    return before | {table.name: table for table in made}


@cache
def _fifth() -> Tables:
    before = dict(_fourth())
    added = map(_with_on_time, _flights_of(22, 24))
    return before | {
        "Flight": _edited(before["Flight"], lambda row: None if row[_DATE] == _day(3) else row, added),
        "Airline": _edited(before["Airline"], lambda row: None if row[0] == "OO" else row),
        "Heliport": _heliports(),
    }


def _built(year: str) -> str:
    return _epoch_ms(datetime(int(year), 1, 1, tzinfo=UTC)) if year else ""


def _with_on_time(row: Row) -> Row:
    return (*row, _flag(int(row[_ARRIVED_LATE]) <= 0) if row[_ARRIVED_LATE] else "")


_VERSIONS: Mapping[int, Callable[[], Tables]] = dict(
    zip(NUMBERS, (_first, _second, _second, _fourth, _fifth, _fifth), strict=True)
)
