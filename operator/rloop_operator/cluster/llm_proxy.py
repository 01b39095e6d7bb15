"""The LLM proxy's process in a cluster: the only pod that mounts providers' keys.

Run as `python -m rloop_operator.cluster.llm_proxy` in its own StatefulSet, created only if providers are configured.
The usage of sessions is stored in their iterations: the proxy may be restarted at any time, and charges open reserves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn

from rloop.errors import BadInput
from rloop_operator import http_server
from rloop_operator.cluster.access.identity import KubeIdentity
from rloop_operator.cluster.access.token_reviews import Reach
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.telemetry import health, metrics, process_logs
from rloop_operator.cluster.telemetry.health import Part
from rloop_operator.llm_proxy.app import Proxy
from rloop_operator.llm_proxy.terms.providers import Providers, load

log = structlog.get_logger("rloop.llm_proxy")
PORT = 8080
SHOWN = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
SHOW_SECONDS = 5.0
STOP_SECONDS = 15
"""Grace period for responses in progress; that of the pod is 30 s."""


async def show_breakers(proxy: Proxy) -> None:
    """Update the metric of the circuit breakers until cancelled."""
    while True:
        for (provider, model), state in proxy.upstream.states().items():
            metrics.LLM_BREAKER.labels(provider, model).set(SHOWN[state])
        await asyncio.sleep(SHOW_SECONDS)


async def run(providers: Providers) -> None:
    """Serve until the process ends."""
    async with client.connected(manager="rloop-proxy") as api:
        stores: dict[str, KubeStore] = {}

        def store_of(namespace: str) -> KubeStore:
            if namespace not in stores:
                stores[namespace] = KubeStore(api, namespace)
            return stores[namespace]

        identity = KubeIdentity(api, roles=("agent",))
        proxy = Proxy(providers, identity, store_of, now=lambda: datetime.now(UTC), tell=metrics.llm_call)
        config = http_server.config(
            proxy.application(), host=health.EVERYWHERE, port=PORT, timeout_graceful_shutdown=STOP_SECONDS
        )
        server = uvicorn.Server(config)
        reach = Reach(api)
        log.info("started", port=PORT, providers=[one.name for one in providers.providers])
        serving = Part("http", lambda: "" if server.started else f"no process listens on port {PORT} yet")
        parts: Sequence[Part] = [serving, *reach.parts()]
        keeping = asyncio.create_task(proxy.keep())
        try:
            await health.until_first_ends(
                server.serve(), keeping, reach.watch(), show_breakers(proxy), health.serve(parts, metrics.PROXY)
            )
        finally:  # while usage can still be written to the API server
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping


def main() -> None:
    """Entry point of the process."""
    process_logs.configure()
    try:
        providers = load(Path(os.environ.get("RLOOP_PROVIDERS", "/etc/rloop/providers/providers.yaml")))
    except BadInput as error:
        log.error("bad_configuration", detail=str(error))  # noqa: TRY400 -- a user's mistake needs no traceback
        sys.exit(2)
    asyncio.run(run(providers))


if __name__ == "__main__":
    main()
