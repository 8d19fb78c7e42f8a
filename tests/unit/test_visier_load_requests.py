"""What people write about Visier's loads."""

from typing import Any

import pytest

from haul.errors import InvalidEventError
from haul.models import vendors
from haul.models.event import Event
from haul.models.vendors import checked

INSTANT = "@instant:2021-12-13T00:00:00-08:00"


def read(action: str, request: dict[str, Any], **options: Any) -> Event:
    return checked(
        Event(
            version=1,
            pipeline="visier-nightly-load",
            vendor="visier",
            action=action,
            connection="visier-partner",
            request=request,
            options=options,
        )
    )


@pytest.mark.parametrize("action", ["extract-and-load", "extraction-job", "processing-job"])
def test_nothing_needs_to_be_said_about_the_callers_own_tenant(action: str) -> None:
    event = read(action, {})

    assert event.request == {}
    assert event.options == {
        "target_tenant": None,
        "tolerate_failed_tenants": 0,
        "children_appear_within": "PT20M",
        "cancel_on_abort": True,
    }


def test_every_load_takes_the_same_options_and_an_upload_those_of_its_source_too() -> None:
    loads = {name: action for name, action in vendors.actions("visier").items() if action.kind == "load"}
    shared = set(loads["start-load"].options.model_fields)

    assert all(shared <= set(action.options.model_fields) for action in loads.values())
    assert set(loads["upload"].options.model_fields) - shared == {"decode", "reshape", "empty", "after"}
    assert [name for name, action in loads.items() if action.takes_source] == ["upload"]


@pytest.mark.parametrize("action", ["extract-and-load", "extraction-job", "processing-job"])
@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"tenants": ["WFF_j1r~c7o"], "allTenants": True}, "one of the two"),
        ({"excludedTenants": ["WFF_j1r~c7o"]}, "only with allTenants: true"),
        ({"tenants": ["WFF_j1r~c7o"], "excludedTenants": ["WFF_j1r~e1a"]}, "only with allTenants: true"),
        ({"allTenants": False, "excludedTenants": []}, "only with allTenants: true"),
        ({"tenants": []}, "request.tenants: list should have at least 1 item"),
        ({"tenants": ["WFF j1r"]}, "request.tenants.0: string should match pattern"),
        ({"tenants": ["@latest"]}, "no symbol is understood here"),
        ({"tenant": ["WFF_j1r~c7o"]}, "did you mean tenants?"),
    ],
)
def test_tenants_are_named_one_way(action: str, request_: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        read(action, request_)

    assert why in str(refused.value)


@pytest.mark.parametrize("value", [1639382400000, "1639382400000", INSTANT])
@pytest.mark.parametrize("field", ["overrideLastExtractionTimestamp", "extractToTimeOverride"])
def test_a_time_is_milliseconds_or_an_instant(field: str, value: int | str) -> None:
    assert read("extract-and-load", {field: value}).request == {field: value}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1, "epoch milliseconds"),
        ("2021-12-13", "epoch milliseconds"),
        ("@instant:2021-12-13T00:00:00", "needs its offset"),
        ("@started-at", "not understood here"),
        (True, "valid integer"),
    ],
)
def test_another_time_is_refused(value: Any, why: str) -> None:
    with pytest.raises(InvalidEventError, match=why):
        read("extract-and-load", {"overrideLastExtractionTimestamp": value})


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (["people.zip"], r"ends in \.zip\.gpg"),
        (["people.csv.gpg"], r"ends in \.zip\.gpg"),
        ([".zip.gpg"], r"ends in \.zip\.gpg"),
        (["people.zip.gpg "], r"ends in \.zip\.gpg"),
        ([], "at least 1 item"),
        ("people.zip.gpg", "valid array"),
    ],
)
def test_files_on_the_server_are_encrypted_archives(files: Any, why: str) -> None:
    with pytest.raises(InvalidEventError, match=why):
        read("start-load", {"files": files})


def test_a_load_names_its_files() -> None:
    with pytest.raises(InvalidEventError, match=r"request\.files: missing"):
        read("start-load", {"skipDataLoad": True})


@pytest.mark.parametrize("share", [0, 3, "0", "5%", "2.5%", "100%"])
def test_failures_are_tolerated_as_a_share_or_a_number(share: str | int) -> None:
    kept = read("processing-job", {}, tolerate_failed_tenants=share).options["tolerate_failed_tenants"]

    assert kept == (share if "%" in str(share) else int(share))


@pytest.mark.parametrize("share", ["", "5 %", "some", "2.5", -1, 2.5, None])
def test_another_tolerance_is_refused(share: Any) -> None:
    with pytest.raises(InvalidEventError, match="tolerate_failed_tenants"):
        read("processing-job", {}, tolerate_failed_tenants=share)
