"""`python -m rloop_agent.clients.tools_server`: the tools of a session, as an MCP server over stdio.

Started by a coding agent in its session. An experiment is submitted as the folder is, so no model
has to type a file into a call; the client's own tools read and write files. Tools, checks and sentences are those of
the built-in agent (`rloop_agent.llm.tools`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Protocol

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from pydantic import Field, TypeAdapter

from rloop.api.wire import FinishRequest, TaskFiles
from rloop_agent.client import Client
from rloop_agent.clients.workspace import TASK
from rloop_agent.environment import token_of
from rloop_agent.gateway import AgentError, Gateway
from rloop_agent.llm import roles
from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.research import WaitForResults
from rloop_agent.llm.tools.scratch import Scratch
from rloop_agent.llm.tools.session_state import Arguments, SessionState, called, described

THE_CLIENTS_OWN = frozenset({"list_files", "read_file", "write_file", "edit_file", "run_command"})
"""Tools that every coding agent has itself."""
BEGINNINGS = ("Error: ", "Refused (")
"""How the text of a call that failed begins (`session_state.called`)."""


class WaitBriefly(WaitForResults):
    """Wait until an experiment moves on, or the seconds are over. The next session sees results anyway."""

    # Clients give up on calls that take longer than a minute.
    seconds: Annotated[int, Field(ge=1, le=50)] = 45


def tools_of(state: SessionState) -> dict[str, dict[str, Any]]:
    """The tools of the session's role, by name, in the format of chat.completions."""
    found = {one["function"]["name"]: one["function"] for one in registry.descriptions(state.context)}
    if "wait_for_results" in found:
        found["wait_for_results"] = described("wait_for_results", WaitBriefly)["function"]
    return {name: one for name, one in found.items() if name not in THE_CLIENTS_OWN}


class Tools(Protocol):
    """What is served: tools, and what a client should know of them."""

    instructions: str
    tools: dict[str, dict[str, Any]]
    """By name, in the format of chat.completions."""
    stopped: threading.Event
    """Set once the client has closed the pipe."""

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of a call as text. Raises AgentError."""


class Session:
    """The session as its client's calls see it. One call at a time: they share a folder."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        began = time.monotonic()
        self._gateway = gateway
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        context = gateway.context()
        closing = context.session.role in roles.CLOSING
        task = TaskFiles(files={}) if closing else gateway.task()
        scratch = Scratch(folder / TASK, task, context.editable, context.handoff.drafts if context.handoff else {})
        scratch.compare_with(context.incumbent.name, context.incumbent.files)
        self.state = SessionState.begin(
            gateway,
            context,
            scratch,
            self.stopped.wait,
            self.stopped.is_set,
            lambda: context.session.session_seconds - (time.monotonic() - began),
        )
        self.tools = tools_of(self.state)
        self.instructions = roles.rules(context.session.role)
        self.finished = False
        """Whether the client has called finish with success."""

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of a call as text. A refusal is a text too: the model reads it and goes on."""
        if name not in self.tools:
            return f'Error: there is no tool "{name[:100]}". The tools are: {", ".join(self.tools)}.'
        tool: type[Arguments] = WaitBriefly if name == "wait_for_results" else registry.of(self._role)[name]
        with self._lock:
            told = called(name, tool, self.state, TypeAdapter(dict[str, Any]).dump_json(arguments).decode())
            if self.state.handoff is not None:
                request = FinishRequest(handoff=self.state.handoff, drafts=self.state.drafts)
                self.state.handoff = None
                self._gateway.finish(request)
                self.finished = True
        return told

    @property
    def _role(self) -> str:
        return self.state.context.session.role


async def serve(served: Tools) -> None:
    """Serve until the client closes the pipe."""

    async def listed(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(name=name, description=one["description"], input_schema={"type": "object", **one["parameters"]})
                for name, one in served.tools.items()
            ]
        )

    async def answered(_: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        try:
            told = await anyio.to_thread.run_sync(served.call, params.name, params.arguments or {})
        except AgentError as error:
            told = f"Error: {error}"
        return CallToolResult(content=[TextContent(type="text", text=told)], is_error=told.startswith(BEGINNINGS))

    server = Server(
        "rloop",
        version=version("rloop"),
        title="ResearchLoop",
        instructions=served.instructions,
        on_list_tools=listed,
        on_call_tool=answered,
    )
    try:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    finally:
        served.stopped.set()


def main() -> int:
    """The server of the session that the environment names. Returns the exit code."""
    address, workspace = os.environ.get("RLOOP_GATEWAY"), os.environ.get("RLOOP_WORKSPACE")
    if not address or not workspace:
        print(
            "RLOOP_GATEWAY and RLOOP_WORKSPACE are not set: a client of a session starts this program", file=sys.stderr
        )
        return 2
    client = Client(address, token_of(os.environ))
    try:
        session = Session(client, Path(workspace))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(session))
    except AgentError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
