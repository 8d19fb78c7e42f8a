"""A link may lead to a public address with TLS, or to the connection's own host; nowhere else."""

import pytest

from haul.errors import UnsafeLinkError
from haul.transfer.links import Link, is_public

TRUSTED = "acme.api.example.com:443"


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.net/part0?signature=abc",
        "https://ACME.api.example.com/part0",
        "https://files.example.net:8443/part0",
        "https://[2606:4700::1111]/part0",
    ],
)
def test_tls_to_anywhere_may_be_spelled(url: str) -> None:
    assert Link.parse(url, TRUSTED).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.net/part0",
        "http://acme.api.example.com/part0",
        "ftp://files.example.net/part0",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "//files.example.net/part0",
        "/part0",
        "",
        "https://",
        "https://host:port/",
        "https://host:99999/",
        "https://[::1/",
        "javascript:alert(1)",
    ],
)
def test_other_links_are_refused_by_their_spelling(url: str) -> None:
    with pytest.raises(UnsafeLinkError) as caught:
        Link.parse(url, TRUSTED)

    assert "part0" not in str(caught.value)


def test_only_the_trusted_host_at_its_own_port_may_do_without_tls() -> None:
    assert Link.parse("http://127.0.0.1:8080/x", "127.0.0.1:8080").trusted
    with pytest.raises(UnsafeLinkError, match=r"127.0.0.1:8081 without TLS"):
        Link.parse("http://127.0.0.1:8081/x", "127.0.0.1:8080")


@pytest.mark.parametrize(
    ("location", "name", "target"),
    [
        ("/elsewhere?x=1", "acme.api.example.com:443", "/elsewhere?x=1"),
        ("part1", "acme.api.example.com:443", "/v1/part1"),
        ("//files.example.net/a b", "files.example.net:443", "/a%20b"),
        ("https://[2606:4700::1111]:8443/%2Fkept?sig=a%2Bb", "[2606:4700::1111]:8443", "/%2Fkept?sig=a%2Bb"),
        ("/\u00e4", "acme.api.example.com:443", "/%C3%A4"),
    ],
)
def test_a_redirect_is_followed_from_where_it_was_given(location: str, name: str, target: str) -> None:
    link = Link.parse("https://acme.api.example.com/v1/part0", TRUSTED).join(location, TRUSTED)

    assert (link.name, link.target) == (name, target)


def test_a_link_does_not_show_itself() -> None:
    assert "abc" not in repr(Link.parse("https://files.example.net/part0?signature=abc", TRUSTED))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104  # an address to refuse
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "192.0.0.8",
        "198.18.0.1",
        "203.0.113.5",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.0.0.1",
        "2002:a9fe:a9fe::1",
        "2002:7f00:1::",
    ],
)
def test_private_addresses_are_known_however_they_are_wrapped(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)
