"""A small world of names and addresses, all of which end at a server on this machine."""

import socket
from dataclasses import dataclass, field

from haul.transfer.links import Network


@dataclass
class World(Network):
    """`names` are resolved in order of the calls, the last answer again and again; every address leads to `port`.

    TLS is left out: `secured` has the names for which it was asked.
    """

    port: int
    names: dict[str, list[list[str]]]
    connected: list[str] = field(default_factory=list)
    secured: list[str] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)

    def resolve(self, host: str, port: int) -> list[str]:  # noqa: ARG002  # a name has its addresses for every port
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # all lead to one
        self.connected.append(address)
        if address in self.unreachable:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def secure(self, plain: socket.socket, host: str) -> socket.socket:
        self.secured.append(host)
        return plain
