"""The Lambda executor by itself: what a function's process is given, how it ends, and what is left of it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.local.localstack import ROOT
from infra.local.plugins.haul_localstack.lambda_executor.environment import Environment, Result
from infra.local.plugins.haul_localstack.lambda_executor.layers import Layers
from infra.local.plugins.haul_localstack.lambda_executor.sandbox import Function
from tests.processes import wait_until_gone

PYTHON = str(ROOT / ".venv-lambda" / "bin" / "python")
PLUGINS = ROOT / "infra" / "local" / "plugins"

type Start = Callable[..., Environment]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the executor makes its own folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def start(tmp_path: Path, temporary: Path) -> Iterator[Start]:
    """Start a function whose module has this source."""
    started: list[Environment] = []

    def start_one(
        source: str, *, opt: Path | None = None, memory_mb: int = 256, timeout_seconds: float = 20, **variables: str
    ) -> Environment:
        code = tmp_path / f"code{len(started)}"
        code.mkdir()
        (code / "module.py").write_text(textwrap.dedent(source))
        function = Function("module.handler", code, opt, memory_mb, timeout_seconds)
        environment = Environment(function, python=PYTHON, variables=variables, version="$LATEST")
        started.append(environment)
        environment.start()
        return environment

    yield start_one
    for environment in started:
        environment.stop()
    assert list(temporary.iterdir()) == []


def invoke(environment: Environment, event: object = None, *, request_id: str = "r1") -> Result:
    payload = json.dumps(event).encode()
    return environment.invoke(request_id, payload, function_arn="arn:aws:lambda:x", trace_id="Root=1")


def answer(result: Result) -> Any:
    return json.loads(result.payload)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_function_inherits_nothing_but_the_path(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_MACHINE", "secret")
    environment = start("import os\ndef handler(event, context): return dict(os.environ)", GIVEN="yes")

    variables = answer(invoke(environment))

    assert variables["GIVEN"] == "yes"
    assert variables["PATH"] == os.environ["PATH"]
    assert "OF_THIS_MACHINE" not in variables
    assert variables["HOME"] == variables["TMPDIR"] != os.environ.get("HOME")


def test_a_function_finds_what_the_runtime_offers_and_nothing_of_the_project(start: Start) -> None:
    offered = start("import boto3\ndef handler(event, context): return boto3.__name__")
    missing = start("import pydantic\ndef handler(event, context): pass")

    assert answer(invoke(offered)) == "boto3"
    assert answer(invoke(missing))["errorType"] == "Runtime.ImportModuleError"


def test_a_function_is_told_how_much_time_it_has(start: Start) -> None:
    environment = start("def handler(event, context): return context.get_remaining_time_in_millis()", timeout_seconds=7)

    assert 6000 < answer(invoke(environment)) <= 7000


def test_every_line_printed_before_an_answer_comes_with_it(start: Start) -> None:
    environment = start(
        """
        import sys
        print("loading")
        def handler(event, context):
            print("line", event)
            print("error", file=sys.stderr)
            return event
        """
    )

    first, second = invoke(environment, 1), invoke(environment, 2, request_id="r2")

    assert first.log.splitlines()[:4] == ["START RequestId: r1 Version: $LATEST", "loading", "line 1", "error"]
    assert "Init Duration" in first.log
    assert second.log.splitlines()[1:3] == ["line 2", "error"]
    assert "Init Duration" not in second.log


def test_a_report_says_how_much_memory_was_held(start: Start) -> None:
    environment = start("def handler(event, context):\n    held = b'1' * 100_000_000\n    return len(held)")

    log = invoke(environment).log

    assert int(log.partition("Max Memory Used: ")[2].split()[0]) > 95


def test_a_function_that_logs_json_is_reported_in_json(start: Start) -> None:
    environment = start("def handler(event, context): pass", AWS_LAMBDA_LOG_FORMAT="JSON")

    lines = [json.loads(line) for line in invoke(environment).log.splitlines()]

    assert [line["type"] for line in lines] == ["platform.start", "platform.report"]
    assert lines[1]["record"]["metrics"]["memorySizeMB"] == 256


def test_an_exception_is_an_answer_and_the_process_goes_on(start: Start) -> None:
    environment = start(
        """
        import os
        class TooEarlyError(Exception): pass
        def handler(event, context):
            if event: raise TooEarlyError("not yet")
            return os.getpid()
        """
    )
    before = answer(invoke(environment))

    result = invoke(environment, event=True)

    assert result.is_error
    assert answer(result)["errorType"] == "TooEarlyError"
    assert answer(invoke(environment)) == before


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_crash_is_reported_as_lambda_does_and_the_next_invocation_has_a_fresh_process(
    start: Start, end: str, said: str
) -> None:
    environment = start(
        f"""
        import os
        seen = []
        def handler(event, context):
            seen.append(event)
            if event == "crash": {end}
            return seen
        """
    )
    invoke(environment, "before")

    crashed = invoke(environment, "crash", request_id="r2")

    assert crashed.is_error
    assert answer(crashed) == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: r2 Error: {said}"}
    assert "Status: error\tError Type: Runtime.ExitError" in crashed.log
    assert answer(invoke(environment, "after")) == ["after"]


def test_a_process_that_ends_between_two_invocations_is_replaced(start: Start) -> None:
    environment = start(
        """
        import os, threading
        def handler(event, context):
            threading.Timer(0.1, lambda: os._exit(1)).start()
            return os.getpid()
        """
    )
    first = answer(invoke(environment))
    wait_until_gone(first)

    assert answer(invoke(environment)) != first


def test_time_up_ends_the_process_and_all_that_it_started(start: Start, tmp_path: Path) -> None:
    started = tmp_path / "started"
    environment = start(
        f"""
        import pathlib, subprocess, time
        def handler(event, context):
            child = subprocess.Popen(["sleep", "60"])
            pathlib.Path({str(started)!r}).write_text(str(child.pid))
            print("waiting")
            time.sleep(60)
        """,
        timeout_seconds=1,
    )

    result = invoke(environment)

    assert answer(result) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: r1 Error: Task timed out after 1.00 seconds",
    }
    assert "waiting\n" in result.log
    assert "Status: timeout" in result.log
    wait_until_gone(int(started.read_text()))


def test_more_memory_than_the_function_has_ends_it(start: Start) -> None:
    environment = start(
        """
        import time
        def handler(event, context):
            if event: held = b"1" * 300_000_000; time.sleep(30)
            return "fine"
        """,
        memory_mb=128,
    )

    result = invoke(environment, event=True)

    assert answer(result)["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert "Error Type: Runtime.OutOfMemory" in result.log
    assert answer(invoke(environment)) == "fine"


def test_threads_that_reserve_much_and_touch_little_are_no_matter(start: Start) -> None:
    """A limit on the address space would end this one: each thread reserves 64 MB of it."""
    environment = start(
        """
        import threading
        threading.stack_size(64 * 1024 * 1024)
        def handler(event, context):
            gate = threading.Event()
            threads = [threading.Thread(target=gate.wait) for _ in range(32)]
            [thread.start() for thread in threads]
            gate.set()
            [thread.join() for thread in threads]
            return len(threads)
        """,
        memory_mb=128,
    )

    assert answer(invoke(environment)) == 32


def test_an_answer_of_more_than_six_megabytes_is_refused(start: Start) -> None:
    environment = start("def handler(event, context): return 'x' * event")

    largest, larger = invoke(environment, 6 * 1024 * 1024), invoke(environment, 6 * 1024 * 1024 + 200)

    assert not largest.is_error
    assert answer(larger)["errorType"] == "Function.ResponseSizeTooLarge"
    assert answer(invoke(environment, 1)) == "x"


def test_a_module_that_does_not_load_says_why_at_each_invocation(start: Start) -> None:
    environment = start("raise RuntimeError('no configuration')")

    first, second = invoke(environment), invoke(environment, request_id="r2")

    assert answer(first)["errorMessage"] == answer(second)["errorMessage"] == "no configuration"
    assert "RuntimeError: no configuration" in first.log
    assert "Error Type: RuntimeError" in second.log


def test_a_module_that_ends_its_process_while_loading_is_a_crash(start: Start) -> None:
    environment = start("import os\nos._exit(7)")

    assert answer(invoke(environment))["errorMessage"].endswith("exit status 7")


def test_a_stop_in_the_middle_of_an_invocation_ends_it(start: Start, temporary: Path) -> None:
    environment = start(
        "import pathlib, os, time\ndef handler(event, context):\n"
        "    pathlib.Path(os.environ['TMPDIR'], 'here').touch()\n    time.sleep(60)"
    )
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(invoke, environment)
        while not list(temporary.rglob("here")):
            time.sleep(0.01)

        environment.stop()

        assert answer(running.result(timeout=5))["errorType"] == "Runtime.ExitError"


def test_nothing_is_left_of_an_environment(start: Start, temporary: Path) -> None:
    threads, files = set(threading.enumerate()), _open_files()
    environment = start(
        "import os, tempfile\ndef handler(event, context):\n    tempfile.mkstemp()\n    return os.getpid()"
    )
    pid = answer(invoke(environment))
    assert [folder.name for folder in temporary.iterdir()] != []

    environment.stop()

    assert list(temporary.iterdir()) == []
    assert set(threading.enumerate()) == threads
    assert _open_files() == files
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_many_environments_run_beside_each_other(start: Start) -> None:
    source = "import os, time\ndef handler(event, context):\n    time.sleep(0.3)\n    return [event, os.getpid()]"
    environments = [start(source) for _ in range(6)]

    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = [answer(result) for result in pool.map(invoke, environments, range(6))]

    assert [event for event, _ in answers] == list(range(6))
    assert len({pid for _, pid in answers}) == 6


def test_a_function_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """However that ends: here it has no chance to clean up."""
    (tmp_path / "module.py").write_text("import os\ndef handler(event, context): return os.getpid()")
    starter = f"""
import pathlib, time
from haul_localstack.lambda_executor.environment import Environment
from haul_localstack.lambda_executor.sandbox import Function
function = Function("module.handler", pathlib.Path({str(tmp_path)!r}), None, 128, 5)
environment = Environment(function, python={PYTHON!r}, variables={{}}, version="1")
environment.start()
print(environment.invoke("r1", b"1", function_arn="a", trace_id="t").payload.decode(), flush=True)
time.sleep(60)
"""
    variables = {**os.environ, "PYTHONPATH": str(PLUGINS), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())

        process.send_signal(signal.SIGKILL)

    wait_until_gone(pid)


def test_a_later_layer_covers_an_earlier_one(start: Start, tmp_path: Path) -> None:
    for name, text in {"first/python/a.py": "1", "first/python/b.py": "1", "second/python/b.py": "2"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {text}")
    layers = Layers()
    opt = layers.take("function", [tmp_path / "first", tmp_path / "second"])
    environment = start("import a, b\ndef handler(event, context): return [a.value, b.value]", opt=opt)

    values = answer(invoke(environment))

    assert values == [1, 2]
    assert (tmp_path / "first/python/b.py").read_text() == "value = 1"
    layers.give_back("function")
    assert opt is not None
    assert not opt.exists()


def test_functions_share_the_tree_of_their_layers_until_the_last_gives_it_back(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "layer" / "python").mkdir(parents=True)
    layers = Layers()
    first, second = layers.take("f1", [tmp_path / "layer"]), layers.take("f2", [tmp_path / "layer"])

    layers.give_back("f1")

    assert first == second
    assert first is not None
    assert first.exists()
    layers.give_back("f2")
    assert list(temporary.iterdir()) == []


def test_a_function_without_layers_has_no_tree() -> None:
    assert Layers().take("function", []) is None
