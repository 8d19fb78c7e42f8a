"""What a finished job has written: batches of files, which are directories of Parquet parts."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from infra.local.vendors.adobe import parquet
from infra.local.vendors.adobe.profiles import Segment, projected, segments_of, selected
from infra.local.vendors.server import Content


@dataclass(frozen=True)
class Part:
    """One Parquet file."""

    name: str
    content: Content
    rows: int


@dataclass(frozen=True)
class Directory:
    """What a `dataSetFileId` stands for: parts, or further directories."""

    id: str
    parts: tuple[Part, ...] = ()
    directories: tuple["Directory", ...] = ()

    def everything(self) -> Iterator[tuple["Directory", Part]]:
        for part in self.parts:
            yield self, part
        for directory in self.directories:
            yield from directory.everything()

    def below(self) -> Iterator["Directory"]:
        yield self
        for directory in self.directories:
            yield from directory.below()


@dataclass(frozen=True)
class Batch:
    id: str
    segment: Segment | None  # None holds every segment's profiles
    files: tuple[Directory, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for file in self.files for _, part in file.everything())


@dataclass(frozen=True)
class Shape:
    """How a batch is cut into files."""

    files: int
    parts: int
    part_bytes: int = 0
    nested: bool = False
    same_names: bool = False


def batch_ids(request: Mapping[str, Any]) -> list[tuple[str, Segment | None]]:
    """The batches that a job is going to write: known before anything is in them."""
    segments = segments_of(request)
    per_segment = bool(request["destination"].get("segmentPerBatch")) and segments
    return [(uuid.uuid4().hex, segment) for segment in (segments if per_segment else [None])]


def write(
    request: Mapping[str, Any],
    ids: Sequence[tuple[str, Segment | None]],
    ingested: Sequence[datetime],
    shape: Shape,
) -> list[Batch]:
    """Write the batches; one without a row has no files."""
    columns = projected(str(request.get("fields") or ""))
    batches = []
    for batch_id, segment in ids:
        rows = list(selected(request, [segment] if segment else segments_of(request), ingested))
        batches.append(Batch(batch_id, segment, tuple(_files(columns, rows, shape))))
    return batches


def _files(columns: Sequence[parquet.Node], rows: Sequence[Mapping[str, Any]], shape: Shape) -> Iterator[Directory]:
    count = shape.files * shape.parts
    cuts = [len(rows) * number // count for number in range(count + 1)]
    shares = [rows[start:stop] for start, stop in pairwise(cuts) if start < stop]
    common = uuid.uuid4()
    for at in range(0, len(shares), shape.parts):
        number, own = at // shape.parts + 1, uuid.uuid4()
        file_id = f"{uuid.uuid4()}-{number}"
        parts = tuple(
            Part(f"part-{place:05}-{common if shape.same_names else own}-c000.snappy.parquet", *written)
            for place, share in enumerate(shares[at : at + shape.parts])
            for written in [parquet.written(columns, share, at_least=shape.part_bytes)]
        )
        if shape.nested:
            inner = (Directory(f"{file_id}.{place}", (part,)) for place, part in enumerate(parts))
            yield Directory(file_id, directories=(Directory(f"{file_id}.d", directories=tuple(inner)),))
        else:
            yield Directory(file_id, parts)


@lru_cache(maxsize=256)
def sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for chunk in content.chunks(0, content.size):
        digest.update(chunk)
    return digest.hexdigest()
