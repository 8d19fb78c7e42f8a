"""A mediarithmics secret, right and wrong: errors name the field and never its value."""

from typing import Any

import pytest

from haul.connectors.mediarithmics.credentials import read
from haul.errors import InvalidSecretError

GOOD = {"api_token": "s3cret-token"}
LOGIN = {"email": "haul@example.com", "password": "s3cret-pw"}


def test_the_base_url_is_mediarithmics_own_unless_there_is_one() -> None:
    assert read(GOOD).base_url == "https://api.mediarithmics.com"
    assert read({**GOOD, "base_url": "https://mics.example.com/"}).base_url == "https://mics.example.com"


@pytest.mark.parametrize(
    ("base_url", "host", "account"),
    [
        ("https://api.mediarithmics.com", "api.mediarithmics.com:443", "api.mediarithmics.com"),
        ("https://API.mediarithmics.com:8443", "api.mediarithmics.com:8443", "api.mediarithmics.com_8443"),
        ("http://127.0.0.1:4000", "127.0.0.1:4000", "127.0.0.1_4000"),
    ],
)
def test_the_host_has_its_port(base_url: str, host: str, account: str) -> None:
    credentials = read({**GOOD, "base_url": base_url})

    assert (credentials.host, credentials.account) == (host, account)


def test_a_field_that_is_null_is_not_there() -> None:
    assert read({**LOGIN, "api_token": None}).email == "haul@example.com"


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ({}, "api_token: missing, and there are no email and password"),
        ({"api_token": ""}, "api_token: must be text, and not empty"),
        ({"api_token": 42}, "api_token: must be text"),
        ({"api_token": "Bearer s3cret"}, "api_token: holds a space.*without Bearer"),
        ({"api_token": "s3cret\n"}, "api_token: holds a space, a line end"),
        ({"email": "haul@example.com"}, "email, password: a login needs both"),
        ({"password": "s3cret"}, "email, password: a login needs both"),
        ({**GOOD, **LOGIN}, "api_token: goes without email and password"),
        ({"api_tokn": "s3cret"}, "api_tokn: unknown field; did you mean api_token"),
        ({**GOOD, "colour": "s3cret"}, "colour: unknown field; known here: api_token, base_url, email, password"),
        ({**GOOD, "base_url": "api.mediarithmics.com"}, "base_url: must be a URL"),
        ({**GOOD, "base_url": "http://api.mediarithmics.com"}, "base_url: must begin with https://"),
        ({**GOOD, "base_url": "https://haul:s3cret@example.com"}, "base_url: must hold no user"),
        ({**GOOD, "base_url": "https://example.com/?access_token=s3cret"}, "base_url: must hold no user"),
        ({**GOOD, "base_url": "https://example.com:port/"}, "base_url: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(secret: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSecretError, match=problem) as wrong:
        read(secret)

    assert "s3c" not in str(wrong.value)


def test_credentials_print_no_secret() -> None:
    printed = f"{read(GOOD)!r} {read(LOGIN)!r}"

    assert "s3cret" not in printed
