"""A vendor's simulator in a test: started as often as wanted, known by its demo's secret, read as a download reads."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from haul.ports import DownloadSource
from infra.local.vendors.demo import demo_of
from infra.local.vendors.simulator import VendorSimulator
from tests.fakes.secret import FakeSecret


@contextmanager
def simulators[S: VendorSimulator[Any]](make: Callable[..., S], **usual: Any) -> Iterator[Callable[..., S]]:
    """Give `simulate(scenario, **knobs)`: a simulator that runs until the end, with the `usual` knobs but for these."""
    with ExitStack() as running:

        def simulate(scenario: str | None = None, **knobs: Any) -> S:
            chosen = {"scenario": scenario} if scenario else {}
            made = make(**{**usual, **knobs, **chosen})
            running.enter_context(made)
            return made

        yield simulate


def secret_at(url: str, vendor: str, **fields: str | None) -> FakeSecret:
    """The secret that the vendor's simulator takes at `url`, but for `fields`."""
    return FakeSecret({**demo_of(vendor).secret(url), **fields})


def fetch(source: DownloadSource, method: str = "GET") -> tuple[int, bytes]:
    """Ask as the download does: the bytes as they come, the headers for the source's own host alone."""
    url = urlsplit(source.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    try:
        connection.putrequest(method, f"{url.path}?{url.query}" if url.query else url.path, skip_accept_encoding=True)
        for name, value in source.headers.items() if url.netloc == source.host else ():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as reply:
            return reply.status, reply.read()
    finally:
        connection.close()
