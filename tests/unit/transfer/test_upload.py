"""Parts of every size make the object whole, and nothing is left of one that failed."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul.errors import CorruptFileError, HaulError, LandingNotWritableError, LedgerBusyError
from haul.ports import Part, PartSender
from haul.transfer.sending import Persistence
from haul.transfer.upload import MAX_PARTS, PART_BYTES, Upload, part_bytes
from tests.fakes.landing import FakeLanding

KEY = "raw/people/Employee/part0.csv.gz"


class Ids(list[str | None]):
    """What `on_upload` was told."""

    def __call__(self, upload_id: str | None) -> None:
        self.append(upload_id)


def an_upload(landing: FakeLanding, ids: Ids, size: int | None = None, part: int = 10) -> Upload:
    return Upload(
        landing,
        KEY,
        content_type="application/gzip",
        size=size,
        on_upload=ids,
        smallest_part=part,
        persistence=Persistence(tries=3, pause=lambda _: None),
    )


def make(landing: FakeLanding, ids: Ids, size: int, breaks: BaseException | None = None) -> None:
    """An object of `size` zeros, or what breaks instead of its end."""
    with an_upload(landing, ids) as upload:
        upload.write(bytes(size))
        if breaks:
            raise breaks
        upload.finish()


@given(
    data=st.binary(max_size=100),
    pieces=st.lists(st.integers(1, 40), min_size=1),
    part=st.integers(1, 30),
    told=st.booleans(),
)
def test_what_is_written_is_what_lands(data: bytes, pieces: list[int], part: int, told: bool) -> None:  # noqa: FBT001  # hypothesis
    landing, ids = FakeLanding(smallest_part=part), Ids()

    with an_upload(landing, ids, len(data) if told else None, part) as upload:
        at = 0
        while at < len(data):
            for piece in pieces:
                upload.write(data[at : at + piece])
                at += piece
        version = upload.finish()

    landed = landing.objects[KEY]
    assert landed.body == data
    assert (landed.version_id, landed.content_type) == (version, "application/gzip")
    assert landed.checksum == upload.checksum
    assert upload.bytes == len(data)
    assert not landing.uploads


def test_a_small_file_is_one_request() -> None:
    landing, ids = FakeLanding(), Ids()

    with an_upload(landing, ids, size=9) as upload:
        upload.write(b"123456789")
        upload.finish()

    assert landing.calls == ["put"]
    assert ids == []


def test_an_upload_is_noted_before_its_first_part_and_forgotten_after_its_end() -> None:
    landing = FakeLanding()
    told: list[tuple[str | None, list[str]]] = []

    with Upload(
        landing,
        KEY,
        content_type="application/gzip",
        size=25,
        on_upload=lambda upload_id: told.append((upload_id, landing.calls.copy())),
        smallest_part=10,
    ) as upload:
        upload.write(bytes(25))
        upload.finish()

    assert told == [("upload-1", ["begin"]), (None, ["begin", "send", "send", "send", "complete"])]


@pytest.mark.parametrize("method", ["begin", "send", "complete"])
@pytest.mark.parametrize(
    "error", [LedgerBusyError("later"), LandingNotWritableError("no"), CorruptFileError("other bytes")]
)
def test_a_refused_upload_leaves_nothing_behind(method: str, error: HaulError) -> None:
    landing, ids = FakeLanding(), Ids()
    landing.failing[method] = [error] * 3

    with pytest.raises(type(error)):
        make(landing, ids, 45)

    assert not landing.uploads
    assert not landing.objects
    assert ids in ([], ["upload-1", None])


def test_a_part_that_s3_does_not_take_is_sent_again() -> None:
    landing, ids = FakeLanding(), Ids()
    landing.failing["send"] = [LedgerBusyError("later"), CorruptFileError("other bytes")]

    make(landing, ids, 25)

    assert landing.sent == [1, 1, 1, 2, 3]
    assert landing.objects[KEY].body == bytes(25)


def test_a_source_that_fails_in_the_middle_leaves_nothing_behind() -> None:
    landing, ids = FakeLanding(), Ids()

    with pytest.raises(KeyboardInterrupt):
        make(landing, ids, 25, KeyboardInterrupt())

    assert ids == ["upload-1", None]
    assert not landing.uploads


def test_an_upload_that_cannot_even_be_aborted_stays_noted() -> None:
    """Whoever cleans up after the run finds its id in the ledger."""
    landing, ids = FakeLanding(), Ids()
    landing.failing = {"complete": [LedgerBusyError("later")], "abort": [LedgerBusyError("later")]}

    with pytest.raises(LedgerBusyError):
        make(landing, ids, 25)

    assert ids == ["upload-1"]


def test_nothing_is_aborted_while_a_part_is_under_way() -> None:
    """S3 keeps a part that arrives after the abort."""
    landing, ids = FakeLanding(), Ids()
    may_arrive = threading.Event()

    class Slow:
        def __init__(self, sender: PartSender) -> None:
            self.close = sender.close
            self._send = sender.send

        def send(self, *args: Any, **named: Any) -> Part:
            assert may_arrive.wait(5)
            landing.calls.append("arrived")
            return self._send(*args, **named)

    fast = landing.sender
    landing.sender = lambda: Slow(fast())  # type: ignore[method-assign,assignment,return-value]
    threading.Timer(0.05, may_arrive.set).start()

    with pytest.raises(ZeroDivisionError):
        make(landing, ids, 15, ZeroDivisionError())

    assert landing.calls == ["begin", "arrived", "send", "abort"]


def test_ten_thousand_parts_hold_five_terabytes() -> None:
    sizes = [part_bytes(number) for number in range(1, MAX_PARTS + 1)]

    assert sum(sizes) >= 5 << 40
    assert sizes == sorted(sizes)
    assert PART_BYTES == sizes[0] < sizes[-1] <= 5 << 30


def test_parts_stay_small_up_to_32_gb() -> None:
    assert {part_bytes(number) for number in range(1, 2_001)} == {PART_BYTES}
    assert part_bytes(2_001) == 2 * PART_BYTES
