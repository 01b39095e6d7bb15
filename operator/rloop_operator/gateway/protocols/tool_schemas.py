"""JSON schemas of tools, generated from the same models as the HTTP bodies, in a form that strict clients accept.

Called by `gateway.protocols.mcp_server`. Some clients and models reject a tool whose arguments use `$ref`, `anyOf` with
null or `propertyNames`, so the schema of arguments avoids them. The gateway still accepts null for a missing value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_origin

from pydantic import BaseModel, TypeAdapter

NOT_IN_ARGUMENTS = frozenset({"$defs", "$ref", "title", "propertyNames", "maxProperties", "minProperties"})
SHAPE = frozenset({"type", "required", "enum", "const", "items", "additionalProperties", "$ref"})


def of_arguments(model: type[BaseModel] | None, parameters: Sequence[str]) -> dict[str, Any]:
    """Schema of a tool's arguments: the fields of the body and the parameters of the path."""
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    if model is not None:
        whole = model.model_json_schema(by_alias=True)
        schema = _plain(whole, whole.get("$defs", {}))
    for parameter in parameters:
        schema["properties"][parameter] = {"type": "string", "description": "Its name, as in the list."}
        schema["required"] = [*schema.get("required", []), parameter]
    return schema


def of_result(reply: Any) -> dict[str, Any]:
    """Schema of a tool's result, which is always an object."""
    schema = _short(TypeAdapter(reply).json_schema(by_alias=True, mode="serialization"))
    if get_origin(reply) is not list:
        return schema
    defs = schema.pop("$defs", {})
    items = {**schema, "description": "All of them."}
    properties = {"properties": {"items": items}, "required": ["items"]}
    return {"type": "object", **properties, "additionalProperties": False, "$defs": defs}


def _short(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without bounds: the gateway enforces them, and clients pay for each byte of a result's schema."""
    short: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            short[key] = {name: _short(one) for name, one in value.items()}
        elif key in SHAPE:
            short[key] = _short(value) if isinstance(value, dict) else value
        if key == "anyOf":
            short[key] = [_short(one) for one in value]
        if key == "description":
            short[key] = _line(value)
    return short


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = {**defs[schema["$ref"].rpartition("/")[2]], **schema}
    options = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        schema = {**{key: value for key, value in schema.items() if key != "anyOf"}, **options[0]}
        schema.pop("default", None)
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NOT_IN_ARGUMENTS:
            continue
        if key == "properties":
            plain[key] = {name: _plain(one, defs) for name, one in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            plain[key] = _plain(value, defs)
        else:
            plain[key] = _line(value) if key == "description" else value
    names = schema.get("propertyNames", {}).get("enum")
    if names is not None:
        # A map with a fixed set of keys becomes an object with these properties.
        value = plain["additionalProperties"]
        plain["properties"] = dict.fromkeys(names, value)
        plain["additionalProperties"] = False
    return plain
