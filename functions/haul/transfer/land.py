"""One file from the vendor into the landing bucket: GET, verification, S3; in one invocation or in several."""

import contextlib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from haul import keys
from haul.errors import (
    CorruptFileError,
    DamagedFileError,
    FileChangedError,
    HaulError,
    TransientError,
    TruncatedFileError,
)
from haul.models.export import Dataset, RemoteFile
from haul.models.landed import Checksum, LandedFile, Progress
from haul.ports import DownloadSource, Landing, OutOfTimeError, Part
from haul.transfer.links import Network
from haul.transfer.mover import HELD_PART_BYTES, SMALLEST_PART_BYTES, STREAMED_PART_BYTES, Layout, Mover, Pacing
from haul.transfer.sending import Persistence
from haul.transfer.source import Body, Door, NotRangedError, Patience, Version
from haul.transfer.upload import PART_BYTES, Upload, combined
from haul.transfer.verify import (
    Check,
    Compression,
    Findings,
    LengthCheck,
    check_of,
    compression_of,
    content_type,
    shows_its_end,
)


@dataclass(frozen=True)
class Tuning:
    """What decides speed, memory and patience, not what lands.

    Where ranges are proved, memory is a small buffer for each connection; elsewhere it is a part that is held, or two
    that are filled and sent in turn.

    Attributes:
        part_bytes: of a file whose length is unknown; a file that is no longer is put in one request.
        held_part_bytes: where the length is known, but the vendor does not honour ranges.
        streamed_part_bytes: where it does.
        enough_bytes_per_second: a connection that brings these is left alone.
        read_again_bytes_per_second: what reading a landed object takes, where several connections brought it.
        look_after_bytes: when to look how fast the first connection is,
        look_after_seconds: whichever comes first.
        persistence: how often a part is sent.
    """

    read_bytes: int = 256 << 10
    part_bytes: int = PART_BYTES
    held_part_bytes: int = HELD_PART_BYTES
    streamed_part_bytes: int = STREAMED_PART_BYTES
    enough_bytes_per_second: float = 60e6
    read_again_bytes_per_second: float = 75e6
    look_after_bytes: int = 8 << 20
    look_after_seconds: float = 0.25
    persistence: Persistence = field(default_factory=Persistence)
    patience: Patience = field(default_factory=Patience)
    network: Network = field(default_factory=Network)

    @property
    def fine(self) -> "Tuning":
        """With parts so small that an invocation brings some of them, be the vendor ever so slow."""
        return replace(self, held_part_bytes=SMALLEST_PART_BYTES, streamed_part_bytes=SMALLEST_PART_BYTES)


def land_file(
    open_source: Callable[[], DownloadSource],
    landing: Landing,
    key: str,
    *,
    file: RemoteFile,
    dataset: Dataset,
    verify: Literal["full", "length"] = "full",
    sha256: bool = False,
    on_upload: Callable[[str | None], None] = lambda _: None,
    may_finish: Callable[[], None] = lambda: None,
    resume: Progress | None = None,
    on_progress: Callable[[Progress | None], None] = lambda _: None,
    on_restart: Callable[[], None] = lambda: None,
    time_left: Callable[[], float] = lambda: math.inf,
    before_call: Callable[[], None] = lambda: None,
    ranges: int = 1,
    tuning: Tuning | None = None,
) -> LandedFile:
    """Land one file, or leave what the next invocation can go on with, or nothing.

    Readers tell gzip by the name: a file that turns out not to be compressed lands under `key` without its `.gz`, one
    that is although nobody said so with it.

    Args:
        open_source: asked again for a fresh source when the first is refused.
        landing: where the file goes.
        key: under which name.
        file: what the vendor says of it.
        dataset: what must be inside.
        verify: `length` trusts the length alone, unless the server does not tell it: then nothing else would
            show a file that ended early, and it is verified in full.
        sha256: compute that too.
        on_upload: told the id of a multipart upload before its first part, and None when it has ended.
        may_finish: asked when the file is about to become visible; what it raises keeps it from that.
        resume: what `on_progress` was told last by an invocation that went before.
        on_progress: told what the next invocation would need to go on; None when there is nothing to go on with.
        on_restart: told when what an invocation before had moved is of no use, as the vendor does not honour ranges.
        time_left: seconds until the work has to stop.
        before_call: called before each request to the vendor.
        ranges: how many connections the file may take, where the vendor proves to honour ranges.
        tuning: for tests and for large files.

    Raises:
        OutOfTimeError: the time is over; call again with `resume`.
        DamagedFileError: download it again.
        HaulError: as `Door.whole` and the landing say.
    """
    tuning = tuning or Tuning()
    door = Door(
        file.vendor_name,
        open_source,
        tuning.network,
        tuning.patience,
        coding="gzip" if dataset.format.compression == "gzip" else "identity",
        before_call=before_call,
    )
    landing_of_file = _LandingOfFile(
        door=door,
        landing=landing,
        key=key,
        file=file,
        dataset=dataset,
        verify=verify,
        sha256=sha256,
        on_upload=on_upload,
        may_finish=may_finish,
        on_progress=on_progress,
        on_restart=on_restart,
        time_left=time_left,
        ranges=max(1, ranges),
        tuning=tuning,
    )
    landed = landing_of_file.go_on(resume) if resume else None
    return landed or landing_of_file.begin()


class _Watch:
    """Sees a file's bytes in order, and says in the end what it is."""

    def __init__(self, check: Check, *, sha256: bool) -> None:
        self._check = check
        self._digest = hashlib.sha256() if sha256 else None
        self.is_needed = sha256 or not isinstance(check, LengthCheck)
        self.found_damage = False

    def see(self, data: bytes | memoryview) -> None:
        try:
            self._check.feed(data)
        except DamagedFileError:
            self.found_damage = True
            raise
        if self._digest:
            self._digest.update(data)

    def finish(self) -> "_Seen":
        try:
            return _Seen(self._check.finish(), self._digest.hexdigest() if self._digest else None)
        except DamagedFileError:
            self.found_damage = True
            raise


@dataclass(frozen=True)
class _Seen:
    found: Findings
    sha256: str | None


@dataclass
class _LandingOfFile:
    door: Door
    landing: Landing
    key: str
    file: RemoteFile
    dataset: Dataset
    verify: Literal["full", "length"]
    sha256: bool
    on_upload: Callable[[str | None], None]
    may_finish: Callable[[], None]
    on_progress: Callable[[Progress | None], None]
    on_restart: Callable[[], None]
    time_left: Callable[[], float]
    ranges: int
    tuning: Tuning
    may_range: bool = True

    # From its beginning ----------------------------------------------------------------------------------------------

    def begin(self) -> LandedFile:
        try:
            return self._begin()
        except NotRangedError:
            self.may_range = False
            return self._begin()

    def _begin(self) -> LandedFile:
        body = self.door.whole(may_range=self.may_range)
        try:
            size = _size(self.file, body)
            start = self._start(body)
            compression = compression_of(self.door.name, start, self.dataset)
            if size is None and not body.framed and not shows_its_end(compression, self.dataset):
                raise TruncatedFileError(f"{self.door.name}: nothing shows where it ends, neither a length nor gzip")
            proved = body.version if body.ranged else None
            if proved and (body.length != size or proved.size > self.tuning.part_bytes):
                return self._by_range(body, proved, start, compression)
            if size is not None and size > self.tuning.part_bytes:
                return self._held(body, size, start, compression)
            return self._buffered(body, size, start, compression)
        finally:
            body.close()

    def _start(self, body: Body) -> bytes:
        """The whole file or as much of its beginning as shows what it is."""
        start = bytearray(self.tuning.read_bytes)
        with memoryview(start) as space:
            count = body.readinto(space)
            wanted = min(len(space), body.version.size) if body.version and body.ranged else 0
            while count < wanted and body.version:
                more = self.door.stretch(count, wanted, body.version)
                try:
                    count += more.readinto(space[count:wanted])
                finally:
                    more.close()
        return bytes(start[:count])

    def _by_range(self, body: Body, version: Version, start: bytes, compression: Compression) -> LandedFile:
        """Move a file of which every part can be fetched again."""
        layout = Layout.of(version.size, self.ranges, self.tuning.streamed_part_bytes)
        progress = self._upload(layout, compression, version)
        return self._move(progress, layout, version, body=body, start=start)

    def _held(self, body: Body, size: int, start: bytes, compression: Compression) -> LandedFile:
        """Move a file of known length that comes once, from its beginning to its end."""
        layout = Layout.of(size, part_bytes=self.tuning.held_part_bytes)
        # A server that names the version may honour ranges after all: that shows when somebody has to go on.
        version = body.version if self.may_range and body.version and body.version.size == size else None
        progress = self._upload(layout, compression, version)
        try:
            return self._move(progress, layout, None, body=body, start=start)
        except OutOfTimeError:
            if version:
                raise
            raise OutOfTimeError from None

    def _upload(self, layout: Layout, compression: Compression, version: Version | None) -> Progress:
        """Begin an upload, and have it noted so that it can be ended or gone on with."""
        key = _named(self.key, compression, self.dataset)
        progress = Progress(
            upload_id=self.landing.begin(key, content_type=content_type(compression, self.dataset)),
            key=key,
            compression=compression,
            part_bytes=layout.part_bytes,
            bytes=layout.size,
            validator=version.validator if version else None,
        )
        try:
            self.on_upload(progress.upload_id)
            if version:
                self.on_progress(progress)
        except Exception:
            with contextlib.suppress(HaulError):
                self.landing.abort(key, progress.upload_id)  # nobody else will ever know of it
            raise
        return progress

    def _buffered(self, body: Body, size: int | None, start: bytes, compression: Compression) -> LandedFile:
        """Move a file that is small, or of which nobody knows how long it is."""
        key = _named(self.key, compression, self.dataset)
        watch = self._watch(compression, size=size)
        upload_id: str | None = None

        def upload_changed(changed: str | None) -> None:
            nonlocal upload_id
            self.on_upload(changed)
            upload_id = changed

        def may_complete() -> None:
            self.on_progress(
                Progress(
                    upload_id=upload_id or "",
                    key=key,
                    compression=compression,
                    part_bytes=self.tuning.part_bytes,
                    bytes=upload.bytes,
                    checksum=upload.checksum,
                    length_told=size is not None,
                )
            )

        with Upload(
            self.landing,
            key,
            content_type=content_type(compression, self.dataset),
            size=size,
            on_upload=upload_changed,
            smallest_part=self.tuning.part_bytes,
            may_complete=may_complete,
            persistence=self.tuning.persistence,
        ) as upload:
            upload.write(start)
            watch.see(start)
            del start
            while True:
                if self.time_left() <= 0:
                    raise OutOfTimeError
                with upload.space(self.tuning.read_bytes) as space, space[: body.readinto(space)] as data:
                    if not data:
                        break
                    watch.see(data)
                    count = len(data)
                upload.filled(count)
            _compare(self.file, body)
            seen = watch.finish()
            self.may_finish()
            version_id = upload.finish()
        return self._landed(
            key,
            version_id,
            seen,
            compression=compression,
            size=upload.bytes,
            checksum=upload.checksum,
            length_told=size is not None,
        )

    # Where an invocation before has stopped --------------------------------------------------------------------------

    def go_on(self, progress: Progress) -> LandedFile | None:
        """Go on with a file; None if it has to begin again."""
        parts = self.landing.parts(progress.key, progress.upload_id)
        if parts is None:
            return self._completed(progress)
        if progress.bytes is None or progress.validator is None:
            self._abort(progress)
            return None
        layout = Layout(progress.bytes, progress.part_bytes)
        version = Version(progress.bytes, progress.validator)
        kept = layout.kept(parts)
        if not kept and layout.is_coarse:
            # An invocation came to its end within the first part: of smaller ones it would have had some.
            self._abort(progress)
            self.tuning = self.tuning.fine
            return None
        try:
            return self._move(progress, layout, version, have=kept)
        except NotRangedError:
            self.may_range = False
            self.on_restart()
        except FileChangedError:
            pass  # its upload is gone; what the vendor has now is as good
        return None

    def _completed(self, progress: Progress) -> LandedFile | None:
        """Find the object whose completion got lost, by size and checksum."""
        head = self.landing.head(progress.key) if progress.checksum else None
        if head is None or (head.bytes, head.checksum) != (progress.bytes, progress.checksum):
            self.on_progress(None)
            return None
        return self._checked(progress, head.version_id, moved=False)

    # Both ------------------------------------------------------------------------------------------------------------

    def _move(
        self,
        progress: Progress,
        layout: Layout,
        version: Version | None,
        *,
        have: Mapping[int, Part] | None = None,
        body: Body | None = None,
        start: bytes = b"",
    ) -> LandedFile:
        tuning = self.tuning
        watch = self._watch(progress.compression, size=layout.size)
        mover = Mover(
            self.door,
            self.landing,
            progress.key,
            progress.upload_id,
            layout=layout,
            version=version,
            pacing=Pacing(
                connections=self.ranges if version else 1,
                enough=tuning.enough_bytes_per_second,
                read_again=tuning.read_again_bytes_per_second,
                look_after_bytes=tuning.look_after_bytes,
                look_after_seconds=tuning.look_after_seconds,
                persistence=tuning.persistence,
                time_left=self.time_left,
            ),
            have=have,
            see=watch.see if watch.is_needed else None,
        )
        try:
            parts = mover.run(body, start)
            if body and not version:
                _require_end(self.file, body)
            seen = watch.finish() if mover.saw_all or not watch.is_needed else None
            checksum = combined(parts)
            progress = progress.model_copy(update={"checksum": checksum, "done": layout.size})
            self.on_progress(progress)
            self.may_finish()
            version_id = self.landing.complete(progress.key, progress.upload_id, parts, checksum=checksum)
        except Exception as error:
            if watch.found_damage or not _may_go_on(error):
                self._abort(progress)
            elif not progress.validator:
                # Nobody can go on with it, but for a completion of which the reply got lost.
                self._abort(progress, forget=not progress.checksum)
            raise
        if seen is None:
            return self._checked(progress, version_id, moved=mover.moved)
        self.on_upload(None)
        return self._landed_as(progress, version_id, seen)

    def _checked(self, progress: Progress, version_id: str | None, *, moved: bool) -> LandedFile:
        """Check an object that nobody saw from end to end: what a check knows cannot be handed on."""
        watch = self._watch(progress.compression, size=progress.bytes if progress.length_told else None)
        try:
            if watch.is_needed:
                self._read(progress.key, version_id, watch, moved=moved)
            seen = watch.finish()
        except DamagedFileError:
            self.on_progress(None)
            raise
        self.on_upload(None)
        return self._landed_as(progress, version_id, seen)

    def _read(self, key: str, version_id: str | None, watch: _Watch, *, moved: bool) -> None:
        space = memoryview(bytearray(self.tuning.read_bytes))
        with self.landing.reading(key, version_id) as reader:
            while count := reader.readinto(space):
                if self.time_left() <= 0:
                    raise OutOfTimeError(advanced=moved)
                watch.see(space[:count])

    def _watch(self, compression: Compression, *, size: int | None) -> _Watch:
        trusted = self.verify == "length" and size is not None
        check = LengthCheck() if trusted else check_of(self.door.name, compression, self.dataset)
        return _Watch(check, sha256=self.sha256)

    def _abort(self, progress: Progress, *, forget: bool = True) -> None:
        """End an upload. What is known of it stays noted if even that fails."""
        with contextlib.suppress(HaulError):
            self.landing.abort(progress.key, progress.upload_id)
            if forget:
                self.on_progress(None)
            self.on_upload(None)

    def _landed_as(self, progress: Progress, version_id: str | None, seen: _Seen) -> LandedFile:
        return self._landed(
            progress.key,
            version_id,
            seen,
            compression=progress.compression,
            size=progress.bytes or 0,
            checksum=progress.checksum or "",
            length_told=progress.length_told,
        )

    def _landed(
        self,
        key: str,
        version_id: str | None,
        seen: _Seen,
        *,
        compression: Compression,
        size: int,
        checksum: str,
        length_told: bool,
    ) -> LandedFile:
        found = seen.found
        return LandedFile(
            uri=keys.uri(self.landing.bucket, key),
            version_id=version_id,
            bytes=size,
            bytes_uncompressed=size if compression == "none" else found.bytes_uncompressed,
            compression=compression,
            rows=found.rows,
            row_actions=found.row_actions,
            header=found.header,
            checksum=Checksum(value=checksum),
            sha256=seen.sha256,
            verified=[*(["length"] if length_told else []), *found.verified],
        )


def _may_go_on(error: BaseException) -> bool:
    """Whether what is there is of use to the next try: not where its bytes are in doubt."""
    if isinstance(error, DamagedFileError):
        return isinstance(error, TruncatedFileError)
    return isinstance(error, TransientError | OutOfTimeError)


def _named(key: str, compression: Compression, dataset: Dataset) -> str:
    """The key by which readers know what the file is; it is the one given if the file is what was expected."""
    if compression == dataset.format.compression:
        return key
    return key.removesuffix(".gz") + (".gz" if compression == "gzip" else "")


def _size(file: RemoteFile, body: Body) -> int | None:
    """How long the file is going to be, by whoever tells."""
    told = body.version.size if body.version else body.length
    if file.bytes is not None and told is not None and file.bytes != told:
        raise CorruptFileError(f"{body.name} comes with {told:,} bytes where the vendor's list says {file.bytes:,}")
    return told if file.bytes is None else file.bytes


def _require_end(file: RemoteFile, body: Body) -> None:
    """Be sure that nothing follows what the vendor's list promised, where the reply itself does not tell its length."""
    if body.length is None and body.readinto(memoryview(bytearray(1))):
        raise _longer(file, body)


def _compare(file: RemoteFile, body: Body) -> None:
    """Hold what came against what the vendor's list says; a length in the reply itself has been kept by now."""
    if file.bytes is not None and body.received < file.bytes:
        raise TruncatedFileError(f"{body.name} ended after {body.received:,} of {file.bytes:,} bytes")
    if file.bytes is not None and body.received > file.bytes:
        raise _longer(file, body)


def _longer(file: RemoteFile, body: Body) -> CorruptFileError:
    return CorruptFileError(f"{body.name} has more than the {file.bytes:,} bytes that the vendor's list says")
