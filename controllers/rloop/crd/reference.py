"""The reference of the three kinds as Markdown, generated from the same schemas as the CRDs.

Called by `python -m rloop_operator.generate`, which writes docs/crd-reference.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rloop.api.common import AMOUNT_PATTERN, DECIMAL_PATTERN, GROUP, VERSION
from rloop.crd.definitions import KINDS, Kind, Schema, definition

HEAD = f"""<!-- Generated from controllers/rloop/api by `make generate`. Do not edit. -->

# Reference of the kinds in {GROUP}/{VERSION}

The output of `kubectl explain` on one page. A decimal is a number in quotes, such as "0.05". A field that is
neither required nor has a default may be left out.
"""


def reference() -> str:
    """The complete page."""
    return "\n".join([HEAD, *(line for kind in KINDS for line in _kind(kind))]) + "\n"


def _kind(kind: Kind) -> Iterator[str]:
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield f"## {kind.name}"
    yield ""
    yield f"{schema['description']} Short name `{kind.short_name}`, plural `{kind.plural}`."
    yield ""
    for part in ("spec", "status"):
        yield f"### {kind.name}.{part}"
        yield ""
        yield schema["properties"][part].get("description", "")
        yield ""
        yield "| field | type | default | meaning |"
        yield "|---|---|---|---|"
        yield from _rows(schema["properties"][part], "")
        yield ""
    rules = list(_rules(schema, ""))
    if rules:
        yield f"### Rules of {kind.name}"
        yield ""
        yield "Checked by the API server in addition to types and bounds:"
        yield ""
        yield from rules
        yield ""


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    required = schema.get("required", [])
    for name, child in schema.get("properties", {}).items():
        default = "required" if name in required else _code(child["default"]) if "default" in child else ""
        yield f"| `{prefix}{name}` | {_type(child)} | {default} | {_cell(child.get('description', ''))} |"
        inner, mark = _inner(child)
        yield from _rows(inner, f"{prefix}{name}{mark}.")


def _inner(schema: Schema) -> tuple[Schema, str]:
    if "items" in schema:
        return schema["items"], "[]"
    return schema, ""


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return _cell(" \\| ".join(map(str, schema["enum"])))
    if "anyOf" in schema:
        return "quantity"
    if "items" in schema:
        return f"list{_range(schema, 'Items')} of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map{_range(schema, 'Properties')} to {_type(schema['additionalProperties'])}"
    if schema.get("pattern") in (DECIMAL_PATTERN, AMOUNT_PATTERN):
        return "decimal" if schema["pattern"] == DECIMAL_PATTERN else "decimal, not negative"
    kind = "time" if schema.get("format") == "date-time" else schema["type"]
    if kind == "string":
        return f"string{_range(schema, 'Length')}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return str(kind)
    return f"{kind}, {low}..{high}" if high is not None else f"{kind}, from {low}"


def _range(schema: Schema, what: str) -> str:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    return "" if high is None else f" ({low}..{high})" if low else f" (..{high})"


def _rules(schema: Schema, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        place = (path + rule.get("fieldPath", "")).lstrip(".")
        yield f"- `{place}`: {rule['message']}" if place else f"- {rule['message']}"
    for name, child in schema.get("properties", {}).items():
        inner, mark = _inner(child)
        if inner is not child:
            yield from _rules({**child, "items": None}, f"{path}.{name}")
        yield from _rules(inner, f"{path}.{name}{mark}")


def _code(value: Any) -> str:
    return f"`{_cell(json.dumps(value, ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if "\\|" not in text else text
