"""A result whose links came by mail alone: a person hands them over, and they live as long as the run's attempt."""

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber

from haul import wiring
from haul.adapters.secrets import LinkSecrets
from haul.endings import Ending
from haul.errors import InvalidEventError, LedgerBusyError, TruncatedFileError
from haul.models.event import Outcome
from haul.models.export import Export
from haul.models.ledger import RunRecord
from haul.settings import Settings
from tests.fakes.vendor import LIKE_VISIER, FakeVendor
from tests.fakes.world import Run, World, fake_vendor
from tests.unit.test_adapters import nobody

LINKS = ["https://files.example.com/a?t0ps3cret", "https://files.example.com/b?t0ps3cret"]
RUN = "20261122T120000Z-7c1f9a"
SETTINGS = Settings(environment="test", landing_bucket="landing", notices_topic_arn="arn:aws:sns:::notices")


@pytest.fixture(autouse=True)
def _vendor() -> Iterator[None]:
    with fake_vendor():
        yield


@pytest.fixture
def world() -> World:
    """Its only run ended because the links came by mail."""
    world = World(by_mail=True)
    world.run(world.start())
    return world


def only(world: World) -> RunRecord:
    (record,) = world.records()
    return record


def handed(world: World, links: list[str] = LINKS) -> Run:
    record = only(world)
    world.links[record.run_id] = links
    return world.rerun(record, link=True)


def test_a_rerun_with_links_publishes_the_same_job_and_forgets_them(world: World) -> None:
    error = only(world).error

    execution = world.run(handed(world))

    assert error is not None
    assert error.name == "ResultByMailError"
    assert execution.status == "SUCCEEDED"
    assert (only(world).outcome, world.vendor.posts) == (Outcome.SUCCEEDED, 1)
    assert world.vendor.served == [LINKS]
    assert not world.links


def test_the_links_stand_in_no_document_state_or_notice(world: World) -> None:
    execution = world.run(handed(world))

    written = [*world.landing.objects.values()]
    assert "t0ps3cret" not in json.dumps([world.store.get(key).body for key in world.store.keys("")])  # type: ignore[union-attr]
    assert not [each for each in written if b"t0ps3cret" in each.body]
    assert "t0ps3cret" not in f"{execution.stale} {execution.event} {world.notices}"


def test_the_vendor_is_not_asked_for_a_job_whose_links_are_here(world: World) -> None:
    """It may have forgotten the job, and must not be sent another for that."""
    world.vendor.status_faults = 99

    execution = world.run(handed(world), until="plan")

    assert execution.state["status"] == "SUCCEEDED"
    assert execution.state["job"]["id"] == "j1"


def test_a_plain_rerun_keeps_the_job_and_still_has_no_link(world: World) -> None:
    world.run(world.rerun(only(world)))

    error = only(world).error
    assert error is not None
    assert error.name == "ResultByMailError"
    assert world.vendor.posts == 1


def test_links_without_the_secret_end_the_run_and_submit_nothing(world: World) -> None:
    world.run(world.rerun(only(world), link=True))

    error = only(world).error
    assert error is not None
    assert (error.name, world.vendor.posts) == ("InvalidEventError", 1)
    assert "nobody handed over" in error.message


def test_links_of_a_job_that_another_has_replaced_are_refused(world: World) -> None:
    world.run(world.rerun(only(world), resubmit=True), until="check")
    execution = next(each for each in world.executions.values() if each.status == "RUNNING")
    world.abort(execution)
    world.rule(execution)

    world.run(handed(world))

    error = only(world).error
    assert error is not None
    assert error.message.startswith("rerun.link: the ledger does not have job j2 as finished")
    assert world.vendor.posts == 2
    assert not world.links


def test_links_for_a_run_that_never_had_a_job_submit_none() -> None:
    world = World()
    world.run(world.start(connection="unknown"))

    world.run(world.rerun(only(world), link=True))

    error = only(world).error
    assert error is not None
    assert error.message.startswith("rerun.link: this run never had a job")
    assert world.vendor.posts == 0


def test_files_of_an_attempt_are_not_kept_for_the_links_of_the_next(world: World) -> None:
    """In another order a link leads to another file, and nothing tells which."""
    world.downloads_fail = [TruncatedFileError("short")] * 9
    world.run(handed(world, LINKS[:1]))
    puts = world.landing.calls.count("put")

    world.run(handed(world, LINKS[::-1]))

    assert only(world).outcome is Outcome.SUCCEEDED
    assert world.landing.calls.count("put") - puts == world.vendor.files_per_result


@pytest.mark.parametrize("how", ["aborted", "swept"])
def test_links_of_a_run_that_is_given_up_are_forgotten(world: World, how: str) -> None:
    execution = world.run(handed(world), until="publish")
    world.abort(execution)

    if how == "aborted":
        world.rule(execution)
    else:
        world.sweep()

    assert only(world).outcome is Outcome.CANCELLED
    assert not world.links


def test_links_of_an_execution_that_never_became_an_attempt_are_forgotten(world: World) -> None:
    execution = handed(world)
    execution.status, execution.error = "FAILED", "Runtime.ExitError"

    world.rule(execution)

    assert not world.links
    assert only(world).attempt == 1


def test_an_end_that_is_reported_late_leaves_the_links_of_the_next_attempt(world: World) -> None:
    first = next(iter(world.executions.values()))
    handed(world)

    world.endings().abandon(Ending(first.arn, event=first.event), now=world.now)

    assert world.links


def test_links_that_cannot_be_deleted_are_tried_again_after_people_were_told(world: World) -> None:
    told = len(world.notices)
    world.forgetting_fails = [LedgerBusyError("Secrets Manager answers InternalServiceError")]

    world.run(handed(world))

    assert not world.links
    assert len(world.notices) == told + 2
    assert only(world).told


def test_a_secret_is_read_each_time_and_deleted_for_good() -> None:
    client = boto3.client("secretsmanager", region_name="eu-west-1")
    name = f"haul/test/link/{RUN}"
    links = LinkSecrets(SETTINGS.link_secret, client)
    with Stubber(client) as stub:
        for held in (LINKS, LINKS[:1]):
            stub.add_response("get_secret_value", {"SecretString": json.dumps({"links": held})}, {"SecretId": name})
        stub.add_response("delete_secret", {}, {"SecretId": name, "ForceDeleteWithoutRecovery": True})
        stub.add_client_error("delete_secret", "ResourceNotFoundException")
        stub.add_client_error("delete_secret", "AccessDeniedException")

        assert [links.of(RUN), links.of(RUN)] == [LINKS, LINKS[:1]]
        links.forget(RUN)
        links.forget(RUN)
        with pytest.raises(LedgerBusyError, match="cannot be deleted: AccessDeniedException"):
            links.forget(RUN)

        stub.assert_no_pending_responses()


@pytest.mark.parametrize("held", [None, "{}", '{"links": []}', '{"links": "https://t0ps3cret"}'])
def test_a_secret_without_links_says_how_to_hand_them_over(held: str | None) -> None:
    client = boto3.client("secretsmanager", region_name="eu-west-1")
    with Stubber(client) as stub:
        if held is None:
            stub.add_client_error("get_secret_value", "ResourceNotFoundException")
        else:
            stub.add_response("get_secret_value", {"SecretString": held})

        with pytest.raises(InvalidEventError, match=f"haul rerun {RUN} --link") as refused:
            LinkSecrets(SETTINGS.link_secret, client).of(RUN)

    assert "t0ps3cret" not in str(refused.value)


def test_secrets_manager_that_does_not_answer_is_tried_again() -> None:
    links = LinkSecrets(SETTINGS.link_secret, nobody("secretsmanager"))

    with pytest.raises(LedgerBusyError):
        links.of(RUN)
    with pytest.raises(LedgerBusyError):
        links.forget(RUN)


def test_a_run_with_links_has_a_connector_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is kept for the connection must not serve them to the next run."""

    class Handed:
        def of(self, run_id: str) -> list[str]:
            return [f"https://files.example.com/{run_id}"]

    monkeypatch.setattr(wiring, "connect", lambda *_: world.vendor)
    monkeypatch.setattr(wiring, "_links", Handed)
    export = only(world).work
    assert isinstance(export, Export)

    wrapped = wiring.connector(export.model_copy(update={"link": True}))

    assert isinstance(wrapped, FakeVendor)
    assert wrapped.links == [f"https://files.example.com/{export.run_id}"]
    assert wiring.connector(export) is world.vendor
    assert not world.vendor.links


def test_a_vendor_that_sends_no_links_is_given_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        capabilities = LIKE_VISIER

    monkeypatch.setattr(wiring, "connect", lambda *_: Plain())
    export = only(world).work
    assert isinstance(export, Export)

    with pytest.raises(InvalidEventError, match="Fake sends no links by mail"):
        wiring.connector(export.model_copy(update={"link": True}))
