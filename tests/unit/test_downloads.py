"""Children of the map that run beside each other, or longer than their attempt."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haul import exports, keys
from haul.downloads import RESTARTS
from haul.errors import CredentialsRefusedError, HaulError, LedgerBusyError, TruncatedFileError
from haul.models.event import Outcome
from haul.models.export import Export, PlanItem, PlannedFile, RemoteFile
from haul.models.landed import LandedFile, Progress
from haul.models.ledger import FileState
from haul.models.manifest import ExportManifest
from haul.pacing import Pace
from haul.ports import Landing, OutOfTimeError
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


# Over several invocations ---------------------------------------------------------------------------------------------


def test_a_file_that_an_invocation_has_no_time_for_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=2)
    execution = world.run(world.start(), until="download 0")
    resumed: list[Progress | None] = []

    def landing(*given: Any, resume: Progress | None, on_progress: Noted, **more: Any) -> LandedFile:
        resumed.append(resume)
        if len(resumed) < 3:
            on_progress(progress(done=resume.done + 5 if resume else 5))
            raise OutOfTimeError(advanced=True, done=5 * len(resumed))
        return fake_land_file(*given, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    world.step(execution)
    (first, *_) = world.ledger().files("people", execution.state["run_id"])
    world.run(execution)

    (landed, _) = world.ledger().files("people", execution.state["run_id"])
    assert (first.paused, first.tries, first.progress) == (True, 0, progress(done=5))
    assert [each.done if each else None for each in resumed] == [None, 5, 10, None]
    assert world.outcomes() == [Outcome.SUCCEEDED]
    assert (landed.tries, landed.paused, landed.progress, landed.upload_id) == (1, False, None, None)


type Noted = Callable[[Progress | None], None]


def progress(*, done: int = 0, validator: str | None = '"v1"') -> Progress:
    return Progress(
        upload_id="u1", key="k", compression="gzip", part_bytes=10, bytes=100, validator=validator, done=done
    )


def test_a_file_that_never_comes_in_time_fails_the_run_under_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=2)
    calls: list[str] = []

    def landing(_source: object, _landing: object, key: str, **_: Any) -> LandedFile:
        calls.append(key)
        raise OutOfTimeError

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    execution = world.run(world.start())

    (record,) = world.records()
    assert record.error is not None
    assert record.error.name == "DownloadTooSlowError"
    assert "3 of them ended before it did" in record.error.message
    assert execution.status == "FAILED"
    assert len(calls) <= 2 * RESTARTS


def test_what_a_vendor_without_ranges_loses_with_each_invocation_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=1)

    def landing(*_: Any, resume: Progress | None, on_restart: Callable[[], None], on_progress: Noted, **__: Any) -> Any:
        if resume:
            on_progress(None)
            on_restart()
        on_progress(progress())
        raise OutOfTimeError(advanced=True)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    world.run(world.start())

    (record,) = world.records()
    assert record.error is not None
    assert record.error.name == "DownloadTooSlowError"


def test_a_file_that_got_little_time_is_not_slow_and_comes_first_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=3)
    order: list[int] = []

    def landing(source: object, bucket: Landing, key: str, *, file: RemoteFile, **more: Any) -> LandedFile:
        order.append(file.part)
        world.time_left = 90.0
        if file.part == 1 and order.count(1) <= RESTARTS:
            raise OutOfTimeError
        if file.part == 0:
            raise TruncatedFileError("it broke")
        return fake_land_file(source, bucket, key, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    monkeypatch.setattr("haul.exports.batched", lambda files: [PlanItem(item=0, files=list(files))])
    execution = world.run(world.start(), until="download 0")
    world.step(execution)
    (_, second) = world.ledger().files("people", execution.state["run_id"])
    world.time_left = 900.0
    world.step(execution)

    assert order[:3] == [0, 1, 1]
    assert (second.paused, second.restarts) == (True, 0)


@pytest.mark.parametrize(("error", "tries"), [(CredentialsRefusedError("no"), 1), (TruncatedFileError("it broke"), 4)])
def test_the_turns_of_other_files_are_not_spent_on_one_that_failed(
    monkeypatch: pytest.MonkeyPatch, error: HaulError, tries: int
) -> None:
    world = World(files_per_result=2)
    order: list[int] = []

    def landing(*given: Any, file: RemoteFile, **more: Any) -> LandedFile:
        order.append(file.part)
        if file.part == 0:
            raise error
        if order.count(1) < 9:
            raise OutOfTimeError(advanced=True)
        return fake_land_file(*given, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    monkeypatch.setattr("haul.exports.batched", lambda files: [PlanItem(item=0, files=list(files))])
    world.run(world.start())

    (record,) = world.records()
    assert order.count(1) == 9
    assert order.count(0) == tries
    assert record.error is not None
    assert record.error.name == type(error).__name__


def test_an_invocation_that_was_taken_over_can_neither_note_uploads_nor_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=1)
    execution = world.run(world.start(), until="download 0")
    refused: list[str] = []

    def second(*_: Any, on_upload: Callable[[str | None], None], on_progress: Noted, **__: Any) -> LandedFile:
        on_upload("second")
        on_progress(progress())
        raise KilledError

    def first(
        *_: Any, on_upload: Callable[[str | None], None], on_progress: Noted, may_finish: Callable[[], None], **__: Any
    ) -> LandedFile:
        monkeypatch.setattr("tests.fakes.world.fake_land_file", second)
        with pytest.raises(KilledError):
            world.invoke(execution, "download 0", dict(execution.state))
        acts: list[Callable[[], None]] = [
            lambda: on_upload("first"),
            lambda: on_progress(progress(done=7)),
            may_finish,
        ]
        for act in acts:
            with pytest.raises(LedgerBusyError, match="another invocation"):
                act()
            refused.append("once")
        on_progress(None)
        on_upload(None)
        raise LedgerBusyError("taken over")

    monkeypatch.setattr("tests.fakes.world.fake_land_file", first)
    with pytest.raises(LedgerBusyError):
        world.invoke(execution, "download 0", dict(execution.state))

    (file,) = world.ledger().files("people", execution.state["run_id"])
    assert len(refused) == 3
    assert (file.upload_id, file.progress) == ("second", progress())
    assert file.error is None


def test_a_try_that_was_killed_is_gone_on_with_and_not_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=1)
    execution = world.run(world.start(), until="download 0")
    resumed: list[Progress | None] = []

    def killed(*_: Any, on_progress: Noted, on_upload: Callable[[str | None], None], **__: Any) -> LandedFile:
        on_upload("u1")
        on_progress(progress())
        raise KilledError

    def again(*given: Any, resume: Progress | None, **more: Any) -> LandedFile:
        resumed.append(resume)
        return fake_land_file(*given, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", killed)
    world.step(execution)
    monkeypatch.setattr("tests.fakes.world.fake_land_file", again)
    world.run(execution)

    assert resumed == [progress()]
    assert "abort" not in world.landing.calls
    assert world.outcomes() == [Outcome.SUCCEEDED]


def test_what_another_result_left_in_the_ledger_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=1)
    first = world.run(world.start(), until="download 0")

    def killed(*_: Any, on_progress: Noted, on_upload: Callable[[str | None], None], **__: Any) -> LandedFile:
        on_upload("u1")
        on_progress(progress())
        raise KilledError

    resumed: list[Progress | None] = []

    def again(*given: Any, resume: Progress | None, **more: Any) -> LandedFile:
        resumed.append(resume)
        return fake_land_file(*given, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", killed)
    world.step(first)
    world.abort(first)
    world.rule(first)
    monkeypatch.setattr("tests.fakes.world.fake_land_file", again)
    world.run(world.rerun(world.records()[0], resubmit=True))

    assert resumed == [None]
    assert "abort" in world.landing.calls


def test_a_vendor_that_counts_calls_is_asked_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(files_per_result=1)
    execution = world.run(world.start(), until="download 0")
    monkeypatch.setattr("tests.fakes.world.Pace", lambda *_: Pace(2, lambda: 0.0))

    def landing(*given: Any, before_call: Callable[[], None], **more: Any) -> LandedFile:
        for _ in range(5):
            before_call()
        return fake_land_file(*given, **more)

    monkeypatch.setattr("tests.fakes.world.fake_land_file", landing)
    world.step(execution)

    assert world.paused == [60.0, 60.0, 120.0]


def test_three_thousand_small_files_are_published_whole() -> None:
    world = World(files_per_result=3_000)

    world.run(world.start())

    (record,) = world.records()
    manifest = world.ledger().manifest("people", record.run_id)
    assert manifest is not None
    assert isinstance(manifest, ExportManifest)
    assert manifest.totals.files == 3_000
    assert isinstance(record.work, Export)
    assert record.work.plan is not None
    assert record.work.plan.items == 40


def test_three_thousand_small_files_take_few_children() -> None:
    def files(size: int | None) -> list[PlannedFile]:
        return [
            PlannedFile(
                n=n,
                key=f"raw/p/T/run_id=r/T_part{n}.csv.gz",
                file=RemoteFile(dataset="T", name="T", part=n, vendor_file_id=n, vendor_name="T", bytes=size),
            )
            for n in range(3_000)
        ]

    assert len(exports.batched(files(10_000))) == 30
    assert len(exports.batched(files(None))) == 40
