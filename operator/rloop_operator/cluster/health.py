"""A health endpoint for the kubelet: 200 while the process really does its work, 503 when it does not.

Served by the operator and the gateway on a port of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PORT = 8081
EVERYWHERE = "0.0.0.0"  # noqa: S104 -- a pod is reached at its own address; by whom, NetworkPolicies say


async def serve(alive: Callable[[], bool], port: int = PORT) -> None:
    """Serve /healthz for ever."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok") if alive() else PlainTextResponse("not working", 503)

    application = Starlette(routes=[Route("/healthz", healthz)])
    config = uvicorn.Config(application, host=EVERYWHERE, port=port, log_config=None, access_log=False, lifespan="off")
    await uvicorn.Server(config).serve()
