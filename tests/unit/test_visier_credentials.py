"""A Visier secret, right and wrong: errors name the field and never its value."""

from typing import Any

import pytest

from haul.connectors.visier.credentials import read
from haul.errors import InvalidSecretError

GOOD = {"vanity_name": "acme", "username": "haul", "password": "s3cret-pw", "api_key": "s3cret-key"}


def test_the_base_url_comes_from_the_vanity_name() -> None:
    assert read(GOOD).base_url == "https://acme.api.visier.io"


def test_a_base_url_of_its_own_wins() -> None:
    credentials = read({**GOOD, "base_url": "https://visier.example.com/"})

    assert credentials.base_url == "https://visier.example.com"
    assert credentials.vanity_name == "acme"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://acme.api.visier.io", "acme.api.visier.io:443"),
        ("https://acme.api.visier.io:8443", "acme.api.visier.io:8443"),
        ("http://127.0.0.1:4000", "127.0.0.1:4000"),
        ("http://localhost", "localhost:80"),
    ],
)
def test_the_host_has_its_port(base_url: str, host: str) -> None:
    assert read({**GOOD, "base_url": base_url}).host == host


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"password": None}, "password: missing"),
        ({"password": ""}, "password: must be text, and not empty"),
        ({"password": "  "}, "password: must be text, and not empty"),
        ({"api_key": 42}, "api_key: must be text"),
        ({"api_key": "s3cret\n"}, "api_key: holds a space, a line end"),
        ({"api_key": "s3crét"}, "api_key: holds"),
        ({"passwrod": "s3cret"}, "passwrod: unknown field; did you mean password"),
        ({"colour": "s3cret"}, "colour: unknown field; known: username, password"),
        ({"vanity_name": None}, "base_url or vanity_name: one of the two is needed"),
        ({"vanity_name": "acme.example.com/s3cret"}, "vanity_name: letters, digits and dashes"),
        ({"base_url": "acme.api.visier.io"}, "base_url: must be a URL"),
        ({"base_url": "http://acme.api.visier.io"}, "base_url: must begin with https://"),
        ({"base_url": "https://haul:s3cret@acme.api.visier.io"}, "base_url: must hold no user"),
        ({"base_url": "https://acme.api.visier.io/?key=s3cret"}, "base_url: must hold no user"),
        ({"base_url": "https://acme:port/"}, "base_url: cannot be read"),
        ({"base_url": "https://[acme"}, "base_url: cannot be read"),
        ({"base_url": "https://acme.example.com/ s3cret"}, "base_url: must be a URL"),
        ({"client_id": "haul"}, "client_id, client_secret: OAuth needs both"),
        ({"client_secret": "s3cret"}, "client_id, client_secret: OAuth needs both"),
        ({"redirect_uri": "https://x"}, "redirect_uri: means something only with client_id"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSecretError, match=problem) as wrong:
        read({**GOOD, **changes})

    assert "s3c" not in str(wrong.value)


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(InvalidSecretError, match=r"user: unknown.*username: missing; password: missing"):
        read({"vanity_name": "acme", "user": "u", "api_key": "k"})


def test_credentials_print_no_secret() -> None:
    credentials = read({**GOOD, "client_id": "c", "client_secret": "s3cret-client"})

    assert "s3cret" not in f"{credentials!r} {credentials}"
