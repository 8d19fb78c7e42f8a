"""Calls a simulator the way anybody might: whatever a test wants sent, and whatever came back."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Sends `headers` with each call, and takes bytes as they come."""

    def __init__(self, url: str, headers: Mapping[str, str | None]) -> None:
        self.address = urlsplit(url).netloc
        self.headers = dict(headers)

    def call(self, method: str, path: str, body: object = None, **headers: str | None) -> Answer:
        """Make one call; `Content_Type` spells a header's dash, and a header of None is not sent."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, path, data, {name: value for name, value in sent.items() if value is not None})
            with connection.getresponse() as reply:
                return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()


class VisierCaller(Caller):
    """A caller of Visier with the demo's key; logged in once it did so."""

    def __init__(self, url: str) -> None:
        super().__init__(url, {"apikey": "demo"})

    def log_in(self, **form: str) -> Answer:
        fields = {"username": "demo", "password": "demo", "vanityName": "demo", **form}
        reply = self.call("POST", "/v1/admin/visierSecureToken", urlencode(fields).encode(), apikey=None)
        if reply.status == 200:
            self.headers["Cookie"] = f"VisierASIDToken={reply.body.decode().strip().strip('"')}"
        return reply
