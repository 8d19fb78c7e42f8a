"""`python -m infra.local.demo [VENDOR]`: from a trigger to landed files, on this machine and nowhere else.

Starts LocalStack and the vendor's simulator, deploys the app, runs an export as a person does, has something change at
the vendor, and runs the next by the pipeline's schedule; pipelines that follow do. Every landed byte is compared with
what the simulator served: the exit status is 0 only if all are equal. Whatever happens, nothing keeps running. What is
shown of a vendor stands beside its simulator.
"""

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType

import boto3
import duckdb

from haul import keys
from haul.attempts import read_start
from haul.cli import deployment as deployments
from haul.cli import running, runs, watching, words
from haul.cli.failures import EXPECTED, CommandError, Exit
from haul.cli.output import Output
from haul.models import vendors as vendor_models
from haul.models.export import Export
from haul.models.ledger import RunRecord, RunState
from haul.models.manifest import ExportManifest
from infra.local.deploy import DeployError, deploy, synthesize
from infra.local.localstack import ROOT, LocalStack, LocalStackError
from infra.local.stack import Stack
from infra.local.system import ENVIRONMENT, STACK, STATE
from infra.local.vendors.demo import Question, Served, UnknownVendorError, VendorDemo, demo_of, names

# Made from the sources alone, so the next demo may use it too.
_ASSEMBLY = ROOT / "build" / "demo"
_LOG = STATE / "demo.log"
_READERS = {
    "csv": "SELECT * FROM read_csv($files, header = true, all_varchar = true)",
    "json": "SELECT * FROM read_json($files, format = 'array')",
    "ndjson": "SELECT * FROM read_json($files, format = 'newline_delimited')",
    "parquet": "SELECT * FROM read_parquet($files)",
}
_LAST_LINES, _LONGEST_LINE = 25, 240
_FOLLOWERS_SECONDS = 120
_RUNS = 2


class DemoError(Exception):
    """Something did not come out as it should."""


class Phases:
    """How long each part took."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._taken: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._taken.append((name, time.monotonic() - begun))

    def show(self) -> None:
        _title(self._out, "Time")
        together = sum(seconds for _, seconds in self._taken)
        rows = [[name, f"{seconds:6.1f} s"] for name, seconds in [*self._taken, ("together", together)]]
        self._out.table(rows, indent="  ")


@dataclass(frozen=True)
class Delivery:
    """A published run, its files on this machine by URI, and what is wrong with them by their names at the vendor."""

    manifest: ExportManifest
    paths: Mapping[str, Path]
    wrong: Mapping[str, str]


class Demo:
    """The running system; each method is a part of the show."""

    def __init__(self, stack: Stack, vendor: VendorDemo, out: Output, folder: Path) -> None:
        self._stack = stack
        self._vendor = vendor
        self._out = out
        self._folder = folder
        self._haul = deployments.find(ENVIRONMENT)

    def export_by_hand(self) -> None:
        """As an operator does it."""
        pipeline = self._vendor.PIPELINE
        _title(self._out, f"$ haul run {pipeline} --env {ENVIRONMENT} --watch")
        code = running.run(pipeline, self._haul, self._out, reason="demo", watch=True)
        if code:
            raise DemoError(f"the first export ended with exit status {code}")

    def export_by_schedule(self) -> None:
        """As the schedule does it, once something has changed."""
        pipeline, changed = self._vendor.PIPELINE, self._vendor.change()
        _title(self._out, f"$ python -m infra.local fire {pipeline}      {changed}")
        execution = self._stack.fire(pipeline)
        start = read_start(self._stack.look(execution).input)
        find = running.finder(start, execution, self._haul)
        progress = watching.watch(self._haul, execution, find, self._out)
        if progress.record is None or progress.record.state is not RunState.PUBLISHED:
            raise DemoError(f"the second export ended {progress.outcome}")

    def see_followers_out(self, expected: int) -> None:
        """Every manifest has started the pipelines that wait for it."""
        for pipeline in self._vendor.FOLLOWERS:
            give_up = time.monotonic() + _FOLLOWERS_SECONDS
            while (told := sum(record.told for record in self._records(pipeline))) < expected:
                if time.monotonic() > give_up:
                    raise DemoError(f"of {expected} runs of {pipeline}, {told} have ended after {_FOLLOWERS_SECONDS} s")
                time.sleep(0.3)
        said = "".join(f"      each manifest has started {pipeline}" for pipeline in self._vendor.FOLLOWERS)
        _title(self._out, f"$ haul runs --env {ENVIRONMENT}{said}")
        runs.list_runs(None, self._haul, self._out, limit=20)

    def _records(self, pipeline: str) -> list[RunRecord]:
        ledger = self._haul.ledger()
        found = (ledger.run(pipeline, run_id) for run_id in self._haul.run_ids(pipeline))
        return [record for record in found if record]

    def deliveries(self, pipeline: str) -> list[Delivery]:
        """Fetch all that a pipeline published, oldest first, and compare it with what was served."""
        ledger = self._haul.ledger()
        found = (ledger.manifest(pipeline, run_id) for run_id in self._haul.run_ids(pipeline))
        return [self._delivery(manifest) for manifest in found if isinstance(manifest, ExportManifest)]

    def _delivery(self, manifest: ExportManifest) -> Delivery:
        landed = {(dataset.name, file.vendor_name): file for dataset in manifest.datasets for file in dataset.files}
        paths = {file.uri: self._fetch(file.uri) for file in landed.values()}
        served = {_landed_as(file, landed): file for file in self._vendor.served(manifest)}
        wrong = {name: "was served and is not in the manifest" for _, name in served.keys() - landed.keys()}
        for place, file in landed.items():
            if difference := _difference(paths[file.uri], file.rows, served.get(place)):
                wrong[file.vendor_name] = difference
        return Delivery(manifest, paths, wrong)

    def _fetch(self, uri: str) -> Path:
        key = uri.removeprefix(f"s3://{self._stack.landing_bucket}/")
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stack.s3.download_file(self._stack.landing_bucket, key, str(path))
        return path

    def show_files(self, delivery: Delivery) -> None:
        manifest = delivery.manifest
        versions = watching.versions(manifest.watermark)
        _title(self._out, f"What landed: {manifest.pipeline}, {manifest.mode} {versions}".rstrip())
        rows = [
            [
                dataset.name,
                file.vendor_name,
                f"{file.bytes:>11,}",
                f"{file.rows or 0:>8,}",
                " ".join(f"{action}{count:,}" for action, count in (file.row_actions or {}).items() if count),
                "differs" if file.vendor_name in delivery.wrong else "as served",
            ]
            for dataset in manifest.datasets
            for file in dataset.files
        ]
        self._out.table(rows, header=["DATASET", "FILE", "      BYTES", "    ROWS", "ACTIONS", ""], indent="  ")
        key = keys.manifest(manifest.pipeline, manifest.run_id)
        self._out.say(f"  manifest {keys.uri(self._stack.landing_bucket, key)}")

    def show_notice(self, number: int) -> None:
        """The last of the pipeline's notices, as a subscriber was sent it."""
        notice = self._stack.notices(self._vendor.PIPELINE, at_least=number)[-1]
        _title(self._out, "The notice that was delivered")
        for line in [f"Subject: {notice.subject}", *notice.body.rstrip().splitlines()]:
            self._out.say(f"  {line}".rstrip())

    def show_states(self) -> None:
        """What Step Functions did, and AWS would charge for."""
        for record in self._records(self._vendor.PIPELINE):
            self._show_states(record)

    def _show_states(self, record: RunRecord) -> None:
        states = self._stack.states(record.execution)
        events = len(self._stack.history(record.execution))
        _title(self._out, f"States of {record.run_id}")
        grouped = [(name, len(list(same))) for name, same in groupby(_with_the_loop_as_one(states))]
        self._out.say("  " + " ─► ".join(f"{name} x{times}" if times > 1 else name for name, times in grouped))
        export = record.work if isinstance(record.work, Export) else None
        children = export.plan.items if export and export.plan else 0
        children_said = words.count(children, "child", "children")
        self._out.say(
            f"  {len(states)} state transitions and {events} history events; {children_said} of the map besides"
        )


def _landed_as(file: Served, landed: Collection[tuple[str, str]]) -> tuple[str, str]:
    """Which dataset and file of a manifest a served file must be; one that is not there is as it was served."""
    if file.dataset is not None:
        return file.dataset, file.name
    return next((place for place in landed if place[1] == file.name), ("", file.name))


def _difference(path: Path, rows: int | None, served: Served | None) -> str | None:
    """How a landed file differs from what was served."""
    if served is None:
        return "was never served"
    if hashlib.sha256(path.read_bytes()).hexdigest() != served.sha256:
        return "other bytes landed than were served"
    return f"{rows} rows in the manifest, {served.rows} served" if rows != served.rows else None


def _with_the_loop_as_one(states: Sequence[str]) -> Iterator[str]:
    """Name the wait-and-check loop once each time round, so that its rounds can be counted."""
    loop = ["Wait", "Check export", "Ready?"]
    rest = list(states)
    while rest:
        if rest[:3] == loop:
            yield "(Wait, Check export, Ready?)"
            del rest[:3]
        else:
            yield rest.pop(0)


def _ask(out: Output, question: Question, delivery: Delivery) -> None:
    """Read what landed as its readers would: by the manifest."""
    mark = delivery.manifest.watermark
    _title(out, f"{question.title.format(mark=mark)} (DuckDB on the landed files)")
    header: list[str] = []
    rows: list[list[str]] = []
    with duckdb.connect() as database:
        tables = _load(database, delivery)
        for name in tables if question.of_each else [""]:
            answer = database.sql(question.sql.replace("{table}", f'"{name}"'))
            first = [name] if name else []
            header = [*(["dataset"] if name else []), *answer.columns]
            rows += [[*first, *map(str, row)] for row in answer.fetchall()]
    out.table(rows, header=header, indent="  ")


def _load(database: duckdb.DuckDBPyConnection, delivery: Delivery) -> list[str]:
    """Make a table of each dataset; one in which nothing changed has no files."""
    loaded = [dataset for dataset in delivery.manifest.datasets if dataset.files]
    for dataset in loaded:
        files = [str(delivery.paths[file.uri]) for file in dataset.files]
        database.sql(_READERS[dataset.format.type], params={"files": files}).create(dataset.name)
    return [dataset.name for dataset in loaded]


def _title(out: Output, text: str) -> None:
    out.say()
    out.say(text, style="bold")


def demo(vendor: VendorDemo, title: str, out: Output) -> None:
    """The whole show. `title` is what the vendor calls itself.

    Raises:
        DemoError: it did not come out as it should.
    """
    phases = Phases(out)
    with ThreadPoolExecutor(max_workers=1) as background, tempfile.TemporaryDirectory(prefix="haul-demo-") as folder:
        assembly = background.submit(synthesize, _ASSEMBLY, environment=ENVIRONMENT)
        local = LocalStack(log=_LOG)
        out.say("LocalStack starts, and beside it the CDK app is synthesized.")
        with phases.phase("LocalStack starts"):
            local.start()
        try:
            _use(local)
            with phases.phase("the app is synthesized"):
                synthesized = assembly.result()
            session = boto3.Session()
            out.say(f"{STACK} is being deployed to LocalStack at {local.endpoint_url}.")
            with phases.phase("the app is deployed"):
                deploy(synthesized, STACK, session)
            with vendor.simulator as simulator, Stack(session, environment=ENVIRONMENT) as stack:
                stack.listen()
                stack.connect(vendor.connection(ENVIRONMENT), **vendor.secret(simulator.url))
                out.say(f"{title} is simulated at {simulator.url}, with {vendor.stock}.")
                _show(Demo(stack, vendor, out, Path(folder)), vendor, title, out, phases)
        finally:
            with phases.phase("everything is stopped"):
                local.stop()
    phases.show()


def _show(demo: Demo, vendor: VendorDemo, title: str, out: Output, phases: Phases) -> None:
    with phases.phase("first export, by hand"):
        demo.export_by_hand()
    with phases.phase("second export, by schedule"):
        demo.export_by_schedule()
    with phases.phase("looking at what landed"):
        every = demo.deliveries(vendor.PIPELINE)
        for delivery in every:
            demo.show_files(delivery)
        demo.show_notice(_RUNS)
        for question in vendor.QUESTIONS:
            _ask(out, question, every[question.of])
        demo.show_states()
    with phases.phase("pipelines that follow"):
        demo.see_followers_out(_RUNS)
        every += [copy for pipeline in vendor.FOLLOWERS for copy in demo.deliveries(pipeline)]
    out.say()
    wrong = [f"{name}: {what}" for delivery in every for name, what in delivery.wrong.items()]
    expected = _RUNS * (1 + len(vendor.FOLLOWERS))
    if wrong or len(every) != expected:
        raise DemoError("\n".join(wrong) or f"there are {len(every)} manifests, not {expected}")
    files = sum(len(delivery.paths) for delivery in every)
    size = words.size(sum(delivery.manifest.totals.bytes for delivery in every))
    out.say(
        f"✓ All {files} files of {len(every)} runs, {size}, are byte for byte what {title} served.", style="bold green"
    )


def _use(local: LocalStack) -> None:
    """Talk to LocalStack from here on, whatever account this shell is logged in to."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(local.environment)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__.splitlines()[0])
    parser.add_argument("vendor", nargs="?", default="visier", help=f"{', '.join(names())}; visier if there is none")
    vendor = parser.parse_args().vendor
    out = Output()
    try:
        chosen = demo_of(vendor)()
    except UnknownVendorError as error:
        print(f"{error}. Such as: make demo VENDOR=adobe", file=sys.stderr)
        return Exit.USAGE
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        demo(chosen, vendor_models.title(vendor), out)
    except KeyboardInterrupt:
        return _interrupted()
    except (DemoError, DeployError, LocalStackError, *EXPECTED) as error:
        if isinstance(error, CommandError) and error.exit_code == Exit.INTERRUPTED:
            return _interrupted()
        return _failed(str(error))
    except Exception:
        _failed("the demo itself is wrong:")
        raise
    _LOG.unlink(missing_ok=True)
    return 0


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _interrupted() -> int:
    _LOG.unlink(missing_ok=True)
    print("\nInterrupted; nothing keeps running.", file=sys.stderr)
    return Exit.INTERRUPTED


def _failed(message: str) -> int:
    if _LOG.exists():
        lines = _LOG.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        print(f"\nThe last lines of LocalStack's log, {_LOG.relative_to(ROOT)}:", file=sys.stderr)
        print("\n".join(f"  {line[:_LONGEST_LINE]}" for line in lines), file=sys.stderr)
    print(f"\nThe demo failed: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
