"""An Adobe secret, right and wrong: errors name the field and never its value."""

from typing import Any

import pytest

from haul.connectors.adobe.credentials import read
from haul.errors import InvalidSecretError

GOOD = {
    "client_id": "s3cret-id",
    "client_secret": "s3cret-secret",
    "org_id": "1BD6382559DF0C130A49422D@AdobeOrg",
    "sandbox": "prod",
    "scopes": "openid,AdobeID,read_organizations",
}


def test_adobes_own_hosts_are_taken_where_no_other_is_named() -> None:
    credentials = read(GOOD)

    assert (credentials.base_url, credentials.ims_url) == (
        "https://platform.adobe.io",
        "https://ims-na1.adobelogin.com",
    )
    assert credentials.host == "platform.adobe.io:443"
    assert credentials.account == "1BD6382559DF0C130A49422D@AdobeOrg.prod"


def test_hosts_may_be_others() -> None:
    credentials = read({**GOOD, "base_url": "http://127.0.0.1:4000/", "ims_url": "https://ims.example.com/"})

    assert (credentials.host, credentials.base_url) == ("127.0.0.1:4000", "http://127.0.0.1:4000")
    assert credentials.ims_url == "https://ims.example.com"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"client_secret": None}, "client_secret: missing"),
        ({"sandbox": ""}, "sandbox: must be text, and not empty"),
        ({"scopes": ["openid"]}, "scopes: must be text"),
        ({"client_id": "s3cret\n"}, "client_id: holds a space, a line end"),
        ({"org_id": "s3crét@AdobeOrg"}, "org_id: holds"),
        ({"sandbx": "s3cret"}, "sandbx: unknown field; did you mean sandbox"),
        ({"colour": "s3cret"}, "colour: unknown field; known: client_id"),
        ({"base_url": "s3cret"}, "base_url: must be a URL such as https://platform.adobe.io"),
        ({"base_url": "http://s3cret.example.com"}, "base_url: must begin with https://"),
        ({"ims_url": "https://s3cret:pw@example.com"}, "ims_url: must hold no user"),
        ({"ims_url": "https://[s3cret"}, "ims_url: cannot be read as a URL"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSecretError) as wrong:
        read({**GOOD, **changes})

    assert problem in str(wrong.value)
    assert "s3cr" not in str(wrong.value)


def test_nothing_secret_is_in_what_may_be_printed() -> None:
    assert "s3cret" not in repr(read(GOOD))
