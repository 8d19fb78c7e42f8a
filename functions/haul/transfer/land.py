"""One file from the vendor into the landing bucket, in one pass: GET, verification, S3."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from haul import keys
from haul.errors import CorruptFileError, TruncatedFileError
from haul.models.export import Dataset, RemoteFile
from haul.models.landed import Checksum, LandedFile
from haul.ports import DownloadSource, Landing
from haul.transfer.links import Network
from haul.transfer.source import Body, Coding, Patience, open_body
from haul.transfer.upload import PART_BYTES, Upload, encoded
from haul.transfer.verify import Compression, LengthCheck, check_of, compression_of, content_type, shows_its_end


@dataclass(frozen=True)
class Tuning:
    """What decides speed, memory and patience, not what lands. Memory is two parts and a little."""

    read_bytes: int = 256 << 10
    part_bytes: int = PART_BYTES
    patience: Patience = field(default_factory=Patience)
    network: Network = field(default_factory=Network)


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
    tuning: Tuning | None = None,
) -> LandedFile:
    """Land one file, or leave nothing behind.

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
        may_finish: asked when the file is verified and about to become visible; what it raises leaves nothing behind.
        tuning: for tests and for large files.

    Raises:
        DamagedFileError: download it again.
        HaulError: as `open_body` and the landing say.
    """
    tuning = tuning or Tuning()
    name = file.vendor_name
    coding: Coding = "gzip" if dataset.format.compression == "gzip" else "identity"
    with open_body(name, open_source, tuning.network, tuning.patience, coding=coding) as body:
        size = _size(file, body)
        start = _start(body, tuning.read_bytes)
        compression = compression_of(name, start, dataset)
        if size is None and not body.framed and not shows_its_end(compression, dataset):
            raise TruncatedFileError(f"{name}: nothing shows where it ends, neither a length nor gzip")
        check = LengthCheck() if verify == "length" and size is not None else check_of(name, compression, dataset)
        digest = hashlib.sha256() if sha256 else None
        with Upload(
            landing,
            _named(key, compression, dataset),
            content_type=content_type(compression, dataset),
            size=size,
            on_upload=on_upload,
            smallest_part=tuning.part_bytes,
        ) as upload:
            upload.write(start)
            check.feed(start)
            if digest:
                digest.update(start)
            del start
            while True:
                with upload.space(tuning.read_bytes) as space, space[: body.readinto(space)] as data:
                    if not data:
                        break
                    check.feed(data)
                    if digest:
                        digest.update(data)
                    upload.filled(data)
            _compare(file, body)
            found = check.finish()
            may_finish()
            version_id = upload.finish()
    return LandedFile(
        uri=keys.uri(landing.bucket, upload.key),
        version_id=version_id,
        bytes=upload.bytes,
        bytes_uncompressed=upload.bytes if compression == "none" else found.bytes_uncompressed,
        compression=compression,
        rows=found.rows,
        row_actions=found.row_actions,
        header=found.header,
        checksum=Checksum(value=encoded(upload.checksum)),
        sha256=digest.hexdigest() if digest else None,
        verified=[*(["length"] if size is not None else []), *found.verified],
    )


def _named(key: str, compression: Compression, dataset: Dataset) -> str:
    """The key by which readers know what the file is; it is the one given if the file is what was expected."""
    if compression == dataset.format.compression:
        return key
    return key.removesuffix(".gz") + (".gz" if compression == "gzip" else "")


def _size(file: RemoteFile, body: Body) -> int | None:
    """How long the file is going to be, by whoever tells."""
    if file.bytes is not None and body.length is not None and file.bytes != body.length:
        raise CorruptFileError(
            f"{body.name} comes with {body.length:,} bytes where the vendor's list says {file.bytes:,}"
        )
    return body.length if file.bytes is None else file.bytes


def _start(body: Body, length: int) -> bytes:
    """The whole file or as much of its beginning as shows what it is."""
    start = bytearray(length)
    with memoryview(start) as space:
        count = body.readinto(space)
    return bytes(start[:count])


def _compare(file: RemoteFile, body: Body) -> None:
    """Hold what came against what the vendor's list says; a length in the reply itself has been kept by now."""
    if file.bytes is not None and body.received < file.bytes:
        raise TruncatedFileError(f"{body.name} ended after {body.received:,} of {file.bytes:,} bytes")
    if file.bytes is not None and body.received > file.bytes:
        raise CorruptFileError(f"{body.name} has {body.received:,} bytes where the vendor's list says {file.bytes:,}")
