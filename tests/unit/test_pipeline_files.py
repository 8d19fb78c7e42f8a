"""A pipeline file may name further files; they are put in where the file is read, by synth and by the command line."""

from pathlib import Path

import pytest

from haul.cli import documents
from haul.errors import InvalidEventError
from haul.models import pipeline_files, vendors
from haul.models.base import parse
from haul.models.event import Event
from infra import triggers

PIPELINE = """
pipeline: attendees
vendor: liquid
action: export
connection: liquid-events
request: {jobName: nightly, itemType: Attendee, contentType: text/plain, template: "@file:liquid/attendee.vm"}
"""
TEMPLATE = "$item.firstName,\n$item.lastName"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one pipeline and the file that it names."""
    folder = tmp_path / "infra" / "pipelines"
    (folder / "files" / "liquid").mkdir(parents=True)
    (folder / "files" / "liquid" / "attendee.vm").write_text(TEMPLATE + "\n")
    (folder / "attendees.yaml").write_text(PIPELINE)
    return folder


def naming(folder: Path, name: str) -> None:
    (folder / "attendees.yaml").write_text(PIPELINE.replace("liquid/attendee.vm", name))


def test_synth_and_command_line_put_the_same_text_in(folder: Path) -> None:
    [synthesized] = triggers.read_all("prod", folder)
    typed = documents.pipeline_at(folder / "attendees.yaml", "prod")

    assert synthesized.request["template"] == typed.request["template"] == TEMPLATE


def test_a_text_from_a_file_is_no_symbol(folder: Path) -> None:
    """It would be refused as one, or worse, be resolved."""
    (folder / "files" / "liquid" / "attendee.vm").write_text("@latest")

    [pipeline] = triggers.read_all("prod", folder)

    assert pipeline.request["template"] == "@@latest"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("liquid/atendee.vm", "there is no such file in infra/pipelines/files; did you mean liquid/attendee.vm?"),
        ("sales.sql", "there is no such file in infra/pipelines/files; there are: liquid/attendee.vm"),
        ("liquid", "there is no such file in infra/pipelines/files; there are: liquid/attendee.vm"),
        ("../attendees.yaml", "leads out of infra/pipelines/files"),
        ("/etc/passwd", "leads out of infra/pipelines/files"),
        ("elsewhere.vm", "leads out of infra/pipelines/files"),
        ("long.vm", "has 32,769 bytes, more than 32,768"),
        ("picture.png", "is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_put_in_is_refused_by_file_and_field(folder: Path, name: str, said: str) -> None:
    files = folder / "files"
    if name == "elsewhere.vm":
        (files / name).symlink_to("/etc/hostname")
    if name == "long.vm":
        (files / name).write_bytes(b"x" * (pipeline_files.LONGEST_FILE + 1))
    if name == "picture.png":
        (files / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    naming(folder, name)

    with pytest.raises(InvalidEventError) as synth:
        triggers.read_all("prod", folder)
    with pytest.raises(InvalidEventError) as typed:
        documents.pipeline_at(folder / "attendees.yaml", "prod")

    assert str(synth.value) == f"infra/pipelines/attendees.yaml: request.template: @file:{name}: {said}"
    assert str(typed.value) == f"{folder}/attendees.yaml: request.template: @file:{name}: {said}"


def test_an_event_names_no_file(folder: Path) -> None:
    """What an execution is started with stands for nothing that lies elsewhere."""
    [pipeline] = triggers.read_all("prod", folder)
    event = pipeline.event() | {"request": {**pipeline.request, "template": "@file:liquid/attendee.vm"}}

    with pytest.raises(InvalidEventError) as refused:
        vendors.checked(parse(Event, event))

    assert str(refused.value) == (
        "request.template: only a pipeline file names a file, an event is whole (found @file:liquid/attendee.vm)"
    )


def test_no_function_reads_a_pipeline_file() -> None:
    """Functions carry no YAML parser."""
    handlers = Path(pipeline_files.__file__).parents[1].rglob("*.py")
    importing = {
        str(path.relative_to(Path(pipeline_files.__file__).parents[1]).parts[0])
        for path in handlers
        if "pipeline_files" in path.read_text() and path != Path(pipeline_files.__file__)
    }

    assert importing == {"cli"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("vendor: adobe", "vendor is there twice"),
        ("limits: {deadline: PT1H, deadline: PT2H}", "deadline is there twice"),
        ("options: &a {empty: *a}", "holds itself"),
        ("on: {schedule: {rate: 1 hour}}", 'stands in "when"'),
    ],
)
def test_yaml_that_reads_as_something_else_is_refused(folder: Path, more: str, said: str) -> None:
    (folder / "attendees.yaml").write_text(f"{PIPELINE}\n{more}\n")

    with pytest.raises(InvalidEventError, match=said):
        triggers.read_all("prod", folder)


@pytest.mark.parametrize(
    "cron",
    [
        "0 5-11 * * ? *",
        "0/5 8-17 ? * MON-FRI *",
        "15,45 */2 1,15 jan-mar/2 ? 2026-2030",
        "0 0 L * ? *",
        "0 0 L-3 * ? *",
        "0 0 3W * ? *",
        "0 0 ? * 6L *",
        "0 0 ? * FRI#2 *",
        "0 22 ? * 1,7 2026/2",
    ],
)
def test_a_cron_of_awss_is_taken(folder: Path, cron: str) -> None:
    (folder / "attendees.yaml").write_text(f'{PIPELINE}\nwhen: {{schedule: {{cron: "{cron}"}}}}\n')

    assert len(triggers.read_all("prod", folder)) == 1


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("99 5 * * ? *", 'minute "99" cannot be; it takes 0 to 59'),
        ("0 24 * * ? *", 'hour "24" cannot be'),
        ("0 5 0 * ? *", 'day of month "0" cannot be'),
        ("0 5 * 13 ? *", 'month "13" cannot be; it takes 1 to 12, JAN to DEC'),
        ("0 5 ? * 0 *", 'day of week "0" cannot be; it takes 1 to 7, SUN to SAT'),
        ("0 5 ? * MO *", 'day of week "MO" cannot be'),
        ("0 5 * * ? 26", 'year "26" cannot be'),
        ("*/0 5 * * ? *", 'minute "\\*/0" cannot be'),
        ("? 5 * * ? *", 'minute "\\?" cannot be'),
        ("0 5 1,? * ? *", 'day of month "\\?" cannot be'),
        ("0 5 * * * *", "one of day of month and day of week must be \\?"),
    ],
)
def test_a_cron_that_aws_would_refuse_at_the_deploy_is_refused_before(folder: Path, cron: str, said: str) -> None:
    (folder / "attendees.yaml").write_text(f'{PIPELINE}\nwhen: {{schedule: {{cron: "{cron}"}}}}\n')

    with pytest.raises(InvalidEventError, match=rf"attendees\.yaml: when\.schedule\.cron: {said}"):
        triggers.read_all("prod", folder)
