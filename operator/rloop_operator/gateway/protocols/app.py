"""HTTP API of the gateway: a thin layer of routes over `gateway.verbs.service`, with its OpenAPI document.

Served by the local shell on loopback, and by the gateway process in a cluster. A handler only parses the request, calls
the service and returns its reply. `/mcp` serves the same verbs as tools of an MCP server
(`gateway.protocols.mcp_server`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rloop.api.wire import Problem
from rloop.errors import Refused, RloopError
from rloop_operator.gateway.protocols import openapi
from rloop_operator.gateway.protocols.answering import BODY_BYTES, answer, problem_of
from rloop_operator.gateway.protocols.hosts import LOOPBACK, OwnHosts
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.gateway.verbs.table import VERBS, Verb
from rloop_operator.ports import Caller, Identity

log = structlog.get_logger("rloop.gateway")
CODES = {"Malformed": 422, "NotFound": 404, "Busy": 429, "Unavailable": 503}
"""HTTP status by reason of a refusal; all other reasons are 409."""
RETRY_SECONDS = 2


def app(gateway_of: Callable[[Caller], Gateway], identity: Identity, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """The ASGI application. `gateway_of` returns the gateway of a caller's namespace; `hosts` are its host names."""
    routes = [Route(_route(verb), _endpoint(verb, gateway_of, identity), methods=[verb.method]) for verb in VERBS]
    routes.append(Route("/openapi.json", lambda _request: JSONResponse(openapi.document())))
    routes.append(Route("/mcp", _Tools(gateway_of, identity), methods=["POST"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(OwnHosts, hosts=hosts)],
        exception_handlers={HTTPException: _no_route, Exception: _defect},
    )


def _route(verb: Verb) -> str:
    """Route of the verb. Its parameter `name` may contain slashes."""
    return verb.path.replace("{name}", "{name:path}")


def load_tools() -> None:
    """Load the MCP server's SDK in advance. It takes a second, which a client's first request would otherwise wait."""
    from rloop_operator.gateway.protocols import mcp_server

    assert mcp_server


def _endpoint(
    verb: Verb, gateway_of: Callable[[Caller], Gateway], identity: Identity
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = await _caller(request, identity)
            if caller is None:
                return _unauthorized()
            await gateway_of(caller).called(caller)
            content = await _content_of(request) if verb.request is not None else b""
            reply = await answer(verb, gateway_of(caller), caller, content, request.path_params.get("name", ""))
        except Refused as refused:
            return _refusal(refused)
        return Response(reply, media_type="application/json") if reply else Response(status_code=204)

    return endpoint


class _Tools:
    """Serves the MCP server. Callers are authenticated by the same tokens as for the HTTP verbs."""

    def __init__(self, gateway_of: Callable[[Caller], Gateway], identity: Identity) -> None:
        self._gateway_of = gateway_of
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            caller = await _caller(Request(scope), self._identity)
        except Refused as refused:
            await _refusal(refused)(scope, receive, send)
            return
        if caller is None:
            await _unauthorized()(scope, receive, send)
            return
        await self._gateway_of(caller).called(caller)
        # Imported late: the SDK takes a second to load, and a campaign without MCP clients does not need it.
        from rloop_operator.gateway.protocols import mcp_server

        await mcp_server.serve(self._gateway_of(caller), caller, scope, receive, send)


async def _caller(request: Request, identity: Identity) -> Caller | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    peer = request.client.host if request.client else ""
    try:
        return await identity.caller(token, peer) if scheme.lower() == "bearer" else None
    except Refused:
        raise
    except RloopError as error:
        log.warning("caller_unknown", detail=str(error))
        raise Refused("Unavailable", "the token cannot be checked at the moment: try again") from error


async def _content_of(request: Request) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > BODY_BYTES:
                raise Refused("Malformed", f"the body is larger than {BODY_BYTES} bytes")
    except ClientDisconnect as error:
        raise Refused("Malformed", "the body is incomplete") from error
    return bytes(content)


def _unauthorized() -> Response:
    told = "the token belongs to no live session of this loop"
    return _problem(401, Problem(reason="Unauthorized", message=told), {"WWW-Authenticate": 'Bearer realm="rloop"'})


def _refusal(refused: Refused) -> Response:
    code = CODES.get(refused.reason, 409)
    headers = {"Retry-After": str(RETRY_SECONDS)} if code in (429, 503) else {}
    return _problem(code, problem_of(refused), headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # Starlette lists only the methods of the first route of this path
        routes = (one for one in request.app.routes if one.path_regex.match(request.url.path))
        headers["Allow"] = ", ".join(sorted({method for one in routes for method in one.methods}))
    reason = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, f"Http{error.status_code}")
    problem = Problem(reason=reason, message=f"{error.detail}: see /openapi.json for all verbs")
    return _problem(error.status_code, problem, headers)


async def _defect(request: Request, error: Exception) -> Response:
    """Handler of last resort. Starlette raises the error again, so the server logs it."""
    log.error("defect", path=request.url.path, error=type(error).__name__)
    return _problem(500, Problem(reason="Defect", message="internal error of the gateway; see its log"), {})


def _problem(code: int, problem: Problem, headers: dict[str, str]) -> Response:
    return Response(problem.model_dump_json(), code, headers, media_type="application/json")
