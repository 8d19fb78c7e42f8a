"""The table of endpoints is true of the code: every name in it is there, and nothing that is there is missing in it."""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from haul import connectors
from haul.models import vendors
from infra.local import vendors as simulators

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "vendors" / "README.md"
HEADER = ["endpoint", "from", "client", "simulator", "test"]
KNOWN_FROM = {"**[seed]**", "source", "assumed"}
NOT_YET, NOT_COVERED = "not yet", "not covered: "

_CODE = re.compile(r"`([^`]+)`")
_ROUTE = re.compile(r"(?:\(\?:[A-Z|]+\)|[A-Z]+) /\S*")
_GROUP = re.compile(r"\((?:\?:)?([^()]*)\)")
_WORDS = re.compile(r"[\w|-]+")
# What a client's method calls its vendor by.
_SPEAKERS = {"_login", "_calls", "_client", "_rest"}


@dataclass(frozen=True)
class Row:
    """An endpoint: `methods` as `Class.method`, `tests` as `file::name`; `why_not` where it is not covered."""

    vendor: str
    endpoint: str
    known_from: str
    methods: tuple[str, ...]
    routes: tuple[str, ...]
    tests: tuple[str, ...]
    why_not: str

    @property
    def not_yet(self) -> bool:
        return self.why_not == NOT_YET

    def __str__(self) -> str:
        return f"{self.vendor}: {self.endpoint}"


def rows() -> list[Row]:
    titles = {vendors.title(name): name for name in vendors.names()}
    sections = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return [
        _row(titles[title], line)
        for title, text in zip(sections[::2], sections[1::2], strict=True)
        for line in text.splitlines()
        if line.startswith("| `")
    ]


def _row(vendor: str, line: str) -> Row:
    endpoint, known_from, methods, routes, tests = (cell.strip() for cell in line.strip("|").split(" | "))
    return Row(
        vendor,
        endpoint.strip("`"),
        known_from,
        tuple(_CODE.findall(methods)),
        tuple(re.sub(r"\{\w+\}", "{}", route) for route in _CODE.findall(routes)),
        tuple(_CODE.findall(tests)) if tests.startswith("`") else (),
        "" if tests.startswith("`") else tests,
    )


ROWS = rows()
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=str)
EVERY_VENDOR = pytest.mark.parametrize("vendor", vendors.names())


@cache
def modules(package: str) -> list[ModuleType]:
    """A package's modules, itself included."""
    first = importlib.import_module(package)
    below = pkgutil.walk_packages(getattr(first, "__path__", []), f"{package}.")
    return [first, *(importlib.import_module(found.name) for found in below)]


@cache
def classes(vendor: str) -> dict[str, type]:
    """Every class that a connector's package defines, by its name."""
    return {
        name: found
        for module in modules(f"{connectors.__name__}.{vendor}")
        for name, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
    }


@cache
def served(vendor: str) -> frozenset[str]:
    """The routes that a simulator compares its calls with: `GET /jobs/{}`. They are written as regular expressions."""
    package = f"{simulators.__name__}.{vendor}"
    found = set()
    for module in modules(package):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            text = _written(node, module)
            if text and _ROUTE.fullmatch(text):
                found |= set(_spelled_out(text))
    return frozenset(found)


def _written(node: ast.AST, module: ModuleType) -> str | None:
    """A literal, with the module's constants that stand in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            parts.append(str(vars(module).get(part.value.id, " ")))
        else:
            return None
    return "".join(parts)


def _spelled_out(route: str) -> Iterator[str]:
    """The routes that an expression means: groups of words one by one, of anything as `{}`."""
    pieces = _GROUP.split(route)
    texts, groups = pieces[::2], pieces[1::2]
    choices = [group.split("|") if _WORDS.fullmatch(group) else ["{}"] for group in groups]
    for chosen in itertools.product(*choices):
        yield "".join(itertools.chain(*itertools.zip_longest(texts, chosen, fillvalue="")))


def calling(kind: type) -> set[str]:
    """The public methods of a client that make a call, however many steps away."""
    written = {name: inspect.getsource(method) for name, method in vars(kind).items() if inspect.isfunction(method)}
    uses = {name: set(re.findall(r"\bself\.(\w+)", text)) for name, text in written.items()}
    reach = {name for name, used in uses.items() if used & _SPEAKERS or ".call(" in written[name]}
    while further := {name for name, used in uses.items() if used & reach} - reach:
        reach |= further
    transport = {name for name in reach if {"method", "path"} <= inspect.signature(vars(kind)[name]).parameters.keys()}
    return {name for name in reach - transport if not name.startswith("_")}


def resolved(row: Row) -> list[str]:
    """Those of a row's methods that there are."""
    known = classes(row.vendor)
    parts = [(name, *name.partition(".")[::2]) for name in row.methods]
    return [name for name, kind, method in parts if kind in known and (not method or hasattr(known[kind], method))]


def test_the_table_has_a_section_for_every_vendor_with_the_same_columns() -> None:
    headers = re.findall(r"^\| (endpoint .*) \|$", PAGE.read_text(), re.MULTILINE)

    assert {row.vendor for row in ROWS} == set(vendors.names())
    assert [header.split(" | ") for header in headers] == [HEADER] * len(vendors.names())
    assert len({str(row) for row in ROWS}) == len(ROWS)


@EVERY_ROW
def test_a_row_says_how_its_endpoint_is_known_and_is_whole(row: Row) -> None:
    assert row.known_from in KNOWN_FROM
    if row.why_not.startswith(NOT_COVERED):
        assert len(row.why_not) > len(NOT_COVERED) + 10
        assert not row.methods
    else:
        assert row.methods
        assert row.routes
        assert row.not_yet or row.tests
        assert row.not_yet or not row.why_not


@EVERY_ROW
def test_what_a_row_names_is_there(row: Row) -> None:
    if row.not_yet:
        return
    tests = {test: ROOT / test.partition("::")[0] for test in row.tests}

    assert resolved(row) == list(row.methods)
    assert [route for route in row.routes if route not in served(row.vendor)] == []
    assert [
        test
        for test, path in tests.items()
        if not path.is_file() or not re.search(rf"^def {test.partition('::')[2]}\(", path.read_text(), re.MULTILINE)
    ] == []


@EVERY_ROW
def test_what_is_not_yet_is_not_there_yet(row: Row) -> None:
    """Once client and simulator have it, the row names the test that proves it."""
    there = resolved(row) == list(row.methods) and set(row.routes) <= served(row.vendor)

    assert not (row.not_yet and there), f"{row}: client and simulator have it; name its test"


@EVERY_VENDOR
def test_every_route_of_a_simulator_is_in_the_table(vendor: str) -> None:
    told = {route for row in ROWS if row.vendor == vendor for route in row.routes}

    assert served(vendor) - told == set()


@EVERY_VENDOR
def test_every_method_of_a_client_that_makes_a_call_is_in_the_table(vendor: str) -> None:
    told = {name for row in ROWS if row.vendor == vendor for name in row.methods}
    named = {name.partition(".")[0] for name in told}
    clients = [
        kind
        for name, kind in classes(vendor).items()
        if name.endswith(("Client", "Management")) or (name in named and name != "Login")
    ]
    there = {f"{kind.__name__}.{method}" for kind in clients for method in calling(kind)}

    assert clients
    assert there - told == set()


def test_routes_are_read_out_of_regular_expressions() -> None:
    assert set(_spelled_out(r"(?:GET|HEAD) /a/([^/]+)/(files|failed)/(\d+)")) == {
        f"{method} /a/{{}}/{what}/{{}}" for method in ("GET", "HEAD") for what in ("files", "failed")
    }
    assert set(_spelled_out("POST /token")) == {"POST /token"}
