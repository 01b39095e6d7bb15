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
from typing import Any

import kopf
import structlog

from rloop import names
from rloop.actions import Event
from rloop.admit.loop import unsupported
from rloop.errors import NotFound, RloopError
from rloop_operator.cluster import events, health, kube
from rloop_operator.cluster.lease import Lease
from rloop_operator.cluster.runtime import KubeRuntime
from rloop_operator.cluster.settings import Settings, read
from rloop_operator.cluster.signs import OperatorSigns
from rloop_operator.cluster.store import KubeStore
from rloop_operator.reconcile import Shell, reconcile

log = structlog.get_logger("rloop.operator")
PATROL_SECONDS = 60.0
TICK_SECONDS = 5.0
"""A loop that waits for a pause or a deadline is looked at this often."""
RETRY_SECONDS_MAX = 30.0
LEASE = "rloop-operator"
Key = tuple[str, str]
"""Namespace and name of a loop."""


@dataclass(slots=True)
class _Served:
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Operator:
    """All loops that this process serves."""

    def __init__(self, api: kube.Kube, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._served: dict[Key, _Served] = {}
        self._shells: dict[str, Shell] = {}
        self.patrolled_at = time.monotonic()

    def wake(self, key: Key) -> None:
        """Something changed about this loop."""
        served = self._served.setdefault(key, _Served())
        served.wake.set()
        if served.task is None or served.task.done():
            served.task = asyncio.create_task(self._serve(key, served), name="/".join(key))

    async def patrol(self) -> None:
        """Wake every loop that exists, for ever."""
        while True:
            try:
                for path in self._paths():
                    for loop in await self._api.all(path):
                        self.wake((loop["metadata"]["namespace"], loop["metadata"]["name"]))
                self.patrolled_at = time.monotonic()
            except RloopError as error:
                log.warning("patrol_failed", detail=str(error))
            await asyncio.sleep(PATROL_SECONDS)

    def _paths(self) -> list[str]:
        watched = self._settings.watched
        return [kube.objects(one, "researchloops") for one in watched] or ["/apis/rloop.dev/v1alpha1/researchloops"]

    async def _serve(self, key: Key, served: _Served) -> None:
        """One loop, one pass at a time, until it is gone."""
        failures = 0
        while True:
            served.wake.clear()
            try:
                done = await reconcile(self._shell(key[0]), key[1])
            except NotFound:
                del self._served[key]
                return
            except RloopError as error:
                failures += 1
                pause = min(RETRY_SECONDS_MAX, 2.0**failures)
                log.warning("reconcile_failed", loop=key[1], namespace=key[0], detail=str(error), retry_seconds=pause)
                await asyncio.sleep(pause)
                continue
            failures = 0
            if not done.changed:
                try:
                    await asyncio.wait_for(served.wake.wait(), TICK_SECONDS)
                except TimeoutError:
                    continue

    def _shell(self, namespace: str) -> Shell:
        if namespace not in self._shells:
            store = KubeStore(self._api, namespace)
            signs = OperatorSigns(self._api, namespace, time.monotonic)
            runtime = KubeRuntime(store, self._settings, signs)
            self._shells[namespace] = Shell(
                store,
                runtime,
                signs,
                _now,
                lambda event: self._tell(namespace, event),
                lambda loop: unsupported(loop, "cluster"),
            )
        return self._shells[namespace]

    async def _tell(self, namespace: str, event: Event) -> None:
        loop = next(
            (name for ns, name in self._served if ns == namespace and _belongs(event.object, name)), event.object
        )
        await events.tell(self._api, namespace, loop, event, _now())


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
    kopf.on.event("rloop.dev", "v1alpha1", "researchloops", registry=registry)(seen)
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


async def run() -> None:
    """Serve until the process is ended."""
    settings = read()
    async with kube.connected() as api:
        lease = Lease(api, settings.namespace, LEASE, settings.pod)
        holding = asyncio.create_task(lease.hold())
        await lease.acquired()
        api.may_write = lease.held
        operator = Operator(api, settings)
        watching = kopf.operator(
            registry=_registry(operator),
            settings=_kopf_settings(),
            namespaces=settings.watched,
            clusterwide=not settings.watched,
            standalone=True,
            identity=settings.pod,  # type: ignore[arg-type]  # kopf hides the type, and asks for a user name otherwise
        )
        alive = health.serve(lambda: lease.held() and time.monotonic() - operator.patrolled_at < 3 * PATROL_SECONDS)
        tasks = [holding, *map(asyncio.ensure_future, (operator.patrol(), watching, alive))]
        # The first that ends takes the process with it: kubelet starts it again, and nothing is lost by that.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


def main() -> None:
    """The command."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
