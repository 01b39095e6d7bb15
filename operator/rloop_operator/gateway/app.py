"""The gateway's HTTP: a thin shell of routes around `gateway.service`, with its OpenAPI document.

Run by the local shell on loopback, and by the cluster's own gateway process. A handler only parses, calls and returns.
The same verbs are tools of an MCP server at `/mcp`, which is `gateway.tools`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rloop.api.wire import Problem
from rloop.errors import Conflict, NotFound, Refused
from rloop_operator.gateway import openapi
from rloop_operator.gateway.service import Gateway
from rloop_operator.gateway.verbs import VERBS, Verb
from rloop_operator.ports import Caller, Identity

BODY_BYTES = 2 * 1024 * 1024
CODES = {"Malformed": 422, "NotFound": 404}
"""Of a refusal by its reason; every other is 409."""


def app(gateway_of: Callable[[Caller], Gateway], identity: Identity) -> Starlette:
    """The ASGI application. `gateway_of` gives the gateway of a caller's namespace."""
    routes = [Route(_route(verb), _endpoint(verb, gateway_of, identity), methods=[verb.method]) for verb in VERBS]
    routes.append(Route("/openapi.json", lambda _request: JSONResponse(openapi.document())))
    routes.append(Route("/mcp", _Tools(gateway_of, identity), methods=["POST"]))
    return Starlette(routes=routes)


def _route(verb: Verb) -> str:
    """A name may be a path."""
    return verb.path.replace("{name}", "{name:path}")


async def answer(verb: Verb, gateway: Gateway, caller: Caller, content: bytes, name: str) -> bytes:
    """Do it; the reply's body as JSON, empty if it has none. Raises Refused, whatever the reason is."""
    try:
        body = verb.request.model_validate_json(content or b"{}") if verb.request is not None else None
        reply = await verb.handler(gateway, caller, body, name)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Refused("Malformed", f"{where}: {first['msg']}") from error
    except NotFound as error:
        raise Refused("NotFound", str(error)) from error
    except Conflict as error:
        raise Refused("Busy", f"{error}; try again") from error
    return b"" if verb.reply is None else TypeAdapter(verb.reply).dump_json(cast("Any", reply), by_alias=True)


def problem_of(refused: Refused) -> Problem:
    """What is told of a refusal."""
    return Problem(reason=refused.reason, message=refused.message[:1024])


def _endpoint(
    verb: Verb, gateway_of: Callable[[Caller], Gateway], identity: Identity
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        caller = await _caller(request, identity)
        if caller is None:
            return _unauthorized()
        try:
            content = await _content_of(request) if verb.request is not None else b""
            reply = await answer(verb, gateway_of(caller), caller, content, request.path_params.get("name", ""))
        except Refused as refused:
            return _problem(CODES.get(refused.reason, 409), problem_of(refused))
        return Response(reply, media_type="application/json") if reply else Response(status_code=204)

    return endpoint


class _Tools:
    """The MCP server's place: the same callers, who are known by the same tokens."""

    def __init__(self, gateway_of: Callable[[Caller], Gateway], identity: Identity) -> None:
        self._gateway_of = gateway_of
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = await _caller(Request(scope), self._identity)
        if caller is None:
            await _unauthorized()(scope, receive, send)
            return
        # The SDK takes a second to load, which no campaign is to wait for whose agents do not speak MCP.
        from rloop_operator.gateway import tools

        await tools.serve(self._gateway_of(caller), caller, scope, receive, send)


async def _caller(request: Request, identity: Identity) -> Caller | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    peer = request.client.host if request.client else ""
    return await identity.caller(token, peer) if scheme.lower() == "bearer" else None


async def _content_of(request: Request) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > BODY_BYTES:
                raise Refused("Malformed", f"the body is larger than {BODY_BYTES} bytes")
    except ClientDisconnect as error:
        raise Refused("Malformed", "the body was not sent to its end") from error
    return bytes(content)


def _unauthorized() -> Response:
    told = "the token is not that of a live session of this loop"
    return _problem(401, Problem(reason="Unauthorized", message=told))


def _problem(code: int, problem: Problem) -> Response:
    return Response(problem.model_dump_json(), code, media_type="application/json")
