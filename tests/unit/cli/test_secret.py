import json

import pytest

from haul.cli import secret
from tests.unit.cli.conftest import Haul

NAME = "haul/test/visier-acme"
WHOLE = {"vanity_name": "acme", "username": "u", "password": "hush", "api_key": "shush"}


def test_a_piped_secret_is_made_and_never_shown(haul: Haul) -> None:
    result = haul("secret", "set", "visier-acme", stdin=json.dumps(WHOLE))

    assert result.exit_code == 0
    assert haul.vault.secrets == {NAME: WHOLE}
    assert result.stdout.startswith(f"created {NAME}: api_key, password, username, vanity_name")
    assert "hush" not in result.output


def test_a_piped_part_updates_the_rest(haul: Haul) -> None:
    haul.vault.secrets[NAME] = dict(WHOLE)

    result = haul("secret", "set", "visier-acme", stdin='{"password": "new"}')

    assert result.stdout.startswith("updated")
    assert haul.vault.secrets[NAME] == {**WHOLE, "password": "new"}


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ('{"username": "u"}', "password: missing"),
        (json.dumps({**WHOLE, "pasword": "hush"}), "pasword: unknown field"),
        ("hush", "not a JSON object"),
        ('["hush"]', "not a JSON object"),
    ],
)
def test_a_secret_that_cannot_be_right_is_refused_without_showing_it(haul: Haul, stdin: str, said: str) -> None:
    result = haul("secret", "set", "visier-acme", stdin=stdin)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "hush" not in result.output
    assert not haul.vault.secrets


def test_at_a_terminal_each_field_is_asked_for_and_enter_keeps_what_is_there(
    haul: Haul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "_at_a_terminal", lambda: True)
    haul.vault.secrets[NAME] = dict(WHOLE)

    result = haul("secret", "set", "visier-acme", stdin="\n\n\nnew\n\n\n\n\n")

    assert result.exit_code == 0
    assert haul.vault.secrets[NAME] == {**WHOLE, "password": "new"}
    assert "api_key (the tenant's) [kept]" in result.output
    assert "client_id (for OAuth) [none]" in result.output


def test_a_connection_that_no_pipeline_uses_wants_its_vendor(haul: Haul) -> None:
    without = haul("secret", "set", "visier-new", stdin=json.dumps(WHOLE))
    with_it = haul("secret", "set", "visier-new", "--vendor", "visier", stdin=json.dumps(WHOLE))

    assert without.exit_code == 2
    assert "--vendor visier" in without.stderr
    assert with_it.exit_code == 0
    assert list(haul.vault.secrets) == ["haul/test/visier-new"]


def test_a_name_that_no_secret_can_have_is_refused(haul: Haul) -> None:
    result = haul("secret", "set", "visier/acme", "--vendor", "visier", stdin=json.dumps(WHOLE))

    assert result.exit_code == 2
    assert not haul.vault.secrets


def test_the_value_is_no_argument(haul: Haul) -> None:
    result = haul("secret", "set", "visier-acme", "hush")

    assert result.exit_code == 2
    assert not haul.vault.secrets
