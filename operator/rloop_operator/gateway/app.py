"""The gateway's HTTP: a thin shell of routes around `gateway.service`, with its OpenAPI document.

Run by the local shell on loopback, and by the cluster's own gateway process. A handler only parses, calls and returns.
The same verbs are tools of an MCP server at `/mcp`: `gateway.tools` makes them of the table below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import Direction, Finding
from rloop.api.wire import (
    Context,
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Problem,
    Reference,
    ReferenceText,
    TaskFiles,
)
from rloop.errors import Conflict, NotFound, Refused
from rloop_operator.gateway.service import Gateway
from rloop_operator.ports import Caller, Identity

BODY_BYTES = 2 * 1024 * 1024
CODES = {"Malformed": 422, "NotFound": 404}
"""Of a refusal by its reason; every other is 409."""
Handler = Callable[[Gateway, Caller, Any, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the gateway."""

    method: str
    path: str
    summary: str
    request: type[BaseModel] | None
    reply: Any
    """Type of the reply's body; None: 204."""
    handler: Handler
    of_a_relay: bool = False
    """A run's relay calls it, and no agent: it is no tool."""


VERBS = (
    Verb(
        "GET",
        "/v1/context",
        "All that a fresh session needs",
        None,
        Context,
        lambda g, c, _b, _n: g.context(c),
    ),
    Verb("GET", "/v1/task", "The sealed task's files", None, TaskFiles, lambda g, c, _b, _n: g.task(c)),
    Verb(
        "POST",
        "/v1/directions",
        "Propose a direction",
        DirectionRequest,
        Direction,
        lambda g, c, b, _n: g.propose_direction(c, b),
    ),
    Verb(
        "POST",
        "/v1/experiments",
        "Propose an experiment; idempotent by sequence",
        ExperimentRequest,
        ExperimentView,
        lambda g, c, b, _n: g.propose_experiment(c, b),
    ),
    Verb(
        "GET",
        "/v1/experiments",
        "All experiments",
        None,
        list[ExperimentView],
        lambda g, c, _b, _n: g.experiments(c),
    ),
    Verb(
        "GET",
        "/v1/experiments/{name}",
        "One experiment with its difference, curves and log; discards too",
        None,
        ExperimentDetail,
        lambda g, c, _b, n: g.experiment(c, n),
    ),
    Verb(
        "GET",
        "/v1/references",
        "Papers and documents to read",
        None,
        list[Reference],
        lambda g, c, _b, _n: g.references(c),
    ),
    Verb(
        "GET",
        "/v1/references/{name}",
        "What one of them says, by its path",
        None,
        ReferenceText,
        lambda g, c, _b, n: g.reference(c, n),
    ),
    Verb(
        "POST",
        "/v1/findings",
        "Record a finding with its evidence",
        FindingRequest,
        Finding,
        lambda g, c, b, _n: g.propose_finding(c, b),
    ),
    Verb(
        "POST",
        "/v1/findings/{name}/verdict",
        "Say whether its evidence supports a finding (a checker's)",
        FindingVerdict,
        Finding,
        lambda g, c, b, n: g.judge_finding(c, n, b),
    ),
    Verb(
        "POST",
        "/v1/heartbeat",
        "Alive, and in which round",
        HeartbeatRequest,
        HeartbeatReply,
        lambda g, c, b, _n: g.heartbeat(c, b.round),
    ),
    Verb(
        "POST",
        "/v1/progress",
        "A run's step and claims, from its relay",
        ProgressRequest,
        None,
        lambda g, c, b, _n: g.progress(c, b),
        of_a_relay=True,
    ),
    Verb("POST", "/v1/finish", "The session is done", FinishRequest, None, lambda g, c, b, _n: g.finish(c, b)),
)


def app(gateway_of: Callable[[Caller], Gateway], identity: Identity) -> Starlette:
    """The ASGI application. `gateway_of` gives the gateway of a caller's namespace."""
    routes = [Route(_route(verb), _endpoint(verb, gateway_of, identity), methods=[verb.method]) for verb in VERBS]
    routes.append(Route("/openapi.json", lambda _request: JSONResponse(openapi())))
    routes.append(Route("/mcp", _Tools(gateway_of, identity), methods=["POST"]))
    return Starlette(routes=routes)


def _route(verb: Verb) -> str:
    """A name may be a path."""
    return verb.path.replace("{name}", "{name:path}")


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the verbs."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for verb in VERBS:
        problem = _content(Problem, schemas)
        operation: dict[str, Any] = {
            "summary": verb.summary,
            "operationId": operation_id(verb),
            "security": [{"token": []}],
            "responses": {
                "401": {"description": "the token is not that of a live session", "content": problem},
                "404": {"description": "there is no such object", "content": problem},
                "409": {"description": "refused, with reason and remedy", "content": problem},
                "422": {"description": "the body is malformed", "content": problem},
            },
        }
        if verb.reply is None:
            operation["responses"]["204"] = {"description": "done"}
        else:
            operation["responses"]["200"] = {"description": "done", "content": _content(verb.reply, schemas)}
        if verb.request is not None:
            operation["requestBody"] = {"required": True, "content": _content(verb.request, schemas)}
        if "{name}" in verb.path:
            operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
        paths.setdefault(verb.path, {})[verb.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ResearchLoop gateway",
            "version": "v1",
            "description": "What agents can reach. The same verbs, but for the relay's, are tools at /mcp (MCP).",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation_id(verb: Verb) -> str:
    """The verb in one word; as a tool it has the same name."""
    words = verb.path.removeprefix("/v1").replace("{", "").replace("}", "")
    return verb.method.lower() + words.replace("/", "_")


def _content(type_: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(type_).json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
    schemas.update(schema.pop("$defs", {}))
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        schemas[type_.__name__] = schema
        schema = {"$ref": f"#/components/schemas/{type_.__name__}"}
    return {"application/json": {"schema": schema}}


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
    return await identity.caller(token) if scheme.lower() == "bearer" else None


async def _content_of(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES:
            raise Refused("Malformed", f"the body is larger than {BODY_BYTES} bytes")
    return content


def _unauthorized() -> Response:
    told = "the token is not that of a live session of this loop"
    return _problem(401, Problem(reason="Unauthorized", message=told))


def _problem(code: int, problem: Problem) -> Response:
    return Response(problem.model_dump_json(), code, media_type="application/json")
