"""What users read is true of the code: names, links, commands, targets, fields."""

import json
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from haul import errors, keys, notices
from haul.cli.app import app
from haul.models import ledger, vendors
from haul.models.event import Outcome
from haul.models.manifest import ExportManifest, LoadManifest
from haul.models.run import Run
from infra.environment import Environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARTS = ("You see", "It means", "Readers see", "Do", "If it comes back")
UNTOLD = ("RunAbandonedError", "UnreachableError")  # no notice has these for its error
NO_ERRORS = ("LATE", "STALE", "NOTHING_NEW", "JOINED")
PLACEHOLDERS = {"run_id": "RUN", "environment": "ENV", "connection": "CONNECTION", "pipeline": "PIPELINE"}

_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_INDENTED = re.compile(r"^ {4,}(.+)$", re.MULTILINE)


@cache
def text(page: Path) -> str:
    return page.read_text()


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", text(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> Iterator[str]:
    """Everything on a page that is to be typed: spans, fences and indented lines."""
    fences = _FENCE.findall(text(page))
    yield from (line for fence in fences for line in fence.splitlines()[1:-1])
    rest = _FENCE.sub("", text(page))
    yield from _INDENTED.findall(rest)
    yield from _CODE.findall(rest)


def sections(page: Path) -> dict[str, str]:
    """What stands below each heading of the third level."""
    found = re.split(r"^#{2,3} +(.+?) *$", text(page), flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


RUNBOOK = sections(ROOT / "docs" / "runbook.md")


@pytest.mark.parametrize("name", [*notices.ADVICE, *NO_ERRORS])
def test_the_runbook_has_a_paragraph_with_all_its_parts_for_everything_that_reaches_a_person(name: str) -> None:
    parts = re.findall(r"^- \*\*(.+?)\*\* +(\S.*)$", RUNBOOK[name], re.MULTILINE)

    assert tuple(label for label, _ in parts) == PARTS


def test_the_runbook_knows_no_error_that_there_is_not() -> None:
    assert {name for name in RUNBOOK if name.endswith("Error")} == set(notices.ADVICE)


@pytest.mark.parametrize("name", [name for name in notices.ADVICE if name not in UNTOLD])
def test_the_runbook_shows_the_subject_that_the_notice_has(name: str) -> None:
    outcome = {"CancelledError": Outcome.CANCELLED, "ResultExpiredError": Outcome.EXPIRED}.get(name, Outcome.FAILED)

    assert f"`{outcome} PIPELINE ENV: {name} (nothing " in part(name, "You see")


@pytest.mark.parametrize("name", notices.ADVICE)
def test_the_runbook_says_to_do_what_the_notice_says(name: str) -> None:
    advice = notices.ADVICE[name].format(**PLACEHOLDERS).partition("      (")[0]
    commands = re.findall(r"haul [a-z]+(?: (?:set )?[A-Z]+)?(?: --\S+(?: [A-Z]\S*| [a-z_.]+=\w+)?)*", advice)
    said = part(name, "Do")

    assert [command for command in commands if f"`{command.rstrip(',')}" not in said] == []


@pytest.mark.parametrize("name", notices.ADVICE)
def test_an_advice_asks_for_nothing_that_is_not_known(name: str) -> None:
    asked = {field for _, field, _, _ in string.Formatter().parse(notices.ADVICE[name]) if field}

    assert asked <= PLACEHOLDERS.keys()


def part(name: str, label: str) -> str:
    """One part of a runbook paragraph, with its further lines."""
    found = re.search(rf"^- \*\*{label}\*\* +(.+?)(?=^- \*\*|\Z)", RUNBOOK[name], re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_a_notice_links_to_where_its_error_is_explained() -> None:
    place = notices.Place().runbook

    assert {name.lower() for name in notices.ADVICE} <= anchors(ROOT / place)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(text(index))}

    assert [named(page) for page in PAGES if ROOT / "docs" in page.parents and page not in {index, *linked}] == []


def test_every_event_is_shown_to_users() -> None:
    shown = text(ROOT / "README.md")

    assert [path.name for path in sorted((ROOT / "events").glob("*")) if f"events/{path.name}" not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    folders = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    mentioned = [
        re.findall(rf"(?<![\w./])(?:{folders})/[\w./-]*\w\.(?:py|json|yaml|md)\b", line) for line in code(page)
    ]
    missing = {path for found in mentioned for path in found if not (ROOT / path).exists()}

    assert {path for path in missing if not may_be_missing(path)} == set()


def may_be_missing(path: str) -> bool:
    """Examples of what a reader would write, and keys of the landing bucket."""
    return path.startswith(("manifests/", "runs/")) or "ENV" in path


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_that_is_named_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {target for line in code(page) for target in re.findall(r"^(?:\$ )?make ([a-z]+)", line)}

    assert mentioned <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_subcommand_that_is_named_is_there(page: Path) -> None:
    root = typer.main.get_command(app)
    subcommands = set(getattr(root, "commands", {}))
    mentioned = {
        command for line in code(page) for command in re.findall(r"(?:^|[\s|;&])haul (?:--env \w+ )?([a-z]+)\b", line)
    }

    assert mentioned <= subcommands


@pytest.mark.parametrize(
    ("page", "model"),
    [("manifest.md", ExportManifest), ("manifest.md", LoadManifest), ("manifest.md", Run), ("operate.md", Environment)],
)
def test_every_field_of_a_document_is_explained(page: str, model: type[BaseModel]) -> None:
    explained = set(re.findall(r"`([\w.]+)`", text(ROOT / "docs" / page)))
    known = {name.rpartition(".")[2] for name in explained} | explained

    assert [
        field.alias or name for name, field in model.model_fields.items() if (field.alias or name) not in known
    ] == []


def test_the_manifest_that_is_shown_is_one() -> None:
    page = text(ROOT / "docs" / "manifest.md")
    shown = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    manifest, load, run = shown

    assert with_the_fields_of(ExportManifest.model_validate(manifest), manifest)
    assert within(load, json.loads(LoadManifest.model_validate(manifest | load).model_dump_json(by_alias=True)))
    assert with_the_fields_of(Run.model_validate(run), run)


def with_the_fields_of(read: BaseModel, shown: object) -> bool:
    """Whether everything that is shown was read, as it is shown: an unknown field would be dropped silently."""
    return within(shown, json.loads(read.model_dump_json(by_alias=True)))


def within(shown: object, whole: object) -> bool:
    match shown, whole:
        case dict(), dict():
            return all(name in whole and within(value, whole[name]) for name, value in shown.items())
        case list(), list():
            return len(shown) == len(whole) and all(map(within, shown, whole))
        case _:
            return shown == whole


@pytest.mark.parametrize("vendor", vendors.names())
def test_every_vendor_has_a_page_under_its_own_name(vendor: str) -> None:
    page = text(ROOT / "docs" / "vendors" / f"{vendor}.md")
    title = vendors.title(vendor)

    assert page.startswith(f"# {title}\n")
    assert f"[{title}](vendors/{vendor}.md)" in text(ROOT / "docs" / "README.md")


def test_every_document_of_the_ledger_is_in_the_architecture_page() -> None:
    page = text(ROOT / "docs" / "architecture.md")
    wanted = [
        keys.claim("<pipeline>", "<trigger>"),
        keys.record("<pipeline>", "<run_id>"),
        keys.files("<pipeline>", "<run_id>") + "<n>",
        keys.plan("<pipeline>", "<run_id>", 1).replace("1", "<attempt>", 1),
        keys.contents("<pipeline>", "<run_id>", 1).replace("1", "<attempt>", 1),
        keys.draft("<pipeline>", "<run_id>", 1).replace("1", "<attempt>", 1),
        keys.latest("<pipeline>"),
        keys.pipeline("<pipeline>"),
        keys.active("<pipeline>", "<run_id>"),
        keys.unclaimed("<execution>"),
    ]

    assert [key for key in wanted if f"`{key}`" not in page] == []
    assert "`ledger/_jobs/<vendor>/<account>/<fingerprint>`" in page
    assert "`ledger/_quota/<vendor>/<account>/<day>`" in page
    assert [state for state in ledger.RunState if f"`{state}`" not in page] == []


def test_the_samples_that_are_shown_are_files() -> None:
    events = [path.read_text().strip() for path in (ROOT / "events").glob("*.json")]
    shown = re.findall(r"^```json\n(.*?)\n```", text(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    pipeline = (ROOT / "infra" / "pipelines" / "visier-people.yaml").read_text()

    assert shown
    assert [sample for sample in shown if sample not in events] == []
    assert pipeline in text(ROOT / "docs" / "add-a-pipeline.md")


def test_every_decision_says_context_decision_consequences_and_what_was_turned_down() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = re.findall(r"^## (.+)$", text(record), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Turned down"], record.name


def test_no_error_is_named_that_there_is_not() -> None:
    known = {*errors.names_of(errors.HaulError), "ConflictError", "UnclearError", "RuntimeError"}
    mentioned = {name for page in PAGES for name in re.findall(r"\b[A-Z]\w+Error\b", text(page))}

    assert mentioned <= known
