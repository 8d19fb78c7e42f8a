"""Where a link may lead. What was checked is what is connected to: a name is resolved once.

Links come from a vendor's answers and redirects, so they could name the machine's own metadata service or a
neighbour. Only the connection's own configured host may be private, or spoken to without TLS.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urljoin, urlsplit

from haul.errors import UnsafeLinkError, VendorUnavailableError

_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")


class Network:
    """Names to addresses, addresses to sockets. A test puts a small world of its own in its place."""

    def resolve(self, host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((address, port), timeout)

    def secure(self, plain: socket.socket, host: str) -> socket.socket:
        return _tls().wrap_socket(plain, server_hostname=host)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(frozen=True, repr=False)
class Link:
    """A URL that may be followed as far as its spelling tells. Its path and query are never shown."""

    scheme: str
    host: str
    port: int
    target: str
    trusted: bool

    @classmethod
    def parse(cls, url: str, trusted_host: str) -> "Link":
        """Read a URL.

        Raises:
            UnsafeLinkError: no scheme of ours, or no TLS to a host that is not the trusted one.
        """
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
        except ValueError:
            scheme = host = ""
            port = None
        if scheme not in _PORTS or not host:
            raise UnsafeLinkError("a link is not an http or https address")
        port = _PORTS[scheme] if port is None else port
        trusted = _name(host, port) == trusted_host.lower()
        if scheme == "http" and not trusted:
            raise UnsafeLinkError(f"a link leads to {_name(host, port)} without TLS; only {trusted_host} may do that")
        path = quote(parts.path or "/", safe="%/:=&~+!$,;'@()*-._")
        query = quote(parts.query, safe="%/:=&~+!$,;'@()*-._?")
        return cls(scheme, host, port, f"{path}?{query}" if query else path, trusted)

    @property
    def name(self) -> str:
        return _name(self.host, self.port)

    def join(self, location: str, trusted_host: str) -> "Link":
        """Follow a redirect from here."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return Link.parse(urljoin(f"{self.scheme}://{host}{port}{self.target}", location), trusted_host)


def _name(host: str, port: int) -> str:
    return f"[{host}]:{port}".lower() if ":" in host else f"{host}:{port}".lower()


def is_public(address: str) -> bool:
    """Whether an address is one that anybody on the internet could reach, however it is wrapped."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (inner := _wrapped(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


class Connection(http.client.HTTPConnection):
    """HTTP with the host of a link, at an address that was checked.

    Raises (on the first request):
        UnsafeLinkError: the name leads to an address that is not public.
        VendorUnavailableError: no address answers; nothing was sent.
    """

    def __init__(self, link: Link, network: Network, *, connect_timeout: float, stall_timeout: float) -> None:
        super().__init__(link.host, link.port)
        self.default_port = _PORTS[link.scheme]  # decides whether the Host header names the port
        self._link = link
        self._network = network
        self._connect_timeout = connect_timeout
        self._stall_timeout = stall_timeout

    def connect(self) -> None:
        link = self._link
        plain = self._reach()
        try:
            plain.settimeout(self._stall_timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._network.secure(plain, link.host) if link.scheme == "https" else plain
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise VendorUnavailableError(
                f"the certificate of {link.name} is not valid: {error.verify_message}", sent=False
            ) from None
        except OSError as error:
            plain.close()
            raise VendorUnavailableError(f"no TLS with {link.name}: {type(error).__name__}", sent=False) from None

    def _reach(self) -> socket.socket:
        """Connect to the first address that answers, after all of them were found fit."""
        link = self._link
        try:
            addresses = self._network.resolve(link.host, link.port)
        except (OSError, UnicodeError):
            raise VendorUnavailableError(f"{link.host} has no address", sent=False) from None
        if not link.trusted and not all(map(is_public, addresses)):
            raise UnsafeLinkError(f"a link leads to {link.name}, which is at a private address")
        failure = "no address"
        for address in addresses:
            try:
                return self._network.connect(address, link.port, self._connect_timeout)
            except OSError as error:
                failure = error.strerror or type(error).__name__
        raise VendorUnavailableError(f"{link.name} cannot be reached: {failure}", sent=False)
