"""A health endpoint for the kubelet: 200 while the process really does its work, 503 when it does not.

Served by the operator, the gateway and the guard on a port of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PORT = 8081


async def serve(alive: Callable[[], bool], port: int = PORT) -> None:
    """Serve /healthz for ever."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok") if alive() else PlainTextResponse("not working", 503)

    application = Starlette(routes=[Route("/healthz", healthz)])
    # Pods listen on all their addresses: who may reach them is the business of NetworkPolicies.
    config = uvicorn.Config(application, host="0.0.0.0", port=port, log_config=None, access_log=False, lifespan="off")  # noqa: S104
    await uvicorn.Server(config).serve()
