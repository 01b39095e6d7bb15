"""The OpenAPI document of the gateway's verbs.

Served by `gateway.protocols.app` at `/openapi.json`, and written to docs/openapi.yaml by `rloop_operator.generate`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter

from rloop.api.wire import Problem
from rloop_operator.gateway.verbs.table import VERBS


def document() -> dict[str, Any]:
    """The OpenAPI document of the verbs."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for verb in VERBS:
        problem = _content(Problem, schemas)
        operation: dict[str, Any] = {
            "summary": verb.summary,
            "operationId": verb.tool,
            "security": [{"token": []}],
            "responses": {
                "401": {"description": "the token is not that of a live session", "content": problem},
                "403": {"description": "the Host or Origin is not the gateway's", "content": problem},
                "404": {"description": "there is no such object", "content": problem},
                "409": {"description": "rejected, with reason and remedy", "content": problem},
                "422": {"description": "the body is malformed", "content": problem},
                "429": {"description": "too many requests: retry after Retry-After", "content": problem},
                "503": {
                    "description": "the storage is unavailable: retry after Retry-After",
                    "content": problem,
                },
            },
        }
        if verb.reply is None:
            operation["responses"]["204"] = {"description": "done"}
        else:
            operation["responses"]["200"] = {"description": "done", "content": _content(verb.reply, schemas)}
        if verb.request is not None:
            # The body may be omitted if all its fields have defaults.
            required = any(field.is_required() for field in verb.request.model_fields.values())
            operation["requestBody"] = {"required": required, "content": _content(verb.request, schemas)}
        if "{name}" in verb.path:
            operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
        paths.setdefault(verb.path, {})[verb.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ResearchLoop gateway",
            "version": "v1",
            "description": "The API for agents. All verbs except those of the sidecar are also tools at /mcp (MCP).",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _content(type_: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(type_).json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
    _close(schema)
    schemas.update(schema.pop("$defs", {}))
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        schemas[type_.__name__] = schema
        schema = {"$ref": f"#/components/schemas/{type_.__name__}"}
    return {"application/json": {"schema": schema}}


def _close(schema: Any) -> None:
    """Forbid other keys in maps whose keys have a pattern; pydantic's schema does not say so."""
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, (dict, list)):
            _close(part)
    if isinstance(schema, dict) and "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)
