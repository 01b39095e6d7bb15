"""The gateway's process in a cluster: the same verbs as on a laptop, callers known by TokenReview.

Run as `python -m rloop_operator.cluster.gateway` in its own StatefulSet. Without state of its own: it may be
restarted at any time, and agents try again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
import uvicorn

from rloop_operator.cluster import health, kube
from rloop_operator.cluster.identity import KubeIdentity
from rloop_operator.cluster.signs import GatewaySigns
from rloop_operator.cluster.store import KubeStore
from rloop_operator.gateway.app import app
from rloop_operator.gateway.service import Gateway
from rloop_operator.ports import Caller

log = structlog.get_logger("rloop.gateway")
PORT = 8080


def _now() -> datetime:
    return datetime.now(UTC)


async def run() -> None:
    """Serve until the process is ended."""
    async with kube.connected() as api:
        signs = GatewaySigns(api)
        gateways: dict[str, Gateway] = {}

        def gateway_of(caller: Caller) -> Gateway:
            if caller.namespace not in gateways:
                store = KubeStore(api, caller.namespace)
                gateways[caller.namespace] = Gateway(store, signs, now=_now, changed=lambda: None)
            return gateways[caller.namespace]

        application = app(gateway_of, KubeIdentity(api))
        config = uvicorn.Config(
            application, host=health.EVERYWHERE, port=PORT, log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        await asyncio.gather(server.serve(), health.serve(lambda: server.started))


def main() -> None:
    """The command."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
