"""Files of known length that can be read once only: handed on as they come, the part under way held until S3 has it."""

import gzip
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError, HaulError, LedgerBusyError, TruncatedFileError
from haul.models.export import Column, Dataset, RemoteFile
from haul.models.landed import LandedFile, Progress
from haul.ports import DownloadSource, OutOfTimeError
from haul.transfer.land import Tuning, land_file
from haul.transfer.mover import Layout
from haul.transfer.reading import OnceReader
from haul.transfer.sending import Persistence
from haul.transfer.source import Patience
from tests.fakes.file_server import FileServer, Reply, Request, file_server
from tests.fakes.landing import FakeLanding

KEY = "raw/people/Employee/run_id=r1/Employee_part0.csv.gz"
_random = random.Random(7)  # noqa: S311  # bytes that do not compress
GZIP = gzip.compress(b"id,name\n" + b"".join(b"%d,%x\n" % (n, _random.getrandbits(64)) for n in range(9_000)), mtime=0)
DATASET = Dataset(
    name="Employee",
    table="Employee",
    columns=[Column(name=name, vendor_type="String", type="string") for name in ("id", "name")],
)
PART = 10_000
PARTS = -(-len(GZIP) // PART)
TUNING = Tuning(
    read_bytes=4_096,
    part_bytes=PART,
    held_part_bytes=PART,
    persistence=Persistence(tries=3, pause=lambda _: None),
    patience=Patience(connect=2, stall=2),
)
BUSY = LedgerBusyError("S3 does not take it now (RequestTimeout)")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


class Vendor:
    """A server that gives one file once, a landing bucket, and what an invocation has noted."""

    def __init__(self, server: FileServer, body: bytes = GZIP, headers: dict[str, str] | None = None) -> None:
        self.landing = FakeLanding()
        self.asked = 0
        self.seconds = 1e9
        self.progress: Progress | None = None
        self.upload_id: str | None = None
        self._server = server
        self._reply = Reply(body, headers=headers or {}, announced=len(GZIP))
        server.put("/f", Reply(answer=self._answer))

    def land(self, tuning: Tuning = TUNING) -> LandedFile:
        return land_file(
            lambda: DownloadSource(self._server.url("/f"), {}, self._server.host),
            self.landing,
            KEY,
            file=RemoteFile(dataset="Employee", name="e.csv.gz", part=0, vendor_file_id=3, vendor_name="e.csv.gz"),
            dataset=DATASET,
            tuning=tuning,
            resume=self.progress,
            on_upload=self._upload_changed,
            on_progress=self._noted,
            time_left=lambda: self.seconds,
        )

    def stop(self) -> None:
        self.seconds = 0

    @property
    def nothing_is_left(self) -> bool:
        return not self.landing.uploads and not self.landing.objects and self.upload_id is None

    def _answer(self, _: Request) -> Reply:
        self.asked += 1
        return self._reply

    def _upload_changed(self, upload_id: str | None) -> None:
        self.upload_id = upload_id

    def _noted(self, progress: Progress | None) -> None:
        self.progress = progress


def test_it_goes_from_one_get_into_parts_of_known_length(server: FileServer) -> None:
    vendor = Vendor(server)

    landed = vendor.land()

    assert vendor.landing.objects[KEY].body == GZIP
    assert landed.rows == 9_000
    assert (vendor.asked, vendor.landing.sent) == (1, list(range(1, PARTS + 1)))


def test_a_part_that_s3_does_not_take_is_sent_again_and_the_vendor_is_not_asked(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.failing["send"] = [BUSY, CorruptFileError("other bytes")]

    landed = vendor.land()

    assert vendor.landing.objects[KEY].body == GZIP
    assert landed.rows == 9_000
    assert (vendor.asked, vendor.landing.sent) == (1, [1, 1, *range(1, PARTS + 1)])


def test_a_part_that_s3_never_takes_leaves_nothing_behind(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.failing["send"] = [BUSY] * 3

    with pytest.raises(LedgerBusyError, match="RequestTimeout"):
        vendor.land()

    assert vendor.landing.sent == [1, 1, 1]
    assert vendor.nothing_is_left


@pytest.mark.parametrize("cut", [1, PART - 1, PART, PART + 1, len(GZIP) - 1])
def test_a_body_that_breaks_off_is_not_sent_again(server: FileServer, cut: int) -> None:
    vendor = Vendor(server, GZIP[:cut])

    with pytest.raises(TruncatedFileError, match=rf"e\.csv\.gz ended after {cut:,} of {len(GZIP):,} bytes"):
        vendor.land()

    assert vendor.asked == 1
    assert len(vendor.landing.sent) == len(set(vendor.landing.sent))
    assert vendor.nothing_is_left


def test_time_that_ends_leaves_nothing_where_nobody_could_go_on(server: FileServer) -> None:
    vendor = Vendor(server)
    vendor.landing.on_part = lambda number: vendor.stop() if number == 3 else None

    with pytest.raises(OutOfTimeError) as stopped:
        vendor.land()

    assert (stopped.value.advanced, stopped.value.done) == (False, 0)
    assert vendor.progress is None
    assert vendor.nothing_is_left


def test_time_ends_for_a_part_that_is_read_again_as_well(server: FileServer) -> None:
    """After S3 did not take a part it is read to its end before it is sent, which may take long."""
    vendor = Vendor(server)
    vendor.landing.failing["send"] = [BUSY]
    vendor.landing.on_part = lambda _: vendor.stop()

    with pytest.raises(OutOfTimeError):
        vendor.land()

    assert vendor.landing.sent == [1, 1]


def test_a_file_that_the_vendor_names_a_version_of_is_left_to_the_next_invocation(server: FileServer) -> None:
    vendor = Vendor(server, headers={"ETag": '"v1"'})
    vendor.landing.on_part = lambda number: vendor.stop() if number == 3 else None

    with pytest.raises(OutOfTimeError) as stopped:
        vendor.land()

    assert (stopped.value.advanced, stopped.value.done) == (True, 3 * PART)
    assert vendor.progress
    assert vendor.progress.validator == '"v1"'
    assert len(vendor.landing.uploads) == 1


def test_a_completion_whose_reply_was_lost_is_found_though_nobody_could_have_gone_on(server: FileServer) -> None:
    vendor = Vendor(server)
    complete = vendor.landing.complete

    def loses_its_reply(*args: object, **named: object) -> str | None:
        complete(*args, **named)  # type: ignore[arg-type]
        raise BUSY

    vendor.landing.complete = loses_its_reply  # type: ignore[method-assign]
    with pytest.raises(LedgerBusyError):
        vendor.land()

    landed = vendor.land()

    assert landed.rows == 9_000
    assert vendor.asked == 1


def test_a_file_that_is_no_longer_than_a_held_part_is_one_part(server: FileServer) -> None:
    vendor = Vendor(server)

    vendor.land(replace(TUNING, held_part_bytes=len(GZIP) * 100))

    assert vendor.landing.sent == [1]
    assert vendor.landing.objects[KEY].body == GZIP


class _Memory:
    """A body that lies in memory, and comes in pieces."""

    def __init__(self, data: bytes) -> None:
        self.name = "e.csv.gz"
        self.received = 0
        self._data = data

    def readinto(self, space: memoryview) -> int:
        piece = self._data[self.received : self.received + len(space)]
        space[: len(piece)] = piece
        self.received += len(piece)
        return len(piece)


@given(
    data=st.binary(min_size=1, max_size=200),
    started=st.integers(0, 60),
    part=st.integers(1, 50),
    step=st.integers(1, 30),
    failures=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 50)), max_size=6),
)
def test_whatever_is_read_again_is_the_same(
    data: bytes, started: int, part: int, step: int, failures: list[tuple[int, int]]
) -> None:
    """`failures` are parts, by number, and after how many bytes S3 breaks them off."""
    start = data[:started]
    body = _Memory(data)
    body.received = len(start)
    layout = Layout(len(data), part)
    reader = OnceReader(body, start, size=len(data), part_bytes=part, require_time=lambda: None)  # type: ignore[arg-type]

    def read(number: int, length: int) -> bytes:
        reader.begin(layout.start(number), layout.length(number))
        got = bytearray()
        while len(got) < length:
            space = memoryview(bytearray(min(step, length - len(got))))
            got += space[: reader.read(space)]
        return bytes(got)

    whole = bytearray()
    for number in range(1, layout.count + 1):
        for _, after in [failure for failure in failures if failure[0] == number]:
            read(number, min(after, layout.length(number)))
            reader.failed()
        whole += read(number, layout.length(number))

    assert whole == data


def test_an_error_that_is_no_matter_of_the_part_passes(server: FileServer) -> None:
    vendor = Vendor(server)

    class StoppedError(HaulError):
        pass

    vendor.landing.failing["send"] = [StoppedError("no")]

    with pytest.raises(StoppedError):
        vendor.land()

    assert vendor.nothing_is_left
