"""Everything that vendors have been seen to break, a case a kind: nothing damaged lands, nothing good is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from haul.models.landed import LandedFile
from haul.ports import DownloadSource
from haul.transfer.land import Tuning, land_file
from haul.transfer.sending import Persistence
from haul.transfer.source import Patience
from tests.fakes import damage
from tests.fakes.damage import Case
from tests.fakes.file_server import FileServer, file_server
from tests.fakes.landing import FakeLanding

KEY = f"raw/people/Employee/run_id=r1/{damage.NAME}"
PLAIN = Tuning(patience=Patience(connect=2, stall=0.3), persistence=Persistence(pause=lambda _: None))
SMALL = replace(PLAIN, read_bytes=4_096, part_bytes=10_000, held_part_bytes=10_000, streamed_part_bytes=10_000)


@dataclass(frozen=True)
class Way:
    """How a file is moved: `ranges` is over how many connections, 0 of a vendor that is not asked for any."""

    tuning: Tuning
    ranges: int = 0


WAYS = {
    "in one request": Way(PLAIN),
    "in many parts": Way(SMALL),
    "streamed": Way(SMALL, ranges=1),
    "by four ranges": Way(
        replace(SMALL, look_after_bytes=1, enough_bytes_per_second=1e12, read_again_bytes_per_second=1e12), ranges=4
    ),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


def land(case: Case, server: FileServer, landing: FakeLanding, way: Way) -> LandedFile:
    url = server.put("/f", case.served(ranged=way.ranges > 0))
    return land_file(
        lambda: DownloadSource(url, {}, urlsplit(url).netloc, honours_range=way.ranges > 0),
        landing,
        KEY,
        file=case.file,
        dataset=damage.DATASET,
        ranges=way.ranges,
        tuning=way.tuning,
    )


@every_way
@pytest.mark.parametrize("case", damage.damaged(), ids=lambda case: case.kind)
def test_what_is_damaged_is_refused_before_anything_is_visible(case: Case, server: FileServer, way: Way) -> None:
    """What several connections brought can only be read in S3, where nothing counts before it was."""
    landing = FakeLanding()
    assert case.error is not None

    with pytest.raises(case.error) as refused:
        land(case, server, landing, way)

    assert damage.NAME in str(refused.value)
    if way.ranges <= 1:
        assert "complete" not in landing.calls
        assert landing.objects == {}
    if not way.ranges and not case.answer:
        assert landing.uploads == {}


@every_way
@pytest.mark.parametrize("case", damage.odd(), ids=lambda case: case.kind)
def test_what_only_looks_odd_lands_as_it_is(case: Case, server: FileServer, way: Way) -> None:
    landing = FakeLanding()

    landed = land(case, server, landing, way)

    [stored] = landing.objects.values()
    assert stored.body == case.body
    assert (landed.bytes, landed.rows) == (len(case.body), case.rows)
    assert landing.uploads == {}


def test_no_kind_is_there_twice() -> None:
    kinds = [case.kind for case in (*damage.damaged(), *damage.odd())]
    bodies = [
        (case.body, case.listed, case.reply.status, case.reply.framing, case.reply.announced, case.reply.ending)
        for case in damage.damaged()
        if not case.answer
    ]

    assert len(set(kinds)) == len(kinds)
    assert len(set(bodies)) == len(bodies)
