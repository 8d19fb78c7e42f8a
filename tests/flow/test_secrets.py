"""Nothing that must stay secret is written down: by functions, in histories, in the bucket or in what is told."""

import csv
import gzip
import io
import json
from collections.abc import Iterator

import pytest

from infra.local.stack import Stack
from tests.flow.customer import API_KEY, FOUR_FILES, NO_FILES, PASSWORD, NewCustomer
from tests.flow.story import Stories

_FUNCTIONS = ("schedule_export", "check_export", "plan_download", "download_files", "publish", "notify", "abandon")
_FOLDERS = ("ledger", "manifests", "runs", "evidence")
_ECHO = f"<html>You sent password {PASSWORD} and apikey: {API_KEY}</html>"


@pytest.fixture(scope="module")
def stories(new_customer: NewCustomer) -> Stories:
    """A success, and vendors that repeat in their errors what they were sent."""
    told = Stories(at_once=5)

    told.begin("success", new_customer("success"), FOUR_FILES)

    login = new_customer("login")
    login.visier.fault("POST", "/visierSecureToken", status=401, body=_ECHO, times=None)
    told.begin("login", login, NO_FILES)

    submission = new_customer("submission")
    submission.visier.fault("POST", "/jobs$", status=400, body={"localizedMessage": _ECHO}, times=None)
    told.begin("submission", submission, NO_FILES)

    details = new_customer("details")
    details.visier.fault("GET", "/exports/[^/]+$", status=403, body=_ECHO, times=None)
    told.begin("details", details, NO_FILES)

    files = new_customer("files", big_file_bytes=1)
    files.visier.fault("GET", "/files?/", body=_ECHO, times=None)
    told.begin("files", files, NO_FILES)

    for story in told.values():
        assert story.end.status != "RUNNING"
    return told


@pytest.fixture(scope="module")
def written(stack: Stack, stories: Stories) -> dict[str, str]:
    """All that was written down, by where: of these stories, and in logs also of whatever else ran before."""
    return dict(_written(stack, stories))


def _written(stack: Stack, stories: Stories) -> Iterator[tuple[str, str]]:
    for function in _FUNCTIONS:
        yield f"log of {function}", stack.logs(function)
    for name, story in stories.items():
        pipeline = story.customer.pipeline
        yield f"history of {name}", json.dumps(stack.history(story.arn), default=str, ensure_ascii=False)
        yield f"notices about {name}", "".join(f"{n.subject}{n.body}" for n in stack.notices(pipeline))
        yield f"events about {name}", json.dumps(stack.events(pipeline), ensure_ascii=False)
        accounts = (f"ledger/_jobs/visier/{pipeline}/", f"ledger/_quota/visier/{pipeline}/")
        for prefix in (*(f"{folder}/{pipeline}/" for folder in _FOLDERS), *accounts):
            for key, body in stack.objects(prefix).items():
                yield key, body.decode()


def holding(written: dict[str, str], marker: str) -> list[str]:
    return [where for where, text in written.items() if marker in text]


def test_the_stories_ended_as_they_should(stories: Stories) -> None:
    assert {name: story.end.error for name, story in stories.items()} == {
        "success": None,
        "login": "CredentialsRefusedError",
        "submission": "RequestRejectedError",
        "details": "MissingCapabilityError",
        "files": "ErrorPageError",
    }


@pytest.mark.parametrize("name", ["login", "submission", "details"])
def test_what_a_vendor_says_is_told_without_what_it_was_sent(stories: Stories, name: str) -> None:
    assert "You sent password *** and apikey: ***" in (stories[name].end.cause or "")


def test_everything_was_looked_at(written: dict[str, str], stories: Stories) -> None:
    run_id = stories["success"].customer.run_ids[-1]
    found = holding(written, run_id)

    assert {f"log of {function}" for function in _FUNCTIONS} - set(found) == {"log of abandon"}
    assert holding(written, stories["files"].customer.run_ids[-1]).count("log of abandon") == 1
    assert {"history of success", "notices about success", "events about success"} <= set(found)
    assert {where.partition("/")[0] for where in found if "/" in where} == {"ledger", "manifests", "runs"}


@pytest.mark.parametrize("secret", [PASSWORD, API_KEY], ids=["password", "api key"])
def test_a_credential_is_nowhere(written: dict[str, str], secret: str) -> None:
    assert holding(written, secret) == []


def test_a_login_is_nowhere(written: dict[str, str], stories: Stories) -> None:
    tokens = [token for story in stories.values() for token in story.customer.visier._tokens]

    assert tokens
    assert [where for token in tokens for where in holding(written, token)] == []


def test_a_row_is_nowhere_but_in_the_landed_files(written: dict[str, str], stories: Stories) -> None:
    customer = stories["success"].customer
    landed = customer.stack.landed(customer.pipeline, customer.run_ids[-1])
    text = gzip.decompress(landed["Plane_Note/Plane_Note_part0.csv.gz"]).decode()
    cells = {cell for row in list(csv.reader(io.StringIO(text)))[1:] for cell in row if len(cell) > 8}

    assert cells
    assert [where for cell in cells for where in holding(written, cell)] == []
