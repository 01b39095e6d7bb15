"""The gateway's process in a cluster: the same verbs as on a laptop, callers authenticated by TokenReview.

Run as `python -m rloop_operator.cluster.gateway` in its own StatefulSet. It has no state of its own: it may be
restarted at any time, and agents retry.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from rloop_operator import http_server
from rloop_operator.cluster.access.identity import KubeIdentity
from rloop_operator.cluster.access.token_reviews import Reach
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.archive import Cache
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.telemetry import health, metrics, process_logs
from rloop_operator.cluster.telemetry.health import Part
from rloop_operator.cluster.workloads.life_signs import GatewaySigns
from rloop_operator.gateway.protocols.app import app, load_tools
from rloop_operator.gateway.protocols.hosts import LOOPBACK
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller

log = structlog.get_logger("rloop.gateway")
PORT = 8080


def _now() -> datetime:
    return datetime.now(UTC)


def own_hosts(environment: Mapping[str, str]) -> frozenset[str]:
    """Host names under which agents and relays reach the gateway: by its URL, its Service or a port-forward."""
    namespace = environment.get("RLOOP_NAMESPACE", "")
    service = [f"rloop-gateway{suffix}" for suffix in ("", f".{namespace}", f".{namespace}.svc")]
    url = urlsplit(environment.get("RLOOP_GATEWAY_URL", "")).hostname or ""
    return LOOPBACK | {url, *service, f"{service[-1]}.cluster.local", environment.get("RLOOP_GATEWAY_SERVICE_HOST", "")}


class Counted:
    """ASGI middleware that counts requests by route, so that a name in a path creates no metric series of its own."""

    def __init__(self, application: Starlette) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun, code = time.monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        try:
            await self._application(scope, receive, sending)
        finally:
            verb = self._verb(scope)
            metrics.GATEWAY_REQUESTS.labels(verb, str(code)).inc()
            metrics.GATEWAY_SECONDS.labels(verb).observe(time.monotonic() - begun)

    def _verb(self, scope: Scope) -> str:
        for route in self._application.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                return f"{scope['method']} {route.path}"
        return "other"


def application(api: client.Kube, hosts: frozenset[str]) -> Counted:
    """The agents' API for the callers of all namespaces."""
    signs, cache = GatewaySigns(api), Cache()
    gateways: dict[str, Gateway] = {}

    def gateway_of(caller: Caller) -> Gateway:
        # Each request is a task of its own, so only the log lines of this request get these values.
        structlog.contextvars.bind_contextvars(namespace=caller.namespace, loop=caller.loop)
        if caller.namespace not in gateways:
            store = KubeStore(api, caller.namespace, cache=cache)
            gateways[caller.namespace] = Gateway(store, signs, now=_now, changed=lambda: None)
        return gateways[caller.namespace]

    return Counted(app(gateway_of, KubeIdentity(api), hosts))


async def run() -> None:
    """Serve until the process ends."""
    async with client.connected(manager="rloop-gateway") as api:
        served = application(api, own_hosts(os.environ))
        server = uvicorn.Server(http_server.config(served, host=health.EVERYWHERE, port=PORT))
        reach = Reach(api)
        log.info("started", port=PORT)
        serving = Part("http", lambda: "" if server.started else f"no process listens on port {PORT} yet")
        parts = [serving, *reach.parts()]
        # In the background: it takes as long as all other imports, and the first session needs it much later.
        loading = asyncio.create_task(asyncio.to_thread(load_tools))
        await health.until_first_ends(server.serve(), reach.watch(), health.serve(parts, metrics.GATEWAY))
        await loading


def main() -> None:
    """Entry point of the process."""
    process_logs.configure()
    asyncio.run(run())


if __name__ == "__main__":
    main()
