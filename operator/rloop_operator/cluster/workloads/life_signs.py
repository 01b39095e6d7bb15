"""Signs of life, passed from the gateway to the operator as annotations on the session's pod.

The gateway writes them; the operator sees them change and measures their age with its own monotonic clock. So neither
needs to reach the other, and either may restart. An idle loop has no sessions and causes no writes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import override

from rloop import names
from rloop.api.helpers import ProgressRequest
from rloop.observed import Beat
from rloop_operator.beats import Beats, Sight
from rloop_operator.cluster.kube import client
from rloop_operator.ports import Caller, Signs

CALLED_SECONDS = 10.0
"""Minimum seconds between two writes for the calls of a pod, because a client may call many times a second."""


class GatewaySigns(Signs):
    """The gateway's side: it only records."""

    def __init__(self, api: client.Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        # Not from 1: after a restart of the gateway a heartbeat would look like the one before it, and go unseen.
        self._counter = itertools.count(time.time_ns())
        self._called: dict[tuple[str, str], float] = {}
        """Namespace and pod -> when a call of it was last written."""

    @override
    async def record(self, caller: Caller, round_: int) -> str | None:
        path = client.core(caller.namespace, "pods", caller.workload)
        beat = f"{next(self._counter)}/{round_}"
        pod = await self._api.patch(path, _annotated({names.ANNOTATION_BEAT: beat}))
        nudge: str | None = pod["metadata"]["annotations"].get(names.ANNOTATION_NUDGE)
        if nudge is not None:
            await self._api.patch(path, _annotated({names.ANNOTATION_NUDGE: None}))
        return nudge

    @override
    async def called(self, caller: Caller) -> None:
        now, key = self._clock(), (caller.namespace, caller.workload)
        self._called = {one: at for one, at in self._called.items() if now - at < CALLED_SECONDS}
        if key in self._called:
            return
        self._called[key] = now
        path = client.core(caller.namespace, "pods", caller.workload)
        await self._api.patch(path, _annotated({names.ANNOTATION_BEAT: f"{next(self._counter)}/"}))

    @override
    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        path = client.core(caller.namespace, "pods", caller.workload)
        await self._api.patch(path, _annotated({names.ANNOTATION_PROGRESS: request.model_dump_json(by_alias=True)}))

    @override
    async def expect(self, loop: str, sessions: Mapping[str, int]) -> None:
        return

    @override
    async def read(self) -> Mapping[str, Beat]:
        return {}

    @override
    async def nudge(self, session: str, message: str) -> None:
        return


class OperatorSigns(Beats):
    """The operator's side: it detects changed heartbeats on the pods that the runtime lists.

    While the API server is unavailable the gateway cannot write heartbeats; the clock `sight` stops for that time.
    """

    def __init__(self, api: client.Kube, namespace: str, sight: Sight) -> None:
        super().__init__(sight, lambda: sight.returned_at)
        self._api = api
        self._namespace = namespace
        self._values: dict[str, str] = {}

    async def look(self, loop: str, pod: dict[str, Any]) -> None:
        """Record the heartbeat on an agent's pod, if it has changed."""
        metadata = pod["metadata"]
        beat = metadata.get("annotations", {}).get(names.ANNOTATION_BEAT)
        session = metadata["labels"].get(names.LABEL_SESSION, "")
        if beat is None or not session or self._values.get(session) == beat:
            return
        self._values[session] = beat
        caller = Caller(metadata["name"], "agent", loop, metadata["labels"].get(names.LABEL_OWNER, ""), session)
        if round_ := beat.partition("/")[2]:
            await self.record(caller, int(round_))
        else:
            await self.called(caller)

    @override
    async def nudge(self, session: str, message: str) -> None:
        for pod in await self._api.all(client.core(self._namespace, "pods"), f"{names.LABEL_SESSION}={session}"):
            path = client.core(self._namespace, "pods", pod["metadata"]["name"])
            await self._api.patch(path, _annotated({names.ANNOTATION_NUDGE: message}))


def _annotated(annotations: dict[str, str | None]) -> dict[str, Any]:
    return {"metadata": {"annotations": annotations}}
