"""One file, from a real server into a landing bucket: whole and right, or not at all."""

import base64
import gzip
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from awscrt.checksums import crc64nvme

from haul.errors import (
    CorruptFileError,
    DamagedFileError,
    ErrorPageError,
    LedgerBusyError,
    RateLimitedError,
    TruncatedFileError,
)
from haul.models.export import Column, Dataset, Format, RemoteFile
from haul.models.landed import LandedFile
from haul.ports import DownloadSource
from haul.transfer.land import Tuning, land_file
from haul.transfer.sending import Persistence
from haul.transfer.source import Patience
from tests.fakes.file_server import Ending, FileServer, Framing, Reply, file_server
from tests.fakes.landing import FakeLanding

KEY = "raw/people/Employee/run_id=r1/Employee_part0.csv.gz"
COLUMNS = ["id", "name", "_DiffAction_"]
_random = random.Random(7)  # noqa: S311  # bytes that do not compress
CSV = b"id,name,_DiffAction_\n" + b"".join(
    b"%d,%x,%b\n" % (n, _random.getrandbits(64), b"+u-"[n % 3 : n % 3 + 1]) for n in range(9_000)
)
GZIP = gzip.compress(CSV, mtime=0)
PAGE = b"<html><body>Service temporarily unavailable</body></html>"
SMALL = Tuning(
    persistence=Persistence(pause=lambda _: None),
    read_bytes=4_096,
    part_bytes=10_000,
    held_part_bytes=10_000,
    patience=Patience(connect=2, stall=0.3),
)
DATASET = Dataset(
    name="Employee",
    table="Employee",
    columns=[Column(name=name, vendor_type="String", type="string") for name in COLUMNS],
)
FULL = ["gzip", "csv-columns", "rows"]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


class Landed(FakeLanding):
    """A landing bucket, and what `on_upload` was told."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str | None] = []

    def nothing_is_left(self) -> bool:
        return not self.objects and not self.uploads and self.ids in ([], ["upload-1", None])


def land(
    server: FileServer,
    landing: Landed,
    *,
    verify: Literal["full", "length"] = "full",
    sha256: bool = False,
    size: int | None = None,
    tuning: Tuning = SMALL,
    dataset: Dataset = DATASET,
    key: str = KEY,
) -> LandedFile:
    name = key.rpartition("/")[2]
    return land_file(
        lambda: DownloadSource(server.url("/f?signature=abc"), {"apikey": "k3y"}, server.host),
        landing,
        key,
        file=RemoteFile(dataset=dataset.name, name=name, part=0, vendor_file_id=3, vendor_name=name, bytes=size),
        dataset=dataset,
        verify=verify,
        sha256=sha256,
        on_upload=landing.ids.append,
        tuning=tuning,
    )


def pieces() -> Iterator[bytes]:
    for at in range(0, len(GZIP), 777):
        yield GZIP[at : at + 777]


@pytest.mark.parametrize("tuning", [SMALL, Tuning()], ids=["many parts", "one request"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_file_lands_whole_and_is_described(server: FileServer, framing: Framing, tuning: Tuning) -> None:
    landing = Landed()
    server.put("/f", Reply(pieces, framing=framing, headers={"Content-Encoding": "gzip"}))

    landed = land(server, landing, sha256=True, tuning=tuning)

    assert landing.objects[KEY].body == GZIP
    assert landing.objects[KEY].content_type == "application/gzip"
    assert landed == LandedFile.model_validate(
        {
            "uri": f"s3://landing/{KEY}",
            "version_id": "v1",
            "bytes": len(GZIP),
            "bytes_uncompressed": len(CSV),
            "compression": "gzip",
            "rows": 9_000,
            "row_actions": {"+": 3_000, "u": 3_000, "-": 3_000},
            "header": COLUMNS,
            "checksum": {"value": base64.b64encode(crc64nvme(GZIP).to_bytes(8, "big")).decode()},
            "sha256": hashlib.sha256(GZIP).hexdigest(),
            "verified": ["length", *FULL] if framing == "length" else FULL,
        }
    )


def test_an_upload_of_several_parts_is_noted(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(GZIP))

    land(server, landing)

    assert landing.ids == ["upload-1", None]
    assert landing.calls.count("send") == -(-len(GZIP) // 10_000)


def test_length_alone_is_checked_where_that_is_asked(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(GZIP))

    landed = land(server, landing, verify="length")

    assert landing.objects[KEY].body == GZIP
    assert (landed.verified, landed.rows, landed.bytes_uncompressed) == (["length"], None, None)


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_without_a_length_to_check_everything_is(server: FileServer, framing: Framing) -> None:
    server.put("/f", Reply(GZIP, framing=framing))

    assert land(server, Landed(), verify="length").verified == FULL


def test_the_length_may_come_from_the_vendors_list(server: FileServer) -> None:
    server.put("/f", Reply(GZIP, framing="chunked"))

    assert land(server, Landed(), verify="length", size=len(GZIP)).verified == ["length"]


def test_a_file_that_comes_unpacked_loses_its_suffix(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(CSV))

    landed = land(server, landing)

    assert landing.objects.keys() == {KEY.removesuffix(".gz")}
    assert landing.objects[KEY.removesuffix(".gz")].content_type == "text/csv"
    assert (landed.compression, landed.rows, landed.bytes_uncompressed) == ("none", 9_000, len(CSV))
    assert landed.uri == f"s3://landing/{KEY.removesuffix('.gz')}"


def test_unpacked_and_without_any_length_nothing_shows_the_end(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(CSV, framing="close"))

    with pytest.raises(TruncatedFileError, match="nothing shows where it ends"):
        land(server, landing)

    assert landing.nothing_is_left()


type Kind = Literal["csv", "json", "ndjson", "parquet"]

PROFILES = (Path(__file__).parent / "files" / "profiles.parquet").read_bytes()
LINES = b'{"emails":[]}\n' * 9_000
PLAIN: dict[Kind, bytes] = {
    "csv": CSV,
    "json": b"[" + LINES.rstrip().replace(b"\n", b",") + b"]",
    "ndjson": LINES,
    "parquet": PROFILES,
}
FOLDER = "raw/people/export/run_id=r1/"


def announced(kind: Kind, compression: Literal["gzip", "none"] = "none") -> Dataset:
    return Dataset(name="export", table="export", format=Format(type=kind, compression=compression))


@pytest.mark.parametrize(
    ("kind", "content_type", "verified", "rows"),
    [
        ("csv", "text/csv", ["length", "rows"], 9_000),
        ("json", "application/json", ["length", "json", "rows"], 9_000),
        ("ndjson", "application/x-ndjson", ["length", "ndjson", "rows"], 9_000),
        ("parquet", "application/vnd.apache.parquet", ["length", "parquet-footer", "rows"], 10),
    ],
)
@pytest.mark.parametrize("tuning", [SMALL, Tuning()], ids=["many parts", "one request"])
def test_each_format_lands_under_its_name_as_what_it_is(
    *, server: FileServer, kind: Kind, content_type: str, verified: list[str], rows: int, tuning: Tuning
) -> None:
    landing = Landed()
    key = f"{FOLDER}export.{kind}"
    server.put("/f", Reply(PLAIN[kind]))

    landed = land(server, landing, dataset=announced(kind), key=key, size=len(PLAIN[kind]), tuning=tuning)

    assert landing.objects[key].body == PLAIN[kind]
    assert landing.objects[key].content_type == content_type
    assert (landed.uri, landed.compression) == (f"s3://landing/{key}", "none")
    assert (landed.verified, landed.rows) == (verified, rows)
    assert landed.bytes == landed.bytes_uncompressed == len(PLAIN[kind])


def test_the_columns_of_parquet_are_known_once_it_has_landed(server: FileServer) -> None:
    server.put("/f", Reply(PROFILES))

    landed = land(server, Landed(), dataset=announced("parquet"), key=f"{FOLDER}part-0.snappy.parquet")

    assert landed.header == ["_id", "identityMap", "personalEmail", "visits", "lastSeen"]


@pytest.mark.parametrize("name", ["export.json", "export.json.gz"])
def test_gzip_that_nobody_announced_gets_the_suffix_by_which_readers_know_it(server: FileServer, name: str) -> None:
    landing = Landed()
    packed = gzip.compress(PLAIN["json"])
    server.put("/f", Reply(packed, headers={"Content-Encoding": "gzip"}))

    landed = land(server, landing, dataset=announced("json"), key=FOLDER + name)

    assert landing.objects.keys() == {f"{FOLDER}export.json.gz"}
    assert landing.objects[f"{FOLDER}export.json.gz"].content_type == "application/gzip"
    assert (landed.compression, landed.rows, landed.bytes) == ("gzip", 9_000, len(packed))
    assert landed.verified == ["length", "gzip", "json", "rows"]


def test_a_name_says_what_it_says_where_the_file_is_what_was_expected(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(LINES))

    land(server, landing, dataset=announced("ndjson"), key=f"{FOLDER}odd.gz")

    assert landing.objects.keys() == {f"{FOLDER}odd.gz"}


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_packing_is_asked_for_only_where_the_vendor_stores_gzip(
    server: FileServer, compression: Literal["gzip", "none"]
) -> None:
    server.put("/f", Reply(LINES))

    land(server, Landed(), dataset=announced("ndjson", compression))

    assert server.requests[0].headers["accept-encoding"] == {"gzip": "gzip", "none": "identity"}[compression]


@pytest.mark.parametrize("verify", ["full", "length"])
@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_what_shows_its_own_end_needs_no_length(
    server: FileServer, kind: Kind, verify: Literal["full", "length"]
) -> None:
    server.put("/f", Reply(PLAIN[kind], framing="close"))

    landed = land(server, Landed(), dataset=announced(kind), verify=verify)

    assert (landed.bytes, landed.verified[-1]) == (len(PLAIN[kind]), "rows")


@pytest.mark.parametrize("verify", ["full", "length"])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_what_does_not_show_its_end_needs_a_length(
    server: FileServer, kind: Kind, verify: Literal["full", "length"]
) -> None:
    landing = Landed()
    server.put("/f", Reply(PLAIN[kind], framing="close"))

    with pytest.raises(TruncatedFileError, match="nothing shows where it ends"):
        land(server, landing, dataset=announced(kind), verify=verify)

    assert landing.nothing_is_left()


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_what_ends_early_without_any_length_leaves_nothing_behind(server: FileServer, kind: Kind) -> None:
    landing = Landed()
    server.put("/f", Reply(PLAIN[kind][:-100], framing="close"))

    with pytest.raises(TruncatedFileError, match=f"ended after {len(PLAIN[kind]) - 100:,} bytes"):
        land(server, landing, dataset=announced(kind))

    assert landing.nothing_is_left()


@pytest.mark.parametrize("verify", ["full", "length"])
@pytest.mark.parametrize("page", [PAGE, b'{"status":"error","error":"Resource Not Found","error_id":"9eedef5f"}'])
@pytest.mark.parametrize("kind", PLAIN)
def test_an_error_page_lands_as_nothing(
    server: FileServer, kind: Kind, page: bytes, verify: Literal["full", "length"]
) -> None:
    landing = Landed()
    server.put("/f", Reply(page))

    with pytest.raises(ErrorPageError):
        land(server, landing, dataset=announced(kind), verify=verify)

    assert landing.nothing_is_left()


FAULTS: dict[str, tuple[Reply, type[DamagedFileError], str]] = {
    "shorter than announced": (
        Reply(GZIP[:50_000], announced=len(GZIP)),
        TruncatedFileError,
        f"Employee_part0.csv.gz ended after 50,000 of {len(GZIP):,} bytes",
    ),
    "longer than announced": (
        Reply(GZIP, announced=50_000),
        TruncatedFileError,
        "Employee_part0.csv.gz ended after 50,000 bytes, inside a gzip member",
    ),
    "cut at the vendor": (Reply(GZIP[:50_000]), TruncatedFileError, "after 50,000 bytes, inside a gzip member"),
    "closed early without a length": (
        Reply(GZIP[:50_000], framing="close"),
        TruncatedFileError,
        "after 50,000 bytes, inside a gzip member",
    ),
    "closed between chunks": (
        Reply(GZIP[:50_000], framing="chunked", ending="cut"),
        TruncatedFileError,
        "inside a chunk",
    ),
    "chunks ended early": (Reply(GZIP[:50_000], framing="chunked"), TruncatedFileError, "inside a gzip member"),
    "nothing": (Reply(b""), TruncatedFileError, "after 0 bytes"),
    "nothing of what was announced": (Reply(b"", announced=7), TruncatedFileError, "after 0 of 7 bytes"),
    "reset": (Reply(GZIP[:50_000], announced=len(GZIP), ending="reset"), TruncatedFileError, "ended after"),
    "reset without a length": (
        Reply(GZIP[:50_000], framing="close", ending="reset"),
        TruncatedFileError,
        "ended after",
    ),
    "stalled": (
        Reply(GZIP[:50_000], announced=len(GZIP), ending="stall"),
        TruncatedFileError,
        rf"of {len(GZIP):,} bytes: nothing came for 0\.3 s",
    ),
    "stalled in chunks": (
        Reply(GZIP[:50_000], framing="chunked", ending="stall"),
        TruncatedFileError,
        r"bytes: nothing came for 0\.3 s",
    ),
    "a wrong CRC": (Reply(GZIP[:-8] + bytes(8)), CorruptFileError, "damaged within its first"),
    "an error page in its place": (Reply(PAGE), ErrorPageError, "an error page or message came"),
    "an error page in the middle": (Reply(GZIP[:50_000] + PAGE), DamagedFileError, "Employee_part0"),
    "an error page behind the end": (Reply(GZIP + PAGE), CorruptFileError, f"not gzip after {len(GZIP):,} bytes"),
}


@pytest.mark.parametrize("tuning", [SMALL, Tuning(patience=SMALL.patience)], ids=["many parts", "one request"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_whole_or_right_leaves_nothing_behind(
    server: FileServer, fault: str, tuning: Tuning
) -> None:
    reply, error, says = FAULTS[fault]
    landing = Landed()
    server.put("/f", reply)

    with pytest.raises(error, match=says) as caught:
        land(server, landing, tuning=tuning)

    assert landing.nothing_is_left()
    assert not any(secret in str(caught.value) for secret in ("abc", "k3y", "/f", "unavailable"))


LENGTH_FAULTS: dict[str, Ending] = {"cut": "clean", "reset": "reset", "stalled": "stall"}


@pytest.mark.parametrize("ending", LENGTH_FAULTS.values(), ids=LENGTH_FAULTS)
def test_length_alone_finds_what_ends_early(server: FileServer, ending: Ending) -> None:
    landing = Landed()
    server.put("/f", Reply(GZIP[:50_000], announced=len(GZIP), ending=ending))

    with pytest.raises(TruncatedFileError):
        land(server, landing, verify="length")

    assert landing.nothing_is_left()


def test_length_alone_finds_an_error_page(server: FileServer) -> None:
    server.put("/f", Reply(PAGE))

    with pytest.raises(ErrorPageError):
        land(server, Landed(), verify="length")


@pytest.mark.parametrize(
    ("framing", "size", "error", "says"),
    [
        ("length", len(GZIP) + 1, CorruptFileError, f"comes with {len(GZIP):,} bytes where the vendor's list says"),
        ("chunked", len(GZIP) + 1, TruncatedFileError, f"ended after {len(GZIP):,} of {len(GZIP) + 1:,} bytes"),
        ("chunked", len(GZIP) - 1, CorruptFileError, f"has more than the {len(GZIP) - 1:,} bytes"),
    ],
)
@pytest.mark.parametrize("verify", ["full", "length"])
def test_the_vendors_list_is_held_against_what_comes(
    server: FileServer,
    *,
    framing: Framing,
    size: int,
    error: type[DamagedFileError],
    says: str,
    verify: Literal["full", "length"],
) -> None:
    landing = Landed()
    server.put("/f", Reply(GZIP, framing=framing))

    with pytest.raises(error, match=says):
        land(server, landing, size=size, verify=verify)

    assert landing.nothing_is_left()


def test_a_token_that_expired_meanwhile_costs_nothing(server: FileServer) -> None:
    server.put("/f", Reply(status=401), Reply(GZIP))

    assert land(server, Landed()).rows == 9_000


def test_a_vendor_that_asks_for_patience_gets_the_file_asked_for_later(server: FileServer) -> None:
    landing = Landed()
    server.put("/f", Reply(status=429, headers={"Retry-After": "7"}), Reply(GZIP))

    with pytest.raises(RateLimitedError):
        land(server, landing)
    landed = land(server, landing)

    assert landed.rows == 9_000


def test_a_key_that_was_landed_before_gets_a_new_version(server: FileServer) -> None:
    """A try that was cut between the object and its record is made again."""
    landing = Landed()
    server.put("/f", Reply(GZIP))
    land(server, landing)

    assert land(server, landing).version_id == "v2"


@pytest.mark.parametrize("method", ["begin", "send", "complete"])
def test_a_landing_that_is_busy_leaves_nothing_behind(server: FileServer, method: str) -> None:
    landing = Landed()
    landing.failing[method] = [LedgerBusyError("S3 does not take it now (SlowDown)")] * 4
    server.put("/f", Reply(GZIP))

    with pytest.raises(LedgerBusyError):
        land(server, landing)

    assert landing.nothing_is_left()
