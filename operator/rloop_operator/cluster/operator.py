"""The operator's process: kopf only delivers events, one reconcile per loop does all the work.

Run as `python -m rloop_operator.cluster.operator` in its own StatefulSet. Level-triggered: an event only names a loop
(`passes`); the patrol lists all loops (once a minute by default) and wakes those that changed without an event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import kopf
import structlog

from rloop import names
from rloop.admit.loop import unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.errors import InputProblem, RloopError
from rloop.names import SeedKeys
from rloop.observed import Watchdog
from rloop_operator.cluster.kube import client, events
from rloop_operator.cluster.kube.lease import OPERATOR, RENEW_SECONDS, Lease
from rloop_operator.cluster.kube.namespaces import Namespaces, announce
from rloop_operator.cluster.reconciling.kopf_watches import LOGGER, Backoffs, FirstOnly, Watches
from rloop_operator.cluster.reconciling.passes import Passes
from rloop_operator.cluster.settings import Settings, read, seed_keys
from rloop_operator.cluster.storage.archive import Cache
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.telemetry import health, metrics, process_logs
from rloop_operator.cluster.telemetry.health import Part, late
from rloop_operator.cluster.telemetry.progress import Progress
from rloop_operator.cluster.watchdog.components import Components
from rloop_operator.cluster.watchdog.monitor import LOOK_SECONDS
from rloop_operator.cluster.watchdog.ping import Ping
from rloop_operator.cluster.workloads.life_signs import OperatorSigns
from rloop_operator.cluster.workloads.runtime import KubeRuntime
from rloop_operator.reconcile import Shell

log = structlog.get_logger("rloop.operator")


class Operator:
    """All loops that this process serves."""

    def __init__(self, api: client.Kube, settings: Settings, lease: Lease, seed_keys: SeedKeys) -> None:
        self._api = api
        self._seed_keys = seed_keys
        self._settings = settings
        self._lease = lease
        self._shells: dict[str, Shell] = {}
        self._cache = Cache()
        self._ping = Ping(api, settings.namespace)
        serving = ["rloop-gateway", *(["rloop-proxy"] if settings.llm_proxy_url else [])]
        self.components = Components(api, lease, settings.namespace, serving)
        self.progress = Progress(settings.patrol_seconds)
        self.namespaces = Namespaces(api, settings.watched)
        self.watches = Watches()
        self.passes = Passes(api, lease, self.progress, self._shell, self.namespaces.serves)
        self._told: Watchdog | None = None
        """The watchdog facts for which all loops were last woken; None to wake them again."""

    async def patrol(self) -> None:
        """Wake every loop whose current version no pass has read, and answer the ping; repeat until cancelled."""
        while True:
            try:
                await self._patrol()
            except RloopError as error:
                log.warning("patrol_failed", detail=str(error))
            self.progress.tried()
            await asyncio.sleep(self._settings.patrol_seconds)

    async def _patrol(self) -> None:
        begun = time.monotonic()
        loops = await self.namespaces.loops()
        await announce(self._api, self._lease, self.namespaces)
        for loop in loops:
            self.passes.changed(loop)
        self._tell_watchdog()
        unwatched = self.watches.refused()
        self.progress.patrolled(begun, [one for one in loops if one["metadata"]["namespace"] not in unwatched])
        metrics.look(loops)
        sent, answered = await self._ping.look()
        problems = {part.name: part.problem() for part in self.progress.parts()}
        if any(problems.values()) or not self._lease.held():
            log.warning("ping_not_answered", **{name: told for name, told in problems.items() if told})
            return
        if answered < sent:
            await self._ping.answer(sent)
        self.progress.answered()

    def _tell_watchdog(self) -> None:
        """Wake all loops after a watchdog restart or a change of the guard's state: their statuses contain both."""
        facts = self.components.facts()
        known = self._told.repairs if self._told is not None else ()
        if self._told is None or facts.guard != self._told.guard or not set(facts.repairs) <= set(known):
            self.passes.wake_all()
        self._told = facts

    def _facts(self) -> Watchdog:
        """The watchdog facts of a pass. If the guard's state differs from that at the last patrol, it may change back
        before the next patrol. That patrol then wakes every loop, or this loop would keep the outdated state.
        """
        facts = self.components.facts()
        if self._told is not None and facts.guard != self._told.guard:
            self._told = None
        return facts

    def _shell(self, namespace: str) -> Shell:
        if namespace not in self._shells:
            store = KubeStore(self._api, namespace, cache=self._cache)
            signs = OperatorSigns(self._api, namespace, self._lease.sight)
            runtime = KubeRuntime(store, self._settings, signs)
            tell = partial(events.tell, self._api, namespace)
            refuse = partial(refused, own=namespace == self._settings.namespace)
            self._shells[namespace] = Shell(store, runtime, signs, _now, self._seed_keys, tell, refuse, self._facts)
        return self._shells[namespace]


def refused(loop: ResearchLoop, *, own: bool) -> list[InputProblem]:
    """Why a loop is rejected in a cluster. `own`: whether it is in the namespace of the release itself."""
    if own:
        told = (
            "this is the release's own namespace: a loop could mount its Secrets; apply the loop in another namespace"
        )
        return [InputProblem("metadata.namespace", told)]
    return unsupported(loop, "cluster")


def _now() -> datetime:
    return datetime.now(UTC)


def _registry(operator: Operator) -> kopf.OperatorRegistry:
    """Only on.event handlers: with them kopf adds no finalizers or annotations and retries nothing."""
    registry = kopf.OperatorRegistry()

    # Async although it awaits nothing: kopf calls plain functions in threads, where no task can be created.
    async def seen(*, namespace: str | None, name: str, labels: Mapping[str, str], **_: Any) -> None:
        loop = labels.get(names.LABEL_LOOP) or name
        if namespace and loop:
            operator.passes.wake((namespace, loop))

    kopf.on.login(registry=registry)(operator.watches.login)

    async def seen_itself(*, namespace: str | None, name: str, body: Mapping[str, Any], **_: Any) -> None:
        if namespace:
            operator.progress.delivered((namespace, name), str(body["metadata"]["resourceVersion"]))
            operator.passes.changed({"metadata": body["metadata"], "status": body.get("status", {})})

    kopf.on.event("rloop.dev", "v1alpha1", "researchloops", registry=registry)(seen_itself)
    for plural in ("researchiterations", "researchexperiments"):
        kopf.on.event("rloop.dev", "v1alpha1", plural, registry=registry)(seen)
    kopf.on.event("", "v1", "pods", labels={names.LABEL_LOOP: kopf.PRESENT}, registry=registry)(seen)
    return registry


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()
    settings.queueing.error_delays = (1, 2, 5, 10, 20, 30)
    return settings


def parts(operator: Operator, lease: Lease) -> list[Part]:
    """The health parts of the operator."""
    allowed = 12 * RENEW_SECONDS

    def lease_task() -> str:
        return late(time.monotonic() - lease.tried_at, allowed, "a renewal ended")

    def components_task() -> str:
        return late(time.monotonic() - operator.components.tried_at, 12 * LOOK_SECONDS, "a look ended")

    return [
        Part("lease-task", lease_task),
        Part("lease", lambda: "" if lease.held() else "the Lease is not held, so nothing is written", curable=False),
        *operator.progress.parts(),
        operator.namespaces.part(),
        operator.watches.part(),
        Part("components", components_task),
    ]


async def watch(operator: Operator, settings: Settings) -> None:
    """Run kopf, which wakes the operator, until the process ends."""
    logging.getLogger(LOGGER).addFilter(FirstOnly())
    await kopf.operator(
        registry=_registry(operator),
        settings=_kopf_settings(),
        namespaces=settings.watched,
        clusterwide=not settings.watched,
        standalone=True,
        identity=settings.pod,  # type: ignore[arg-type]  # kopf hides the type, and looks up a user name if unset
    )


async def run() -> None:
    """Serve until the process ends."""
    settings, keys = read(), seed_keys()
    async with client.connected(manager="rloop-operator") as api:
        lease = Lease(api, settings.namespace, OPERATOR, settings.pod)
        holding = asyncio.create_task(lease.hold())
        await lease.acquired()
        api.may_write = lease.held
        operator = Operator(api, settings, lease, keys)
        log.info("started", watched=settings.watched or "all namespaces")
        metrics.LEASE_HELD.set_function(lambda: float(lease.held()))
        metrics.PATROL_AGE.set_function(operator.progress.patrol_age)
        metrics.PING_AGE.set_function(operator.progress.answer_age)
        serving = health.serve(parts(operator, lease), metrics.OPERATOR)
        watching = watch(operator, settings)
        await health.until_first_ends(
            holding, operator.patrol(), operator.passes.run(), operator.components.watch(), watching, serving
        )


def main() -> None:
    """Entry point of the process."""
    process_logs.configure()
    asyncio.run(run())


if __name__ == "__main__":
    main()
