"""Files whose ranges are proved: streamed, mended, shared, continued, and never two versions in one object."""

import base64
import gzip
import hashlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest
from awscrt.checksums import crc64nvme
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import (
    CorruptFileError,
    CredentialsRefusedError,
    FileChangedError,
    HaulError,
    LandingNotWritableError,
    LedgerBusyError,
    RateLimitedError,
    TruncatedFileError,
)
from haul.models.export import Column, Dataset, RemoteFile
from haul.models.landed import LandedFile, Progress
from haul.ports import DownloadSource, OutOfTimeError
from haul.transfer.land import Tuning, land_file
from haul.transfer.links import Network
from haul.transfer.mover import Layout, _Shares
from haul.transfer.sending import Persistence
from haul.transfer.source import Patience
from tests.fakes.file_server import FileServer, Reply, file_server
from tests.fakes.landing import FakeLanding
from tests.fakes.memory_store import KilledError
from tests.fakes.ranged_file import Honesty, RangedFile

KEY = "raw/people/Employee/run_id=r1/Employee_part0.csv.gz"
COLUMNS = ["id", "name"]
_random = random.Random(7)  # noqa: S311  # bytes that do not compress
CSV = b"id,name\n" + b"".join(b"%d,%x\n" % (n, _random.getrandbits(64)) for n in range(9_000))
GZIP = gzip.compress(CSV, mtime=0)
OTHER = gzip.compress(CSV.replace(b"1", b"2"), mtime=0)
PART = 10_000
PARTS = -(-len(GZIP) // PART)
DATASET = Dataset(
    name="Employee",
    table="Employee",
    columns=[Column(name=name, vendor_type="String", type="string") for name in COLUMNS],
)
TUNING = Tuning(
    read_bytes=4_096,
    part_bytes=PART,
    held_part_bytes=PART,
    streamed_part_bytes=PART,
    look_after_bytes=1,
    persistence=Persistence(pause=lambda _: None),
    patience=Patience(connect=2, stall=2),
)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


class Vendor:
    """A server with one file, a landing bucket, and what an invocation leaves to the next one."""

    def __init__(self, server: FileServer, file: RangedFile | None = None, *, says_so: bool = True) -> None:
        self.server = server
        self.file = file or RangedFile(GZIP)
        self.landing = FakeLanding()
        self.progress: Progress | None = None
        self.note: Callable[[Progress | None], None] = self._noted
        self.upload_id: str | None = None
        self.opened = 0
        self.restarts = 0
        self.seconds = 1e9
        self.time_left: Callable[[], float] = lambda: self.seconds
        self.may_finish: Callable[[], None] = lambda: None
        self._says_so = says_so
        server.put("/f", Reply(answer=self.file))

    def land(
        self,
        *,
        verify: Literal["full", "length"] = "full",
        sha256: bool = False,
        ranges: int = 1,
        tuning: Tuning = TUNING,
        **more: Any,
    ) -> LandedFile:
        return land_file(
            self.open_source,
            self.landing,
            KEY,
            file=RemoteFile(dataset="Employee", name="e.csv.gz", part=0, vendor_file_id=3, vendor_name="e.csv.gz"),
            dataset=DATASET,
            verify=verify,
            sha256=sha256,
            ranges=ranges,
            tuning=tuning,
            resume=self.progress,
            on_upload=self._upload_changed,
            on_progress=self.note,
            on_restart=self._restarted,
            may_finish=self.may_finish,
            time_left=self.time_left,
            **more,
        )

    def open_source(self) -> DownloadSource:
        self.opened += 1
        token = {"Authorization": f"Bearer {self.opened}"}
        return DownloadSource(self.server.url("/f"), token, self.server.host, honours_range=self._says_so)

    def _upload_changed(self, upload_id: str | None) -> None:
        self.upload_id = upload_id

    def _noted(self, progress: Progress | None) -> None:
        self.progress = progress

    def _restarted(self) -> None:
        self.restarts += 1

    @property
    def is_whole(self) -> bool:
        return self.landing.objects[KEY].body == self.file.body and not self.landing.uploads

    @property
    def left_nothing(self) -> bool:
        return not self.landing.objects and not self.landing.uploads and self.progress is None


def test_a_proved_file_is_streamed_by_one_get_and_described_like_any_other(server: FileServer) -> None:
    vendor = Vendor(server)

    landed = vendor.land(sha256=True)

    assert vendor.is_whole
    assert vendor.file.asked == [(0, len(GZIP))]
    assert vendor.landing.sent == list(range(1, PARTS + 1))
    assert not {"upload", "put", "reading"} & set(vendor.landing.calls)
    assert landed == LandedFile.model_validate(
        {
            "uri": f"s3://landing/{KEY}",
            "version_id": "v1",
            "bytes": len(GZIP),
            "bytes_uncompressed": len(CSV),
            "rows": 9_000,
            "header": COLUMNS,
            "checksum": {"value": base64.b64encode(crc64nvme(GZIP).to_bytes(8, "big")).decode()},
            "sha256": hashlib.sha256(GZIP).hexdigest(),
            "verified": ["length", "gzip", "csv-columns", "rows"],
        }
    )


def test_a_small_file_is_put_in_one_request(server: FileServer) -> None:
    vendor = Vendor(server)

    vendor.land(tuning=replace(TUNING, part_bytes=len(GZIP) + 1))

    assert vendor.is_whole
    assert vendor.landing.calls == ["put"]


@pytest.mark.parametrize("honesty", ["ignores", "shifts", "multipart", "no length"])
@pytest.mark.parametrize("ranges", [1, 4])
def test_a_server_that_proves_nothing_is_read_from_begin_to_end(
    server: FileServer, honesty: Honesty, ranges: int
) -> None:
    vendor = Vendor(server, RangedFile(GZIP, honesty=honesty))

    landed = vendor.land(ranges=ranges)

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.file.asked[1:] in ([], [None])


@pytest.mark.parametrize(
    "validators",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": "v1"}, {"Last-Modified": "Tue, 01 Jan 2999 00:00:00 GMT"}],
    ids=["none", "weak", "not quoted", "changed just now"],
)
@pytest.mark.parametrize("longest", [None, 5_000])
def test_without_a_validator_nothing_shows_that_two_ranges_are_of_one_file(
    server: FileServer, validators: dict[str, str], longest: int | None
) -> None:
    vendor = Vendor(server, RangedFile(GZIP, validators=validators, longest=longest))

    vendor.land(ranges=4)

    assert vendor.is_whole
    assert vendor.file.asked[1:] in ([], [None])
    assert vendor.progress is None or vendor.progress.validator is None


def test_a_time_of_change_that_has_passed_is_a_validator(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP, validators={"Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT"}))

    vendor.land(ranges=4)

    assert vendor.is_whole
    assert vendor.landing.sent
    assert server.requests[-1].headers["if-range"] == "Tue, 01 Jan 2019 00:00:00 GMT"


def test_nobody_asks_a_vendor_for_ranges_who_does_not_honour_them(server: FileServer) -> None:
    vendor = Vendor(server, says_so=False)

    vendor.land(ranges=4)

    assert vendor.is_whole
    assert vendor.file.asked == [None]


@pytest.mark.parametrize("longest", [3_000, 100])
def test_a_server_may_send_less_than_was_asked_for(server: FileServer, longest: int) -> None:
    """Less even than shows what the file is."""
    vendor = Vendor(server, RangedFile(GZIP[:30_000] + GZIP[30_000:], longest=longest))

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000


# What breaks ----------------------------------------------------------------------------------------------------------


def test_a_part_that_s3_refuses_is_fetched_and_sent_again_and_nothing_else_is(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.failing["send"] = [LedgerBusyError("SlowDown")]

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.landing.sent == [1, 1, *range(2, PARTS + 1)]
    assert vendor.file.asked == [(0, len(GZIP)), (TUNING.read_bytes, len(GZIP))]


def test_a_connection_that_breaks_is_taken_up_where_its_part_begins(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000, 17_500]))

    landed = vendor.land(sha256=True)

    assert vendor.is_whole
    assert (landed.rows, landed.sha256) == (9_000, hashlib.sha256(GZIP).hexdigest())
    assert vendor.file.asked == [(0, len(GZIP)), (20_000, len(GZIP)), (30_000, len(GZIP))]
    assert vendor.landing.sent == [1, 2, 3, 3, 4, 4, *range(5, PARTS + 1)]


def test_a_part_that_is_refused_again_and_again_is_left_to_the_next_invocation(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.failing["send"] = [LedgerBusyError("SlowDown")] * 4

    with pytest.raises(LedgerBusyError):
        vendor.land()
    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.landing.calls.count("begin") == 1


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_token_or_link_that_expires_in_the_middle_is_renewed_and_no_byte_is_lost(
    server: FileServer, status: int
) -> None:
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000], instead=[None, Reply(status=status)]))

    vendor.land()

    assert vendor.is_whole
    assert vendor.opened == 2
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer 1", "Bearer 1", "Bearer 2"]
    assert vendor.landing.sent == [1, 2, 3, 3, *range(4, PARTS + 1)]


def test_a_vendor_that_asks_for_patience_in_the_middle_gets_it(server: FileServer) -> None:
    slow_down = Reply(status=429, headers={"Retry-After": "7"})
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000], instead=[None, slow_down]))

    with pytest.raises(RateLimitedError) as caught:
        vendor.land()
    landed = vendor.land()

    assert caught.value.retry_after == 7
    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.landing.sent == [1, 2, 3, 3, *range(3, PARTS + 1)]


def test_credentials_that_are_refused_for_good_leave_nothing_behind(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000], instead=[None, *[Reply(status=401)] * 9]))

    with pytest.raises(CredentialsRefusedError):
        vendor.land()

    assert vendor.left_nothing


@pytest.mark.parametrize(
    "instead",
    [
        Reply(OTHER, headers={"ETag": '"v2"'}),
        Reply(OTHER[:9], status=206, headers={"ETag": '"v2"', "Content-Range": f"bytes 20000-20008/{len(GZIP)}"}),
        Reply(OTHER[:9], status=206, headers={"ETag": '"v1"', "Content-Range": f"bytes 20000-20008/{len(GZIP) + 1}"}),
        Reply(status=416, headers={"Content-Range": "bytes */7"}),
    ],
    ids=["whole", "another tag", "another size", "shorter"],
)
def test_a_file_that_changes_under_way_is_no_mixture(server: FileServer, instead: Reply) -> None:
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000], instead=[None, instead]))

    with pytest.raises(FileChangedError):
        vendor.land()

    assert vendor.left_nothing


def a_range(start: int, **headers: str) -> Reply:
    body = GZIP[start:]
    told = f"bytes {start}-{len(GZIP) - 1}/{len(GZIP)}"
    return Reply(body, status=206, headers={"Content-Range": told, **headers})


@pytest.mark.parametrize(
    "instead",
    [
        Reply(GZIP, headers={"ETag": '"v1"'}),
        Reply(GZIP),
        a_range(20_000),
        a_range(20_000, ETag='W/"v1"'),
        a_range(20_001, ETag='"v1"'),
        a_range(19_999, ETag='"v1"'),
    ],
    ids=["whole", "whole and bare", "without a tag", "weakly tagged", "later", "earlier"],
)
def test_a_server_that_stops_honouring_ranges_is_read_from_the_beginning(server: FileServer, instead: Reply) -> None:
    vendor = Vendor(server, RangedFile(GZIP, cuts=[25_000], instead=[None, instead]))

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.file.asked[-1] is None


@pytest.mark.parametrize("ranges", [1, 4])
@pytest.mark.parametrize("body", [GZIP[:-8] + bytes(8), GZIP[:50_000], GZIP + b"<html>"])
def test_a_damaged_file_leaves_nothing_that_anybody_would_go_on_with(
    server: FileServer, body: bytes, ranges: int
) -> None:
    vendor = Vendor(server, RangedFile(body))
    tuning = replace(TUNING, read_again_bytes_per_second=1e12)

    with pytest.raises((CorruptFileError, TruncatedFileError)):
        vendor.land(ranges=ranges, tuning=tuning)

    assert vendor.progress is None
    assert not vendor.landing.uploads


# Several connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", ["full", "length"])
@pytest.mark.parametrize("ranges", [2, 4])
def test_several_connections_bring_the_same_file(
    server: FileServer, verify: Literal["full", "length"], ranges: int
) -> None:
    """Each waits until all are there, so they have to be."""
    vendor, network = Vendor(server), CountingNetwork()
    tuning = replace(TUNING, enough_bytes_per_second=1e12, read_again_bytes_per_second=1e12, network=network)
    vendor.file.on_bytes = a_meeting(network, ranges)

    landed = vendor.land(verify=verify, sha256=True, ranges=ranges, tuning=tuning)

    assert vendor.is_whole
    assert network.most == ranges
    assert sorted(vendor.landing.sent) == list(range(1, Layout.of(len(GZIP), ranges, PART).count + 1))
    assert landed.sha256 == hashlib.sha256(GZIP).hexdigest()
    assert landed.rows == (9_000 if verify == "full" else None)
    assert vendor.landing.calls.count("reading") == 1


class CountingNetwork(Network):
    """Knows how many of its sockets are open at once."""

    def __init__(self) -> None:
        self.most = 0
        self._made: list[socket.socket] = []

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        made = super().connect(address, port, timeout)
        self._made.append(made)
        self.most = max(self.most, sum(each.fileno() != -1 for each in self._made))
        return made


def a_meeting(network: CountingNetwork, connections: int) -> Callable[[int], None]:
    """Holds back the bytes behind the file's first ones until so many connections are open."""

    def wait(at: int) -> None:
        while at >= 30_000 and network.most < connections:
            time.sleep(0)

    return wait


def test_a_connection_that_brings_enough_stays_alone(server: FileServer) -> None:
    vendor = Vendor(server)

    vendor.land(verify="length", ranges=4, tuning=replace(TUNING, enough_bytes_per_second=0))

    assert vendor.is_whole
    assert vendor.file.asked == [(0, len(GZIP))]


def test_a_file_that_is_checked_on_its_way_is_not_split_where_reading_it_again_would_take_longer(
    server: FileServer,
) -> None:
    vendor = Vendor(server)

    vendor.land(ranges=4, tuning=replace(TUNING, enough_bytes_per_second=1e12, read_again_bytes_per_second=0))

    assert vendor.is_whole
    assert vendor.file.asked == [(0, len(GZIP))]
    assert "reading" not in vendor.landing.calls


@pytest.mark.parametrize("instead", [Reply(OTHER, headers={"ETag": '"v2"'}), Reply(status=401)])
def test_what_fails_on_one_connection_stops_all(server: FileServer, instead: Reply) -> None:
    vendor = Vendor(server, RangedFile(GZIP, instead=[None, instead, instead, instead, instead, instead, instead]))

    with pytest.raises((FileChangedError, CredentialsRefusedError)):
        vendor.land(verify="length", ranges=4, tuning=replace(TUNING, enough_bytes_per_second=1e12))

    assert vendor.left_nothing


# In several invocations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says_so", [True, False], ids=["streamed", "buffered"])
@pytest.mark.parametrize("verify", ["full", "length"])
def test_what_one_invocation_has_no_time_for_the_next_ones_bring(
    server: FileServer, verify: Literal["full", "length"], *, says_so: bool
) -> None:
    vendor = Vendor(server, says_so=says_so)
    done: list[int] = []
    vendor.landing.on_part = lambda number: stop(vendor) if number % 4 == 0 else None
    landed = None
    while landed is None:
        vendor.seconds = 1e9
        try:
            landed = vendor.land(verify=verify)
        except OutOfTimeError as stopped:
            done.append(stopped.done)

    assert len(done) > 1
    assert done == sorted(done)
    assert vendor.is_whole
    assert vendor.restarts == 0
    assert vendor.landing.calls.count("begin") == 1
    assert vendor.landing.calls.count("send") + vendor.landing.calls.count("upload") <= PARTS
    assert landed.rows == (9_000 if verify == "full" else None)
    assert vendor.landing.calls.count("reading") == (verify == "full")


@pytest.mark.parametrize("ranges", [1, 3])
@pytest.mark.parametrize("after", range(0, PARTS + 1, 4))
def test_a_kill_between_two_parts_costs_no_part(server: FileServer, after: int, ranges: int) -> None:
    vendor = Vendor(server)

    def kill(_: int) -> None:
        if len(parts_of(vendor)) > after:
            raise KilledError

    vendor.landing.on_part = kill
    with pytest.raises(KilledError):
        vendor.land(ranges=ranges, verify="length", tuning=replace(TUNING, enough_bytes_per_second=1e12))
    vendor.landing.on_part = lambda _: None
    there = set(parts_of(vendor))
    vendor.landing.sent.clear()
    landed = vendor.land(sha256=True)

    assert vendor.is_whole
    assert not there & set(vendor.landing.sent)
    assert landed.rows == 9_000
    assert landed.sha256 == hashlib.sha256(GZIP).hexdigest()


@pytest.mark.parametrize("ranges", [1, 3])
@pytest.mark.parametrize("at", [0, 1_000, 15_000, 47_000, len(GZIP) // 1_000 * 1_000])
def test_a_kill_inside_a_part_costs_that_part_alone(server: FileServer, at: int, ranges: int) -> None:
    vendor = Vendor(server)
    fill = vendor.landing.piece_bytes
    sent_to: list[int] = []

    def kill() -> float:
        if any(here >= at for here in sent_to):
            raise KilledError
        return 1e9

    vendor.file.on_bytes = sent_to.append
    with pytest.raises(KilledError):
        land_killed(vendor, kill, ranges)
    there = set(parts_of(vendor))
    begun = set(vendor.landing.sent) - there
    vendor.landing.sent.clear()
    landed = vendor.land()

    assert fill < PART
    assert len(begun) <= ranges
    assert vendor.is_whole
    assert not there & set(vendor.landing.sent)
    assert landed.rows == 9_000


def land_killed(vendor: Vendor, kill: Callable[[], float], ranges: int) -> None:
    """An invocation that ends as soon as it looks at its time when `kill` says so."""
    land_file(
        vendor.open_source,
        vendor.landing,
        KEY,
        file=RemoteFile(dataset="Employee", name="e.csv.gz", part=0, vendor_file_id=3, vendor_name="e.csv.gz"),
        dataset=DATASET,
        verify="length",
        ranges=ranges,
        on_progress=vendor.note,
        time_left=kill,
        tuning=replace(TUNING, enough_bytes_per_second=1e12),
    )


def parts_of(vendor: Vendor) -> list[int]:
    return [number for upload in vendor.landing.uploads.values() for number in upload.parts]


def test_a_completion_whose_reply_was_lost_with_the_invocation_is_found(server: FileServer) -> None:
    vendor = Vendor(server)
    complete = vendor.landing.complete

    def completed_and_killed(*given: Any, **named: Any) -> str | None:
        complete(*given, **named)
        raise KilledError

    vendor.landing.complete = completed_and_killed  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        vendor.land()
    vendor.landing.complete = complete  # type: ignore[method-assign]
    landed = vendor.land()

    assert vendor.is_whole
    assert vendor.file.asked == [(0, len(GZIP))]
    assert vendor.landing.versions == 1
    assert (landed.rows, landed.version_id) == (9_000, "v1")
    assert landed.verified == ["length", "gzip", "csv-columns", "rows"]


def test_an_object_that_is_not_what_was_sent_is_not_taken_for_it(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.may_finish = killed
    with pytest.raises(KilledError):
        vendor.land()
    vendor.landing.uploads.clear()
    body = bytes(len(GZIP))
    vendor.landing.put(KEY, body, checksum=_sum(body), content_type="application/gzip")
    vendor.may_finish = lambda: None

    vendor.land()

    assert vendor.is_whole
    assert vendor.landing.versions == 2


def killed() -> None:
    raise KilledError


def _sum(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()


def test_what_was_damaged_is_found_by_whoever_finishes_it_and_downloaded_anew_then(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP[:-8] + bytes(8)))
    vendor.landing.on_part = lambda _: stop(vendor)
    with pytest.raises(OutOfTimeError):
        vendor.land()
    vendor.landing.on_part, vendor.seconds = lambda _: None, 1e9

    with pytest.raises(CorruptFileError):
        vendor.land()
    forgotten = vendor.progress
    vendor.file.body = GZIP
    landed = vendor.land()

    assert forgotten is None
    assert vendor.is_whole
    assert landed.rows == 9_000


def stop(vendor: Vendor) -> None:
    vendor.seconds = 0


def test_checking_goes_on_in_the_next_invocation_too(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.on_part = lambda _: stop(vendor)
    with pytest.raises(OutOfTimeError) as first:
        vendor.land()
    vendor.landing.on_part, vendor.seconds = lambda number: stop(vendor) if number == PARTS else None, 1e9

    with pytest.raises(OutOfTimeError) as second:
        vendor.land()
    with pytest.raises(OutOfTimeError) as third:
        vendor.land()
    vendor.seconds = 1e9
    landed = vendor.land()

    assert (first.value.advanced, second.value.advanced, third.value.advanced) == (True, True, False)
    assert landed.rows == 9_000
    assert vendor.landing.calls.count("send") == PARTS


@pytest.mark.parametrize("says_so", [True, False], ids=["streamed", "buffered"])
def test_a_file_that_changed_between_two_invocations_begins_again(server: FileServer, *, says_so: bool) -> None:
    vendor = Vendor(server, says_so=says_so)
    vendor.landing.on_part = lambda _: stop(vendor)
    with pytest.raises(OutOfTimeError):
        vendor.land()
    vendor.landing.on_part, vendor.seconds = lambda _: None, 1e9
    vendor.file.body, vendor.file.validators = OTHER, {"ETag": '"v2"'}

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.restarts == 0


@pytest.mark.parametrize("says_so", [True, False], ids=["streamed", "held"])
def test_parts_that_take_longer_than_an_invocation_are_made_smaller(server: FileServer, *, says_so: bool) -> None:
    """Here a megabyte takes a second."""
    vendor = Vendor(server, RangedFile(gzip.compress(_random.randbytes(12 << 20), 0)), says_so=says_so)
    vendor.landing.piece_bytes = 1 << 20
    noted: list[tuple[int, bool]] = []

    def land(seconds: int) -> None:
        clock = iter(range(seconds, 0, -1))
        vendor.time_left = lambda: next(clock, 0)
        vendor.land(verify="length", tuning=Tuning(part_bytes=PART, patience=TUNING.patience))

    for _ in range(2):
        with pytest.raises(OutOfTimeError) as stopped:
            land(9)
        assert vendor.progress
        noted.append((vendor.progress.part_bytes, stopped.value.advanced))
    land(20)

    assert noted == [(64 << 20 if says_so else 32 << 20, False), (5 << 20, True)]
    assert vendor.is_whole


def test_a_vendor_without_ranges_begins_again_and_that_is_told(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP, honesty="ignores"), says_so=False)
    vendor.landing.on_part = lambda _: stop(vendor)
    with pytest.raises(OutOfTimeError) as first:
        vendor.land()
    vendor.seconds = 1e9
    with pytest.raises(OutOfTimeError) as second:
        vendor.land()
    vendor.landing.on_part, vendor.seconds = lambda _: None, 1e9

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.restarts == 1
    assert (first.value.advanced, second.value.advanced) == (True, False)


@pytest.mark.parametrize("body", [GZIP[: PART - 1], GZIP[: PART + 1]], ids=["shorter", "longer"])
def test_a_part_that_does_not_fit_is_sent_again(server: FileServer, body: bytes) -> None:
    vendor = Vendor(server)
    vendor.landing.on_part = lambda number: stop(vendor) if number == 2 else None
    with pytest.raises(OutOfTimeError):
        vendor.land()
    [upload] = vendor.landing.uploads.values()
    upload.parts[1] = body
    vendor.landing.on_part, vendor.seconds = lambda _: None, 1e9

    landed = vendor.land()

    assert vendor.is_whole
    assert landed.rows == 9_000
    assert vendor.landing.sent.count(1) == 2


def test_without_a_validator_nothing_is_left_to_go_on_with(server: FileServer) -> None:
    vendor = Vendor(server, RangedFile(GZIP, validators={}))
    vendor.landing.on_part = lambda _: stop(vendor)

    with pytest.raises(OutOfTimeError) as stopped:
        vendor.land()

    assert not stopped.value.advanced
    assert vendor.left_nothing


@pytest.mark.parametrize("error", [LandingNotWritableError("no"), LedgerBusyError("taken over")])
def test_who_may_not_finish_leaves_what_is_there_only_to_another_try(server: FileServer, error: HaulError) -> None:
    vendor = Vendor(server)

    def refused() -> None:
        raise error

    vendor.may_finish = refused
    with pytest.raises(type(error)):
        vendor.land()

    assert not vendor.landing.objects
    assert bool(vendor.landing.uploads) is isinstance(error, LedgerBusyError)


def test_an_upload_that_cannot_be_noted_is_not_left_behind(server: FileServer) -> None:
    """Another invocation has taken the file over."""
    vendor = Vendor(server)

    def taken(_: Progress | None) -> None:
        raise LedgerBusyError("taken over")

    vendor.note = taken
    with pytest.raises(LedgerBusyError):
        vendor.land()

    assert not vendor.landing.uploads


# Laying out and sharing -----------------------------------------------------------------------------------------------


@given(size=st.integers(1, 50 * 10**12), connections=st.integers(1, 4))
def test_ten_thousand_parts_hold_any_object(size: int, connections: int) -> None:
    layout = Layout.of(size, connections)

    assert layout.count <= 10_000
    assert 5 << 20 <= layout.part_bytes <= 5 << 30
    assert layout.start(layout.count) + layout.length(layout.count) == size
    assert 0 < layout.length(layout.count) <= layout.part_bytes


@given(
    missing=st.sets(st.integers(1, 60)),
    turns=st.lists(st.integers(0, 3), max_size=200),
)
def test_every_part_is_taken_once_by_whoever_asks(missing: set[int], turns: list[int]) -> None:
    shares = _Shares(sorted(missing))
    taken = []

    for who in [*turns, *[0] * 61]:
        number = shares.next(who)
        if number is not None:
            assert shares.end(who) > number
            taken.append(number)

    assert sorted(taken) == sorted(missing)
    assert not shares.any_left


def test_connections_take_long_stretches() -> None:
    """One GET serves a stretch, and vendors count GETs."""
    shares = _Shares(range(1, 101))
    moves = 0
    last: dict[int, int] = {}

    for turn in range(100):
        who = turn % 4
        number = shares.next(who)
        assert number is not None
        moves += last.get(who) != number - 1
        last[who] = number

    assert moves <= 16
