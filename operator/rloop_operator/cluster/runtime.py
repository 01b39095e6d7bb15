"""The cluster's runtime: workloads as Pods and Jobs, POSTed once and never applied again.

Called by reconcile through `rloop_operator.ports.Runtime`. It remembers nothing: what runs, and how it ended, is read
from the API server. A finished workload whose result is stored is marked first, and deleted an hour later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from typing_extensions import override

from rloop import names
from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Conflict, NotFound
from rloop.observed import Obstacle, WorkloadState
from rloop_operator.cluster import children, kube, obstacles, outcome, pods
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.signs import OperatorSigns
from rloop_operator.cluster.store import PLURALS, KubeStore
from rloop_operator.ports import Runtime
from rloop_operator.task_files import files_digest

log = structlog.get_logger("rloop.runtime")
PATIENCE = timedelta(seconds=10)
"""A pod takes a moment to start; nobody asks why before."""
JOB_NAME = "batch.kubernetes.io/job-name"
"""The label by which a pod belongs to a Job."""


class KubeRuntime(Runtime):
    """The runtime of one namespace."""

    def __init__(self, store: KubeStore, settings: Settings, signs: OperatorSigns) -> None:
        self._store = store
        self._api = store.api
        self._namespace = store.namespace
        self._settings = settings
        self._signs = signs
        self._steps: dict[str, outcome.Step] = {}
        """When we saw a workload's step move, by our own monotonic clock."""

    @override
    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        plural = PLURALS[ResearchIteration if workload.role == "agent" else ResearchExperiment]
        holder = await self._api.get(kube.objects(self._namespace, plural, workload.owner))
        if workload.role != "agent":
            await self._ensure_workspace(loop)
        path, body = await self._manifest(loop, workload, holder)
        try:
            await children.create(self._api, path, body)
        except Conflict:
            log.info("exists", name=workload.name)

    async def _ensure_workspace(self, loop: ResearchLoop) -> None:
        path = kube.core(self._namespace, "persistentvolumeclaims")
        try:
            stored = await self._api.get(f"{path}/{pods.claim_name(loop.metadata.name)}")
        except NotFound:
            owner = kube.owner_reference(loop.model_dump(by_alias=True))
            await children.create(self._api, path, pods.workspace_claim(loop, owner))
            return
        # A kept claim of an earlier campaign of this name is welcome: each has its own folder on it.
        ours = stored["metadata"].get("labels", {}).get(names.LABEL_LOOP) == loop.metadata.name
        if not ours or stored["metadata"].get("deletionTimestamp"):
            raise children.taken("PersistentVolumeClaim", stored)

    async def _manifest(
        self, loop: ResearchLoop, workload: Workload, holder: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        owner = kube.owner_reference(holder)
        core_pods = kube.core(self._namespace, "pods")
        if workload.role == "agent":
            return core_pods, pods.agent(loop, workload, owner, self._settings)
        if workload.role == "verification":
            name = f"{loop.metadata.name}-evaluation"
            digest = files_digest(await self._store.files(name))
            return core_pods, pods.verifier(loop, workload, owner, self._settings, name, digest)
        wanted = [f"{loop.metadata.name}-task"]
        wanted += [workload.owner] if holder["spec"].get("files") else []
        digests = {name: files_digest(await self._store.files(name)) for name in wanted}
        path = kube.group("batch/v1", self._namespace, "jobs")
        return path, pods.experiment(loop, workload, owner, self._settings, digests)

    @override
    async def stop(self, name: str, reason: str) -> None:
        """The reason is noted on the object first; a pod then has a second left, a Job is suspended with its pods.

        A pod that no kubelet has seen yet is deleted: it never began, and may be made anew under its name.
        """
        for path in self._paths():
            try:
                found = await self._api.get(f"{path}/{name}")
            except NotFound:
                continue
            noted = found["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
            if noted is None and not outcome.ended(found):
                await self._api.patch(f"{path}/{name}", {"metadata": {"annotations": {names.ANNOTATION_STOP: reason}}})
            if path.endswith("/pods") and "startTime" not in found.get("status", {}):
                await self._api.delete(f"{path}/{name}", found["metadata"]["uid"])
            elif path.endswith("/jobs"):
                await self._api.patch(f"{path}/{name}", {"spec": {"suspend": True}})
            else:
                await self._api.patch(f"{path}/{name}", {"spec": {"activeDeadlineSeconds": 1}})

    @override
    async def remove(self, name: str) -> None:
        pods_path, jobs_path = self._paths()
        for path in (pods_path, jobs_path):
            try:
                found = await self._api.get(f"{path}/{name}")
            except NotFound:
                continue
            if not outcome.ended(found) and not outcome.succeeded(await self._pod_of(found, name)):
                log.warning("not_removed", workload=name, why="it has not ended")
                return
            await self._api.patch(f"{path}/{name}", {"metadata": {"labels": {names.LABEL_REMOVED: _seconds()}}})
        self._steps.pop(name, None)

    async def _pod_of(self, workload: dict[str, Any], name: str) -> dict[str, Any] | None:
        """A pod's own, or the newest of a Job."""
        if workload["kind"] == "Pod":
            return workload
        found = await self._api.all(kube.core(self._namespace, "pods"), f"{JOB_NAME}={name}")
        return found[-1] if found else None

    @override
    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        selector = f"{names.LABEL_LOOP}={loop},!{names.LABEL_REMOVED}"
        core_pods = kube.core(self._namespace, "pods")
        found_pods, jobs = await asyncio.gather(
            self._api.all(core_pods, f"{selector},!{JOB_NAME}"),
            self._api.all(kube.group("batch/v1", self._namespace, "jobs"), selector),
        )
        if jobs:
            # Only these: the pods of all runs that ever were are many.
            wanted = ",".join(job["metadata"]["name"] for job in jobs)
            found_pods += await self._api.all(core_pods, f"{selector},{JOB_NAME} in ({wanted})")
        by_job: dict[str, list[dict[str, Any]]] = {}
        states: dict[str, WorkloadState] = {}
        for pod in found_pods:
            job = pod["metadata"]["labels"].get(JOB_NAME)
            if job is not None:
                by_job.setdefault(job, []).append(pod)
            else:
                name = pod["metadata"]["name"]
                states[name] = await self._state(loop, pod, [pod])
                await self._signs.look(loop, pod)
        for job in jobs:
            name = job["metadata"]["name"]
            state = await self._state(loop, job, by_job.get(name, []))
            states[name] = outcome.with_report(state, by_job.get(name, []), self._steps)
        return states

    async def _state(self, loop: str, workload: dict[str, Any], own_pods: list[dict[str, Any]]) -> WorkloadState:
        name = workload["metadata"]["name"]
        pod = own_pods[-1] if own_pods else None
        of_an_agent = workload["metadata"]["labels"][names.LABEL_ROLE] == "agent"
        begun = outcome.begun_at(pod)
        made = outcome.made_at(workload)
        if outcome.ended(workload) or (not of_an_agent and outcome.succeeded(pod)):
            tail = await self._log(pod) if pod is not None else ""
            exit_ = outcome.exit_of(workload, pod, tail, datetime.now(UTC))
            return WorkloadState(name, started_at=begun or made, exit=exit_)
        if begun is not None:
            return WorkloadState(name, started_at=begun)
        obstacle = await self._obstacle(loop, workload, pod, waited=datetime.now(UTC) - made)
        return WorkloadState(name, started_at=made, started=False, obstacle=obstacle)

    async def _obstacle(
        self, loop: str, workload: dict[str, Any], pod: dict[str, Any] | None, *, waited: timedelta
    ) -> Obstacle | None:
        """Why a workload has not begun; asked of the Events about it only when it has waited for a while."""
        told = obstacles.of_containers(pod) if pod is not None else None
        if told is not None or waited < PATIENCE:
            return told
        if pod is None:
            return obstacles.of_job(workload, await self._warnings(workload))
        claim: dict[str, Any] | None = None
        claim_told: list[str] = []
        if any(one.get("persistentVolumeClaim") for one in pod["spec"]["volumes"]):
            path = kube.core(self._namespace, "persistentvolumeclaims", pods.claim_name(loop))
            try:
                claim = await self._api.get(path)
                claim_told = await self._warnings(claim)
            except NotFound:
                # Somebody deleted it while pods wait for it, as the remedy for a wrong StorageClass says.
                await self._ensure_workspace(await self._store.get(ResearchLoop, loop))
                return None
        return obstacles.of_pod(pod, await self._warnings(pod), claim, claim_told)

    async def _warnings(self, of: dict[str, Any]) -> list[str]:
        """The messages of the warnings about an object, oldest first."""
        fields = f"involvedObject.uid={of['metadata']['uid']},type=Warning"
        found = await self._api.all(kube.core(self._namespace, "events"), fields=fields)
        return [one["message"] for one in sorted(found, key=lambda one: one.get("lastTimestamp") or "")]

    async def _log(self, pod: dict[str, Any]) -> str:
        path = kube.core(self._namespace, "pods", pod["metadata"]["name"])
        container = pod["spec"]["containers"][0]["name"]
        try:
            return await self._api.text(f"{path}/log", container=container, limitBytes=str(2**20), tailLines="60")
        except (NotFound, kube.KubeError):
            return ""

    def _paths(self) -> tuple[str, str]:
        return kube.core(self._namespace, "pods"), kube.group("batch/v1", self._namespace, "jobs")


def _seconds() -> str:
    """Now, as a label can hold it."""
    return str(int(datetime.now(UTC).timestamp()))
