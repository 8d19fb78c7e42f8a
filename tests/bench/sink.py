"""As much of S3 as an upload needs, which keeps nothing: it shows the client and not the store."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_BEGUN = (
    "<InitiateMultipartUploadResult><Bucket>landing</Bucket><Key>key</Key><UploadId>1</UploadId>"
    "</InitiateMultipartUploadResult>"
)
_MADE = "<CompleteMultipartUploadResult><ETag>&quot;1&quot;</ETag></CompleteMultipartUploadResult>"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        space = memoryview(bytearray(1 << 20))
        while left and (count := self.rfile.readinto(space[: min(left, len(space))])):
            left -= count
        self._answer("")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        self._answer(_BEGUN if "uploads" in query else _MADE)

    def _answer(self, xml: str) -> None:
        body = xml.encode()
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Serve on 127.0.0.1, and end with the block; its endpoint URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
