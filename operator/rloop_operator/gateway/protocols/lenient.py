"""Parses a request body into its model, and accepts unambiguous deviations that language models write.

Called by `gateway.protocols.answering` for every verb, over HTTP and MCP. All leniency is in this module: each accepted
form has exactly one strict equivalent, and everything else is passed on unchanged to the strict model, whose error
names the field.

| written | for a field that is | read as |
|---|---|---|
| `"3"`, `"3.0"`, `3.0` | an integer | `3` |
| `"0.5"` | a number | `0.5` |
| `"true"`, `"False"` | a boolean | `true`, `false` |
| a JSON text of an object or list | an object or list | that object or list |
| `./recipe.json` | a path of a file | `recipe.json` |
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from rloop.errors import Refused

INTEGER = re.compile(r"[+-]?[0-9]{1,15}(\.0{1,15})?")
NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?")
BOOLEANS = {"true": True, "false": False}
EXACT = 2**53
"""Above this value a float does not represent every integer exactly."""
FILES = frozenset({"files", "drafts"})
"""Fields whose keys are file paths."""


def read(model: type[BaseModel], content: bytes) -> BaseModel:
    """The parsed body. Raises Refused(Malformed), ValidationError."""
    try:
        document = from_json(content or b"{}", allow_inf_nan=False)
        schema = _schema(model)
        strict = json.dumps(_read(document, schema, schema.get("$defs", {}), ()), allow_nan=False)
    except RecursionError as error:
        raise Refused("Malformed", "body: is nested too deep") from error
    except ValueError as error:
        raise Refused("Malformed", f"body: {error}") from error
    return model.model_validate_json(strict)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _read(value: Any, schema: dict[str, Any], defs: dict[str, Any], place: tuple[str, ...]) -> Any:
    """The strict form of `value`; `value` itself if it has none."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    options = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        if value is None:
            return None
        schema = options[0]
    wanted = schema.get("type")
    if isinstance(value, (str, float)) and not isinstance(value, bool):
        value = _scalar(value, wanted, place)
    if wanted == "object" and isinstance(value, dict):
        return _object(value, schema, defs, place)
    if wanted == "array" and isinstance(value, list):
        items = schema.get("items", {})
        return [_read(one, items, defs, (*place, str(index))) for index, one in enumerate(value)]
    return value


def _scalar(value: str | float, wanted: object, place: tuple[str, ...]) -> Any:
    if isinstance(value, float):
        return int(value) if wanted == "integer" and value.is_integer() and abs(value) <= EXACT else value
    text = value.strip()
    if wanted == "integer" and INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    if wanted == "number" and NUMBER.fullmatch(text):
        return float(text)
    if wanted == "boolean" and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if (wanted == "object" and text.startswith("{")) or (wanted == "array" and text.startswith("[")):
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, place))
        except ValueError:
            return value
    return value


def _object(value: dict[str, Any], schema: dict[str, Any], defs: dict[str, Any], place: tuple[str, ...]) -> Any:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    for one in schema.get("patternProperties", {}).values():  # a map whose keys have a pattern
        others = one
    pairs = []
    for key, one in value.items():
        inner = fields.get(key, others if isinstance(others, dict) else {})
        name = re.sub(r"^(\./+)+(?=[^/])", "", key) if place and place[-1] in FILES else key
        pairs.append((name, _read(one, inner, defs, (*place, key))))
    return _unique(pairs, place)


def _unique(pairs: list[tuple[str, Any]], place: tuple[str, ...]) -> dict[str, Any]:
    """The pairs as a dict. Raises Refused(Malformed) for a duplicate key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise Refused("Malformed", f'{".".join(place) or "body"}: "{twice}" occurs twice; give it once')
    return found
