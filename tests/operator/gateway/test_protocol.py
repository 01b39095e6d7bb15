"""The MCP server towards foreign clients: schemas that strict ones accept, errors as the protocol says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
from tests.operator.gateway.protocols.test_app import World
from tests.operator.gateway.protocols.test_mcp_server import RECIPE, connected, played, told
from tests.operator.gateway.test_roles import World as Roles

from rloop_operator.cluster.gateway import own_hosts
from rloop_operator.gateway.protocols.mcp_server import _tool, in_tool_names, tools
from rloop_operator.gateway.protocols.openapi import document

ROOT = Path(__file__).parents[3]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read_context", {}),
    ("read_task", {}),
    ("propose_direction", {"title": "mode a", "frame": {"mode": "a"}}),
    ("submit_experiment", {"sequence": 1, "title": "t", "files": RECIPE}),
    ("read_results", {}),
    ("read_experiment", {"name": "demo-i0001-e1"}),
    ("read_references", {}),
    ("read_reference", {"name": "notes/kuhn.md"}),
    ("heartbeat", {"round": 1}),
    ("finish", {"handoff": "done", "drafts": {"a.md": "b"}}),
    ("read_context", {}),
]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_every_result_is_an_object_that_its_schema_describes(world: World, mode: str) -> None:
    """The SDK's client validates as well, with the schemas that it has listed."""

    async def story(url: str) -> None:
        async with connected(url, mode) as client:
            assert all(one.output_schema for one in (await client.list_tools()).tools)
            for name, arguments in CALLS:
                result = await client.call_tool(name, arguments)
                assert not result.is_error, result
                assert told(result) == result.structured_content
                jsonschema.validate(result.structured_content, schema_of(name))

    played(story, world)


def test_the_results_about_findings_are_as_their_schema_says() -> None:
    world = Roles()
    world.propose("i0001-s1", "print(1)\n")
    asyncio.run(world.measure("demo-i0001-e1"))
    code, finding = world.call("i0001-s1", "POST", "findings", {"statement": "s", "evidence": ["demo-i0001-e1"]})
    assert code == 200
    jsonschema.validate(finding, schema_of("record_finding"))
    asyncio.run(world.open(2, "Investigate", "Check"))
    path = f"findings/{finding['name']}/verdict"
    code, verdict = world.call("i0002-s2", "POST", path, {"supported": True, "reason": "it is"})
    assert code == 200
    jsonschema.validate(verdict, schema_of("judge_finding"))


def schema_of(tool: str) -> dict[str, Any]:
    found = _tool(tool).output_schema
    assert found is not None
    return found


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a schema; names of properties are no keywords."""
    yield schema
    for key in ("properties", "$defs"):
        for one in schema.get(key, {}).values():
            yield from parts(one)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key])
    for one in schema.get("anyOf", []):
        yield from parts(one)


@pytest.mark.parametrize("name", sorted(tools()))
def test_a_strict_client_accepts_the_schemas(name: str) -> None:
    tool = _tool(name)
    assert tool.title
    assert tool.description
    for schema in (tool.input_schema, tool.output_schema):
        assert schema is not None
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    for one in parts(tool.input_schema):
        assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "propertyNames"} & set(one)
        assert isinstance(one["type"], str)
        if one["type"] == "object" and "properties" in one:
            assert one["additionalProperties"] is False
    for field, one in tool.input_schema["properties"].items():
        assert one.get("description"), field


def test_no_field_of_any_body_lacks_a_description() -> None:
    lacking = [
        f"{name}.{field}"
        for name, schema in document()["components"]["schemas"].items()
        for field, one in schema.get("properties", {}).items()
        if not one.get("description")
    ]
    assert lacking == []


@pytest.mark.parametrize(
    ("role", "has", "has_not"),
    [
        ("Investigate", {"submit_experiment", "record_finding"}, {"judge_finding", "heartbeat"}),
        ("Refute", {"propose_direction"}, {"judge_finding"}),
        ("Check", {"read_context", "judge_finding", "finish"}, {"submit_experiment", "record_finding"}),
        ("Report", {"read_context", "record_finding", "finish"}, {"submit_experiment", "propose_direction"}),
    ],
)
def test_a_session_is_offered_the_tools_of_its_role(role: Any, has: set[str], has_not: set[str]) -> None:
    world = Roles()
    asyncio.run(world.open(2, role))

    async def story(url: str) -> None:
        async with connected(url, "legacy", "demo-i0002-s1") as client:
            offered = {one.name for one in (await client.list_tools()).tools}
            assert has <= offered
            assert not has_not & offered
            assert client.server_info is not None
            assert client.server_info.version

    played(story, world)  # type: ignore[arg-type]


def asked(world: World, body: object, **headers: str) -> httpx2.Response:
    async def send() -> httpx2.Response:
        usual = {"authorization": "Bearer good", "accept": "application/json, text/event-stream"}
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(world.app), base_url="http://127.0.0.1:8080"
        ) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post("/mcp", json=body, headers={**usual, **named})

    return asyncio.run(send())


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def test_an_unknown_protocol_version_is_answered_as_the_protocol_says(world: World) -> None:
    reply = asked(world, PING, mcp_protocol_version="1999-01-01")
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["code"], error["data"]["requested"]) == (-32022, "1999-01-01")
    assert "2025-11-25" in error["data"]["supported"]
    assert asked(world, PING, mcp_protocol_version="2025-06-18").status_code == 200
    assert asked(world, PING).status_code == 200


def test_a_stranger_is_told_how_to_authenticate(world: World) -> None:
    reply = asked(world, PING, authorization="Bearer bad")
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="rloop"')


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"host": "localhost:1234"}, 200),
        ({"host": "[::1]:1234"}, 200),
        ({"origin": "http://localhost:9"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:8080"}, 403),
        ({"host": "evil.example@127.0.0.1"}, 200),
        ({"host": "["}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_foreign_host_or_origin_is_turned_away(world: World, headers: dict[str, str], code: int) -> None:
    assert asked(world, PING, **headers).status_code == code


def test_in_a_cluster_the_gateway_answers_to_its_service() -> None:
    hosts = own_hosts({"RLOOP_NAMESPACE": "rloop", "RLOOP_GATEWAY_URL": "http://10.96.0.7:8080"})
    wanted = {"10.96.0.7", "rloop-gateway.rloop", "rloop-gateway.rloop.svc.cluster.local", "127.0.0.1"}
    assert wanted <= hosts


def test_over_mcp_a_refusal_names_tools() -> None:
    sources = [
        *(ROOT / "controllers/rloop/admit").glob("*.py"),
        *(ROOT / "operator/rloop_operator/gateway").glob("*.py"),
        ROOT / "controllers/rloop/session_view/size_limit.py",
    ]
    texts = [line for file in sources for line in file.read_text().splitlines() if re.search(r'".*(GET|POST) \w', line)]
    assert texts
    for line in texts:
        if '"""' not in line and "`" not in line:
            assert not re.search(r"\b(GET|POST) [a-z]", in_tool_names(line)), line
    assert in_tool_names("GET experiments/demo-b01 has all") == "read_experiment of demo-b01 has all"
    assert in_tool_names("POST findings/NAME/verdict, then") == "judge_finding, then"
    assert in_tool_names("a POST to remember") == "a POST to remember"
