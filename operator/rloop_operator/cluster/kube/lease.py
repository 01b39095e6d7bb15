"""Our own Lease: only one operator acts, and one that cannot renew stops acting in time.

Only the local monotonic clock counts: another holder is considered dead when its Lease has not changed for
DURATION_SECONDS; we stop acting earlier, FENCE_SECONDS after our last renewal. The identity is the pod's name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from rloop.errors import Conflict, NotFound, RloopError
from rloop_operator.beats import Sight
from rloop_operator.cluster.kube import client

log = structlog.get_logger("rloop.lease")
OPERATOR, GUARD = "rloop-operator", "rloop-guard"
"""Names of the Leases of these two processes, and of their StatefulSets."""
DURATION_SECONDS = 15.0
RENEW_SECONDS = 4.0
FENCE_SECONDS = 10.0
"""Seconds after a renewal during which we act; shorter than DURATION_SECONDS, for which others wait."""


class Lease:
    """One Lease object, which we acquire and renew."""

    def __init__(
        self, api: client.Kube, namespace: str, name: str, holder: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._clock = clock
        self._path = client.group("coordination.k8s.io/v1", namespace, "leases")
        self._name = name
        self._holder = holder
        self._renewed_at = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        self._renewal = asyncio.Event()
        self.annotations: dict[str, str] = {}
        """Annotations as last read. They keep data of the holder across its restarts."""
        self.sight = Sight(clock, FENCE_SECONDS)
        """Clock that runs only while the API server responds: each successful `step` of `hold` is a look at it."""
        self.tried_at = clock()
        """When the newest try to renew ended, successful or not."""

    def held(self) -> bool:
        """Whether we may write now."""
        return self._clock() - self._renewed_at < FENCE_SECONDS

    async def hold(self) -> None:
        """Acquire and renew until cancelled."""
        while True:
            try:
                await self.step()
                self.sight.look()
            except RloopError as error:
                log.warning("lease_not_renewed", lease=self._name, detail=str(error))
            self.tried_at = self._clock()
            await asyncio.sleep(RENEW_SECONDS)

    async def acquired(self) -> None:
        """Wait until we hold it."""
        while not self.held():
            await self._renewal.wait()

    async def annotate(self, annotations: dict[str, str]) -> None:
        """Store annotations that outlive this process. Raises KubeError."""
        stored = await self._api.patch(f"{self._path}/{self._name}", {"metadata": {"annotations": annotations}})
        self.annotations = stored["metadata"].get("annotations", {})

    async def read(self) -> client.Object:
        """The object, for Events about it. Raises NotFound, KubeError."""
        return await self._api.get(f"{self._path}/{self._name}")

    async def step(self) -> None:
        """Acquire or renew once. Raises KubeError."""
        begun = self._clock()
        try:
            lease = await self._api.get(f"{self._path}/{self._name}")
        except NotFound:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            await self._api.create(self._path, body | {"spec": self._spec(1)})
            self._renew(begun)
            return
        self.annotations = lease["metadata"].get("annotations", {})
        spec = lease.get("spec", {})
        if spec.get("holderIdentity") != self._holder and not self._expired(lease):
            return
        transitions = spec.get("leaseTransitions", 0) + (spec.get("holderIdentity") != self._holder)
        metadata = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        try:
            await self._api.patch(f"{self._path}/{self._name}", {"metadata": metadata, "spec": self._spec(transitions)})
        except Conflict:
            return
        # The time before the request, because all we know is that the Lease was ours at some later moment.
        self._renew(begun)

    def _renew(self, moment: float) -> None:
        self._renewed_at = moment
        # Waiting tasks hold the old event: it wakes all of them and need not be cleared.
        self._renewal.set()
        self._renewal = asyncio.Event()

    def _expired(self, lease: dict[str, Any]) -> bool:
        version, since = self._seen
        if lease["metadata"]["resourceVersion"] != version:
            self._seen = (lease["metadata"]["resourceVersion"], self._clock())
            return not lease.get("spec", {}).get("holderIdentity")
        return self._clock() - since > DURATION_SECONDS

    def _spec(self, transitions: int) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(DURATION_SECONDS),
            "leaseTransitions": transitions,
            "renewTime": now,
        }
