"""LocalStack on a free port of this machine, started and stopped from Python.

    with LocalStack(log=Path("localstack.log")) as local:
        subprocess.run(["aws", "s3", "ls"], env={**os.environ, **local.environment})

It runs in an environment of its own, `.venv-localstack`, and its Lambda functions in processes that have only what
`.venv-lambda` and their layers offer. Everything it writes is in one folder, which goes when it stops.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
ACCOUNT = "000000000000"

_HOST = Path(__file__).with_name("localstack_host.py")
_SERVICES = (
    "cloudformation,cloudwatch,events,iam,kms,lambda,logs,s3,scheduler,secretsmanager,sns,sqs,ssm,stepfunctions,sts"
)
_CATALOG = "usr/lib/localstack"
# The first start compiles what it loads.
_START_SECONDS = 180
_STOP_SECONDS = 12


class LocalStackError(Exception):
    """LocalStack is not installed, does not start, or has ended by itself."""


def aws_environment(endpoint_url: str) -> dict[str, str]:
    """The variables with which any AWS tool or library talks to the local system and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        # Whatever this machine is configured for elsewhere stays out of it.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class LocalStack:
    """One LocalStack. `start` returns when it serves; `stop` when nothing of it is left but its log.

    Args:
        log: where its output goes.
        detached: whether it outlives this process; otherwise it ends with it, even if this process is killed.
    """

    def __init__(self, *, log: Path, detached: bool = False) -> None:
        self.log = log
        self._detached = detached
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    @property
    def endpoint_url(self) -> str:
        if self._port is None:
            raise LocalStackError("LocalStack has not been started")
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        return aws_environment(self.endpoint_url)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LocalStackError("LocalStack has not been started")
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Everything that it writes, but for its log."""
        if self._folder is None:
            raise LocalStackError("LocalStack has not been started")
        return self._folder

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            LocalStackError: it is not installed, or ended, or takes too long; with the end of its log.
        """
        python, functions_python = _python(".venv-localstack"), _python(".venv-lambda")
        self._folder = Path(tempfile.mkdtemp(prefix="haul-localstack-"))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with _reserved_port() as reserved, self.log.open("wb") as log:
            self._port = int(reserved.getsockname()[1])
            self._process = subprocess.Popen(
                [python, "-P", _HOST, self._folder, "detached" if self._detached else "attached"],
                env=_environment(self._folder, self._port, functions_python),
                cwd=self._folder,
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._wait_until_it_serves()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _wait_until_it_serves(self) -> None:
        assert self._process is not None  # noqa: S101 - tells the type checker; start has just set it
        give_up = time.monotonic() + _START_SECONDS
        while not self._serves():
            if self._process.poll() is not None:
                raise LocalStackError(f"LocalStack ended with status {self._process.returncode}:\n{self._last_words()}")
            if time.monotonic() > give_up:
                raise LocalStackError(f"LocalStack does not serve after {_START_SECONDS} s:\n{self._last_words()}")
            time.sleep(0.05)

    def _serves(self) -> bool:
        with suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{self.endpoint_url}/_localstack/health", timeout=5).close()
            return True
        return False

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and after a while make it."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _python(environment: str) -> str:
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        raise LocalStackError(f"{python.relative_to(ROOT)} is missing; `make setup` installs it")
    return str(python)


def _reserved_port() -> socket.socket:
    """A port that is ours from now on, though nothing listens yet.

    Bound without listening, it is never given to anyone who asks for a free port; with SO_REUSEADDR set after the
    fact, as LocalStack's server has it too, that server may still listen on it.
    """
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reserved


def _environment(folder: Path, port: int, functions_python: str) -> dict[str, str]:
    """LocalStack's whole environment: nothing of this machine's settings reaches it."""
    temporary, filesystem = folder / "tmp", folder / "filesystem"
    temporary.mkdir()
    # `make setup` builds the catalog of AWS's services there, which would cost every start some seconds.
    (filesystem / "usr" / "lib").mkdir(parents=True)
    (filesystem / _CATALOG).symlink_to(ROOT / ".venv-localstack" / "filesystem" / _CATALOG)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        # One address, this machine's own; the default server would listen on every interface.
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVER": "hypercorn",
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "DNS_ADDRESS": "0",
        "SQS_ENDPOINT_STRATEGY": "path",
        # Nothing is fetched or reported.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        # Everything it writes.
        "CONFIG_DIR": str(folder / "config"),
        "FILESYSTEM_ROOT": str(filesystem),
        "LOCALSTACK_VOLUME_DIR": str(folder / "volume"),
        "OVERRIDE_IN_DOCKER": "0",
        # Loaded while the app is synthesized, not one by one when they are first needed.
        "SERVICES": _SERVICES,
        "EAGER_SERVICE_LOADING": "1",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PYTHON": functions_python,
        # An idle process holds some 70 MB, and a map leaves many of them.
        "LAMBDA_KEEPALIVE_MS": "60000",
        # Many cold starts at once on few cores take their time.
        "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": "60",
    }
