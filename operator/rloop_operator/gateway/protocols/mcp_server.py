"""The gateway's verbs as tools of an MCP server, for agents that are given only an address and a token.

Called by `gateway.protocols.app` at `/mcp`. The tools are generated from the table of verbs, so none can be missing or
differ from its verb. The server is stateless: no MCP session and no stream outlives a request, so clients do not notice
a restart of the gateway. The SDK's session manager must run as long as its server, so both are created for each
request.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import version
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from mcp_types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from rloop.errors import Refused
from rloop_operator.gateway.protocols import tool_schemas
from rloop_operator.gateway.protocols.answering import BODY_BYTES, answer, problem_of
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.gateway.verbs.table import VERBS, Verb
from rloop_operator.ports import Caller

VERSION_HEADER = "mcp-protocol-version"
HTTP_VERB = re.compile(r"\b(GET|POST) ([a-z]+)(?:/([\w.-]+))?(/verdict)?")
"""How refusals name a verb: `POST finish`, `GET experiments/NAME`."""
TOOL_OF = {(verb.method, verb.path): verb.tool for verb in VERBS if not verb.of_a_relay}
INSTRUCTIONS = """\
You are a fresh session of a research campaign, and these tools are all of it that you can reach. Begin with
read_context: what is to be found, what you may change, what was tried, and how much you may do. read_task gives the
files. Propose a direction, then experiments in it (sequence counts up from session.nextSequence; to send one again is
harmless). They are run and measured by others: read_results shows what was verified, and only that counts. A refusal
says why, and what to do instead. Nobody answers questions. When you are done, or told Closed, call finish with
what the next session should know. Which tools you have depends on your role (session.role).
"""


def tools() -> dict[str, Verb]:
    """Verbs by the names of their tools."""
    return {verb.tool: verb for verb in VERBS if not verb.of_a_relay}


async def serve(gateway: Gateway, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request of an authenticated caller."""
    asked = Headers(scope=scope).get(VERSION_HEADER)
    if asked is not None and asked not in KNOWN_PROTOCOL_VERSIONS:
        await _unsupported(asked)(scope, receive, send)
        return

    async def listed(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        role = await gateway.role(caller)
        return ListToolsResult(tools=[_tool(name) for name, verb in tools().items() if role in verb.roles])

    async def called(_: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        try:
            reply = await _call(gateway, caller, params.name, params.arguments or {})
        except Refused as refused:
            # An error of the tool, not of the protocol: the model reads it and can correct its call.
            problem = problem_of(Refused(refused.reason, in_tool_names(refused.message)))
            return CallToolResult(content=[_text(problem.model_dump_json())], is_error=True)
        return CallToolResult(content=[_text(json.dumps(reply, ensure_ascii=False))], structured_content=reply)

    server = Server(
        "rloop",
        version=version("rloop"),
        title="ResearchLoop",
        instructions=INSTRUCTIONS,
        on_list_tools=listed,
        on_call_tool=called,
        get_tool_input_schema=lambda name: _tool(name).input_schema if name in tools() else None,
    )
    # Host and Origin are not checked here: `gateway.protocols.hosts` does that for every route.
    manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True, max_request_body_size=BODY_BYTES)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def in_tool_names(message: str) -> str:
    """A refusal's message in which HTTP verbs are replaced by names of tools."""

    def named(found: re.Match[str]) -> str:
        method, noun, one, verdict = found.groups()
        tool = TOOL_OF.get((method, f"/v1/{noun}{'/{name}' if one else ''}{verdict or ''}"))
        if tool is None:
            return found[0]
        return f"{tool} of {one}" if one and one != "NAME" else tool

    return HTTP_VERB.sub(named, message)


def _unsupported(asked: str) -> JSONResponse:
    """Response for an unsupported protocol version.

    The protocol requires status 400 since 2025-06-18, and the list of supported versions since 2026.
    """
    data = {"supported": list(KNOWN_PROTOCOL_VERSIONS), "requested": asked}
    error = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": "Unsupported protocol version", "data": data}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)


async def _call(gateway: Gateway, caller: Caller, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Result of a tool as an object; a list becomes its member `items`."""
    verb = tools().get(name)
    if verb is None:
        raise Refused("NotFound", f'there is no tool "{name}": use {", ".join(tools())}')
    body = dict(arguments)
    place = ""
    for parameter in _parameters(verb):
        place = body.pop(parameter, "")
        if not isinstance(place, str) or not place:
            raise Refused("Malformed", f"{parameter}: is missing, or not text")
    if verb.request is None and body:
        raise Refused("Malformed", f"{next(iter(body))}: {name} has no such argument; leave it out")
    reply = json.loads(await answer(verb, gateway, caller, json.dumps(body).encode(), place))
    if isinstance(reply, list):
        return {"items": reply}
    if "leftOut" in reply and isinstance(reply["leftOut"], list):
        reply["leftOut"] = [in_tool_names(line) for line in reply["leftOut"]]
    return dict(reply)


@cache
def _tool(name: str) -> Tool:
    verb = tools()[name]
    reads = verb.method == "GET"
    annotations = ToolAnnotations(
        title=verb.title, read_only_hint=reads, destructive_hint=False, idempotent_hint=reads, open_world_hint=False
    )
    return Tool(
        name=name,
        title=verb.title,
        description=verb.summary,
        input_schema=tool_schemas.of_arguments(verb.request, _parameters(verb)),
        output_schema=tool_schemas.of_result(verb.reply),
        annotations=annotations,
    )


def _parameters(verb: Verb) -> list[str]:
    return re.findall(r"{(\w+)}", verb.path)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
