"""`haul doctor` and `haul call`: what the vendor and the bucket say."""

import json
import re
from dataclasses import replace

import pytest

from haul.errors import LandingNotWritableError
from haul.ports import ReadCredential
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
    result = haul("call", "visier", env=None)

    assert result.exit_code == 0
    assert "list-data-versions" in result.stdout
    assert "export-details" in result.stdout
    assert "--export EXPORT" in result.stdout
    assert re.search(r"disable-data-versions .* changes +--tenant TENANT \.\.\.", result.stdout)


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
        (["visier", "job-status", "jab=1"], "jab: unknown parameter; did you mean job?"),
        (["visier", "job-status", "--job"], "job: needs a value"),
        (["visier", "job-status", "job=1", "job=2"], "job: given twice"),
        (["visier", "list-uploads", "--number", "many"], "number: "),
        (["visier", "exclude-uploads", "--tenant", "a"], "exclude-uploads: either upload_time"),
        (["visier", "disable-data-versions", "--tenant", "a", "--tenant", "b", "--version", "1"], "one tenant"),
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

    call = ["call", "visier", "list-data-versions"]

    unnamed, named = haul(*call), haul(*call, "--connection", "visier-acme")

    assert unnamed.exit_code == 2
    assert "visier-acme (visier-people); visier-wrong (visier-other)" in unnamed.stderr
    assert named.exit_code == 0


@pytest.mark.parametrize("action", ["dv-export", "processing-job"])
def test_which_of_several_tenants_is_meant_is_asked_and_not_guessed(
    haul: Haul, visier: VisierSimulator, action: str
) -> None:
    options = {"target_tenant": C7O}
    haul.deploy({**VISIER_PEOPLE, "pipeline": "visier-tenant", "action": action, "options": options})
    connector = haul.deployment.connect("visier", "visier-acme", options)
    job = connector.schedule({"dataVersionNumber": "7000004"}, run_id="r")
    calls = len(visier.log)
    call = ["call", "visier", "job-status", "--job", job]

    for choice in ([], ["--connection", "visier-acme"]):
        unclear = haul(*call, *choice)

        assert unclear.exit_code == 2
        assert f"visier-acme (visier-people); visier-acme for tenant {C7O} (visier-tenant)" in unclear.stderr
        assert "--pipeline NAME" in unclear.stderr
    assert len(visier.log) == calls

    own, other = haul(*call, "--pipeline", "visier-people"), haul(*call, "--pipeline", "visier-tenant")

    assert (own.exit_code, other.exit_code) == (1, 0)


def test_a_pipeline_of_another_vendor_has_no_connection_to_this_one(haul: Haul) -> None:
    result = haul("call", "visier", "list-data-versions", "--pipeline", "people")

    assert result.exit_code == 2
    assert "which connection to visier? used by pipelines: visier-acme (visier-people)" in result.stderr


C7O, E1A = "WFF_j1r~c7o", "WFF_j1r~e1a"
DISABLE = ["call", "visier", "disable-data-versions", "--tenant", C7O, "--version", "5166161"]


def test_a_wrong_parameter_is_answered_with_all_that_there_are(haul: Haul) -> None:
    result = haul("call", "visier", "list-uploads", "--tenat", C7O)

    assert result.exit_code == 2
    assert "[--tenant TENANT ...] [--job JOB] [--number NUMBER]" in result.stderr
    assert "number: how many of each tenant, the newest first" in result.stderr


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_change_is_shown_and_asked_about(haul: Haul, visier: VisierSimulator, answer: str) -> None:
    result = haul(*DISABLE, stdin=answer)

    assert (
        "Disables 1 data version in production: WFF_j1r~c7o 5166161 (2019-10-02), its latest. "
        "Readers fall back to 5166160.  Continue? [y/N]"
    ) in result.stdout
    assert result.exit_code == 1
    assert "5166161" in visier.management.tenants[C7O].versions


@pytest.mark.parametrize(("more", "stdin"), [([], "y\n"), (["--yes"], None)])
def test_a_change_is_made_once_it_is_wanted(
    haul: Haul, visier: VisierSimulator, more: list[str], stdin: str | None
) -> None:
    result = haul(*DISABLE, *more, stdin=stdin)

    assert result.exit_code == 0
    assert "Succeeded" in result.stdout
    assert "5166161" not in visier.management.tenants[C7O].versions


def test_with_json_the_question_goes_to_standard_error(haul: Haul) -> None:
    result = haul("--json", *DISABLE, stdin="y\n")

    assert json.loads(result.stdout)["totalSuccess"] == 1
    assert "Continue?" in result.stderr


@pytest.mark.parametrize(
    ("tenants", "exit_code", "said"),
    [
        ([C7O, "WFF_j1r~zz9"], 4, "PARTIAL: a part of it was done, and this was not:"),
        (["WFF_j1r~zz9"], 1, "FAILED: nothing was done, and this was not:"),
    ],
)
def test_the_exit_status_says_whether_all_of_it_was_done(
    haul: Haul, tenants: list[str], exit_code: int, said: str
) -> None:
    chosen = [word for tenant in tenants for word in ("--tenant", tenant)]

    result = haul("call", "visier", "disable-data-versions", *chosen, "--yes")

    assert result.exit_code == exit_code
    assert said in result.stdout
    assert "  WFF_j1r~zz9: The data version does not exist or is disabled already." in result.stdout


def test_with_json_a_partial_answer_is_the_vendors_document_alone(haul: Haul) -> None:
    result = haul("--json", *DISABLE[:3], "tenant=WFF_j1r~zz9", f"tenant={C7O}", "--yes")

    assert result.exit_code == 4
    assert json.loads(result.stdout)["totalFailures"] == 1
    assert "WFF_j1r~zz9: The data version" in result.stderr


def test_lists_of_several_tenants_are_one_flat_table(haul: Haul) -> None:
    result = haul("call", "visier", "list-uploads", "--tenant", E1A, f"--tenant={C7O}", "--number", "1")

    assert [line.split() for line in result.stdout.splitlines()] == [
        ["tenant", "uploadTime", "included"],
        [E1A, "2021-12-13T09:30:00.000Z", "True"],
        [C7O, "2021-12-13T08:00:00.123Z", "True"],
    ]


def test_a_switch_needs_no_value(haul: Haul, visier: VisierSimulator) -> None:
    result = haul("call", "visier", "exclude-uploads", "--all", "--tenant", E1A, "--yes")

    assert result.exit_code == 0
    assert visier.management.tenants[E1A].uploads == {"2021-12-13T09:30:00.000Z": False}


def test_a_load_of_the_same_connection_does_not_hinder_a_call(haul: Haul) -> None:
    """A load's options are not an export's."""
    load = {**VISIER_PEOPLE, "pipeline": "a-load", "action": "some-load", "options": {"cancel_on_abort": True}}
    haul.deploy(load)

    assert haul("call", "visier", "list-data-versions").exit_code == 0


CREATE = ["call", "visier", "create-credential", "--secret", "ukg", "--name", "UKG", "--tenant", C7O, "--yes"]


def test_what_handles_credentials_is_refused_unless_the_environment_allows_it(haul: Haul) -> None:
    result = haul(*CREATE)

    assert result.exit_code == 1
    assert "credential_operations: true into infra/environments/test.yaml" in result.stderr


def test_a_credentials_content_is_read_from_its_secret_and_not_shown(haul: Haul, visier: VisierSimulator) -> None:
    allow(haul, lambda name: {"provider": "UKG", "ultimateAuthParams": {"apiKey": f"{name}-key-9f2c"}})

    result = haul(*CREATE)

    assert result.exit_code == 0
    assert visier.management.tenants[C7O].credentials[-1].content == {"apiKey": "ukg-key-9f2c"}
    assert "9f2c" not in result.stdout + result.stderr


def allow(haul: Haul, read_credential: ReadCredential) -> None:
    haul.deployment = replace(haul.deployment, read_credential=read_credential)
