"""Whatever an agent sends, the gateway answers 4xx with a reason, or it works. Over HTTP and over MCP.

A failure of the gateway's own is an exception here: the transport raises it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.operator.gateway.protocols.test_app import World
from tests.operator.gateway.test_heavy import YAML_TASK

from rloop_operator.gateway.verbs.table import VERBS

POSTS = [verb for verb in VERBS if verb.method == "POST"]
PLACES = [verb.path.removeprefix("/v1/") for verb in VERBS if "{name}" in verb.path]
ODD_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-0.0", "9" * 400, "9" * 5000, "1" * 20 + ".0", "0x1", "1_0"]
ODD_TEXTS = ['"\\ud800"', '"\\u0000"', '"\\udfff\\ud800"', '"\U0001f600"', '"a\\u2028b"', '"' + "x" * 2000 + '"']
NAMES = ["sequence", "title", "files", "fields", "frame", "evidence", "round", "handoff", "drafts", "supported", "1"]
RAW = st.recursive(
    st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, "null", "true", "1", '"1"', '"a"', '"{\\"a\\": 1}"', '"[[[["']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.dictionaries(st.sampled_from([*NAMES, "./a", "", "a/b", "\\ud800"]), inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"{key}": {value}' for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=8,
)
"""JSON texts with all that JSON allows, and some things that it does not."""
BODIES = st.one_of(
    RAW.map(lambda text: text.encode(errors="surrogatepass")),
    st.dictionaries(st.sampled_from(NAMES), RAW, max_size=5).map(
        lambda items: ("{" + ",".join(f'"{key}": {value}' for key, value in items.items()) + "}").encode()
    ),
    st.binary(max_size=20),
    st.integers(1, 200_000).map(lambda depth: b'{"title":' + b"[" * depth),
    st.integers(1, 100_000).map(lambda depth: b'{"files":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"),
)
QUIET = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.direction()
    return made


def answered(reply: httpx.Response) -> None:
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        problem = reply.json()
        assert problem["reason"]
        assert problem["message"]


@QUIET
@given(st.sampled_from(POSTS), BODIES)
@example(POSTS[0], b'{"title": "\\ud800", "frame": {"mode": "a"}}')
@example(POSTS[1], b'{"sequence": 1, "title": "t", "files": {"recipe.json": "\\u0000"}}')
@example(POSTS[1], b'{"sequence": 1, "title": "t", "files": {"\\u0000": "a"}}')
@example(POSTS[1], b'{"sequence": 1, "title": "t", "files": "{\\"\\\\ud800\\": 1, \\"\\\\ud800\\": 2}"}')
@example(POSTS[1], rb'{"sequence": 1, "title": "t", "files": {"recipe.json": "{\"mode\": \"a\", \"x\": \"\\ud800\"}"}}')
def test_any_body_over_http(world: World, verb: Any, body: bytes) -> None:
    path = verb.path.removeprefix("/v1/").replace("{name}", "demo-i0001-f1")
    answered(world.request("POST", path, body))


@QUIET
@given(st.sampled_from(PLACES), st.text(max_size=30) | st.sampled_from(["..", "%00", "a/../..", "é", "a" * 3000]))
def test_any_name_over_http(world: World, place: str, name: str) -> None:
    method = "POST" if "verdict" in place else "GET"
    path = place.replace("{name}", quote(name, safe="/%", errors="surrogatepass"))
    answered(world.request(method, path, b'{"supported": true, "reason": "r"}'))


def mcp(world: World, content: bytes) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(world.app)
        headers = {"authorization": "Bearer good", "accept": "application/json", "content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/mcp", content=content, headers=headers)

    return asyncio.run(send())


@QUIET
@given(st.sampled_from(POSTS), BODIES)
def test_any_arguments_over_mcp(world: World, verb: Any, body: bytes) -> None:
    tool = verb.method.lower() + verb.path.removeprefix("/v1").replace("{", "").replace("}", "").replace("/", "_")
    call = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "%s", "arguments": %s}}'
    reply = mcp(world, call % (tool.encode(), body))
    assert reply.status_code < 500, reply.text
    assert reply.content
    if "error" in reply.json():
        assert reply.json()["error"]["code"] != -32603, "an internal error"


@QUIET
@given(BODIES)
@example(
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_context", "arguments": {"a": 1}}}'
)
@example(b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "ping"}')
def test_any_request_over_mcp(world: World, body: bytes) -> None:
    reply = mcp(world, body)
    assert reply.status_code < 500, reply.text


YAML_VALUES = st.recursive(
    st.sampled_from(
        [
            "2024-02-31",
            "2024-02-28",
            "2001-12-14t21:59:43.10-05:00",
            ".nan",
            ".inf",
            "0x1F",
            "0b11",
            "1:30:00",
            "~",
            "0o7",
        ]
    )
    | st.sampled_from(["!!set {a}", "!!binary aGk=", "!!python/none x", "!a b", "*a", "&a b", "<<", "'a'", '"\\ud800"'])
    | st.sampled_from(
        ["a", "b", "0.25", "1", "-1", "1e400", "9" * 400, "true", "yes", "''", "? a", "- a", "[", "}", "|"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(["mode", "x", "1", "2024-02-28", "~", "[a]", "{a: b}", "<<", "true", "other"]),
            inner,
            max_size=3,
        ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"),
    ),
    max_leaves=6,
)
YAML_TEXTS = st.one_of(
    st.dictionaries(st.sampled_from(["mode", "x", "1", "2024-02-28", "~", "? [a]", "<<", "other"]), YAML_VALUES).map(
        lambda items: "\n".join(f"{key}: {value}" for key, value in items.items())
    ),
    YAML_VALUES.map(lambda value: f"mode: a\nx: 0.25\nother: {value}\n"),
    YAML_VALUES,
    st.text(max_size=30),
    st.integers(1, 2000).map(lambda depth: "mode: a\nother: " + "[" * depth + "]" * depth),
    st.integers(1, 1000).map(lambda depth: "other: " + "{a: " * depth + "1" + "}" * depth),
)
RECIPE_TEXTS = st.one_of(
    RAW.map(lambda value: f'{{"mode": "a", "x": 0.25, "other": {value}}}'),
    RAW,
    st.text(max_size=30),
    st.integers(1, 3000).map(lambda depth: '{"mode": "a", "other": ' + "[" * depth + "]" * depth + "}"),
)


def recipe(world: World, path: str, text: str) -> None:
    body = {"sequence": 1, "title": "t", "files": {path: text}, "parent": "task"}
    code, reply = world.post("experiments", body)
    assert code < 500, reply
    # Admitted, or refused for its content; the session has one experiment at most, so that each is a first one.
    if code == 200:
        world.store._objects["ResearchExperiment"].clear()
        world.store._files.pop(reply["name"])
    else:
        assert reply["reason"]
        assert reply["message"]


@QUIET
@given(RECIPE_TEXTS)
def test_any_recipe_in_json(world: World, text: str) -> None:
    recipe(world, "recipe.json", text)


@pytest.fixture(scope="module")
def of_yaml() -> World:
    made = World(YAML_TASK, boundaries__editable=["*"])
    made.direction()
    return made


@QUIET
@given(YAML_TEXTS)
@example("mode: a\nx: 0.25\nother: 2024-02-28\n")
@example("mode: a\nx: 0.25\n1: b\n")
@example("mode: a\nx: 0.25\nother: {1: a, b: c}\n")
@example("mode: a\nx: 0.25\nother: " + "[" * 1500 + "]" * 1500)
@example("mode: a\nx: 0.25\nother: !!set {a}\n")
@example("mode: a\nx: 0.25\n? [a]\n: b\n")
def test_any_recipe_in_yaml(of_yaml: World, text: str) -> None:
    recipe(of_yaml, "recipe.yaml", text)


def test_the_world_admits_a_good_recipe(of_yaml: World) -> None:
    body = {"sequence": 1, "title": "t", "files": {"recipe.yaml": yaml.safe_dump({"mode": "a", "x": 0.125})}}
    assert of_yaml.post("experiments", {**body, "parent": "task"})[0] == 200
    assert json.dumps(of_yaml.get("experiments"))
