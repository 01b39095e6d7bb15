"""Monitors and restarts guard, gateway and LLM proxy, as the guard does with the operator (layer 1 of the watchdog).

Run by the operator as a task of its own. The guard's state goes into every loop's status.watchdog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from rloop.api.loop_status import LayerState
from rloop.errors import NotFound, RloopError
from rloop.observed import Repair, Watchdog
from rloop.restart_policy import Sign
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.kube.lease import GUARD, Lease
from rloop_operator.cluster.watchdog.monitor import LOOK_SECONDS, Ages, Keeper, repairs

log = structlog.get_logger("rloop.watchdog")
SILENT_SECONDS = 30.0
"""Age of the guard's Lease after which it is Silent. It is renewed with each look, every five seconds."""
NOT_READY_SECONDS = 120.0
"""Longer than the kubelet takes to restart an unresponsive container: after that, only a new pod may help."""
REMEMBERED = timedelta(minutes=10)
"""How long a restart is reported to loops; each running loop records it once."""


class Components:
    """Monitors the guard and the processes that serve agents."""

    def __init__(
        self,
        api: client.Kube,
        lease: Lease,
        namespace: str,
        serving: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._lease = lease
        self._path = client.group("coordination.k8s.io/v1", namespace, "leases", GUARD)
        self._guard = Keeper(api, lease, namespace, GUARD, "patrol", clock)
        self._serving = [Keeper(api, lease, namespace, one, "patrol", clock) for one in serving]
        self._ages = Ages(clock)
        self._state: LayerState = "Unknown"
        self._repairs: list[Repair] = []
        self.tried_at = time.monotonic()

    def facts(self) -> Watchdog:
        """The watchdog facts for the decision of a loop."""
        since = datetime.now(UTC) - REMEMBERED
        told = [one for one in [*self._repairs, *repairs(self._lease.annotations)] if one.at > since]
        return Watchdog(self._state, tuple(sorted(told, key=lambda one: (one.at, one.told))))

    async def watch(self) -> None:
        """Look every LOOK_SECONDS until cancelled."""
        while True:
            try:
                await self.look()
            except RloopError as error:
                log.warning("look_failed", detail=str(error))
            self.tried_at = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Raises RloopError."""
        lease = await self._guards_lease()
        guards_pod, pods = await self._guard.pod(), [await one.pod() for one in self._serving]
        ages = self._ages
        ages.tick()
        silent = ages.age("guard", (lease or {}).get("spec", {}).get("renewTime"))
        self._repairs = repairs((lease or {}).get("metadata", {}).get("annotations", {}))
        if silent > SILENT_SECONDS:
            self._state = "Absent" if guards_pod is None else "Silent"
        elif ages.changed("guard"):
            self._state = "Alive"
        told = "has not renewed its Lease"
        await self._guard.keep(ages, guards_pod, [Sign("LeaseNotRenewed", told, silent, 2 * SILENT_SECONDS)])
        for keeper, pod in zip(self._serving, pods, strict=True):
            ready = ages.age(keeper.process, _is_ready(pod))
            unready = 0.0 if _is_ready(pod) else ready
            # Two restarts at most: the cause may well be external, such as a missing permission.
            await keeper.keep(ages, pod, [Sign("NotReady", "is not ready", unready, NOT_READY_SECONDS, 2)])

    async def _guards_lease(self) -> dict[str, Any] | None:
        try:
            return await self._api.get(self._path)
        except NotFound:
            return None


def _is_ready(pod: dict[str, Any] | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
