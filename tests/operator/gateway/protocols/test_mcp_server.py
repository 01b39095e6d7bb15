"""The gateway's verbs as MCP tools: the SDK's own client, through the server that `rloop run` starts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from tests.operator.gateway.protocols.test_app import World

from rloop.api.wire import ExperimentRequest
from rloop_operator.gateway.protocols.answering import BODY_BYTES
from rloop_operator.gateway.verbs.table import VERBS
from rloop_operator.local.server import listen, serving

RECIPE = {"recipe.json": '{"mode": "a", "x": 0.25}'}


@asynccontextmanager
async def connected(url: str, mode: str, token: str = "good") -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def told(result: CallToolResult) -> Any:
    (content,) = result.content
    assert isinstance(content, TextContent)
    said = json.loads(content.text)
    assert result.is_error or result.structured_content == said
    return said


def played(story: Callable[[str], Awaitable[None]], world: World) -> None:
    async def play() -> None:
        async with serving(world.app, listen(None)) as url:
            await story(url)

    asyncio.run(play())


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_session_through_every_tool(world: World, mode: str) -> None:
    """`legacy` is the protocol up to 2025, which most agents still speak."""

    async def story(url: str) -> None:
        async with connected(url, mode) as client:

            async def call(name: str, /, **arguments: Any) -> Any:
                result = await client.call_tool(name, arguments)
                assert not result.is_error, result
                return told(result)

            context = await call("read_context")
            assert context == await asyncio.to_thread(world.get, "context")
            assert (await call("read_task"))["files"]["recipe.json"] == '{"mode": "a", "x": 0.5}'
            assert (await call("propose_direction", title="mode a", frame={"mode": "a"}))["name"] == "demo-i0001-d1"
            wanted = {"sequence": context["session"]["nextSequence"], "title": "t", "files": RECIPE}
            proposed = await call("submit_experiment", **wanted)
            assert (proposed["name"], proposed["phase"]) == ("demo-i0001-e1", "Queued")
            assert await call("submit_experiment", **wanted) == proposed
            assert await call("read_results") == {"items": [proposed]}
            assert '"x": 0.25' in (await call("read_experiment", name=proposed["name"]))["difference"]
            assert await call("heartbeat", round=2) == {"nudge": None, "closing": False}
            assert await call("finish", handoff="read this") == {"note": ""}
        assert (await asyncio.to_thread(world.get, "context"))["handoff"]["text"] == "read this"

    played(story, world)


def test_a_tool_takes_what_its_verb_takes(world: World) -> None:
    async def story(url: str) -> None:
        async with connected(url, "auto") as client:
            listed = {one.name: one for one in (await client.list_tools()).tools}
            not_explorers = {"report_progress", "report_usage", "heartbeat", "judge_finding"}
            assert set(listed) == {verb.tool for verb in VERBS} - not_explorers
            assert set(listed["submit_experiment"].input_schema["properties"]) == set(ExperimentRequest.model_fields)
            assert listed["read_experiment"].input_schema["required"] == ["name"]
            for name, tool in listed.items():
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint is name.startswith("read_")
            assert "read_context" in (client.instructions or "")

    played(story, world)


@pytest.mark.parametrize(
    ("name", "arguments", "reason", "words"),
    [
        (
            "submit_experiment",
            {"sequence": 1, "title": "t", "files": RECIPE},
            "DirectionMissing",
            "direction first",
        ),
        ("record_finding", {"statement": "s", "evidence": ["nobody"]}, "EvidenceUnknown", "nobody"),
        ("read_experiment", {"name": "nobody"}, "NotFound", "nobody"),
        ("read_experiment", {}, "Malformed", "name: "),
        ("propose_direction", {"title": "t", "colour": "red"}, "Malformed", "colour"),
        ("read_context", {"verbose": True}, "Malformed", "verbose"),
        ("report_progress", {"step": 1}, "NotFound", "use read_context"),
    ],
)
def test_a_refusal_is_an_error_of_the_tool_with_its_remedy(
    world: World, name: str, arguments: dict[str, Any], reason: str, words: str
) -> None:
    async def story(url: str) -> None:
        async with connected(url, "legacy") as client:
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert told(result)["reason"] == reason
            assert words in told(result)["message"]

    played(story, world)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_outlives_its_gateway(world: World, mode: str) -> None:
    restarted = World()

    async def story() -> None:
        listener = listen(None)
        port = listener.getsockname()[1]
        async with AsyncExitStack() as rest:
            async with serving(world.app, listener) as url:
                client = await rest.enter_async_context(connected(url, mode))
                before = await client.call_tool("read_context", {})
            await rest.enter_async_context(serving(restarted.app, listen(port)))
            assert told(await client.call_tool("read_context", {})) == told(before)

    asyncio.run(story())


def test_a_stranger_sees_no_tool(world: World) -> None:
    for token in ("Bearer bad", "", "Bearer "):
        code, body = posted(world, b"{}", token)
        assert (code, json.loads(body)["reason"]) == (401, "Unauthorized")

    async def story(url: str) -> None:
        with pytest.raises((MCPError, ExceptionGroup)):
            async with connected(url, "legacy", "bad"):
                pass

    played(story, world)


def test_a_run_has_no_agents_rights(world: World) -> None:
    async def story(url: str) -> None:
        async with connected(url, "auto", "run") as client:
            assert told(await client.call_tool("read_context", {}))["reason"] == "Forbidden"

    played(story, world)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", 400), (b"[]", 400), (b"\xff", 400), (b" " * (BODY_BYTES + 1), 413)],
    ids=["cut off", "no request", "not UTF-8", "too large"],
)
def test_what_is_no_request_is_refused(world: World, content: bytes, code: int) -> None:
    assert posted(world, content)[0] == code


def posted(world: World, content: bytes, token: str = "Bearer good") -> tuple[int, bytes]:
    async def send() -> tuple[int, bytes]:
        headers = {"authorization": token, "content-type": "application/json", "accept": "application/json"}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(world.app), base_url="http://127.0.0.1") as client:
            reply = await client.post("/mcp", content=content, headers=headers)
            return reply.status_code, reply.content

    return asyncio.run(send())
