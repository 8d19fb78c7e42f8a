"""Following a run: snapshots from the ledger and Step Functions, and how they look in a terminal.

for progress in follow(deployment, execution, find):     each look at the run, until it has ended
watch(deployment, execution, find, out)                  the same, shown live; the last look
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from haul import keys
from haul.cli import words
from haul.cli.deployment import Deployment
from haul.cli.failures import PASSING, CommandError, Exit
from haul.cli.output import Output
from haul.errors import QuotaExceededError
from haul.ledger import LIVE
from haul.models.event import Outcome
from haul.models.export import Contents, Export
from haul.models.ledger import FileState, RunRecord, RunState
from haul.models.load import Load
from haul.models.work import JobStatus, Watermark, Work
from haul.ports import ExecutionState

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_PATIENCE = timedelta(seconds=10)
_LINE_EVERY = 5.0
_FAILURES_ALLOWED = 10
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

type FindRun = Callable[[], RunRecord | None]


@dataclass(frozen=True)
class Progress:
    """One look at a run. `record` is None until the execution has claimed its run.

    `execution` is what Step Functions says, looked up only where the ledger does not tell. `bytes_planned` is None
    where the vendor does not say how large its files are.
    """

    at: datetime
    record: RunRecord | None
    execution: ExecutionState | None = None
    files_landed: int = 0
    bytes_landed: int = 0
    bytes_planned: int | None = None

    @property
    def work(self) -> Work | None:
        return self.record.work if self.record else None

    @property
    def files_planned(self) -> int | None:
        return self.work.files_planned if self.work else None

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it has not."""
        if self.record is None:
            return Outcome.FAILED if self.lost else None
        return self.record.outcome if self.record.state not in LIVE else None

    @property
    def lost(self) -> bool:
        """The execution ended before there was a run."""
        ended = self.execution is not None and self.execution.status not in {"RUNNING", "PENDING_REDRIVE"}
        return self.record is None and ended

    @property
    def bytes_per_second(self) -> float | None:
        begun = self.work.job.finished_seen_at if self.work else None
        seconds = (self.at - begun).total_seconds() if begun else 0.0
        return self.bytes_landed / seconds if self.bytes_landed and seconds > 1 else None


def exit_code(progress: Progress) -> Exit:
    """What a script is told of a run that ended."""
    match progress.outcome:
        case None | Outcome.SUCCEEDED | Outcome.JOINED:
            return Exit.GOOD
        case Outcome.NOTHING_NEW:
            return Exit.NOTHING_NEW
        case Outcome.PARTIAL:
            return Exit.PARTIAL
        case _:
            error = progress.record.error if progress.record else None
            return Exit.REFUSED if error and error.name == QuotaExceededError.__name__ else Exit.FAILED


def follow(deployment: Deployment, execution: str, find: FindRun) -> Iterator[Progress]:
    """Look at a run again and again, ever less often, until it has ended and people were told.

    `find` looks the run up; it may not be there yet. A look that fails is tried again, so many times in a row.
    """
    looking = _Looking(deployment, execution, find)
    seconds = _FIRST_PAUSE
    known: object = None
    failures = 0
    while True:
        try:
            progress = looking.look()
        except PASSING:
            failures += 1
            if failures >= _FAILURES_ALLOWED:
                raise
            deployment.pause(_LONGEST_PAUSE)
            continue
        failures = 0
        yield progress
        if _has_ended(progress):
            return
        moved = (progress.record, progress.files_landed)
        seconds = _FIRST_PAUSE if moved != known else min(seconds * 1.3, _LONGEST_PAUSE)
        known = moved
        deployment.pause(seconds)


def _has_ended(progress: Progress) -> bool:
    """Ended and told, or ended for so long that the Sweep will have to tell."""
    record = progress.record
    if record is None:
        return progress.lost
    if record.state in LIVE:
        return False
    return record.told or progress.at - (record.ended_at or progress.at) > _PATIENCE


@dataclass
class _Looking:
    """Remembers what cannot change, so that a run of a thousand files is not read a thousand times."""

    deployment: Deployment
    execution: str
    find: FindRun
    landed: dict[str, int] = field(default_factory=dict)
    planned: dict[str, int | None] = field(default_factory=dict)
    looks: int = 0

    def look(self) -> Progress:
        record = self.find()
        self.looks += 1
        progress = Progress(at=self.deployment.clock(), record=record)
        if record is None:
            execution = self.deployment.flow.describe(self.execution)
            # A claim between the two looks is not lost.
            return Progress(at=progress.at, record=self.find(), execution=execution)
        if progress.files_planned is None:
            return progress
        self._count_landed(record)
        return Progress(
            at=progress.at,
            record=record,
            files_landed=len(self.landed),
            bytes_landed=sum(self.landed.values()),
            bytes_planned=self._bytes_planned(record),
        )

    def _count_landed(self, record: RunRecord) -> None:
        ledger = self.deployment.ledger()
        result = record.work.job.result_id if record.work else None
        for key in self.deployment.store.keys(keys.files(record.pipeline, record.run_id)):
            if key in self.landed:
                continue
            file = ledger.file(record.pipeline, record.run_id, int(key.rpartition("/")[2]))
            if file and file.landed and file.state is FileState.LANDED and file.result_id == result:
                self.landed[key] = file.landed.bytes

    def _bytes_planned(self, record: RunRecord) -> int | None:
        plan = record.work.plan if isinstance(record.work, Export) else None
        if plan is None:
            return None
        if plan.contents_key not in self.planned:
            stored = self.deployment.store.get(plan.contents_key)
            files = Contents.model_validate_json(stored.body).files if stored else []
            sizes = [file.bytes for file in files if file.bytes is not None]
            self.planned[plan.contents_key] = sum(sizes) if len(sizes) == len(files) else None
        return self.planned[plan.contents_key]


# How it looks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A line of the display. `text` says more about it."""

    name: str
    state: Literal["to come", "going on", "done", "failed"]
    text: str = ""


def steps(progress: Progress, now: datetime) -> list[Step]:
    """The stages of a run, and where it stands."""
    record, work = progress.record, progress.work
    if record is None or work is None:
        begun = "starting" if record is None else "resolving the request"
        return [Step("submitted", "going on", begun)]
    found = [
        Step("submitted", "done" if _has_job(work) else "going on", _submitted(work)),
        Step("vendor ready", *_waited(work, now)),
        *([] if isinstance(work, Load) else [Step("download", *_downloaded(progress))]),
        Step("publish", *_published(record)),
    ]
    ended_badly = record.state is RunState.ABANDONED
    failing = next((index for index, step in enumerate(found) if step.state != "done"), None) if ended_badly else None
    if record.state is RunState.ENDED:
        return [step for step in found if step.state == "done"]
    if failing is None:
        return found
    return [*found[:failing], Step(found[failing].name, "failed", found[failing].text)]


def _has_job(work: Work) -> bool:
    return bool(work.job.id or work.job.result_id)


def _submitted(work: Work) -> str:
    job = work.job
    if job.in_doubt:
        return "in doubt: the reply was lost, and the job is looked for"
    if not _has_job(work):
        return ""
    what = f"job {words.short(job.id)}" if job.id else f"result {words.short(job.result_id or '')}"
    at = f"  {job.submitted_at:%H:%M:%S}" if job.submitted_at else ""
    return f"{what}{at}{', adopted' if job.adopted else ''}"


def _waited(work: Work, now: datetime) -> tuple[Literal["to come", "going on", "done"], str]:
    job = work.job
    polls = words.count(work.polls, "poll")
    if work.status is JobStatus.SUCCEEDED:
        took = words.span((job.finished_seen_at or now) - (job.submitted_at or work.started_at))
        return "done", "at once" if job.adopted and not work.polls else f"{took}, {polls}"
    if not _has_job(work):
        return "to come", ""
    trouble = f", {words.count(work.failed_polls, 'poll')} unanswered" if work.failed_polls else ""
    said = f"   {work.progress}" if work.progress else ""
    return "going on", f"{words.span(work.elapsed(now))}, {polls}{trouble}{said}"


def _downloaded(progress: Progress) -> tuple[Literal["to come", "going on", "done"], str]:
    record, planned = progress.record, progress.files_planned
    if record is None or progress.work is None or progress.work.status is not JobStatus.SUCCEEDED:
        return "to come", ""
    if planned is None:
        return "going on", "listing files"
    all_there = record.state in {RunState.PUBLISHING, RunState.PUBLISHED}
    size = words.size(progress.bytes_landed)
    if not all_there and progress.bytes_planned:
        size = words.size_of(progress.bytes_landed, progress.bytes_planned)
    speed = f"   {words.size(round(progress.bytes_per_second))}/s" if progress.bytes_per_second else ""
    if all_there:
        return "done", f"{words.count(planned, 'file')}   {size}"
    return "going on", f"{progress.files_landed} of {words.count(planned, 'file')}   {size}{speed}"


def _published(record: RunRecord) -> tuple[Literal["to come", "going on", "done"], str]:
    match record.state:
        case RunState.PUBLISHED:
            return "done", ""
        case RunState.PUBLISHING:
            return "going on", ""
        case _:
            return "to come", ""


_MARKS = {"to come": ("·", "dim"), "done": ("✓", "green"), "failed": ("✗", "red")}


def headline(progress: Progress) -> Text:
    record, work = progress.record, progress.work
    if record is None:
        return Text("run not known yet", style="dim")
    line = Text.assemble("run ", (record.run_id, "bold"), f"   {record.pipeline}")
    if work and (work.watermark.to or work.watermark.from_):
        line.append(f"   {versions(work.watermark)}")
    if record.attempt > 1:
        line.append(f"   attempt {record.attempt}")
    return line


def versions(mark: Watermark) -> str:
    """From where to where a run goes; a vendor without versions has nothing that it goes to."""
    if mark.from_ and mark.to is None:
        return f"since {mark.from_}"
    return f"{mark.from_} -> {mark.to}" if mark.from_ else mark.to or ""


def render(progress: Progress, now: datetime) -> Group:
    """The whole display, as it looks at this moment."""
    lines = [headline(progress)]
    for step in steps(progress, now):
        mark, style = _MARKS.get(step.state, (_SPINNER[int(now.timestamp() * 10) % len(_SPINNER)], "cyan"))
        lines.append(Text.assemble("  ", (mark, style), f" {step.name:<14}", (step.text, "")))
    return Group(*lines)


def ending(progress: Progress, environment: str) -> list[Text]:
    """What is to be said of a run that ended, below its steps."""
    record = progress.record
    if record is None:
        state = progress.execution or ExecutionState("FAILED")
        why = " ".join(part for part in (state.error, state.cause) if part)
        return [Text.assemble(("FAILED", "bold red"), f"  the execution {state.status} before there was a run  {why}")]
    outcome = record.outcome or Outcome.FAILED
    line = Text.assemble((str(outcome), outcome_style(outcome)))
    if record.error:
        line.append(f"  {record.error.name}\n  {record.error.message}\n  More: haul show {record.run_id}")
        line.append(f" --env {environment}")
    elif outcome is Outcome.JOINED and record.work:
        line.append(f"  run {record.work.joined} does exactly this")
    elif record.work and record.work.message:
        line.append(f"  {record.work.message}")
    elif record.ended_at:
        line.append(f"  after {words.span(record.ended_at - record.started_at)}")
    manifest = record.work.manifest if record.work else None
    if manifest and record.state is RunState.PUBLISHED:
        line.append(f"\n  manifest {manifest}")
    warnings = record.work.warnings if record.work else []
    return [line, *(Text(f"  Warning: {warning}", style="yellow") for warning in warnings)]


def outcome_style(outcome: Outcome | None) -> str:
    match outcome:
        case Outcome.SUCCEEDED:
            return "bold green"
        case Outcome.NOTHING_NEW | Outcome.JOINED | None:
            return "bold"
        case Outcome.PARTIAL | Outcome.CANCELLED:
            return "bold yellow"
        case _:
            return "bold red"


class _Display:
    """What `Live` draws anew several times a second: the last look, with clocks that go on."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.progress: Progress | None = None
        self._clock = clock

    def __rich__(self) -> Group:
        return render(self.progress, self._clock()) if self.progress else Group()


def show(
    snapshots: Iterable[Progress], console: Console, *, clock: Callable[[], datetime], environment: str
) -> Progress:
    """Show a run while it goes on, live in a terminal and line by line elsewhere; the last look."""
    show_one = _show_live if console.is_terminal else _show_lines
    last = show_one(snapshots, console, clock)
    for line in ending(last, environment) if last.outcome else ():
        console.print(line, soft_wrap=True)
    return last


def _show_live(snapshots: Iterable[Progress], console: Console, clock: Callable[[], datetime]) -> Progress:
    display = _Display(clock)
    with Live(display, console=console, refresh_per_second=10):
        for progress in snapshots:
            display.progress = progress
    return _last(display.progress)


def _show_lines(snapshots: Iterable[Progress], console: Console, clock: Callable[[], datetime]) -> Progress:
    """A line when a step begins or ends, and now and then while it goes on."""
    progress: Progress | None = None
    said: dict[str, Step] = {}
    last_line = None
    headed = False
    for progress in snapshots:
        now = clock()
        if progress.work and not headed:
            console.print(headline(progress), soft_wrap=True)
            headed = True
        for step in steps(progress, now):
            known = said.get(step.name)
            same_state = known is not None and known.state == step.state
            due = last_line is None or (now - last_line).total_seconds() >= _LINE_EVERY
            if step.state == "to come" or known == step or (same_state and not due):
                continue
            said[step.name] = step
            last_line = now
            mark = _MARKS.get(step.state, ("…", ""))[0]
            console.print(f"{now:%H:%M:%S}  {mark} {step.name:<14}{step.text}", soft_wrap=True)
    return _last(progress)


def _last(progress: Progress | None) -> Progress:
    if progress is None:
        raise CommandError("there was no run to watch")
    return progress


def watch(deployment: Deployment, execution: str, find: FindRun, out: Output) -> Progress:
    """Follow a run to its end, showing it. Interrupted, the run goes on."""
    try:
        return show(
            follow(deployment, execution, find), out.console, clock=deployment.clock, environment=deployment.environment
        )
    except KeyboardInterrupt:
        record = find()
        name = record.run_id if record else "RUN"
        raise CommandError(
            "no longer watching; the run goes on",
            exit_code=Exit.INTERRUPTED,
            hint=f"haul watch {name} --env {deployment.environment} watches again, haul cancel {name} stops it.",
        ) from None
