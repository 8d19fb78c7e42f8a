"""The decisions of the export flow: what is to be exported, has the job ended, what is to be downloaded."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from haul import attempts, jobs, keys
from haul.errors import ExportFailedError, HaulError, ResultExpiredError
from haul.ledger import LIVE, Ledger
from haul.models.event import Outcome, Rerun
from haul.models.export import Export, PlanItem, PlannedFile, PlanRef
from haul.models.ledger import Latest
from haul.models.work import Job
from haul.ports import Connect, Connector, Documents, Found, JobReport, Known, Prepared, Site

_ITEMS = 40
_ITEM_BYTES = 256 * 1024 * 1024
_ITEM_FILES = 100
_WARNINGS = 100
_WARNING_LENGTH = 300


@dataclass(frozen=True)
class _Vendor:
    """An export vendor, asked for jobs."""

    connector: Connector

    @property
    def in_flight(self) -> timedelta:
        """The function that submits lives for five minutes."""
        return timedelta(minutes=6)

    def find(self, export: Export, since: datetime) -> list[Found]:  # noqa: ARG002 - exports are known by their request
        return self.connector.find(export.request)

    def submit(self, export: Export) -> str:
        return self.connector.schedule(export.request, run_id=export.run_id)

    def look(self, export: Export, job: Job) -> JobReport:  # noqa: ARG002 - an export's job says all by itself
        return self.connector.status(job)


class ExportFlow(attempts.Flow[Export, Connector]):
    """What the export flow does in its own way."""

    kind = "export"
    state = Export

    def __init__(self, ledger: Ledger, site: Site, *, connect: Connect) -> None:
        super().__init__(ledger, site)
        self._connect = connect

    @override
    def connect(self, work: Export) -> Connector:
        return self._connect(work.vendor, work.connection, work.options)

    @override
    def vendor(self, connector: Connector) -> _Vendor:
        return _Vendor(connector)

    @override
    def prepare(self, connector: Connector, work: Export, request: Mapping[str, Any], latest: Latest) -> Prepared:
        known = Known(last_version=latest.version, last_version_created_at=latest.version_created_at)
        return connector.prepare(request, known)

    @override
    def prepared(self, work: Export, found: Prepared) -> Export:
        work = work.model_copy(update={"mode": "delta" if found.is_delta else "full"})
        if work.outcome is None and (before := self._on_its_way(work)):
            message = f"run {before} of this pipeline is on its way to publish; the next trigger starts from there"
            return work.model_copy(
                update={"outcome": Outcome.NOTHING_NEW, "message": message, "warnings": [*work.warnings, message]}
            )
        return work

    def _on_its_way(self, export: Export) -> str | None:
        """Find the live run that will move `@last-published` while this one makes a delta from it.

        Such a delta would not fit when it is done. A run towards the same version is no obstacle: the job shows that,
        and the two are joined.
        """
        if export.follows() is None:
            return None
        for pipeline, run_id in self.ledger.active(export.pipeline):
            record = self.ledger.run(pipeline, run_id)
            before = record.work if record and record.state in LIVE and run_id != export.run_id else None
            if before and before.outcome is None and before.watermark.to not in {None, export.watermark.to}:
                return run_id
        return None

    @override
    def again(self, work: Export, rerun: Rerun | None) -> dict[str, Any]:
        link = rerun is not None and rerun.link
        return {"plan": None, "link": link, "job": Job(id=work.job.id) if link else Job()}

    @override
    def failure(self, message: str) -> HaulError:
        return ExportFailedError(message)


def vendor(connector: Connector) -> jobs.Vendor[Export]:
    """The vendor as this flow asks it for jobs."""
    return _Vendor(connector)


def plan(export: Export, *, ledger: Ledger, connector: Connector, landing: Documents) -> Export:
    """List what the job made, keep the vendor's own documents, and lay out who downloads what.

    Raises:
        ResultExpiredError: the result is gone.
        RetypedColumnError: a column changed its type and the run is to fail then.
        RunAbandonedError: this attempt was given up.
    """
    ledger.note(export)
    try:
        contents = connector.contents(export.job, export.request)
    except ResultExpiredError:
        found = ledger.job(export.vendor, connector.account, export.fingerprint or "")
        if found and found[0].result_id == export.job.result_id:
            jobs.end(ledger, found[0], "its result has expired")
        raise
    for what, document in contents.evidence.items():
        landing.write_document(keys.evidence(export.pipeline, export.run_id, what), json.dumps(document))
    planned = [
        PlannedFile(n=n, key=keys.raw(export.pipeline, file.dataset, export.run_id, file.name), file=file)
        for n, file in enumerate(contents.files)
    ]
    items = batched(planned)
    can = connector.capabilities
    concurrency = max(1, min(can.connections, len(items)))
    items_key = keys.plan(export.pipeline, export.run_id, export.attempt)
    contents_key = keys.contents(export.pipeline, export.run_id, export.attempt)
    landing.write_document(contents_key, contents.to_json())
    landing.write_document(items_key, json.dumps([item.model_dump(mode="json", by_alias=True) for item in items]))
    export = export.model_copy(
        update={
            "warnings": _some(dict.fromkeys([*export.warnings, *contents.warnings])),
            "plan": PlanRef(
                bucket=landing.bucket,
                key=items_key,
                contents_key=contents_key,
                files=len(planned),
                items=len(items),
                concurrency=can.connections,
                # Connections that no child needs for itself bring the files of the few there are.
                ranges=max(1, min(can.ranges, can.connections // concurrency)) if can.honours_range else 1,
            ),
        }
    )
    ledger.note(export)
    return export


def _some(warnings: Iterable[str]) -> list[str]:
    """Bound what a vendor can make us say: the state has 256 KiB, and nobody reads the hundredth warning."""
    said = [text if len(text) <= _WARNING_LENGTH else f"{text[:_WARNING_LENGTH]}..." for text in warnings]
    more = len(said) - _WARNINGS
    return said if more <= 0 else [*said[:_WARNINGS], f"and {more:,} warnings more"]


def batched(files: Sequence[PlannedFile]) -> list[PlanItem]:
    """Group files so that a child of the map has worthwhile work.

    Of known sizes, up to 256 MB go into one child; of unknown ones as many as leave some forty children. Never more
    than a child's input of 256 KiB has room for, whatever the files are called.
    """
    per_item = -(-len(files) // _ITEMS)
    groups: list[list[PlannedFile]] = []
    room = 0
    for planned in files:
        size = planned.file.bytes
        fits = size <= room if size is not None else bool(groups) and len(groups[-1]) < per_item
        if groups and fits and len(groups[-1]) < _ITEM_FILES:
            groups[-1].append(planned)
            room -= size or 0
        else:
            groups.append([planned])
            room = _ITEM_BYTES - (size or _ITEM_BYTES)
    return [PlanItem(item=number, files=group) for number, group in enumerate(groups)]
