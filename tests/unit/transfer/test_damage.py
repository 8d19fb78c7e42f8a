"""Everything that vendors have been seen to break, a case a kind: nothing damaged lands, nothing good is refused."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from haul.models.landed import LandedFile
from haul.ports import DownloadSource
from haul.transfer import Tuning, land_file
from haul.transfer.source import Patience
from tests.fakes import damage
from tests.fakes.damage import Case
from tests.fakes.file_server import FileServer, file_server
from tests.fakes.landing import FakeLanding

KEY = f"raw/people/Employee/run_id=r1/{damage.NAME}"
PATIENCE = Patience(connect=2, stall=0.3)
TUNINGS = {
    "many parts": Tuning(read_bytes=4_096, part_bytes=10_000, patience=PATIENCE),
    "one request": Tuning(patience=PATIENCE),
}
tuned = pytest.mark.parametrize("tuning", TUNINGS.values(), ids=TUNINGS.keys())


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with file_server() as serving:
        yield serving


def land(case: Case, server: FileServer, landing: FakeLanding, tuning: Tuning) -> LandedFile:
    url = server.put("/f", case.reply)
    return land_file(
        lambda: DownloadSource(url, {}, urlsplit(url).netloc),
        landing,
        KEY,
        file=case.file,
        dataset=damage.DATASET,
        tuning=tuning,
    )


@tuned
@pytest.mark.parametrize("case", damage.damaged(), ids=lambda case: case.kind)
def test_what_is_damaged_is_refused_before_anything_is_visible(case: Case, server: FileServer, tuning: Tuning) -> None:
    landing = FakeLanding()
    assert case.error is not None

    with pytest.raises(case.error) as refused:
        land(case, server, landing, tuning)

    assert damage.NAME in str(refused.value)
    assert "complete" not in landing.calls
    assert "put" not in landing.calls
    assert (landing.objects, landing.uploads) == ({}, {})


@tuned
@pytest.mark.parametrize("case", damage.odd(), ids=lambda case: case.kind)
def test_what_only_looks_odd_lands_as_it_is(case: Case, server: FileServer, tuning: Tuning) -> None:
    landing = FakeLanding()

    landed = land(case, server, landing, tuning)

    [stored] = landing.objects.values()
    assert stored.body == case.body
    assert (landed.bytes, landed.rows) == (len(case.body), case.rows)
    assert landing.uploads == {}


def test_no_kind_is_there_twice() -> None:
    kinds = [case.kind for case in (*damage.damaged(), *damage.odd())]
    bodies = [
        (case.body, case.listed, case.reply.status, case.reply.framing, case.reply.announced, case.reply.ending)
        for case in damage.damaged()
    ]

    assert len(set(kinds)) == len(kinds)
    assert len(set(bodies)) == len(bodies)
