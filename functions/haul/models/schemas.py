"""The published JSON Schemas, made from the models: `python -m haul.models.schemas` writes them anew.

`event` and `pipeline` are whole for an editor: what may stand in `request` and `options` depends there on vendor and
action. The same two parts of each action are published alone too.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaValue, models_json_schema

from haul.models import vendors
from haul.models.event import Event, Start
from haul.models.manifest import AnyManifest
from haul.models.operation import OperationEnd, OperationStart
from haul.models.pipeline import ADDRESSABLE, Pipeline
from haul.models.run import Run
from haul.models.vendors import Action

FOLDER = Path(__file__).parents[1] / "schemas"

_DEFS = "#/$defs/"


def published() -> dict[str, JsonSchemaValue]:
    """Make every schema, by the name of its file."""
    documents = {
        "event": _event(),
        "pipeline": _pipeline(),
        "manifest": _manifest(),
        "run": _schema(Run, "Haul run"),
        "operation": _operation(),
        "operation-result": _schema(OperationEnd, "Haul operation result"),
    }
    for vendor, name, action in _actions():
        documents[f"{vendor}.{name}.request"] = _schema(action.request, f"{vendor} {name}: request")
        documents[f"{vendor}.{name}.options"] = _schema(action.options, f"{vendor} {name}: options")
    return {
        f"{name}.v1.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:haul:{name}:v1",
            **schema,
        }
        for name, schema in sorted(documents.items())
    }


def text(schema: JsonSchemaValue) -> str:
    """Write a schema the way its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _actions() -> Iterator[tuple[str, str, Action]]:
    for vendor in vendors.names():
        for name, action in sorted(vendors.actions(vendor).items()):
            yield vendor, name, action


def _schema(model: type[BaseModel], title: str) -> JsonSchemaValue:
    return {**model.model_json_schema(), "title": title}


def _manifest() -> JsonSchemaValue:
    about = "The document that publishes a run: of an export or of a load, as its `kind` says."
    return {**TypeAdapter(AnyManifest).json_schema(), "title": "Haul manifest", "description": about}


def _event() -> JsonSchemaValue:
    """Whatever a flow takes: a whole event, or so little of one that the deployed pipeline completes it."""
    schema = _by_action(Event, "Haul event")
    schema["required"] = [name for name, field in Start.model_fields.items() if field.is_required()]
    schema["dependentRequired"] = {"vendor": ["action", "connection", "request"], "action": ["vendor"]}
    return schema


def _pipeline() -> JsonSchemaValue:
    schema = _by_action(Pipeline, "Haul pipeline")
    properties = schema["properties"]
    properties["environments"]["additionalProperties"] = {
        "type": "object",
        "properties": {name: properties[name] for name in ADDRESSABLE},
        "additionalProperties": False,
    }
    return schema


def _by_action(model: type[BaseModel], title: str) -> JsonSchemaValue:
    """Make the schema of a document whose `request` and `options` depend on its vendor and action."""
    parts = [part for _, _, action in _actions() for part in (action.request, action.options)]
    refs, shared = models_json_schema(
        [(each, "validation") for each in (model, *parts)], ref_template=_DEFS + "{model}"
    )
    ref = {each: refs[each, "validation"] for each in parts}
    schema = shared["$defs"].pop(refs[model, "validation"]["$ref"].removeprefix(_DEFS))
    schema["properties"]["vendor"]["enum"] = vendors.names()
    cases = [
        _when({"vendor": vendor}, {"action": {"enum": sorted(vendors.actions(vendor))}}) for vendor in vendors.names()
    ]
    for vendor, name, action in _actions():
        then = {"request": ref[action.request], "options": ref[action.options]}
        if model is Pipeline:
            then["environments"] = {"additionalProperties": {"properties": {"options": ref[action.options]}}}
        cases.append(_when({"vendor": vendor, "action": name}, then))
    return {"title": title, **{k: v for k, v in schema.items() if k != "title"}, "allOf": cases, **shared}


def _operation() -> JsonSchemaValue:
    """What the operation flow takes: `parameters` depends on vendor and operation."""
    kinds = [
        (vendor, name, kind.parameters)
        for vendor in vendors.names()
        for name, kind in sorted(vendors.operations(vendor).items())
    ]
    models: dict[type[BaseModel], None] = dict.fromkeys((OperationStart, *(parameters for _, _, parameters in kinds)))
    refs, shared = models_json_schema([(each, "validation") for each in models], ref_template=_DEFS + "{model}")
    schema = shared["$defs"].pop(refs[OperationStart, "validation"]["$ref"].removeprefix(_DEFS))
    schema["properties"]["vendor"]["enum"] = vendors.names()
    cases = [
        _when({"vendor": vendor}, {"operation": {"enum": sorted(vendors.operations(vendor))}})
        for vendor in vendors.names()
    ]
    for vendor, name, parameters in kinds:
        then: JsonSchemaValue = {"properties": {"parameters": refs[parameters, "validation"]}}
        if parameters.model_json_schema().get("required"):
            then["required"] = ["parameters"]
        cases.append({**_when({"vendor": vendor, "operation": name}, {}), "then": then})
    return {"title": "Haul operation", **{k: v for k, v in schema.items() if k != "title"}, "allOf": cases, **shared}


def _when(these: dict[str, str], then: dict[str, JsonSchemaValue]) -> JsonSchemaValue:
    given = {name: {"const": value} for name, value in these.items()}
    return {"if": {"properties": given, "required": list(these)}, "then": {"properties": then}}


def main() -> None:
    """Write every schema, and leave none behind that is no longer made."""
    schemas = published()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.name not in schemas:
            path.unlink()
    for name, schema in schemas.items():
        (FOLDER / name).write_text(text(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
