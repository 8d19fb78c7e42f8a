"""Visier's operations against its simulator: every endpoint that answers at once, and what can become of each."""

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from haul import connectors
from haul.connectors.visier.calls import VisierCalls
from haul.connectors.visier.management import VisierManagement
from haul.errors import (
    CredentialsRefusedError,
    HaulError,
    InvalidEventError,
    InvalidSecretError,
    MissingCapabilityError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from haul.models.event import Outcome
from haul.ports import Answer
from infra.local.vendors.visier import VisierSimulator
from tests.fakes.secret import FakeSecret
from tests.fakes.simulated import secret_at, simulators

C7O, E1A, ZZ9 = "WFF_j1r~c7o", "WFF_j1r~e1a", "WFF_j1r~zz9"
CONNECTOR, CREDENTIAL = "5f6ac4e0-3a1b-4f0e-9d0b-2a7f0c1d9e11", "0c7d2a55-8a34-4b1e-b7a0-6a0d5b9f4c22"
UKG = {
    "provider": "UKG",
    "ultimateAuthParams": {
        "hostDomainName": "service4.ultipro.example",
        "apiKey": "ukg-key-9f2c",
        "username": "svc-haul",
        "password": 'pass "w%rd" ü+1',
        "userAccessKey": "access-77aa91",
    },
}

type Simulate = Callable[..., VisierSimulator]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    with simulators(VisierSimulator) as simulate:
        yield simulate


@pytest.fixture
def visier(simulate: Simulate) -> VisierSimulator:
    return simulate()


def secret_of(visier: VisierSimulator, **fields: str | None) -> FakeSecret:
    return secret_at(visier.url, "visier", **fields)


def ask(visier: VisierSimulator, operation: str, content: Mapping[str, Any] | None = None, **given: Any) -> Answer:
    connector = connectors.connect("visier", secret_of(visier), {})
    return connector.operations()[operation].run(given, (lambda _: content) if content is not None else None)


def preview(visier: VisierSimulator, operation: str, **given: Any) -> str:
    shown = connectors.connect("visier", secret_of(visier), {}).operations()[operation].shown(given)
    assert not [call for call in visier.log if call.method != "GET" and "/v1/op" in call.path]
    return shown


def management(visier: VisierSimulator, *, page_size: int = 1000) -> VisierManagement:
    return VisierManagement(VisierCalls(secret_of(visier)), page_size=page_size)


# Data versions


@pytest.mark.parametrize("spelling", ["tenant", "tenantCode"])
def test_enabled_versions_are_listed_for_every_tenant_under_either_name(simulate: Simulate, spelling: str) -> None:
    answer = ask(simulate(tenant_spelling=spelling), "list-tenant-data-versions")

    assert answer.rows is not None
    assert [(row["tenant"], row["dataVersion"]) for row in answer.rows] == [
        (C7O, "5166161"),
        (C7O, "5166160"),
        (C7O, "5166148"),
        (E1A, "5166155"),
    ]
    assert [tenant[spelling] for tenant in answer.document["tenants"]] == [C7O, E1A, ZZ9]


def test_an_empty_text_is_an_empty_list(simulate: Simulate) -> None:
    answer = ask(simulate(sparse=True), "list-tenant-data-versions", tenant=[ZZ9])

    assert answer.document["tenants"] == [{"tenant": ZZ9, "dataVersions": ""}]
    assert answer.rows == []


def test_a_version_is_disabled_and_readers_fall_back(visier: VisierSimulator) -> None:
    told = preview(visier, "disable-data-versions", tenant=[C7O], version=["5166161"])
    answer = ask(visier, "disable-data-versions", tenant=[C7O], version=["5166161"])

    assert told == (
        "Disables 1 data version in production: WFF_j1r~c7o 5166161 (2019-10-02), its latest. "
        "Readers fall back to 5166160."
    )
    assert answer.outcome is Outcome.SUCCEEDED
    assert list(visier.management.tenants[C7O].versions) == ["5166160", "5166148"]


def test_without_a_version_the_latest_of_each_tenant_goes(visier: VisierSimulator) -> None:
    told = preview(visier, "disable-data-versions", tenant=[C7O, E1A])
    answer = ask(visier, "disable-data-versions", tenant=[C7O, E1A])

    assert told.splitlines() == [
        "Disables 2 data versions in production:",
        "  WFF_j1r~c7o 5166161 (2019-10-02), its latest. Readers fall back to 5166160.",
        "  WFF_j1r~e1a 5166155 (2019-10-02), its latest. No older one is listed for readers to fall back to.",
    ]
    assert [done["dataVersion"] for done in answer.document["results"]] == ["5166161", "5166155"]


def test_an_older_version_and_one_that_is_not_there_are_told_apart(visier: VisierSimulator) -> None:
    assert preview(visier, "disable-data-versions", tenant=[C7O], version=["5166148"]).endswith(
        "5166148 (2019-09-30). Readers stay at 5166161."
    )
    assert "1 (not among its five newest)" in preview(visier, "disable-data-versions", tenant=[C7O], version=["1"])
    assert "no enabled data version" in preview(visier, "disable-data-versions", tenant=[ZZ9])


def test_200_with_a_failure_inside_is_partial(visier: VisierSimulator) -> None:
    answer = ask(visier, "disable-data-versions", tenant=[C7O, ZZ9])

    assert answer.outcome is Outcome.PARTIAL
    assert list(answer.failures) == ["WFF_j1r~zz9: The data version does not exist or is disabled already."]


def test_200_with_nothing_but_failures_is_failed(visier: VisierSimulator) -> None:
    answer = ask(visier, "disable-data-versions", tenant=[ZZ9, "WFF_j1r~not"])

    assert answer.outcome is Outcome.FAILED
    assert [line.partition(":")[0] for line in answer.failures] == [ZZ9, "WFF_j1r~not"]


# Uploads


def test_uploads_are_listed_and_each_tenant_by_itself(visier: VisierSimulator) -> None:
    every, one = ask(visier, "list-uploads", number=1), ask(visier, "list-uploads", tenant=[E1A, C7O])

    assert every.rows == [
        {"tenant": C7O, "uploadTime": "2021-12-13T08:00:00.123Z", "included": True},
        {"tenant": E1A, "uploadTime": "2021-12-13T09:30:00.000Z", "included": True},
    ]
    assert [tenant["tenantCode"] for tenant in one.document["tenants"]] == [E1A, C7O]
    assert len(one.rows or ()) == 4


def test_uploads_are_excluded_and_included_with_a_mixed_result(visier: VisierSimulator) -> None:
    times = ["2021-12-13T08:00:00.123Z", "2020-01-01T00:00:00.000Z"]

    told = preview(visier, "exclude-uploads", tenant=[C7O], upload_time=times)
    answer = ask(visier, "exclude-uploads", tenant=[C7O], upload_time=times)

    assert told.splitlines() == [
        "Excludes 2 uploads:",
        "  WFF_j1r~c7o 2021-12-13T08:00:00.123Z (included now)",
        "  WFF_j1r~c7o 2020-01-01T00:00:00.000Z (not among its five newest)",
    ]
    assert answer.outcome is Outcome.PARTIAL
    assert list(answer.failures) == ["WFF_j1r~c7o 2020-01-01T00:00:00.000Z: The upload does not exist for the tenant."]
    assert visier.management.tenants[C7O].uploads["2021-12-13T08:00:00.123Z"] is False
    assert ask(visier, "include-uploads", tenant=[C7O], upload_time=times[:1]).outcome is Outcome.SUCCEEDED
    assert visier.management.tenants[C7O].uploads["2021-12-13T08:00:00.123Z"] is True


def test_all_uploads_of_several_tenants_are_chosen_at_once(visier: VisierSimulator) -> None:
    told = preview(visier, "exclude-uploads", tenant=[C7O, E1A], all=True)
    answer = ask(visier, "exclude-uploads", tenant=[C7O, E1A], all=True)

    assert told.splitlines() == ["Excludes every upload of:", "  WFF_j1r~c7o", "  WFF_j1r~e1a"]
    assert answer.outcome is Outcome.SUCCEEDED
    assert answer.document["totalSuccess"] == 4
    assert not any(visier.management.tenants[C7O].uploads.values())


def test_uploads_are_chosen_by_a_span_of_time(visier: VisierSimulator) -> None:
    span: dict[str, Any] = {"min_upload_time": "2021-12-12T00:00:00Z", "max_upload_time": "2021-12-12T23:59:59Z"}

    told = preview(visier, "exclude-uploads", tenant=[C7O], **span)
    answer = ask(visier, "exclude-uploads", tenant=[C7O], **span)

    assert told == "Excludes every upload from 2021-12-12T00:00:00Z up to 2021-12-12T23:59:59Z of WFF_j1r~c7o."
    assert [done["uploadTime"] for done in answer.document["uploads"]] == ["2021-12-12T08:00:00.456Z"]


# Connectors and credentials


def test_connectors_and_credentials_are_listed_without_what_they_hold(visier: VisierSimulator) -> None:
    ask(visier, "create-credential", UKG, secret="ukg", name="Second", tenant=C7O)

    found = ask(visier, "list-connectors", tenant=[C7O, ZZ9]).document
    credentials = ask(visier, "list-credentials", tenant=[C7O]).document

    assert found == {
        "dataConnectors": [
            {"tenantCode": C7O, "connectorId": CONNECTOR, "displayName": "UKG Pro", "credentialId": CREDENTIAL}
        ]
    }
    assert [each["displayName"] for each in credentials["connectorCredentials"]] == ["UKG", "Second"]
    assert not leaked(json.dumps(credentials))


def test_a_credential_is_made_of_a_secret_that_reaches_visier_whole(visier: VisierSimulator) -> None:
    told = preview(visier, "create-credential", secret="ukg", name="UKG", tenant=C7O)
    answer = ask(visier, "create-credential", UKG, secret="ukg", name="UKG", tenant=C7O)

    kept = visier.management.tenants[C7O].credentials[-1]
    assert "There is one of that name already" in told
    assert "out of the secret ukg" in told
    assert (kept.uuid, kept.content) == (answer.document["uuid"], UKG["ultimateAuthParams"])
    assert not leaked(repr(answer))


def test_a_credential_that_visier_took_in_part_is_partial(visier: VisierSimulator) -> None:
    content = {"provider": "BasicS3", "s3AuthParams": {"bucketName": "b", "accessKey": "AK-31f7", "path": ""}}

    answer = ask(visier, "create-credential", content, secret="s3", name="S3")

    assert answer.outcome is Outcome.PARTIAL
    assert "lacks connection properties" in answer.failures[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "provider: must be"),
        ({"provider": "UKG"}, "must hold one object"),
        ({"provider": "UKG", "ultimateAuthParams": {}, "s3AuthParams": {}}, "must hold one object"),
        ({**UKG, "passwort": "geheim-1"}, "passwort: unknown field"),
    ],
)
def test_content_that_is_none_is_refused_before_anything_is_sent(
    visier: VisierSimulator, content: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSecretError, match=said) as raised:
        ask(visier, "create-credential", content, secret="ukg", name="UKG")

    assert visier.log == []
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("problem", ["as JSON in the text", "as a page"])
def test_an_error_that_repeats_a_credential_is_struck_out(visier: VisierSimulator, problem: str) -> None:
    content = UKG["ultimateAuthParams"]
    body: Any = {"localizedMessage": f"bad: {json.dumps(UKG)}", "errorCode": "InvalidCredential", "rci": "1"}
    if problem == "as a page":
        body = f"<p>{content}</p>" + "<p>pass+%22w%25rd%22+%C3%BC%2B1</p>"
    visier.fault("POST", "/data-connector-credentials$", status=400, body=body)

    with pytest.raises(RequestRejectedError) as raised:
        ask(visier, "create-credential", UKG, secret="ukg", name="UKG")

    assert not leaked("".join(traceback.format_exception(raised.value)))


def test_a_credential_is_deleted_once_it_is_known_who_uses_it(visier: VisierSimulator) -> None:
    told = preview(visier, "delete-credential", credential=CREDENTIAL, tenant=C7O)
    answer = ask(visier, "delete-credential", credential=CREDENTIAL, tenant=C7O)

    assert told == f"Deletes credential UKG (UKG, {CREDENTIAL}) of WFF_j1r~c7o. Connectors use it: UKG Pro."
    assert answer.document == {"deleted": CREDENTIAL}
    assert visier.management.tenants[C7O].credentials == []
    with pytest.raises(RequestRejectedError, match="404"):
        ask(visier, "delete-credential", credential=CREDENTIAL, tenant=C7O)


def test_a_credential_is_assigned_to_a_connector_of_several_tenants(visier: VisierSimulator) -> None:
    made = ask(visier, "create-credential", UKG, secret="ukg", name="New", tenant=C7O).document["uuid"]

    given = {"connector": CONNECTOR, "credential": made, "tenant": [C7O, E1A]}
    told = connectors.connect("visier", secret_of(visier), {}).operations()["assign-credentials"].shown(given)
    answer = ask(visier, "assign-credentials", **given)

    assert f"  WFF_j1r~c7o UKG Pro (now: {CREDENTIAL})" in told
    assert "  WFF_j1r~e1a (has no such connector)" in told
    assert answer.outcome is Outcome.PARTIAL
    assert list(answer.failures) == ["WFF_j1r~e1a: The connector does not exist for the tenant."]
    assert visier.management.tenants[C7O].connectors[0].credential == made


# What an answer may be


@pytest.mark.parametrize(
    ("reply", "outcome", "said"),
    [
        ({"totalFailures": "", "totalSuccess": ""}, Outcome.FAILED, "of 1 Visier tells nothing"),
        ({"totalFailures": 1, "totalSuccess": 2}, Outcome.PARTIAL, "1 more failed, by Visier's own count"),
        ({"results": [{"tenantCode": C7O, "status": "Unknown"}]}, Outcome.FAILED, f"{C7O}: Unknown"),
        ({"results": [{"tenantCode": C7O, "status": "Succeeded"}]}, Outcome.SUCCEEDED, None),
    ],
)
def test_counts_and_results_are_believed_where_they_say_failure(
    visier: VisierSimulator, reply: Any, outcome: Outcome, said: str | None
) -> None:
    visier.fault("PUT", "/disable$", status=200, body=reply)

    answer = ask(visier, "disable-data-versions", tenant=[C7O])

    assert (answer.outcome, list(answer.failures)) == (outcome, [said] if said else [])


@pytest.mark.parametrize("knobs", [{}, {"list_cut_at": 1}, {"list_cut_at": 2}])
def test_lists_are_read_to_their_end(simulate: Simulate, knobs: Mapping[str, Any]) -> None:
    """In pages of two, and in the pages that Visier cuts with a 206."""
    visier = simulate(**knobs)

    found = [tenant.tenant for tenant in management(visier, page_size=2).versions()]

    assert found == [C7O, E1A, ZZ9]
    assert len([call for call in visier.log if call.path == "/v1/op/data-versions"]) >= 2


def test_a_list_that_never_ends_is_an_unexpected_answer(visier: VisierSimulator) -> None:
    page = {"tenants": [{"tenantCode": C7O, "uploads": []}]}
    visier.fault("GET", "/uploads$", times=None, status=200, body=page)

    with pytest.raises(UnexpectedResponseError, match="same page twice"):
        management(visier, page_size=1).uploads()


def test_a_token_that_expires_is_renewed_once(visier: VisierSimulator) -> None:
    visier.fault("PUT", "/exclude$", also="expire-tokens")

    answer = ask(visier, "exclude-uploads", tenant=[E1A], all=True)

    assert answer.outcome is Outcome.SUCCEEDED
    assert visier.calls("POST", "/visierSecureToken") == 2
    assert visier.calls("PUT", "/exclude") == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsRefusedError),
        (403, MissingCapabilityError),
        (404, RequestRejectedError),
        (429, RateLimitedError),
        (503, VendorUnavailableError),
    ],
)
def test_a_refused_write_is_made_once_and_named(visier: VisierSimulator, status: int, kind: type[HaulError]) -> None:
    visier.fault("PUT", "/exclude$", times=None, status=status)

    with pytest.raises(kind):
        ask(visier, "exclude-uploads", tenant=[E1A], all=True)

    assert visier.calls("PUT", "/exclude") == (2 if status == 401 else 1)  # a 401 proves that nothing was done


@pytest.mark.parametrize(("fault", "done"), [({"drop_reply": True}, True), ({"reset": True}, False)])
def test_a_lost_reply_to_a_write_is_not_followed_by_another(
    visier: VisierSimulator, fault: Mapping[str, Any], *, done: bool
) -> None:
    visier.fault("PUT", "/exclude$", **fault)

    with pytest.raises(VendorUnavailableError) as raised:
        ask(visier, "exclude-uploads", tenant=[E1A], all=True)

    assert raised.value.sent is True
    assert visier.calls("PUT", "/exclude") == 1
    assert (visier.management.tenants[E1A].uploads["2021-12-13T09:30:00.000Z"] is False) == done


def test_an_oauth_login_asks_for_the_right_to_write_only_where_something_may_be_written(simulate: Simulate) -> None:
    visier = simulate()
    oauth = secret_of(visier, client_id="demo", client_secret="demo")
    connector = connectors.connect("visier", oauth, {})

    answer = connector.operations()["exclude-uploads"].run({"tenant": [E1A], "all": True})

    assert answer.outcome is Outcome.SUCCEEDED
    assert visier.calls("POST", "/oauth2/token") == 1


# Parameters


@pytest.mark.parametrize(
    ("operation", "given", "said"),
    [
        ("disable-data-versions", {"tenat": [C7O]}, "parameters.tenat: unknown field; did you mean tenant"),
        ("disable-data-versions", {"tenant": []}, "parameters.tenant: list should have at least 1 item"),
        ("disable-data-versions", {"tenant": [C7O, E1A], "version": ["1"]}, "version: only together with one tenant"),
        ("disable-data-versions", {"tenant": [C7O], "version": ["v1"]}, r"parameters.version.0: .*\(found \"v1\"\)"),
        ("exclude-uploads", {"tenant": [C7O]}, "either upload_time, or"),
        ("exclude-uploads", {"tenant": [C7O], "all": True, "upload_time": ["2021-12-13T08:00:00Z"]}, "either"),
        ("exclude-uploads", {"tenant": [C7O], "upload_time": ["yesterday"]}, r"parameters.upload_time.0"),
        ("list-uploads", {"number": 6}, "parameters.number"),
        ("list-uploads", {"tenant": ["with space"]}, "parameters.tenant.0"),
        ("create-credential", {"name": "UKG", "secret": "../x"}, "parameters.secret"),
    ],
)
def test_wrong_parameters_are_named_and_nothing_is_sent(
    visier: VisierSimulator, operation: str, given: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(InvalidEventError, match=said):
        ask(visier, operation, **given)

    assert visier.log == []


def leaked(text: str) -> list[str]:
    """What a text shows of the credential."""
    content = UKG["ultimateAuthParams"]
    assert isinstance(content, dict)
    values = [*content.values(), "w%rd", "w%25rd"]
    return [value for value in values if value in text]
