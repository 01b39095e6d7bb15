"""The guard, layer 0 of the watchdog: a separate process that restarts an operator which does not work.

Run as `python -m rloop_operator.cluster.guard` in its own StatefulSet, with a ServiceAccount that may delete one pod
and write Events. It monitors the operator's Lease, its answers to pings, the oldest spec change that is not reconciled,
and the pod. `rloop.restart_policy` decides whether to restart.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from rloop.errors import NotFound, RloopError
from rloop.restart_policy import Sign
from rloop_operator.cluster.kube import client, served_namespaces
from rloop_operator.cluster.kube.lease import DURATION_SECONDS, GUARD, OPERATOR, Lease
from rloop_operator.cluster.kube.namespaces import Namespaces
from rloop_operator.cluster.settings import Place, place
from rloop_operator.cluster.telemetry import health, metrics, process_logs
from rloop_operator.cluster.telemetry.health import Part, late
from rloop_operator.cluster.watchdog.monitor import LOOK_SECONDS, Ages, Keeper
from rloop_operator.cluster.watchdog.ping import Ping

log = structlog.get_logger("rloop.guard")
LEASE_SECONDS = 2 * DURATION_SECONDS
"""Age of the operator's Lease that causes a restart: long, as busy nodes delay renewals; writes stop much earlier."""
LIST_SECONDS = 30.0
"""Seconds between two comparisons of specs, because listing all loops is an expensive request."""
PATROLS = 3
"""Patrols within which the operator must answer a ping, in addition to LEASE_SECONDS."""


class Guard:
    """Monitors the operator."""

    def __init__(self, api: client.Kube, told: Place) -> None:
        self._api = api
        self._place = told
        self._lease = Lease(api, told.namespace, GUARD, told.pod)
        self._keeper = Keeper(api, self._lease, told.namespace, OPERATOR, "guard")
        self._ping = Ping(api, told.namespace)
        self._ages = Ages()
        self._namespaces = Namespaces(api, told.watched)
        self._listed_at = float("-inf")
        self._behind: dict[str, float] = {}
        """Spec changes that are not reconciled -> when each was first seen."""
        self.tried_at = self.looked_at = time.monotonic()
        self.problem = ""

    async def watch(self) -> None:
        """Look every LOOK_SECONDS until cancelled."""
        while True:
            try:
                await self.look()
                self.looked_at, self.problem = time.monotonic(), ""
            except RloopError as error:
                self.problem = str(error)
                log.warning("look_failed", detail=self.problem)
            self.tried_at = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Raises RloopError."""
        # Renewed by the task that looks: a separate renewal would hide that the guard no longer looks.
        await self._lease.step()
        operators = await self._operators_lease()
        renewed = str(operators.get("spec", {}).get("renewTime", ""))
        sent, answered = await self._ping.look()
        pod = await self._keeper.pod()
        loops = await self._loops()
        ages = self._ages
        ages.tick()
        lease_age = ages.age("lease", renewed)
        # The pair changes with each ping and each answer: its age counts from the ping, and ends with the answer.
        unanswered = ages.age("ping", (sent, answered)) if answered < sent else 0.0
        if loops is not None:
            said = served_namespaces.read(operators)
            # A restart grants no permissions: a namespace that the operator cannot reach is no sign that it hangs.
            reached = [one for one in loops if said is None or said.serves(one["metadata"]["namespace"])]
            behind = {_version(one) for one in reached if _is_behind(one)}
            self._behind = {key: self._behind.get(key, ages.now) for key in behind}
            self._listed_at = time.monotonic()
        oldest = max((ages.now - since for since in self._behind.values()), default=0.0)
        metrics.OPERATOR_LEASE_AGE.set(lease_age)
        metrics.PING_UNANSWERED.set(unanswered)
        metrics.UNRECONCILED.set(oldest)
        patience = PATROLS * self._place.patrol_seconds + LEASE_SECONDS
        signs = [
            Sign("LeaseNotRenewed", "has not renewed its Lease", lease_age, LEASE_SECONDS),
            Sign("PingUnanswered", "has not answered the ping", unanswered, patience),
            # One restart at most: an object that cannot be reconciled must not interrupt all others repeatedly.
            Sign("Unreconciled", "has not reconciled a changed spec", oldest, 2 * patience + LIST_SECONDS, 1),
        ]
        await self._keeper.keep(ages, pod, signs)
        if answered >= sent and (sent == 0 or ages.age("sent", sent) >= self._place.patrol_seconds / 2):
            await self._ping.send(sent + 1)

    async def _operators_lease(self) -> client.Object:
        path = client.group("coordination.k8s.io/v1", self._place.namespace, "leases", OPERATOR)
        try:
            return await self._api.get(path)
        except NotFound:
            return {"metadata": {}}

    async def _loops(self) -> list[dict[str, Any]] | None:
        """All loops; None if the last list is less than LIST_SECONDS old."""
        if time.monotonic() - self._listed_at < LIST_SECONDS:
            return None
        return await self._namespaces.loops()

    def parts(self) -> list[Part]:
        """The health parts of the guard."""
        allowed = 12 * LOOK_SECONDS
        return [
            Part("look", lambda: late(time.monotonic() - self.tried_at, allowed, "it ended")),
            Part("api", lambda: self.problem, curable=False),
            self._namespaces.part(),
            Part(
                "lease",
                lambda: "" if self._lease.held() else "another guard holds the Lease, or it expired",
                curable=False,
            ),
        ]


def _version(loop: dict[str, Any]) -> str:
    return f"{loop['metadata']['uid']}/{loop['metadata']['generation']}"


def _is_behind(loop: dict[str, Any]) -> bool:
    seen = loop.get("status", {}).get("observedGeneration", 0)
    return bool(loop["metadata"]["generation"] > seen and "deletionTimestamp" not in loop["metadata"])


async def run() -> None:
    """Monitor the operator until the process ends."""
    told = place()
    async with client.connected(manager="rloop-guard") as api:
        guard = Guard(api, told)
        log.info("started", operator=f"{told.namespace}/{OPERATOR}-0", watched=told.watched or "all namespaces")
        await health.until_first_ends(guard.watch(), health.serve(guard.parts(), metrics.GUARD))


def main() -> None:
    """Entry point of the process."""
    process_logs.configure()
    asyncio.run(run())


if __name__ == "__main__":
    main()
