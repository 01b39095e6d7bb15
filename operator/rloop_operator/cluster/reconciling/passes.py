"""Runs the passes, one at a time for each loop and a limited number concurrently, and schedules what follows a pass.

Run by the operator. Watches and patrol only name loops here; everything else is done by `reconcile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from rloop.actions import Action, Append, Create, Nudge, Remove, Start, Stop
from rloop.errors import NotFound
from rloop_operator.cluster.kube.client import Kube, KubeError
from rloop_operator.cluster.kube.lease import Lease
from rloop_operator.cluster.reconciling.failed_passes import Failures
from rloop_operator.cluster.reconciling.work_queue import WorkQueue
from rloop_operator.cluster.telemetry import metrics
from rloop_operator.cluster.telemetry.progress import Key, Progress
from rloop_operator.reconcile import Pass, Shell, reconcile

log = structlog.get_logger("rloop.passes")
PASSES = 12
"""Maximum concurrent passes. A pass is a few requests in a row, so more passes would only wait for each other."""
NAMESPACE_PASSES = 8
"""Maximum concurrent passes of one namespace, so that other namespaces always find a free worker."""
BREATH_SECONDS = 0.3
"""Pause between two passes over a loop: one pass handles all changes during the pause, and hot loops are avoided."""
REPEATED_SECONDS = 5.0
"""Pause after a pass that only repeated the actions of the one before it, which did not help. Events still cause
passes.
"""
NO_SERVER_SECONDS = 2.0
"""Pause after a pass that could not reach the API server or lost the Lease, which is not a failure of the loop."""


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
        """Whether a namespace is served; the patrol wakes its loops when it is served again."""
        self._progress = progress
        self._shell = shell
        self._failures = Failures(api)
        self._queue = WorkQueue(NAMESPACE_PASSES)
        self._read: dict[Key, str] = {}
        """Loop -> the resourceVersion that its newest pass has read; empty before the first pass."""
        self._hurried: dict[Key, int] = {}
        """Loop -> its generation that was urgent: only once, or a loop whose passes fail would always come first."""
        self._did: dict[Key, tuple[str, ...]] = {}
        """Loop -> the actions of its newest pass if that wrote no status (`_did`)."""
        metrics.QUEUE_DEPTH.set_function(self._queue.depth)
        metrics.QUEUE_OLDEST.set_function(self._queue.oldest_seconds)

    def wake(self, key: Key) -> None:
        """Request a pass, because something of this loop changed."""
        self._queue.add(key)

    def changed(self, loop: dict[str, Any]) -> None:
        """Request a pass for a changed or listed loop, unless one has read this version. A new spec is urgent."""
        metadata = loop["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if self._read.get(key) != metadata["resourceVersion"]:
            generation = metadata.get("generation", 0)
            new = generation not in (loop.get("status", {}).get("observedGeneration"), self._hurried.get(key))
            if new:
                self._hurried[key] = generation
            self._queue.add(key, urgent=new)

    def wake_all(self) -> None:
        """Request a pass for every loop, because a fact common to all has changed."""
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
        except Exception as error:  # noqa: BLE001 -- any error is reported, and stops no other loop
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
        """Seconds until the next pass. Longer after a repetition: an object that we create but do not find under our
        labels must not cause a hot loop.
        """
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
    """The actions of a pass that wrote no status; empty if it wrote one, because then it made progress."""
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
    """Whether the error says nothing about the loop: the API server is unreachable or the Lease has expired."""
    found = isinstance(error, KubeError) and error.status == 0
    if found:
        log.info("pass_interrupted", detail=str(error))
    return found
