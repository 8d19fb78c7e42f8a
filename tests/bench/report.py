"""What was measured, as a table for people, as `results.json`, and as the generated parts of `docs/performance.md`."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import prices
from tests.bench.pictures import chart
from tests.bench.tools import ROOT

RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "pictures"
_BEGIN, _END = "<!-- {0}: made by `make bench` -->", "<!-- end of {0} -->"

type Results = Mapping[str, Any]


def load() -> Results:
    found: Results = json.loads(RESULTS.read_text())
    return found


def save(results: Results) -> None:
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def write_docs(results: Results) -> None:
    """Make the page's tables and pictures of these results."""
    PAGE.write_text(page(PAGE.read_text(), results))
    PICTURES.mkdir(exist_ok=True)
    for name, drawn in pictures(results).items():
        (PICTURES / name).write_text(drawn)


def page(text: str, results: Results) -> str:
    """The page with every generated part made anew."""
    for name, make in _PARTS.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        made = f"{begin}\n\n{make(results)}\n\n{end}"
        found = re.findall(pattern, text, flags=re.DOTALL)
        if len(found) != 1:
            raise ValueError(f"the page has no place for {name}, or several")
        text = text.replace(found[0], made)
    return text


def pictures(results: Results) -> dict[str, str]:
    def lines(field: str) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for row in results["sizes"]:
            if "skipped" not in row:
                found.setdefault(row["contender"], []).append((row["megabytes"], row[field]))
        return found

    return {
        "throughput.svg": chart(
            "Throughput against file size",
            "size of the file, MB",
            "MB/s, with the start of the process",
            lines("mb_per_s"),
        ),
        "memory.svg": chart("Peak memory against file size", "size of the file, MB", "MB", lines("peak_mb")),
    }


def text(results: Results) -> str:
    """Everything, for a terminal."""
    return _said(results, "machine", "settings", "memory", "checks", "waiting", "starts", "corpus", "skipped", "goals")


def summary(results: Results) -> str:
    """The main figures, for a terminal."""
    return _said(results, "machine", "settings", "memory", "checks", "starts", "skipped", "goals")


def _said(results: Results, *parts: str) -> str:
    return "\n\n".join(_PARTS[part](results) for part in parts).replace("**missed**", "missed    ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table in Markdown, padded so that it reads well as it is; the first `left` columns hold words."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if n < left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if n < left else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _machine(results: Results) -> str:
    of = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in of["versions"].items())
    machine = f"{of['cores']} cores ({of['cpu']}), {of['system']}, Python {of['python']}"
    return f"Measured {of['date']} on {machine}; {versions}. Load of other work when it began: {of['load']}."


def _settings(results: Results) -> str:
    parts = []
    for setting in dict.fromkeys(row["setting"] for row in results["moves"]):
        ran = [row for row in results["moves"] if row["setting"] == setting and "skipped" not in row]
        head = (setting, "MB", "rounds", "CPU s/GB", "low-high", "MB/s", "low-high", "start CPU s", "peak MB")
        parts.append(_table(head, [_move(row) for row in ran]))
    return "\n\n".join(parts)


def _move(row: Mapping[str, Any]) -> list[str]:
    cpu, speed = row["cpu_s_per_gb"], row["mb_per_s"]
    return [
        row["contender"],
        f"{row['megabytes']:,.0f}",
        str(row["rounds"]),
        f"{cpu['median']:.2f}",
        f"{cpu['low']:.2f}-{cpu['high']:.2f}",
        f"{speed['median']:.0f}",
        f"{speed['low']:.0f}-{speed['high']:.0f}",
        f"{row['start_cpu_s']:.2f}",
        f"{row['peak_mb']}",
    ]


def _skipped(results: Results) -> str:
    missing = [row for row in [*results["moves"], *results["sizes"], *results["missing"]] if "skipped" in row]
    rows = [[f"{row['setting']}: {row['contender']}", row["skipped"]] for row in missing]
    return _table(("not measured", "why"), rows, left=2) if rows else "Nothing was skipped."


def _checks(results: Results) -> str:
    named = {
        "read": "reading the file alone",
        "crc64nvme": "CRC64NVME",
        "sha256": "SHA-256",
        "isal": "gzip to its end, CSV, rows; ISA-L",
        "zlib": "the same with zlib",
    }
    rows = [
        [said, f"{of['median']:.2f}", f"{of['low']:.2f}-{of['high']:.2f}"]
        for name, said in named.items()
        if (of := results["checks"].get(name))
    ]
    return _table(("check", "CPU s/GB", "low-high"), rows)


def _waiting(results: Results) -> str:
    rows = [[row["what"], f"{row['polls']:.0f}", f"{row['delay']:.1%}"] for row in results["waiting"]]
    return _table(("a job of an hour", "polls", "delay"), rows)


def _starts(results: Results) -> str:
    rows = [
        [name, f"{of['median']:.0f}", f"{of['low']:.0f}-{of['high']:.0f}"] for name, of in results["imports"].items()
    ]
    return _table(("start", "CPU ms", "low-high"), rows)


def _memory(results: Results) -> str:
    rows = [
        [f"{row['megabytes']:,.0f} MB", row["verify"], f"{row['peak_mb']:.1f}", f"{row['imports_mb']:.0f}"]
        for row in results["memory"]
    ]
    return _table(("file", "verified", "peak over imports, MB", "imports, MB"), rows, left=2)


def _corpus(results: Results) -> str:
    rows = [
        [
            name,
            f"{of['refused']} of {of['damaged']}",
            f"{of['taken']} of {of['good']}",
        ]
        for name, of in results["corpus"].items()
        if "skipped" not in of
    ]
    return _table(("reader", "damaged files refused", "odd but good files read right"), rows)


def _let_through(results: Results) -> str:
    of = results["corpus"].get("Airbyte CDK", {})
    if not of.get("let_through"):
        return "Nothing."
    through, away = ("; ".join(of[which]) or "none" for which in ("let_through", "turned_away"))
    return f"Read as if they were whole: {through}.\n\nGood, and not read right: {away}."


def _goals(results: Results) -> str:
    rows = [
        [
            row["what"],
            f"{'≥' if row['least'] else '≤'} {_number(row['limit'], row['unit'])}",
            _number(row["value"], row["unit"]),
            f"± {_number(row['spread'], row['unit'])}" if row["spread"] else "",
            "kept" if row["kept"] else "**missed**",
        ]
        for row in results["goals"]
    ]
    return _table(("goal", "limit", "measured", "spread", ""), rows)


def _number(value: float, unit: str) -> str:
    match unit:
        case "x":
            return f"{value:.2f} x"
        case "of its length":
            return f"{value:.1%}"
        case _:
            return f"{value:.0f} {unit}"


def _costs(results: Results) -> str:
    return prices.table(_table, results)


_PARTS: dict[str, Callable[[Results], str]] = {
    "machine": _machine,
    "goals": _goals,
    "settings": _settings,
    "memory": _memory,
    "checks": _checks,
    "waiting": _waiting,
    "starts": _starts,
    "corpus": _corpus,
    "let through": _let_through,
    "costs": _costs,
    "skipped": _skipped,
}
