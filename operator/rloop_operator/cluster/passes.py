"""One pass at a time over each loop, a bounded number at the same time: who has a turn, and what follows a pass.

Run by the operator. Watches and patrol only name loops here; everything else is one `reconcile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from rloop.actions import Action, Append, Create, Nudge, Remove, Start, Stop
from rloop.errors import NotFound
from rloop_operator.cluster import metrics
from rloop_operator.cluster.failures import Failures
from rloop_operator.cluster.kube import Kube, KubeError
from rloop_operator.cluster.lease import Lease
from rloop_operator.cluster.progress import Key, Progress
from rloop_operator.cluster.work_queue import WorkQueue
from rloop_operator.reconcile import Pass, Shell, reconcile

log = structlog.get_logger("rloop.passes")
PASSES = 12
"""Limit of concurrent passes. A pass is a few requests in a row, so more of them only wait for each other."""
NAMESPACE_PASSES = 8
"""The same for one namespace: whatever happens there, others find a free worker."""
BREATH_SECONDS = 0.3
"""Pause between two passes over a loop: what happens in it is seen by one pass, and nothing becomes a hot loop."""
REPEATED_SECONDS = 5.0
"""Pause after a pass that did the very same as the one before it, and nothing else: it did not help. Events still come
through.
"""
NO_SERVER_SECONDS = 2.0
"""Pause after a pass that found no API server, or lost the Lease: not the loop's failure."""


class Passes:
    """All loops that this process serves."""

    def __init__(
        self,
        api: Kube,
        lease: Lease,
        progress: Progress,
        shell: Callable[[str], Shell],
        serves: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._lease = lease
        self._serves = serves
        """Whether a namespace answers; the patrol wakes its loops when it does so again."""
        self._progress = progress
        self._shell = shell
        self._failures = Failures(api)
        self._queue = WorkQueue(NAMESPACE_PASSES)
        self._read: dict[Key, str] = {}
        """The resourceVersion of each loop that its newest pass has read; empty before the first."""
        self._hurried: dict[Key, int] = {}
        """The generation of each loop that was put before others: once, or one that fails would be for ever."""
        self._did: dict[Key, tuple[str, ...]] = {}
        """What the newest pass over each loop did without writing anything."""
        metrics.QUEUE_DEPTH.set_function(self._queue.depth)
        metrics.QUEUE_OLDEST.set_function(self._queue.oldest_seconds)

    def wake(self, key: Key) -> None:
        """Something of this loop changed."""
        self._queue.add(key)

    def changed(self, loop: dict[str, Any]) -> None:
        """The loop itself was changed, or listed: a pass, unless one has read this version; at once for a new spec."""
        metadata = loop["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if self._read.get(key) != metadata["resourceVersion"]:
            generation = metadata.get("generation", 0)
            new = generation not in (loop.get("status", {}).get("observedGeneration"), self._hurried.get(key))
            if new:
                self._hurried[key] = generation
            self._queue.add(key, urgent=new)

    def wake_all(self) -> None:
        """Something changed that every loop is told."""
        for key in self._read:
            self._queue.add(key)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for number in range(PASSES):
                workers.create_task(self._work(), name=f"worker-{number}")

    async def _work(self) -> None:
        while True:
            await self._lease.acquired()
            key = await self._queue.take()
            with structlog.contextvars.bound_contextvars(namespace=key[0], loop=key[1]):
                await self._serve(key)

    async def _serve(self, key: Key) -> None:
        try:
            done = await self._pass(key)
        except NotFound:
            self._forget(key)
            self._queue.done(key)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is told, and stops no other loop
            if not self._serves(key[0]):
                self._forget(key)
                self._queue.done(key)
                return
            pause = NO_SERVER_SECONDS if _of_everybody(error) else await self._failures.failed(key, error)
            self._queue.done(key, rest_seconds=pause, again_after=pause)
        else:
            self._failures.succeeded(key)
            self._queue.done(key, rest_seconds=BREATH_SECONDS, again_after=self._again_after(key, done))

    def _again_after(self, key: Key, done: Pass) -> float | None:
        """An object that we make, and then do not find under our labels, must not become a hot loop."""
        before, self._did[key] = self._did.get(key), _did(done)
        return REPEATED_SECONDS if done.changed and before and before == self._did[key] else done.look_again

    def _forget(self, key: Key) -> None:
        self._failures.succeeded(key)
        self._read.pop(key, None)
        self._hurried.pop(key, None)
        self._did.pop(key, None)
        metrics.forget(*key)

    async def _pass(self, key: Key) -> Pass:
        self._progress.begin(key)
        self._read.setdefault(key, "")
        try:
            with metrics.RECONCILE_SECONDS.time():
                done = await reconcile(self._shell(key[0]), key[1])
        finally:
            self._progress.end(key)
        self._read[key] = str(done.observed.loop.metadata.resource_version)
        metrics.count(done)
        metrics.heartbeats(*key, (beat.age_seconds for beat in done.observed.beats.values()))
        return done


def _did(done: Pass) -> tuple[str, ...]:
    """The actions of a pass that wrote nothing; empty if it wrote something, for then it has got on."""
    if done.decision is None:
        return ("conflict",)
    if done.decision.status or done.decision.experiments or done.decision.iterations:
        return ()
    return tuple(f"{type(one).__name__} {_about(one)}" for one in done.decision.actions)


def _about(action: Action) -> str:
    match action:
        case Create(obj):
            return obj.metadata.name
        case Start(workload):
            return workload.name
        case Stop(name) | Remove(name):
            return name
        case Append():
            return action.key
        case Nudge(session):
            return session


def _of_everybody(error: Exception) -> bool:
    """Whether it says nothing about the loop: no API server, or no Lease."""
    found = isinstance(error, KubeError) and error.status == 0
    if found:
        log.info("pass_interrupted", detail=str(error))
    return found
