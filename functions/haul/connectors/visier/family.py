"""What a Visier job and all that it started come to. Pure.

A dispatching job makes an extraction job for each tenant; a receiving job follows each, and a processing job that. A
tenant is as well off as the worst of its jobs. Whose parent did not succeed may lack tenants that no list ever shows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from haul.connectors.visier.job_replies import Child, Dispatching, ListedJob, Receiving
from haul.connectors.visier.jobs_client import Kind
from haul.models.event import Outcome
from haul.models.load import LoadItem
from haul.models.threshold import exceeds
from haul.models.work import JobStatus
from haul.ports import LoadReport
from haul.rest import excerpt

_STATUS = {
    "pending": JobStatus.RUNNING,
    "running": JobStatus.RUNNING,
    "cancelling": JobStatus.RUNNING,
    "rescheduling": JobStatus.RUNNING,
    "rescheduled": JobStatus.RUNNING,
    "succeeded": JobStatus.SUCCEEDED,
    "completed": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "error": JobStatus.FAILED,
    "rolledback": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}
_LIVE = frozenset({JobStatus.RUNNING, JobStatus.UNKNOWN})
_MESSAGE = 120
_KEPT = 500
_WORD = 60
_NAMED = 3
_ORDER = (Kind.EXTRACTION, Kind.RECEIVING, Kind.PROCESSING)
_OF_ONE_TENANT = frozenset({Kind.EXTRACTION, Kind.PROCESSING})


@dataclass(frozen=True)
class Member:
    """A job of the family; `word` is Visier's for where it stands, `kind` None where Visier has a word for it alone."""

    kind: Kind | None
    id: str
    tenant: str | None
    word: str
    stage: str | None = None
    data_version: str | None = None
    message: str | None = None
    document: Any = field(default=None, repr=False)

    @property
    def status(self) -> JobStatus:
        """A word that is added later is waited on like Running, and reported."""
        return _STATUS.get(self.word.strip().lower().replace(" ", ""), JobStatus.UNKNOWN)

    @property
    def live(self) -> bool:
        return self.status in _LIVE

    @property
    def called(self) -> str:
        return f"{self.kind} job" if self.kind else "job"

    @property
    def why(self) -> str:
        """Visier's own message, or what is known without one."""
        return self.message or f"its {self.called} {self.id} ended as {self.word}"


@dataclass(frozen=True)
class Wanted:
    """What should follow: how many jobs of the `first` kind, and for each tenant a receiving or a processing job."""

    first: Kind | None = None
    dispatched: int | None = None
    receiving: bool = False
    processing: bool = False


def dispatching(job_id: str, job: Dispatching) -> Member:
    return Member(Kind.DISPATCHING, job_id, job.tenant_code, job.status, document=job.document)


def receiving(job_id: str, job: Receiving) -> Member:
    return Member(Kind.RECEIVING, job_id, None, job.status, document=job.document)


def children(kind: Kind, jobs: Iterable[Child]) -> list[Member]:
    return [
        Member(kind, job.id, job.tenant, job.status, job.current_stage, job.data_version, job.message, job.document)
        for job in jobs
    ]


def listed(kind: Kind | None, job: ListedJob) -> Member:
    return Member(kind, job.job_id, job.tenant, job.status, document=job.document)


def report(
    parent: Member, others: Sequence[Member], wanted: Wanted, *, tolerate: str | int, awaited_for: timedelta
) -> LoadReport:
    """Say what the family comes to, or how far it is."""
    others = _without_replaced(others)
    everyone = [parent, *others]
    kind = str(parent.kind) if parent.kind else None
    family = {str(kind): count for kind, count in Counter(job.kind or "other" for job in everyone).items()}
    progress = _progress(parent, others, wanted)
    if any(job.live for job in everyone):
        unknown = next((job for job in everyone if job.status is JobStatus.UNKNOWN), None)
        return LoadReport(
            status=JobStatus.UNKNOWN if unknown else JobStatus.RUNNING,
            word=(excerpt(unknown.word, _WORD) or "no status") if unknown else None,
            kind=kind,
            family=family,
            progress=progress,
        )
    missing = _missing(parent, others, wanted)
    items = _items(parent, others, missing)
    status, reason, partial = _verdict(parent, items, missing, wanted, tolerate)
    return LoadReport(
        status=status,
        reason=reason,
        partial=partial,
        kind=kind,
        family=family,
        progress=progress,
        items=items,
        awaited=missing.text or None,
        awaited_for=awaited_for if missing.text else timedelta(0),
        evidence={"jobs": {"parent": parent.document, "children": [job.document for job in others]}},
    )


def _without_replaced(jobs: Sequence[Member]) -> list[Member]:
    """Leave out rescheduled jobs that run again under another id."""
    groups = defaultdict[tuple[Kind | None, str | None], list[Member]](list)
    for job in jobs:
        groups[job.kind, job.tenant].append(job)
    kept = []
    for (_, tenant), group in groups.items():
        anew = [job for job in group if not job.word.strip().lower().startswith("reschedul")]
        kept += anew if anew and tenant else group
    return kept


@dataclass(frozen=True)
class _Missing:
    """What should be there and is not listed, and of which tenants."""

    text: str = ""
    tenants: frozenset[str | None] = frozenset()


def _missing(parent: Member, others: Sequence[Member], wanted: Wanted) -> _Missing:
    """Find what should still follow. A parent that did not succeed makes no more jobs; those that it made go on."""
    succeeded = parent.status is JobStatus.SUCCEEDED
    if succeeded and (unlisted := _undispatched(others, wanted)):
        return _Missing(unlisted)
    after = Kind.PROCESSING if wanted.processing else Kind.RECEIVING if wanted.receiving else None
    if after is None:
        return _Missing()
    last = {after, Kind.PROCESSING}
    tenants = _by_tenant(parent, others)
    if not tenants:
        return _Missing(f"no {after} job is listed yet" if succeeded else "")
    lacking = [
        tenant
        for tenant, jobs in tenants.items()
        if all(job.status is JobStatus.SUCCEEDED for job in jobs) and not any(job.kind in last for job in jobs)
    ]
    if not lacking:
        return _Missing()
    named = [tenant for tenant in lacking if tenant]
    return _Missing(f"no {after} job{f' of {_listing(named)}' if named else ''} is listed yet", frozenset(lacking))


def _undispatched(others: Sequence[Member], wanted: Wanted) -> str | None:
    if wanted.first is None:
        return None
    there = len(_of(wanted.first, others))
    if not there:
        return f"no {wanted.first} job is listed yet"
    if wanted.dispatched is not None and there < wanted.dispatched:
        return f"{wanted.dispatched - there} of {wanted.dispatched} {wanted.first} jobs are not listed yet"
    return None


def _of(kind: Kind, jobs: Iterable[Member]) -> list[Member]:
    return [job for job in jobs if job.kind is kind]


def _items(parent: Member, others: Sequence[Member], missing: _Missing) -> list[LoadItem]:
    """Tell what became of each tenant."""
    groups = _by_tenant(parent, others) or ({} if parent.kind is Kind.DISPATCHING else {parent.tenant: [parent]})
    return [_item(tenant, group, is_missing=tenant in missing.tenants) for tenant, group in groups.items()]


def _by_tenant(parent: Member, others: Iterable[Member]) -> dict[str | None, list[Member]]:
    """Each tenant's jobs. The parent is one of them where it is a tenant's own, and not there for several."""
    groups = defaultdict[str | None, list[Member]](list)
    for job in (*([parent] if parent.kind in _OF_ONE_TENANT else []), *others):
        groups[job.tenant or parent.tenant].append(job)
    return groups


def _item(tenant: str | None, jobs: Sequence[Member], *, is_missing: bool) -> LoadItem:
    for outcome, status in ((Outcome.FAILED, JobStatus.FAILED), (Outcome.CANCELLED, JobStatus.CANCELLED)):
        if bad := [job for job in jobs if job.status is status]:
            told = next((job for job in bad if job.message), bad[0])
            return LoadItem(tenant=tenant, outcome=outcome, message=excerpt(told.why, _KEPT))
    version = next((job.data_version for job in reversed(jobs) if job.data_version), None)
    message = next((job.message for job in reversed(jobs) if job.message), None) or ""
    if is_missing:
        message = "a job that should follow never appeared in Visier's lists"
    return LoadItem(tenant=tenant, outcome=Outcome.SUCCEEDED, data_version=version, message=excerpt(message, _KEPT))


def _verdict(
    parent: Member, items: Sequence[LoadItem], missing: _Missing, wanted: Wanted, tolerate: str | int
) -> tuple[JobStatus, str | None, str | None]:
    """Say how it ended, why it failed, and why it counts as part of what was asked for."""
    bad = [item for item in items if item.outcome is not Outcome.SUCCEEDED]
    if len(bad) < len(items):
        total = max(len(items), wanted.dispatched or 0)
        stopped = any(item.outcome is Outcome.CANCELLED for item in bad)  # that is no failure to be tolerated
        partial = [_tenants(bad, total)] if stopped or exceeds(len(bad), total, tolerate) else []
        if parent.status is not JobStatus.SUCCEEDED:
            partial.append(f"the {parent.called} itself ended as {parent.word}")
        partial += [missing.text] if missing.text else []
        return JobStatus.SUCCEEDED, None, "; ".join(partial) or None
    if not items:
        if parent.status is JobStatus.SUCCEEDED:
            return JobStatus.FAILED, f"Visier made nothing of it: {missing.text or 'no job followed'}", None
        return parent.status, f"the {parent.called} {parent.id} ended as {parent.word}", None
    cancelled = all(item.outcome is Outcome.CANCELLED for item in bad)
    return (JobStatus.CANCELLED if cancelled else JobStatus.FAILED), _tenants(bad, len(items)), None


def _tenants(bad: Sequence[LoadItem], total: int) -> str:
    """Write how many tenants went wrong, and name the first of them."""
    ended = "were cancelled" if all(item.outcome is Outcome.CANCELLED for item in bad) else "failed"
    named = [f"{item.tenant} {excerpt(item.message, _MESSAGE)}" if item.tenant else item.message for item in bad]
    shown = ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
    if total == 1:
        return f"the load {'was cancelled' if ended == 'were cancelled' else ended}: {shown}"
    return f"{len(bad)} of {total} tenants {ended}: {shown}"


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _progress(parent: Member, others: Sequence[Member], wanted: Wanted) -> str:
    """Write stage and counts: `extraction 12 of 40 (Process Records 3), processing 2 of 12`."""
    parts = []
    for kind in _ORDER:
        jobs = _of(kind, others)
        total = max(len(jobs), (wanted.dispatched or 0) if kind is wanted.first else 0)
        if not total:
            continue
        live = [job for job in jobs if job.live]
        stages = Counter(job.stage for job in live if job.stage).most_common(1)
        stage = f" ({stages[0][0]} {stages[0][1]})" if stages else ""
        parts.append(f"{kind} {len(jobs) - len(live)} of {total}{stage}")
    failed = sum(job.status is JobStatus.FAILED for job in others)
    return ", ".join([*(parts or [f"{parent.called} {parent.word}"]), *([f"{failed} failed"] if failed else [])])
