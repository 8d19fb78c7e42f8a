"""An operation's parameters on the command line, read by their schema: lists repeat, numbers and switches are typed."""

from collections.abc import Mapping, Sequence
from typing import Any

from haul.cli.failures import CommandError, Exit
from haul.errors import InvalidEventError
from haul.models.base import nearest, parse
from haul.models.vendors import OperationKind

_SWITCHES = {"true": True, "yes": True, "false": False, "no": False}


def read(arguments: Sequence[str], operation: str, kind: OperationKind) -> dict[str, Any]:
    """Read `name=value`, `--name value` and `--name=value`; a switch may stand alone.

    Raises:
        CommandError: naming the parameter that is wrong, and what the operation takes.
    """
    fields = _fields(kind)
    given: dict[str, Any] = {}
    rest = list(arguments)
    try:
        while rest:
            name, value = _next(rest, fields)
            if fields[name].get("type") == "array":
                given.setdefault(name, []).append(_typed(value, fields[name].get("items", {})))
            elif name in given:
                raise InvalidEventError(f"{name}: given twice, and it takes one value")
            else:
                given[name] = _typed(value, fields[name])
        parse(kind.parameters, given)
    except InvalidEventError as error:
        hint = f"It takes {usage(kind)}" if fields else "It takes no parameters"
        problem = str(error).replace("the document: ", "")
        raise CommandError(f"{operation}: {problem}", exit_code=Exit.USAGE, hint=_with_meanings(hint, kind)) from None
    return given


def described(kind: OperationKind) -> dict[str, str]:
    """Say what each parameter means."""
    return {name: field.get("description", "") for name, field in _fields(kind).items()}


def usage(kind: OperationKind) -> str:
    """Write the parameters as they are typed; what may be left out stands in brackets."""
    needed = set(kind.parameters.model_json_schema().get("required", []))
    words = []
    for name, field in _fields(kind).items():
        spelled = f"--{name.replace('_', '-')}"
        word = spelled if field.get("type") == "boolean" else f"{spelled} {name.upper()}"
        word += " ..." if field.get("type") == "array" else ""
        words.append(word if name in needed else f"[{word}]")
    return " ".join(words)


def _with_meanings(hint: str, kind: OperationKind) -> str:
    return "\n".join([f"{hint}", *(f"    {name}: {about}" for name, about in described(kind).items() if about)])


def _next(rest: list[str], fields: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    word = rest.pop(0)
    spelled, equals, value = word.removeprefix("--").partition("=")
    name = spelled.replace("-", "_")
    dashed = word.startswith("--")
    if not (equals or dashed):
        raise InvalidEventError(f"{word}: must be name=value")
    if name not in fields:
        raise InvalidEventError(f"{name}: unknown parameter{nearest(name, fields)}")
    if equals:
        return name, value
    switch = fields[name].get("type") == "boolean"
    if switch and not (rest and rest[0] in _SWITCHES):
        return name, "true"
    if not rest:
        raise InvalidEventError(f"{name}: needs a value")
    return name, rest.pop(0)


def _typed(text: str, field: Mapping[str, Any]) -> Any:
    """Make what the schema wants of a text; what it cannot be made into, the schema refuses."""
    match field.get("type"):
        case "integer" if text.isascii() and text.removeprefix("-").isdecimal():
            return int(text)
        case "boolean":
            return _SWITCHES.get(text, text)
        case _:
            return text


def _fields(kind: OperationKind) -> dict[str, Mapping[str, Any]]:
    """Each parameter's schema; of one that may be null, what else it is."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, field in kind.parameters.model_json_schema().get("properties", {}).items():
        kinds = [each for each in field.get("anyOf", []) if each.get("type") != "null"]
        found[name] = {**(kinds[0] if kinds else {}), **field}
    return found
