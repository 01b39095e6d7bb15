"""The operator's process: kopf only wakes it, one reconcile per loop does all the work.

Run as `python -m rloop_operator.cluster.operator` in its own StatefulSet. Level-triggered: an event names a loop and
nothing more; the patrol LISTs everything once a minute, so a lost event costs a minute and never a campaign.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import kopf
import structlog

from rloop import names
from rloop.actions import Event
from rloop.admit.loop import unsupported
from rloop.errors import NotFound, RloopError
from rloop.names import SeedKeys
from rloop_operator.cluster import events, health, kube, logs, metrics
from rloop_operator.cluster.canary import Canary
from rloop_operator.cluster.health import Part, late
from rloop_operator.cluster.lease import RENEW_SECONDS, Lease
from rloop_operator.cluster.progress import Key, Progress
from rloop_operator.cluster.runtime import KubeRuntime
from rloop_operator.cluster.settings import Settings, read, seed_keys
from rloop_operator.cluster.signs import OperatorSigns
from rloop_operator.cluster.store import KubeStore
from rloop_operator.cluster.sweep import sweep
from rloop_operator.cluster.warden import Warden
from rloop_operator.cluster.watchdog import LOOK_SECONDS
from rloop_operator.reconcile import Pass, Shell, reconcile

log = structlog.get_logger("rloop.operator")
TICK_SECONDS = 5.0
"""A loop that waits for a pause or a deadline is looked at this often."""
BREATH_SECONDS = 0.3
"""Between two passes of a loop: what happens in it is one pass' news, and nothing can go round in a hot loop."""
RETRY_SECONDS_MAX = 30.0
LEASE = "rloop-operator"


@dataclass(slots=True)
class _Served:
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Operator:
    """All loops that this process serves."""

    def __init__(self, api: kube.Kube, settings: Settings, lease: Lease, seed_keys: SeedKeys) -> None:
        self._api = api
        self._seed_keys = seed_keys
        self._settings = settings
        self._lease = lease
        self._served: dict[Key, _Served] = {}
        self._shells: dict[str, Shell] = {}
        self._canary = Canary(api, settings.namespace)
        serving = ["rloop-gateway", *(["rloop-proxy"] if settings.llm_proxy_url else [])]
        self.warden = Warden(api, lease, settings.namespace, serving)
        self.progress = Progress(settings.patrol_seconds)

    def wake(self, key: Key) -> None:
        """Something changed about this loop."""
        served = self._served.setdefault(key, _Served())
        served.wake.set()
        if served.task is None or served.task.done():
            served.task = asyncio.create_task(self._serve(key, served), name="/".join(key))

    async def patrol(self) -> None:
        """Wake every loop that exists, and answer the guard, for ever."""
        while True:
            try:
                await self._patrol()
            except RloopError as error:
                log.warning("patrol_failed", detail=str(error))
            self.progress.tried()
            await asyncio.sleep(self._settings.patrol_seconds)

    async def _patrol(self) -> None:
        begun = time.monotonic()
        paths = kube.everywhere(self._settings.watched, "researchloops")
        loops = [loop for path in paths for loop in await self._api.all(path)]
        for loop in loops:
            self.wake((loop["metadata"]["namespace"], loop["metadata"]["name"]))
        self.progress.patrolled(begun, loops)
        metrics.look(loops)
        for namespace in list(self._shells):
            await sweep(self._api, namespace)
        asked, echoed = await self._canary.look()
        problems = {part.name: part.problem() for part in self.progress.parts()}
        if any(problems.values()) or not self._lease.held():
            log.warning("canary_not_echoed", **{name: told for name, told in problems.items() if told})
            return
        if echoed < asked:
            await self._canary.echo(asked)
        self.progress.echoed()

    async def _serve(self, key: Key, served: _Served) -> None:
        """One loop, one pass at a time, until it is gone."""
        structlog.contextvars.bind_contextvars(namespace=key[0], loop=key[1])
        failures = 0
        while True:
            served.wake.clear()
            try:
                done = await self._pass(key)
            except NotFound:
                del self._served[key]
                metrics.forget(*key)
                return
            except Exception as error:
                failures += 1
                pause = min(RETRY_SECONDS_MAX, 2.0**failures)
                metrics.RECONCILE_ERRORS.inc()
                unexpected = None if isinstance(error, RloopError) else error
                log.warning("reconcile_failed", detail=str(error), retry_seconds=pause, exc_info=unexpected)
                await asyncio.sleep(pause)
                continue
            failures = 0
            await asyncio.sleep(BREATH_SECONDS)
            if not done.changed:
                try:
                    await asyncio.wait_for(served.wake.wait(), TICK_SECONDS)
                except TimeoutError:
                    continue

    async def _pass(self, key: Key) -> Pass:
        self.progress.begin(key)
        try:
            with metrics.RECONCILE_SECONDS.time():
                done = await reconcile(self._shell(key[0]), key[1])
        finally:
            self.progress.end(key)
        metrics.count(done)
        metrics.heartbeats(*key, (beat.age_seconds for beat in done.observed.beats.values()))
        return done

    def _shell(self, namespace: str) -> Shell:
        if namespace not in self._shells:
            store = KubeStore(self._api, namespace)
            signs = OperatorSigns(self._api, namespace, time.monotonic)
            runtime = KubeRuntime(store, self._settings, signs)
            tell = partial(self._tell, namespace)
            self._shells[namespace] = Shell(
                store,
                runtime,
                signs,
                _now,
                self._seed_keys,
                tell,
                lambda loop: unsupported(loop, "cluster"),
                self.warden.facts,
            )
        return self._shells[namespace]

    async def _tell(self, namespace: str, event: Event) -> None:
        loop = next(
            (name for ns, name in self._served if ns == namespace and _belongs(event.object, name)), event.object
        )
        await events.tell(self._api, namespace, loop, event)


def _belongs(name: str, loop: str) -> bool:
    return name == loop or name.startswith((f"{loop}-i", f"{loop}-b"))


def _now() -> datetime:
    return datetime.now(UTC)


def _registry(operator: Operator) -> kopf.OperatorRegistry:
    """Only on.event handlers: no finalizers, no annotations, and nothing here is retried by kopf."""
    registry = kopf.OperatorRegistry()

    # Async, though it waits for nothing: kopf calls plain functions in threads, where no task can be made.
    async def seen(*, namespace: str | None, name: str, labels: Mapping[str, str], **_: Any) -> None:
        loop = labels.get(names.LABEL_LOOP) or name
        if namespace and loop:
            operator.wake((namespace, loop))

    def login(**facts: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**facts) or kopf.login_with_kubeconfig(**facts)

    kopf.on.login(registry=registry)(login)

    async def seen_itself(*, namespace: str | None, name: str, meta: Mapping[str, Any], **_: Any) -> None:
        if namespace:
            operator.progress.delivered((namespace, name), str(meta["resourceVersion"]))
            operator.wake((namespace, name))

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
    settings.queueing.error_delays = (1, 2, 5, 10, 20, 30)
    return settings


def _parts(operator: Operator, lease: Lease) -> list[Part]:
    """What has to work in this process."""
    allowed = 12 * RENEW_SECONDS

    def lease_task() -> str:
        return late(time.monotonic() - lease.tried_at, allowed, "a renewal ended")

    def warden_task() -> str:
        return late(time.monotonic() - operator.warden.tried_at, 12 * LOOK_SECONDS, "a look ended")

    return [
        Part("lease-task", lease_task),
        Part("lease", lambda: "" if lease.held() else "not ours now, so nothing is written", curable=False),
        *operator.progress.parts(),
        Part("warden", warden_task),
    ]


async def run() -> None:
    """Serve until the process is ended."""
    settings, keys = read(), seed_keys()
    async with kube.connected() as api:
        lease = Lease(api, settings.namespace, LEASE, settings.pod)
        holding = asyncio.create_task(lease.hold())
        await lease.acquired()
        api.may_write = lease.held
        operator = Operator(api, settings, lease, keys)
        log.info("started", watched=settings.watched or "all namespaces")
        metrics.LEASE_HELD.set_function(lambda: float(lease.held()))
        metrics.PATROL_AGE.set_function(operator.progress.patrol_age)
        metrics.CANARY_AGE.set_function(operator.progress.echo_age)
        watching = kopf.operator(
            registry=_registry(operator),
            settings=_kopf_settings(),
            namespaces=settings.watched,
            clusterwide=not settings.watched,
            standalone=True,
            identity=settings.pod,  # type: ignore[arg-type]  # kopf hides the type, and asks for a user name otherwise
        )
        serving = health.serve(_parts(operator, lease), metrics.OPERATOR)
        await health.until_first_ends(holding, operator.patrol(), operator.warden.watch(), watching, serving)


def main() -> None:
    """The command."""
    logs.configure()
    asyncio.run(run())


if __name__ == "__main__":
    main()
