"""Monitors one other process of ours and restarts it: the thin shell around `rloop.restart_policy`.

Used by the guard for the operator, and by the operator for guard, gateway and LLM proxy. A restart is stored in the
annotations of the caller's Lease before the pod is deleted, so that the count survives a crash of the caller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from rloop import names, restart_policy
from rloop.errors import NotFound
from rloop.observed import Repair
from rloop_operator.beats import Sight
from rloop_operator.cluster.kube import client, events
from rloop_operator.cluster.kube.lease import Lease
from rloop_operator.cluster.telemetry import metrics

log = structlog.get_logger("rloop.watchdog")
LOOK_SECONDS = 5.0
GRACE_SECONDS = 5
"""Short, because a failed process has nothing to shut down, and all our processes may be killed at any time."""
REPAIRS = 5
"""Number of restarts stored in the Lease, the newest ones."""


class Ages:
    """How long values have been unchanged, by our own monotonic clock, which stops while looks fail.

    After an hour without the API server nobody has renewed anything, so that hour must not count against them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._sight = Sight(monotonic, 2 * LOOK_SECONDS)
        self._seen: dict[str, tuple[object, float, bool]] = {}

    @property
    def now(self) -> float:
        """Observed seconds, up to the last look."""
        return self._sight.seen

    def tick(self) -> None:
        """Record a successful look."""
        self._sight.look()

    def age(self, key: str, value: object) -> float:
        """Observed seconds since the key was first seen with this value."""
        old, since, _ = self._seen.get(key, (None, self.now, False))
        if key not in self._seen:
            self._seen[key] = (value, self.now, False)
        elif old != value:
            self._seen[key] = (value, self.now, True)
            return 0.0
        return self.now - since

    def changed(self, key: str) -> bool:
        """Whether the value of the key was ever seen to change."""
        return key in self._seen and self._seen[key][2]


class Keeper:
    """Monitors the one pod of a process."""

    def __init__(
        self,
        api: client.Kube,
        lease: Lease,
        namespace: str,
        process: str,
        layer: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._lease = lease
        self._namespace = namespace
        self.process = process
        self._layer = layer
        self._annotation = f"{names.ANNOTATION_RESTARTS}{process}"
        self._clock = clock
        self._acted_at = clock()
        self._told: tuple[str, str] = ("None", "")

    async def pod(self) -> dict[str, Any] | None:
        """The current pod; None if it does not exist."""
        try:
            return await self._api.get(client.core(self._namespace, "pods", f"{self.process}-0"))
        except NotFound:
            return None

    async def keep(self, ages: Ages, pod: dict[str, Any] | None, signs: Sequence[restart_policy.Sign]) -> None:
        """Judge the pod and the signs, and restart the pod or report it if necessary. Raises KubeError."""
        restarts = int(self._lease.annotations.get(self._annotation, "0"))
        record = restart_policy.Record(restarts, self._clock() - self._acted_at)
        verdict = restart_policy.judge(pod_facts(ages, self.process, pod), signs, record)
        healthy_seconds = ages.age(f"{self.process}/healthy", verdict.healthy)
        if pod is None or not self._lease.held():
            return
        if restarts and verdict.healthy and healthy_seconds > restart_policy.HEALTHY_SECONDS:
            await self._lease.annotate({self._annotation: "0"})
        if verdict.action == "Restart":
            await self._restart(pod, verdict, restarts + 1)
        elif verdict.action in ("Wait", "GiveUp") and (verdict.action, verdict.reason) != self._told:
            log.warning("not_restarted", process=self.process, reason=verdict.reason, detail=verdict.message)
            if verdict.action == "GiveUp":
                await self._tell(pod, verdict, f"NotRestarted/{restarts}", "NotRestarted")
        self._told = (verdict.action, verdict.reason)

    async def _restart(self, pod: dict[str, Any], verdict: restart_policy.Verdict, restarts: int) -> None:
        name = pod["metadata"]["name"]
        told = f"{self._layer} restarted {name}: it {verdict.message}"
        kept = [*_stored(self._lease.annotations), [_iso(datetime.now(UTC)), told]][-REPAIRS:]
        await self._lease.annotate({self._annotation: str(restarts), names.ANNOTATION_REPAIRS: json.dumps(kept)})
        self._acted_at = self._clock()
        log.warning("restarted", process=self.process, reason=verdict.reason, detail=verdict.message, restarts=restarts)
        path = client.core(self._namespace, "pods", name)
        await self._api.delete(path, pod["metadata"]["uid"], grace_seconds=GRACE_SECONDS)
        metrics.WATCHDOG_RESTARTS.labels(self._layer, self.process, verdict.reason).inc()
        await self._tell(pod, verdict, f"Restarted/{restarts}", "Restarted")

    async def _tell(self, pod: dict[str, Any], verdict: restart_policy.Verdict, what: str, reason: str) -> None:
        told = f"{verdict.reason}: {pod['metadata']['name']} {verdict.message}"
        unique = f"{verdict.reason}/{what}"
        await events.write(self._api, pod, unique, "Warning", reason, told, component=self._layer)


def pod_facts(ages: Ages, process: str, pod: dict[str, Any] | None) -> restart_policy.Pod | None:
    """The facts about a pod that `restart_policy.judge` needs."""
    if pod is None:
        return None
    container: dict[str, Any] = next(iter(pod.get("status", {}).get("containerStatuses", [])), {})
    state = container.get("state", {})
    crashed = state.get("waiting", {}).get("reason") == "CrashLoopBackOff"
    running = "running" in state
    which = (pod["metadata"]["uid"], container.get("restartCount"), crashed, running)
    age = ages.age(f"{process}/container", which)
    return restart_policy.Pod(
        terminating="deletionTimestamp" in pod["metadata"],
        running_seconds=age if running else None,
        crashed_seconds=age if crashed else None,
    )


def repairs(annotations: dict[str, str]) -> list[Repair]:
    """The restarts stored in the annotations of a Lease."""
    return [Repair(datetime.fromisoformat(at), told) for at, told in _stored(annotations)]


def _stored(annotations: dict[str, str]) -> list[list[str]]:
    found: list[list[str]] = json.loads(annotations.get(names.ANNOTATION_REPAIRS, "[]"))
    return found


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
