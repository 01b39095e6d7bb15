"""State of a loop's workloads, from the API server: whether they have begun, why not, and how they ended.

Called by the cluster's runtime, which starts and stops them. This module only reads; the pure functions of `outcome`
and `obstacles` derive the state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from rloop import names
from rloop.errors import NotFound
from rloop.observed import Obstacle, WorkloadState
from rloop_operator.cluster.kube import client, obstacles
from rloop_operator.cluster.workloads import job_manifests, outcome

Manifest = dict[str, Any]
PATIENCE = timedelta(seconds=10)
"""Time that a pod may take to start before its Events are read."""
TAIL_LINES = "60"
UNKNOWN_SECONDS = 60.0
"""Seconds for which the absence of a kind is cached."""


class ClaimMissing(Exception):
    """Pods wait for the workspace claim, which does not exist or is being deleted (`going`)."""

    def __init__(self, *, going: bool) -> None:
        super().__init__()
        self.going = going


class States:
    """The workloads of one namespace."""

    def __init__(self, api: client.Kube, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self.pods = client.core(namespace, "pods")
        self.jobs = client.group("batch/v1", namespace, "jobs")
        self.pytorch_jobs = client.group("kubeflow.org/v1", namespace, "pytorchjobs")
        self._knows_pytorch_jobs = False
        self._ask_again_at = float("-inf")
        """Monotonic time at which to check again whether the kind PyTorchJob is installed."""

    async def all(self, loop: str) -> list[tuple[Manifest, list[Manifest]]]:
        """Each workload of a loop, with its pods in order (`_worker`)."""
        selector = f"{names.LABEL_LOOP}={loop}"
        bare, jobs, pytorch_jobs = await asyncio.gather(
            self._api.all(self.pods, f"{selector},!{names.LABEL_WORKLOAD}"),
            self._api.all(self.jobs, selector),
            self._pytorch_jobs(selector),
        )
        found = [(pod | {"kind": "Pod"}, [pod]) for pod in bare]
        made = [*(one | {"kind": "Job"} for one in jobs), *(one | {"kind": "PyTorchJob"} for one in pytorch_jobs)]
        if made:
            # Only their pods, because a loop may have very many pods of earlier runs.
            wanted = ",".join(one["metadata"]["name"] for one in made)
            theirs = await self._api.all(self.pods, f"{selector},{names.LABEL_WORKLOAD} in ({wanted})")
            by_name: dict[str, list[Manifest]] = {}
            for pod in sorted(theirs, key=_worker):
                by_name.setdefault(pod["metadata"]["labels"][names.LABEL_WORKLOAD], []).append(pod)
            found += [(one, by_name.get(one["metadata"]["name"], [])) for one in made]
        return found

    async def _pytorch_jobs(self, selector: str) -> list[Manifest]:
        """The PyTorchJobs; empty if the training operator is not installed, which is cached for UNKNOWN_SECONDS."""
        if not self.may_know_pytorch_jobs():
            return []
        try:
            found = await self._api.all(self.pytorch_jobs, selector)
        except NotFound:
            self._ask_again_at = self._clock() + UNKNOWN_SECONDS
            return []
        self._knows_pytorch_jobs = True
        return found

    def may_know_pytorch_jobs(self) -> bool:
        """False while the training operator is known not to be installed."""
        return self._knows_pytorch_jobs or self._clock() >= self._ask_again_at

    def made_pytorch_job(self) -> None:
        """Record that a PyTorchJob was created, so the training operator is installed."""
        self._knows_pytorch_jobs = True

    async def knows_pytorch_jobs(self) -> bool:
        """Whether the training operator is installed."""
        try:
            await self._api.get(self.pytorch_jobs)
        except NotFound:
            return False
        return True

    async def pods_of(self, workload: Manifest) -> list[Manifest]:
        """The pods of one workload, in order (`_worker`)."""
        if workload["kind"] == "Pod":
            return [workload]
        found = await self._api.all(self.pods, f"{names.LABEL_WORKLOAD}={workload['metadata']['name']}")
        return sorted(found, key=_worker)

    async def state(self, loop: str, workload: Manifest, own_pods: list[Manifest]) -> WorkloadState:
        """The state of the workload for a decision. Raises ClaimMissing."""
        name = workload["metadata"]["name"]
        of_an_agent = workload["metadata"]["labels"][names.LABEL_ROLE] == "agent"
        begun = outcome.begun_at(workload, own_pods)
        over = outcome.ended(workload) or outcome.disrupted(workload, own_pods)
        if over or (not of_an_agent and outcome.succeeded(workload, own_pods)):
            tail = await self.log_tail(outcome.decisive(own_pods))
            exit_ = outcome.exit_of(workload, own_pods, tail, datetime.now(UTC))
            return WorkloadState(name, started_at=begun or outcome.made_at(workload), exit=exit_)
        if begun is not None:
            return WorkloadState(name, started_at=begun, ending=outcome.ending(own_pods))
        now = datetime.now(UTC)
        since = outcome.waits_since(workload, now)
        obstacle = await self._obstacle(loop, workload, own_pods, waited=now - since)
        return WorkloadState(name, started_at=since, started=False, obstacle=obstacle)

    async def _obstacle(
        self, loop: str, workload: Manifest, own_pods: list[Manifest], *, waited: timedelta
    ) -> Obstacle | None:
        """Why a workload has not begun. The Events about it are read only after it has waited for PATIENCE."""
        told = obstacles.queued(workload) or next(filter(None, map(obstacles.of_containers, own_pods)), None)
        if told is not None or waited < PATIENCE:
            return told
        if len(own_pods) < outcome.wanted_pods(workload):
            return obstacles.of_job(workload, await self._warnings(workload))
        for pod in own_pods:
            if (found := await self._obstacle_of(loop, pod)) is not None:
                return found
        return None

    async def _obstacle_of(self, loop: str, pod: Manifest) -> Obstacle | None:
        claim: Manifest | None = None
        claim_told: list[str] = []
        workspace = names.workspace(loop)
        if any(one.get("persistentVolumeClaim", {}).get("claimName") == workspace for one in pod["spec"]["volumes"]):
            try:
                claim = await self._api.get(client.core(self._namespace, "persistentvolumeclaims", workspace))
            except NotFound as error:
                raise ClaimMissing(going=False) from error
            if "deletionTimestamp" in claim["metadata"]:
                raise ClaimMissing(going=True)
            claim_told = await self._warnings(claim)
        return obstacles.of_pod(pod, await self._warnings(pod), claim, claim_told)

    async def _warnings(self, of: Manifest) -> list[str]:
        """The messages of the warnings about an object, oldest first."""
        fields = f"involvedObject.uid={of['metadata']['uid']},type=Warning"
        found = await self._api.all(client.core(self._namespace, "events"), fields=fields)
        return [one["message"] for one in sorted(found, key=lambda one: one.get("lastTimestamp") or "")]

    async def log_tail(self, pod: Manifest | None) -> str:
        """The log tail of the container that best explains the end; empty if the log cannot be read."""
        if pod is None:
            return ""
        path = f"{self.pods}/{pod['metadata']['name']}/log"
        query = {"container": outcome.container_to_read(pod), "limitBytes": str(2**20), "tailLines": TAIL_LINES}
        try:
            return await self._api.text(path, **query)
        except (NotFound, client.KubeError):
            return ""


def _worker(pod: Manifest) -> tuple[int, str]:
    """Sort key of a workload's pods: worker number, then creation time."""
    metadata = pod["metadata"]
    return int(metadata["labels"].get(job_manifests.REPLICA_INDEX, 0)), metadata["creationTimestamp"]
