"""`python -m infra.local.demo [VENDOR]`: from a trigger to landed files, on this machine and nowhere else.

Starts LocalStack and the vendor's simulator, deploys the app, runs a full export of one data version and then, by its
schedule, a delta against it; a second pipeline follows each. Every landed byte is compared with what the simulator
served: the exit status is 0 only if all are equal. Whatever happens, nothing keeps running.
"""

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
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
from haul.models.export import Export
from haul.models.ledger import RunRecord, RunState
from haul.models.manifest import ExportManifest
from infra.local.deploy import DeployError, deploy, synthesize
from infra.local.localstack import ROOT, LocalStack, LocalStackError
from infra.local.stack import Stack
from infra.local.system import CONNECTION, ENVIRONMENT, STACK, STATE, visier_secret
from infra.local.vendors.visier import FileTruth, VisierSimulator

PIPELINE, DOWNSTREAM = "visier-people", "visier-people-snapshot"

# Made from the sources alone, so the next demo may use it too.
_ASSEMBLY = ROOT / "build" / "demo"
_LOG = STATE / "demo.log"
_LAST_LINES, _LONGEST_LINE = 25, 240
_DOWNSTREAM_SECONDS = 120

_FLIGHTS_PER_AIRLINE = """
    SELECT any_value(Airline_Name) AS airline, count(*) AS flights, count(*) FILTER (Cancelled = 'true') AS cancelled,
           round(avg(TRY_CAST(Departure_Delay AS INTEGER)), 1) AS mean_delay_min
    FROM "Flight" LEFT JOIN "Airline" USING (AirlineID)
    GROUP BY AirlineID ORDER BY flights DESC LIMIT 5"""


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
    """A published run, its files on this machine, and what is wrong with them, by the vendor's name of the file."""

    manifest: ExportManifest
    paths: Mapping[str, Path]
    wrong: Mapping[str, str]


class Demo:
    """The running system; each method is a part of the show."""

    def __init__(self, stack: Stack, visier: VisierSimulator, out: Output, folder: Path) -> None:
        self._stack = stack
        self._visier = visier
        self._out = out
        self._folder = folder
        self._haul = deployments.find(ENVIRONMENT)

    def export_in_full(self) -> None:
        """As an operator does it."""
        _title(self._out, f"$ haul run {PIPELINE} --env {ENVIRONMENT} --watch")
        code = running.run(PIPELINE, self._haul, self._out, reason="demo", watch=True)
        if code:
            raise DemoError(f"the full export ended with exit status {code}")

    def export_the_difference(self) -> None:
        """As the schedule does it, once there is a newer version."""
        version = self._visier.publish()
        _title(self._out, f"$ python -m infra.local fire {PIPELINE}      Visier has made data version {version}")
        execution = self._stack.fire(PIPELINE)
        start = read_start(self._stack.look(execution).input)
        find = running.finder(start, execution, self._haul)
        progress = watching.watch(self._haul, execution, find, self._out)
        if progress.record is None or progress.record.state is not RunState.PUBLISHED:
            raise DemoError(f"the delta ended {progress.outcome}")

    def see_downstream_out(self, expected: int) -> None:
        """Every manifest has started the pipeline that waits for it."""
        give_up = time.monotonic() + _DOWNSTREAM_SECONDS
        while (told := sum(record.told for record in self._records(DOWNSTREAM))) < expected:
            if time.monotonic() > give_up:
                raise DemoError(f"of {expected} runs of {DOWNSTREAM}, {told} have ended after {_DOWNSTREAM_SECONDS} s")
            time.sleep(0.3)
        _title(self._out, f"$ haul runs --env {ENVIRONMENT}      each manifest has started {DOWNSTREAM}")
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
        truth = self._visier.truth(str(manifest.job.result_id))
        files = {file.vendor_name: file for dataset in manifest.datasets for file in dataset.files}
        paths = {name: self._fetch(file.uri) for name, file in files.items()}
        wrong = dict.fromkeys(truth.keys() - files.keys(), "was served and is not in the manifest")
        for name, file in files.items():
            if difference := _difference(paths[name], file.rows, truth.get(name)):
                wrong[name] = difference
        return Delivery(manifest, paths, wrong)

    def _fetch(self, uri: str) -> Path:
        key = uri.removeprefix(f"s3://{self._stack.landing_bucket}/")
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stack.s3.download_file(self._stack.landing_bucket, key, str(path))
        return path

    def show_files(self, delivery: Delivery) -> None:
        manifest = delivery.manifest
        mark = manifest.watermark
        versions = f"{mark.from_} -> {mark.to}" if mark.from_ else f"{mark.to}"
        _title(self._out, f"What landed: {manifest.pipeline}, {manifest.mode} {versions}")
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
        notice = self._stack.notices(PIPELINE, at_least=number)[-1]
        _title(self._out, "The notice that was delivered")
        for line in [f"Subject: {notice.subject}", *notice.body.rstrip().splitlines()]:
            self._out.say(f"  {line}".rstrip())

    def show_states(self) -> None:
        """What Step Functions did, and AWS would charge for."""
        for record in self._records(PIPELINE):
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


def _difference(path: Path, rows: int | None, truth: FileTruth | None) -> str | None:
    """How a landed file differs from what was served."""
    if truth is None:
        return "was never served"
    if hashlib.sha256(path.read_bytes()).hexdigest() != truth.sha256:
        return "other bytes landed than were served"
    return f"{rows} rows in the manifest, {truth.rows} served" if rows != truth.rows else None


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


def _query(out: Output, full: Delivery, delta: Delivery) -> None:
    """Read what landed as its readers would: by the manifest."""
    _title(out, f"Flights per airline, of data version {full.manifest.watermark.to} (DuckDB on the landed files)")
    with duckdb.connect() as database:
        _load(database, full)
        answer = database.sql(_FLIGHTS_PER_AIRLINE)
        out.table([[str(value) for value in row] for row in answer.fetchall()], header=answer.columns, indent="  ")
    mark = delta.manifest.watermark
    _title(out, f"Rows by _DiffAction_, from {mark.from_} to {mark.to}")
    with duckdb.connect() as database:
        counted = [
            [name, str(action), f"{count:>8,}"]
            for name, relation in _load(database, delta).items()
            for action, count in relation.aggregate("_DiffAction_, count(*)").order("_DiffAction_").fetchall()
        ]
    out.table(counted, header=["DATASET", "ACTION", "    ROWS"], indent="  ")


def _load(database: duckdb.DuckDBPyConnection, delivery: Delivery) -> dict[str, duckdb.DuckDBPyRelation]:
    """Make a table of each dataset; one in which nothing changed has no files."""
    loaded = [dataset for dataset in delivery.manifest.datasets if dataset.files]
    for dataset in loaded:
        files = [str(delivery.paths[file.vendor_name]) for file in dataset.files]
        read = "SELECT * FROM read_csv($files, header = true, all_varchar = true)"
        database.sql(read, params={"files": files}).create(dataset.name)
    return {dataset.name: database.table(dataset.name) for dataset in loaded}


def _title(out: Output, text: str) -> None:
    out.say()
    out.say(text, style="bold")


def demo(out: Output) -> None:
    """The whole show.

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
            with (
                VisierSimulator(job_seconds=3, published=3) as visier,
                Stack(session, environment=ENVIRONMENT) as stack,
            ):
                stack.listen()
                stack.connect(CONNECTION, **visier_secret(visier.url))
                out.say(f"Visier is simulated at {visier.url}, with three data versions.")
                _show(Demo(stack, visier, out, Path(folder)), out, phases)
        finally:
            with phases.phase("everything is stopped"):
                local.stop()
    phases.show()


def _show(demo: Demo, out: Output, phases: Phases) -> None:
    with phases.phase("full export"):
        demo.export_in_full()
    with phases.phase("delta"):
        demo.export_the_difference()
    with phases.phase("looking at what landed"):
        full, delta = demo.deliveries(PIPELINE)
        demo.show_files(full)
        demo.show_files(delta)
        demo.show_notice(2)
        _query(out, full, delta)
        demo.show_states()
    with phases.phase("downstream pipeline"):
        demo.see_downstream_out(2)
        copies = demo.deliveries(DOWNSTREAM)
    out.say()
    every = [full, delta, *copies]
    wrong = [f"{name}: {what}" for delivery in every for name, what in delivery.wrong.items()]
    if wrong or len(copies) != 2:
        raise DemoError("\n".join(wrong) or f"{DOWNSTREAM} published {len(copies)} times, not twice")
    files = sum(len(delivery.paths) for delivery in every)
    size = words.size(sum(delivery.manifest.totals.bytes for delivery in every))
    out.say(
        f"✓ All {files} files of {len(every)} runs, {size}, are byte for byte what Visier served.", style="bold green"
    )


def _use(local: LocalStack) -> None:
    """Talk to LocalStack from here on, whatever account this shell is logged in to."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(local.environment)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__.splitlines()[0])
    parser.add_argument("vendor", nargs="?", default="visier", choices=["visier"])
    parser.parse_args()
    signal.signal(signal.SIGTERM, _on_sigterm)
    out = Output()
    try:
        demo(out)
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
