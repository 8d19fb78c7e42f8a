"""A LiquidAnalytics secret, right and wrong: errors name the field and never its value."""

from typing import Any

import pytest

from haul.connectors.liquid.credentials import read
from haul.errors import InvalidSecretError

GOOD = {
    "base_url": "https://acme.example.com",
    "client_id": "haul",
    "client_secret": "s3cret-client",
    "username": "haul",
    "password": "s3cret-pw",
    "community": "Acme_Events",
}


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://acme.example.com/", "acme.example.com:443"),
        ("https://acme.example.com:8443", "acme.example.com:8443"),
        ("http://127.0.0.1:4000", "127.0.0.1:4000"),
        ("http://localhost", "localhost:80"),
    ],
)
def test_the_host_has_its_port(base_url: str, host: str) -> None:
    credentials = read({**GOOD, "base_url": base_url})

    assert credentials.host == host
    assert not credentials.base_url.endswith("/")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(({name: None}, f"{name}: missing") for name in GOOD),
        ({"password": "  "}, "password: must be text, and not empty"),
        ({"client_secret": 42}, "client_secret: must be text"),
        ({"passwrod": "s3cret"}, "passwrod: unknown field; did you mean password"),
        ({"colour": "s3cret"}, "colour: unknown field; known: base_url, client_id"),
        ({"community": "two words"}, "community: holds a space or ="),
        ({"community": "community=Acme"}, "community: holds a space or ="),
        ({"base_url": "acme.example.com"}, "base_url: must be a URL such as https://acme"),
        ({"base_url": "http://acme.example.com"}, "base_url: must begin with https://"),
        ({"base_url": "https://haul:s3cret@acme.example.com"}, "base_url: must hold no user"),
        ({"base_url": "https://acme.example.com/?key=s3cret"}, "base_url: must hold no user"),
        ({"base_url": "https://acme:port/"}, "base_url: cannot be read"),
        ({"base_url": "https://acme.example.com/ s3cret"}, "base_url: must be a URL"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSecretError, match=problem) as wrong:
        read({**GOOD, **changes})

    assert "s3c" not in str(wrong.value)


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(InvalidSecretError, match=r"user: unknown.*username: missing; password: missing"):
        read({**GOOD, "user": "u", "username": None, "password": None})


def test_credentials_print_no_secret() -> None:
    credentials = read(GOOD)

    assert "s3cret" not in f"{credentials!r} {credentials}"
