"""The gateway's verbs as tools of an MCP server: for an agent that knows nothing of us but an address and a token.

Called by `gateway.app` at `/mcp`, and loaded at the first request there. Made of the table of verbs, so that a tool can
neither be forgotten nor differ from its verb. Nothing outlives a request: no session, no stream. So a restart of the
gateway is no event for a client, and the SDK's manager, which wants to be run as long as its server, lives as long as
the one request that it serves.
"""

from __future__ import annotations

import json
import re
from functools import cache
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
from starlette.types import Receive, Scope, Send

from rloop.errors import Refused
from rloop_operator.gateway.app import BODY_BYTES, answer, problem_of
from rloop_operator.gateway.service import Gateway
from rloop_operator.gateway.verbs import VERBS, Verb, operation_id
from rloop_operator.ports import Caller

INSTRUCTIONS = """\
You are a fresh session of a research campaign, and these tools are all of it that you can reach. Begin with
get_context: what is to be found, what you may change, what was tried, and how much you may do. get_task gives the
files. Propose a direction, then experiments in it (sequence counts up from session.nextSequence; to send one again is
harmless). They are run and measured by others: get_experiments shows what was verified, and only that counts. A refusal
says why, and what to do instead. Nobody answers questions. When you are done, or told Closed, call post_finish with
what the next session should know.
"""


def tools() -> dict[str, Verb]:
    """Verb by the name of its tool."""
    return {operation_id(verb): verb for verb in VERBS if not verb.of_a_relay}


async def serve(gateway: Gateway, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of a caller who is known."""

    async def listed(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(name) for name in tools()])

    async def called(_: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        try:
            reply = await _call(gateway, caller, params.name, params.arguments or {})
        except Refused as refused:
            # An error of the tool, not of the protocol: a model is to read it and do better.
            return CallToolResult(content=[_text(problem_of(refused).model_dump_json())], is_error=True)
        return CallToolResult(content=[_text(reply.decode() or "done")])

    server = Server("rloop", instructions=INSTRUCTIONS, on_list_tools=listed, on_call_tool=called)
    # Without its check of Host and Origin: whoever holds no token was turned away already.
    manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True, max_request_body_size=BODY_BYTES)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


async def _call(gateway: Gateway, caller: Caller, name: str, arguments: dict[str, Any]) -> bytes:
    verb = tools().get(name)
    if verb is None:
        raise Refused("NotFound", f'there is no tool "{name}": use {", ".join(tools())}')
    body = dict(arguments)
    place = ""
    for parameter in _parameters(verb):
        place = body.pop(parameter, "")
        if not isinstance(place, str) or not place:
            raise Refused("Malformed", f"{parameter}: is missing, or no text")
    if verb.request is None and body:
        raise Refused("Malformed", f"{next(iter(body))}: {name} has no such argument; leave it out")
    return await answer(verb, gateway, caller, json.dumps(body).encode(), place)


@cache
def _tool(name: str) -> Tool:
    verb = tools()[name]
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    if verb.request is not None:
        schema = verb.request.model_json_schema(by_alias=True)
    for parameter in _parameters(verb):
        schema["properties"][parameter] = {"type": "string"}
        schema["required"] = [*schema.get("required", []), parameter]
    reads = verb.method == "GET"
    annotations = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
    return Tool(name=name, description=verb.summary, input_schema=schema, annotations=annotations)


def _parameters(verb: Verb) -> list[str]:
    return re.findall(r"{(\w+)}", verb.path)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
