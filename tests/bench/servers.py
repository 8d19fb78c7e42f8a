"""The two ends of a move, on 127.0.0.1 and with TLS: nginx as vendor and as store, rclone as a real S3."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import tools
from tests.bench.measuring import FailedError
from tests.bench.tools import MissingError

BUCKET = "landing"
ACCESS_KEY, SECRET_KEY = "bench-access-key", "bench-secret-key"
SLOW = 25_000_000
"""Bytes a second that the slow vendor gives a connection."""

_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_temp_path {folder}/bodies;
    log_format kept "$request_body_file $uri $arg_partNumber $framing";
    proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    map $args $answer {{
        default "<CompleteMultipartUploadResult><ETag>&quot;1&quot;</ETag></CompleteMultipartUploadResult>";
        ~^uploads "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
    }}
    map $http_content_encoding $framing {{ default ""; ~aws-chunked ".framed"; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        root {files};
        location /slow/ {{ limit_rate {slow}; alias {files}/; }}
        location /{bucket}/ {{
            default_type application/xml;
            if ($request_method = POST) {{ return 200 $answer; }}
            client_body_in_file_only on;
            access_log {folder}/kept.log kept;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://unix:{folder}/stored.sock:/;
        }}
    }}
    server {{
        listen unix:{folder}/stored.sock;
        location / {{ add_header ETag '"1"'; return 200; }}
    }}
}}
"""


@dataclass(frozen=True)
class Place:
    """Where everything of one bench run is: in memory if there is room, so that no disk is measured."""

    folder: Path

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def trust(self) -> dict[str, str]:
        """What makes each client trust our certificate."""
        return dict.fromkeys(
            ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(self.certificate)
        )


@contextlib.contextmanager
def place(room: int) -> Iterator[Place]:
    """A folder with room for so many bytes, gone with the block."""
    memory = Path("/dev/shm")  # noqa: S108  # the folder is made by mkdtemp's rules below
    free = shutil.disk_usage(memory).free if os.access(memory, os.W_OK) else 0
    parent = memory if free > 2 * room else tools.BUILD
    parent.mkdir(parents=True, exist_ok=True)
    made = Place(parent / f"haul-bench-{os.getpid()}")
    made.folder.mkdir(mode=0o700)
    try:
        for folder in (made.files, made.store / BUCKET):
            folder.mkdir(parents=True)
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench"
        name = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "/dev/stdout"]
        done = subprocess.run([tools.program("openssl"), *options.split(), *name], capture_output=True, check=True)
        made.certificate.write_bytes(done.stdout)
        yield made
    finally:
        shutil.rmtree(made.folder)


@contextlib.contextmanager
def nginx(at: Place, name: str) -> Iterator[str]:
    """Serves what is in `files`, slowly below /slow/, and keeps what is PUT below /landing/; its address."""
    program = tools.nginx()
    folder = at.folder / name
    folder.mkdir()
    port = _free_port()
    written = _NGINX.format(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        files=at.files,
        certificate=at.certificate,
        port=port,
        bucket=BUCKET,
        slow=SLOW,
    )
    (folder / "nginx.conf").write_text(written)
    command: list[str | Path] = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    with _serving(command, port):
        yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def rclone(at: Place) -> Iterator[str]:
    """A real S3: it checks sums and sizes, and joins parts."""
    port = _free_port()
    options = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--log-level", "ERROR"]
    options += [
        "--cert",
        str(at.certificate),
        "--key",
        str(at.certificate),
        "--config",
        "/dev/null",
        "--vfs-cache-mode",
        "off",
    ]
    with _serving([tools.tools().rclone, "serve", "s3", *options, at.store], port):
        yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def _serving(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """Run a server until the block ends; it is there once its port answers."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(server, str(command[0]), port)
        yield
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _wait_for(server: "subprocess.Popen[str]", name: str, port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = server.stderr.read().strip().splitlines()[-1:] if server.stderr else []
            raise MissingError(f"{name} ended at once: {' '.join(said)}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise MissingError(f"{name} does not answer")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def forget(at: Place) -> None:
    """Empty the store for the next run."""
    for body in at.folder.glob("*/bodies/*"):
        body.unlink()
    shutil.rmtree(at.store / BUCKET)
    (at.store / BUCKET).mkdir()


def collect(at: Place) -> None:
    """Give the bodies that nginx kept the names of their objects and parts. It logs each after its answer is sent."""
    for folder in at.folder.glob("*/bodies"):
        log = folder.parent / "kept.log"
        deadline = time.monotonic() + 10
        while len(lines := log.read_text().splitlines() if log.exists() else []) < len(list(folder.iterdir())):
            if time.monotonic() > deadline:
                raise FailedError("the store has bodies that nobody finished sending")
            time.sleep(0.01)
        for line in lines:
            body, key, number, framing = ("" if field == "-" else field for field in line.split(" "))
            if body:
                Path(body).rename(at.store / f"{key.removeprefix('/')}.part{number}{framing}")
        if log.exists():
            os.truncate(log, 0)


def is_stored(at: Place, key: str, source: Path) -> bool:
    """Whether what was stored under `key` is `source`, byte for byte: an object, or nginx's parts of one."""
    parts = sorted((at.store / BUCKET).glob(f"{key}.part*"), key=_number)
    whole = [path for path in [at.store / BUCKET / key] if path.exists()]
    pieces = (piece for part in parts or whole for piece in _contents(part))
    with source.open("rb") as original:
        for piece in pieces:
            if original.read(len(piece)) != piece:
                return False
        return not original.read(1)


def _number(part: Path) -> int:
    return int(part.name.rpartition(".part")[2].removesuffix(".framed") or 0)


def _contents(part: Path) -> Iterator[bytes]:
    """The bytes of a part, without the framing that AWS's clients put around a body with a trailing checksum."""
    with part.open("rb") as stored:
        if not part.name.endswith(".framed"):
            while piece := stored.read(1 << 20):
                yield piece
            return
        while length := int(stored.readline().partition(b";")[0], 16):
            yield stored.read(length)
            stored.readline()
