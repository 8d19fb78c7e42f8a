"""Children of the map that run beside each other, or longer than their attempt."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haul import exports, keys
from haul.errors import LedgerBusyError
from haul.models.event import Outcome
from haul.models.export import PlannedFile, RemoteFile
from haul.models.landed import LandedFile
from haul.models.ledger import FileState
from haul.models.manifest import ExportManifest
from tests.fakes.memory_store import KilledError
from tests.fakes.vendor import fake_land_file
from tests.fakes.world import World, fake_vendor


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


def test_a_child_that_outlives_its_attempt_does_not_replace_what_a_later_one_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    first = world.run(world.start(), until="download 0")
    state = dict(first.state)

    def slowly(*args: Any, **more: Any) -> LandedFile:
        """In the middle of the file the execution is stopped, and a person wants another result."""
        monkeypatch.setattr("tests.fakes.world.fake_land_file", fake_land_file)
        world.abort(first)
        world.rule(first)
        world.run(world.rerun(world.records()[0], resubmit=True))
        return fake_land_file(*args, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", slowly)
    world.step(first)

    (record,) = world.records()
    manifest = world.ledger().manifest("people", record.run_id)
    assert record.outcome is Outcome.SUCCEEDED
    assert record.work is not None
    assert record.work.job.result_id != state["job"]["result_id"]
    assert isinstance(manifest, ExportManifest)
    for file in manifest.datasets[0].files:
        landed = world.landing.head(file.uri.removeprefix("s3://landing/"))
        assert landed is not None
        assert landed.version_id == file.version_id
    for kept in world.ledger().files("people", record.run_id):
        assert kept.result_id == record.work.job.result_id


def test_a_try_that_fails_beside_one_that_landed_the_file_takes_nothing_back() -> None:
    world = World(files_per_result=1)
    execution = world.run(world.start(), until="download 0")
    state = dict(execution.state)
    put = world.landing.put

    def interrupted(*_: object, **__: object) -> str | None:
        world.landing.put = put  # type: ignore[method-assign]
        world.invoke(execution, "download 0", state)
        raise LedgerBusyError("the upload was ended by another writer (NoSuchUpload)")

    world.landing.put = interrupted  # type: ignore[method-assign]
    with pytest.raises(LedgerBusyError):
        world.invoke(execution, "download 0", state)
    execution.step = "publish"
    world.run(execution)

    (file,) = world.ledger().files("people", state["run_id"])
    assert file.state is FileState.LANDED
    assert world.outcomes() == [Outcome.SUCCEEDED]


def test_a_try_that_ends_does_not_forget_the_upload_of_one_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds the other one killed has to end its upload."""
    world = World(files_per_result=1)
    execution = world.run(world.start(), until="download 0")

    def second(*_: Any, on_upload: Callable[[str | None], None], **__: Any) -> LandedFile:
        on_upload("second")
        raise KilledError

    def first(*_: Any, on_upload: Callable[[str | None], None], **__: Any) -> LandedFile:
        on_upload("first")
        monkeypatch.setattr("tests.fakes.world.fake_land_file", second)
        with pytest.raises(KilledError):
            world.invoke(execution, "download 0", dict(execution.state))
        on_upload(None)
        raise LedgerBusyError("the upload was ended by another writer (NoSuchUpload)")

    monkeypatch.setattr("tests.fakes.world.fake_land_file", first)
    with pytest.raises(LedgerBusyError):
        world.invoke(execution, "download 0", dict(execution.state))

    (file,) = world.ledger().files("people", execution.state["run_id"])
    assert file.upload_id == "second"


@pytest.mark.parametrize("size", [None, 10_000])
def test_no_child_gets_more_files_than_its_input_has_room_for(size: int | None) -> None:
    name = "T" * 200
    files = [
        PlannedFile(
            n=n,
            key=keys.raw("p" * 48, name, "20261122T050003Z-7c1f9a", name),
            file=RemoteFile(dataset=name, name=name, part=n, vendor_file_id=n, vendor_name=name, bytes=size),
        )
        for n in range(20_000)
    ]

    items = exports.batched(files)

    assert [file.n for item in items for file in item.files] == list(range(20_000))
    assert max(len(item.model_dump_json()) for item in items) < 200 * 1024
