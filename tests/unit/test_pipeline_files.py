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
