"""The simulated Visier's management calls, over real HTTP: bodies as anybody sends them, and what is refused."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from infra.local.vendors.visier import VisierSimulator
from tests.fakes.caller import VisierCaller

C7O, E1A = "WFF_j1r~c7o", "WFF_j1r~e1a"
TIME = "2021-12-13T09:30:00.000Z"
EXCLUDE = {"uploads": [{"tenantCode": E1A, "uploadTimes": [TIME]}]}


@pytest.fixture
def visier() -> Iterator[VisierSimulator]:
    with VisierSimulator() as simulator:
        yield simulator


def call(visier: VisierSimulator, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, Any]:
    caller = VisierCaller(visier.url)
    caller.log_in()
    answer = caller.call(method, f"/v1/op{path}", body, Content_Type=kind or None)
    return answer.status, answer.json


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (urlencode({"model": json.dumps(EXCLUDE)}).encode(), "application/x-www-form-urlencoded"),
        (f"model={json.dumps(EXCLUDE)}".encode(), "application/x-www-form-urlencoded"),
        (json.dumps({"model": EXCLUDE}).encode(), "application/json"),
        (json.dumps(EXCLUDE).encode(), "application/json"),
        (json.dumps(EXCLUDE).encode(), "application/x-www-form-urlencoded"),
    ],
)
def test_a_write_is_taken_in_every_form_that_is_documented(visier: VisierSimulator, body: bytes, kind: str) -> None:
    status, answer = call(visier, "PUT", "/data/uploads/exclude", body, kind)

    assert (status, answer["totalSuccess"]) == (200, 1)
    assert visier.management.tenants[E1A].uploads == {TIME: False}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/data/uploads/exclude", b"nonsense", 400),
        ("PUT", "/data/uploads/exclude", b'{"uploads": []}', 400),
        ("PUT", "/data/uploads/exclude", b'{"uploads": [{"tenantCode": "WFF_j1r~c7o"}]}', 400),
        ("PUT", "/data/uploads/include", b'{"uploads": [{"tenantCode": "WFF_j1r~c7o", "excludeAll": true}]}', 400),
        ("GET", "/data/uploads?limit=1001", None, 400),
        ("GET", "/data-versions?numberOfVersions=6", None, 400),
        ("GET", "/data-versions?tenantCode=WFF_other", None, 403),
        ("POST", "/data-connector-credentials", b'{"dataProviderAuthParams": {}}', 400),
        ("DELETE", "/data-connector-credentials/no-such", None, 404),
        ("GET", "/no-such", None, 404),
    ],
)
def test_what_cannot_be_is_refused(
    visier: VisierSimulator, method: str, path: str, body: bytes | None, status: int
) -> None:
    answered, problem = call(visier, method, path, body)

    assert answered == status
    assert problem["localizedMessage"]


def test_parts_fail_inside_of_a_200(visier: VisierSimulator) -> None:
    wanted = {"uploads": [{"tenantCode": C7O, "uploadTimes": ["2021-12-13T08:00:00.123Z", TIME]}, *EXCLUDE["uploads"]]}
    wanted["uploads"].append({"tenantCode": "WFF_other", "uploadTimes": [TIME]})

    status, answer = call(visier, "PUT", "/data/uploads/exclude", json.dumps(wanted).encode())

    assert (status, answer["totalSuccess"], answer["totalFailures"]) == (200, 2, 2)
    assert [(each["status"], each["message"]) for each in answer["uploads"] if each["message"]] == [
        ("Failed", "The upload does not exist for the tenant."),
        ("Failed", "Current user has insufficient permissions for the tenant."),
    ]


def test_a_page_that_the_server_cuts_is_a_206_and_one_tenant_is_never_paged(visier: VisierSimulator) -> None:
    visier.stop()
    with VisierSimulator(list_cut_at=2) as cutting:
        first, rest = call(cutting, "GET", "/data/uploads"), call(cutting, "GET", "/data/uploads?start=2")
        one = call(cutting, "GET", f"/data/uploads?tenantCode={C7O.replace('~', '%7E')}&limit=1&numberOfDataUploads=5")

    assert (first[0], len(first[1]["tenants"])) == (206, 2)
    assert (rest[0], len(rest[1]["tenants"])) == (200, 1)
    assert (one[0], len(one[1]["tenants"][0]["uploads"])) == (200, 3)


def test_only_with_a_login_is_anything_answered(visier: VisierSimulator) -> None:
    assert VisierCaller(visier.url).call("GET", "/v1/op/data-versions").status == 401


def test_a_reset_brings_everything_back(visier: VisierSimulator) -> None:
    call(visier, "PUT", "/data/uploads/exclude", json.dumps(EXCLUDE).encode())
    visier.reset()

    assert visier.management.tenants[E1A].uploads == {TIME: True}
