"""The tools of a client's session: over stdio as a client starts them, with an MCP client that is not ours."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, TextContent
from tests.support.agent_gateway import TOKEN, Server

from rloop_agent.clients.tools_server import THE_CLIENTS_OWN
from rloop_agent.clients.workspace import TASK, lay_out
from rloop_agent.testing import SESSION


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    found.gateway.files["train.py"] = "print('the task')"
    yield found
    found.close()


@pytest.fixture
def workspace(server: Server, tmp_path: Path) -> Path:
    lay_out(tmp_path, server.gateway.context(), server.gateway.task())
    return tmp_path


def said(result: CallToolResult) -> str:
    (part,) = result.content
    assert isinstance(part, TextContent)
    return part.text


async def session(server: Server, workspace: Path, *calls: tuple[str, dict[str, object]]) -> list[CallToolResult]:
    environment = {
        "RLOOP_GATEWAY": server.url,
        "RLOOP_TOKEN": TOKEN,
        "RLOOP_SESSION": SESSION,
        "RLOOP_WORKSPACE": str(workspace),
    }
    started = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "rloop_agent.clients.tools_server"], env=environment
    )
    async with stdio_client(started) as (reading, writing), ClientSession(reading, writing) as client:
        await client.initialize()
        tools = {one.name for one in (await client.list_tools()).tools}
        assert not tools & THE_CLIENTS_OWN
        assert {"propose_direction", "submit_experiment", "wait_for_results", "finish"} <= tools
        return [await client.call_tool(name, arguments) for name, arguments in calls]


def test_the_folder_as_it_is_becomes_the_experiment(server: Server, workspace: Path) -> None:
    recipe = workspace / TASK / "recipe.json"
    document = json.loads(recipe.read_text()) | {"rate": 0.25}
    recipe.write_text(json.dumps(document))
    (workspace / TASK / "notes.txt").write_text("of the client")
    calls = asyncio.run(
        session(
            server,
            workspace,
            ("propose_direction", {"title": "rates", "hypothesis": "too small", "frame": {}}),
            ("submit_experiment", {"title": "a higher rate"}),
            ("finish", {"handoff": "Tried a higher rate."}),
        )
    )
    assert [one.is_error for one in calls] == [False, False, False], [said(one) for one in calls]
    told = json.loads(said(calls[1]))
    assert told["files"] == ["recipe.json"]
    assert told["not_part_of_it"] == ["notes.txt"]
    assert json.loads(server.gateway.requests[1].files["recipe.json"])["rate"] == 0.25
    assert server.gateway.handoff == "Tried a higher rate."


def test_a_sealed_file_is_named_and_nothing_is_submitted(server: Server, workspace: Path) -> None:
    (workspace / TASK / "train.py").write_text("print('mine')")
    (refused, unknown) = asyncio.run(
        session(server, workspace, ("submit_experiment", {"title": "x"}), ("read_file", {"path": "recipe.json"}))
    )
    assert refused.is_error
    assert said(refused).startswith("Error: ")
    assert unknown.is_error
    assert 'no tool "read_file"' in said(unknown)
    assert server.gateway.requests == {}
