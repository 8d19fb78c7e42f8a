"""What a finished export consists of, in our words: one dataset, or one for each segment. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from haul.connectors.adobe.replies import Batch, ExportJob
from haul.models.export import Contents, Dataset, Format, RemoteFile

_WHOLE = "profiles"
_FORMAT = Format(type="parquet", compression="none", header=False)


class Part(NamedTuple):
    """A Parquet file: the id of the file it is a part of, its own name, its length where Adobe tells it."""

    file_id: str
    name: str
    length: int | None


def read(job: ExportJob, written: Sequence[tuple[Batch, Sequence[Part]]], *, count_must_match: bool) -> Contents:
    """List datasets and files. Parts are put in an order of our own: Adobe promises none, and a rerun must find it."""
    datasets: dict[str, Dataset] = {}
    files: list[RemoteFile] = []
    warnings: list[str] = []
    for batch, parts in sorted(written, key=lambda each: (each[0].segment_id, each[0].batch_id)):
        name = f"segment={batch.segment_id}" if batch.segment_id else _WHOLE
        change = "rows" if job.is_delta else "full"
        datasets.setdefault(name, Dataset(name=name, table=batch.segment_id or _WHOLE, change=change, format=_FORMAT))
        if not parts and not job.is_delta:
            warnings.append(f"{name}: Adobe exported no profile")
        once = {part[:2]: part for part in parts}
        if len(once) < len(parts):
            warnings.append(f"{name}: Adobe lists a part twice; it is landed once")
        files += _named(name, [once[part] for part in sorted(once)], files)
    if count_must_match and job.exported is None:
        warnings.append("Adobe told no totalExportedProfileCounter, so that the rows were compared with nothing")
    return Contents(
        datasets=list(datasets.values()),
        files=files,
        evidence={"export-job": dict(job.document)},
        warnings=warnings,
        expected_rows=job.exported if count_must_match else None,
    )


def _named(dataset: str, parts: Sequence[Part], before: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Give each part a name of its own: Adobe's, with the file's id where Adobe repeats it."""
    used = {file.name for file in before if file.dataset == dataset}
    found: list[RemoteFile] = []
    for number, part in enumerate(parts, start=len(used)):
        name = part.name
        if name in used:
            stem, dot, suffix = name.partition(".")
            name = f"{stem}-{part.file_id}{dot}{suffix}"
        used.add(name)
        found.append(
            RemoteFile(
                dataset=dataset,
                name=name,
                part=number,
                vendor_file_id=part.file_id,
                vendor_name=part.name,
                bytes=part.length,
            )
        )
    return found
