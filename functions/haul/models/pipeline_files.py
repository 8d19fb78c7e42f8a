"""Pipeline files where they lie: each read with the files it names put in, and checked against those beside it.

A field of `request` may be `@file:liquid/attendee.vm`: it becomes the text of `files/liquid/attendee.vm` beside the
pipeline file, without its last line end. Synth and the command line read the same files by this module, so they refuse
the same ones in the same words. No function imports it: none carries a YAML parser.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from haul.errors import InvalidEventError
from haul.models import pipeline as pipelines
from haul.models.pipeline import Pipeline, Schedule
from haul.models.symbols import FILE, symbols_in

FILES = "files"
LONGEST_FILE = 32 * 1024
"""A request travels twice in an execution's state, as given and as resolved, and the state has 256 KiB."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_CRON: tuple[tuple[str, int, int, tuple[str, ...], str], ...] = (
    ("minute", 0, 59, (), ""),
    ("hour", 0, 23, (), ""),
    ("day of month", 1, 31, (), r"\?|L(-\d+)?|LW|([1-9]|[12]\d|3[01])W"),
    ("month", 1, 12, _MONTHS, ""),
    ("day of week", 1, 7, _DAYS, r"\?|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)?L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#[1-5]"),
    ("year", 1970, 2199, (), ""),
)
"""The fields of AWS's cron: name, from, to, words for the numbers, and what else may stand there."""


def read_all(folder: Path, environment: str, environments: Collection[str]) -> list[Pipeline]:
    """Read every pipeline of a folder, settled for one environment.

    Raises:
        InvalidEventError: naming the file and the field.
    """
    read: dict[Path, Pipeline] = {}
    for path in _paths(folder):
        try:
            read[path] = settled(path, environment)
        except InvalidEventError as error:
            raise InvalidEventError(f"infra/pipelines/{path.name}: {error}") from None
    upstreams = {path.stem: _upstream(pipeline) for path, pipeline in read.items()}
    for path, pipeline in read.items():
        for problem in _problems(path.stem, pipeline, environments, upstreams, upstreams.get):
            raise InvalidEventError(f"infra/pipelines/{path.name}: {problem}")
    return list(read.values())


def settled(path: Path, environment: str) -> Pipeline:
    """Read one pipeline file and settle it for one environment.

    Raises:
        InvalidEventError: naming the field.
        OSError, UnicodeDecodeError: the file itself cannot be read.
    """
    return pipelines.read(document(path), environment)


def problems(path: Path, pipeline: Pipeline, environment: str, environments: Collection[str]) -> Iterator[str]:
    """Name what is wrong with a settled pipeline in its surroundings, each problem with its field."""

    def upstream_of(name: str) -> str | None:
        try:
            return _upstream(settled(path.with_name(f"{name}.yaml"), environment))
        except (InvalidEventError, OSError, UnicodeDecodeError):
            return None  # has problems of its own

    known = [beside.stem for beside in _paths(path.parent)]
    yield from _problems(path.stem, pipeline, environments, known, upstream_of)


def document(path: Path) -> Any:
    """Read a pipeline file and put in the files that it names.

    Raises:
        InvalidEventError: it is no YAML, or a file that it names cannot be put in.
        OSError, UnicodeDecodeError: the file itself cannot be read.
    """
    found = _loaded(path.read_text())
    if isinstance(found, dict) and any(name is True for name in found):
        raise InvalidEventError(
            '"on", "yes" and "true" are true in YAML, and no field; what starts it stands in "when"'
        )
    if isinstance(found, dict) and "request" in found:
        found["request"] = _with_files(found["request"], "request", path.parent / FILES)
    return found


def _loaded(text: str) -> Any:
    """Read YAML as a document that could be JSON: no field twice, nothing that holds itself."""
    import yaml  # noqa: PLC0415 - what imports this module need not read a file

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's own
            seen = set()
            for name, _ in node.value:
                if isinstance(name, yaml.ScalarNode):
                    if name.value in seen:
                        twice = f"{name.value} is there twice"
                        raise yaml.constructor.ConstructorError(None, None, twice, name.start_mark)
                    seen.add(name.value)
            return super().construct_mapping(node, deep)

    try:
        found = yaml.load(text, Loader)  # noqa: S506 - a safe one
        json.dumps(found, default=str, skipkeys=True)
    except yaml.YAMLError as error:
        raise InvalidEventError(f"not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError):
        raise InvalidEventError("something in it holds itself, or is nested too deep") from None
    return found


def _with_files(value: Any, at: str, files: Path) -> Any:
    if isinstance(value, dict):
        return {name: _with_files(inner, f"{at}.{name}", files) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_files(inner, f"{at}[{index}]", files) for index, inner in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(FILE):
        return value
    try:
        return _text(value.removeprefix(FILE).strip(), files)
    except InvalidEventError as error:
        raise InvalidEventError(f"{at}: {value}: {error}") from None


def _text(name: str, files: Path) -> str:
    """Read a file that is named in a request; a text that begins with `@` is no symbol for coming from a file."""
    path = files / name
    if not path.resolve().is_relative_to(files.resolve()):
        raise InvalidEventError(f"leads out of {_place(files)}")
    if not name or not path.is_file():
        known = [str(found.relative_to(files)) for found in sorted(files.rglob("*")) if found.is_file()]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
        raise InvalidEventError(f"there is no such file in {_place(files)}; {hint}")
    size = path.stat().st_size
    if size > LONGEST_FILE:
        raise InvalidEventError(f"has {size:,} bytes, more than {LONGEST_FILE:,}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidEventError("is not UTF-8 text") from None
    except OSError as error:
        raise InvalidEventError(f"cannot be read: {error.strerror}") from None
    text = text.removesuffix("\n")
    return f"@{text}" if text.startswith("@") else text


def _problems(
    name: str,
    pipeline: Pipeline,
    environments: Collection[str],
    known: Collection[str],
    upstream_of: Callable[[str], str | None],
) -> Iterator[str]:
    if pipeline.pipeline != name:
        yield f'pipeline: must be "{name}", as the file (found "{pipeline.pipeline}")'
    for environment in sorted(set(pipeline.environments) - set(environments)) if environments else ():
        there_are = ", ".join(sorted(environments))
        yield f"environments.{environment}: there is no such environment; there are: {there_are}"
    if pipeline.when.schedule:
        yield from _wrong_schedule(pipeline.when.schedule)
    if pipeline.when.manifest:
        yield from _wrong_upstream(name, pipeline.when.manifest.pipeline, known, upstream_of)
    for field, symbol in symbols_in(pipeline.request, "request"):
        if symbol.startswith("@upstream.") and pipeline.when.manifest is None:
            yield f"{field}: {symbol} needs when.manifest"
        if symbol == "@scheduled-at" and pipeline.when.schedule is None:
            yield f"{field}: @scheduled-at needs when.schedule"


def _wrong_schedule(schedule: Schedule) -> Iterator[str]:
    zones = available_timezones()  # empty where the machine has no zone data: then AWS checks
    if zones and schedule.time_zone not in zones:
        close = difflib.get_close_matches(schedule.time_zone, zones, n=1)
        hint = f"; did you mean {close[0]}?" if close else ", such as Europe/Paris"
        yield f'when.schedule.time_zone: "{schedule.time_zone}" is unknown{hint}'
    if schedule.flexible and not 1 <= schedule.flexible.total_seconds() / 60 <= 1440:
        yield "when.schedule.flexible: must be from PT1M to PT24H"
    if schedule.cron:
        yield from (f"when.schedule.cron: {problem}" for problem in _wrong_cron(schedule.cron))


def _wrong_cron(cron: str) -> Iterator[str]:
    """What AWS would refuse only when the stack is deployed."""
    given = cron.split(" ")
    for text, (name, lowest, highest, words, more) in zip(given, _CRON, strict=True):
        for part in text.split(","):
            if re.fullmatch(more, part, re.IGNORECASE) and (part != "?" or part == text):
                continue
            match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
            ends = [end for end in match.groups()[:2] if end] if match else []
            numbers = [words.index(end.upper()) + lowest if end.upper() in words else end for end in ends]
            fits = all(str(number).isdecimal() and lowest <= int(number) <= highest for number in numbers)
            if not match or not fits or match[3] == "0":
                named = f", {words[0]} to {words[-1]}" if words else ""
                yield f'{name} "{part}" cannot be; it takes {lowest} to {highest}{named}, and AWS\'s * , - /'
    if "?" not in {given[2], given[4]}:
        yield "one of day of month and day of week must be ?"


def _wrong_upstream(
    name: str, upstream: str, known: Collection[str], upstream_of: Callable[[str], str | None]
) -> Iterator[str]:
    seen = [name]
    following: str | None = upstream
    while following:
        if following not in known:
            yield f'when.manifest.pipeline: there is no pipeline "{following}"; there are: {", ".join(sorted(known))}'
            return
        if following in seen:
            yield f"when.manifest.pipeline: starts itself: {' <- '.join([*seen, following])}"
            return
        seen.append(following)
        following = upstream_of(following)


def _upstream(pipeline: Pipeline) -> str | None:
    return pipeline.when.manifest.pipeline if pipeline.when.manifest else None


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _place(path: Path) -> str:
    """The end of a path, which tells a reader where it is in the project."""
    return "/".join(path.parts[-3:])
