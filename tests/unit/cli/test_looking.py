"""`haul doctor` and `haul call`: what the vendor and the bucket say."""

import json

import pytest

from haul.errors import LandingNotWritableError
from infra.local.vendors.visier import VisierSimulator
from tests.unit.cli.conftest import VISIER_PEOPLE, Haul


def test_a_connection_that_can_do_its_work_has_ticks_alone(haul: Haul) -> None:
    result = haul("doctor", "visier-acme")

    assert result.exit_code == 0
    assert "✗" not in result.stdout
    assert "haul/test/visier-acme is complete" in result.stdout
    assert "4 there (the data versions that can be exported)" in result.stdout
    assert "0 of 10 used today, 2 reserved for manual runs" in result.stdout
    assert "left this minute" in result.stdout
    assert "landing is writable" in result.stdout


def test_the_probe_in_the_bucket_is_taken_away(haul: Haul) -> None:
    haul("doctor", "visier-acme")

    assert any("_doctor" in key for key in haul.store.created)
    assert not list(haul.store.keys("ledger/_doctor/"))


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ("visier-gone", "UnknownConnectionError"),
        ("visier-short", "InvalidSecretError"),
        ("visier-wrong", "CredentialsRefusedError"),
    ],
)
def test_a_wrong_secret_is_a_cross_and_says_how_to_set_it(haul: Haul, connection: str, said: str) -> None:
    result = haul("doctor", connection, "--vendor", "visier")

    assert result.exit_code == 1
    assert said in result.stdout
    assert f"do: haul secret set {connection} --env test" in result.stdout


def test_a_missing_right_is_a_cross_for_each_read_it_concerns(haul: Haul, visier: VisierSimulator) -> None:
    visier.fault("GET", "/exports$", status=403)

    result = haul("--json", "doctor", "visier-acme")

    findings = json.loads(result.stdout)["findings"]["visier-acme (visier)"]
    well = {finding["what"]: finding["well"] for finding in findings}
    assert result.exit_code == 1
    assert (well["list-data-versions"], well["list-exports"]) == (True, False)


def test_a_bucket_that_takes_nothing_is_a_cross(haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str, body: str) -> str:
        del key, body
        raise LandingNotWritableError("landing bucket: S3 answers AccessDenied")

    monkeypatch.setattr(haul.store, "create", refuse)

    result = haul("doctor", "visier-acme")

    assert result.exit_code == 1
    assert "✗ landing bucket" in result.stdout


def test_without_a_name_every_connection_of_a_pipeline_is_looked_at_once_for_each_tenant(haul: Haul) -> None:
    haul.deploy({**VISIER_PEOPLE, "pipeline": "visier-copy"})
    haul.deploy({**VISIER_PEOPLE, "pipeline": "visier-tenant", "options": {"target_tenant": "WFF_j1r~c7o"}})

    found = json.loads(haul("--json", "doctor").stdout)["findings"]

    assert list(found) == [
        "test",
        "fake-acme (fake)",
        "visier-acme (visier)",
        "visier-acme (visier, tenant WFF_j1r~c7o)",
    ]


def test_a_connection_that_no_pipeline_uses_wants_its_vendor(haul: Haul) -> None:
    result = haul("doctor", "visier-wrong")

    assert result.exit_code == 2
    assert "--vendor" in result.stderr


def test_a_vendors_operations_are_listed(haul: Haul) -> None:
    result = haul("call", "visier")

    assert result.exit_code == 0
    assert "list-data-versions" in result.stdout
    assert "export-details" in result.stdout
    assert "export=..." in result.stdout


def test_an_answer_with_one_list_is_a_table_and_as_json_what_the_vendor_said(haul: Haul) -> None:
    table, document = (
        haul("call", "visier", "list-data-versions"),
        haul("--json", "call", "visier", "list-data-versions"),
    )

    assert table.stdout.splitlines()[0].split() == ["dataVersion", "dataCategory", "created"]
    assert len(json.loads(document.stdout)["dataVersions"]) == 4


@pytest.mark.parametrize("given", [["job={}"], ["--job", "{}"], ["--job={}"]])
def test_parameters_are_given_in_any_of_three_ways(haul: Haul, given: list[str]) -> None:
    connector = haul.deployment.connect("visier", "visier-acme", {})
    job = connector.schedule({"dataVersionNumber": "7000004"}, run_id="r")

    result = haul("call", "visier", "job-status", *(word.format(job) for word in given))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["jobUuid"] == job


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["visier", "list-jobs"], "There are: list-data-versions"),
        (["visier", "job-status"], "job: missing"),
        (["visier", "job-status", "jab=1"], "jab: unknown"),
        (["visier", "job-status", "4711"], "must be name=value"),
        (["visir", "job-status"], "vendor"),
    ],
)
def test_a_call_that_cannot_be_made_is_a_usage_error(haul: Haul, arguments: list[str], said: str) -> None:
    result = haul("call", *arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_several_connections_want_one_named(haul: Haul) -> None:
    haul.deploy({**VISIER_PEOPLE, "pipeline": "visier-other", "connection": "visier-wrong"})

    unnamed, named = haul("call", "visier"), haul("call", "visier", "--connection", "visier-acme")

    assert unnamed.exit_code == 2
    assert "visier-acme, visier-wrong" in unnamed.stderr
    assert named.exit_code == 0
