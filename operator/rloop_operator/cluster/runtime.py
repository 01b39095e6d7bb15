"""The cluster's runtime: workloads as Pods and Jobs, POSTed once and never applied again.

Called by reconcile through `rloop_operator.ports.Runtime`. It remembers nothing: what runs, and how it ended, is read
from the API server. A finished workload whose result is stored is only marked; the mark keeps its name taken until the
loop itself goes, so no name can run twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from typing_extensions import override

from rloop import names
from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Conflict, NotFound
from rloop.observed import WorkloadState
from rloop_operator.cluster import kube, outcome, pods
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.signs import OperatorSigns
from rloop_operator.cluster.store import PLURALS, KubeStore
from rloop_operator.ports import Runtime
from rloop_operator.task_files import files_digest

log = structlog.get_logger("rloop.runtime")
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
        owner = await self._owner(workload)
        if workload.role != "agent":
            await self._ensure_workspace(loop)
        path, body = await self._manifest(loop, workload, owner)
        try:
            await self._api.create(path, body)
        except Conflict:
            stored = await self._api.get(f"{path}/{workload.name}")
            uids = [one["uid"] for one in stored["metadata"].get("ownerReferences", [])]
            if owner["uid"] not in uids:
                told = f"{body['kind']} {workload.name} exists and is not ours: rename or delete it"
                raise Conflict(told) from None

    async def _owner(self, workload: Workload) -> dict[str, Any]:
        plural = "researchiterations" if workload.role == "agent" else PLURALS[ResearchExperiment]
        found = await self._api.get(kube.objects(self._namespace, plural, workload.owner))
        return kube.owner_reference(found)

    async def _ensure_workspace(self, loop: ResearchLoop) -> None:
        path = kube.core(self._namespace, "persistentvolumeclaims")
        try:
            await self._api.get(f"{path}/{pods.claim_name(loop)}")
        except NotFound:
            owner = await self._api.get(kube.objects(self._namespace, PLURALS[ResearchLoop], loop.metadata.name))
            try:
                await self._api.create(path, pods.workspace_claim(loop, kube.owner_reference(owner)))
            except Conflict:
                log.info("exists", name=pods.claim_name(loop))

    async def _manifest(
        self, loop: ResearchLoop, workload: Workload, owner: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        core_pods = kube.core(self._namespace, "pods")
        if workload.role == "agent":
            return core_pods, pods.agent(loop, workload, owner, self._settings)
        if workload.role == "verification":
            name = f"{loop.metadata.name}-evaluation"
            digest = files_digest(await self._store.files(name))
            return core_pods, pods.verifier(loop, workload, owner, self._settings, name, digest)
        wanted = [f"{loop.metadata.name}-task"]
        experiment = await self._store.get(ResearchExperiment, workload.owner)
        wanted += [workload.owner] if experiment.spec.files else []
        digests = {name: files_digest(await self._store.files(name)) for name in wanted}
        path = kube.group("batch/v1", self._namespace, "jobs")
        return path, pods.experiment(loop, workload, owner, self._settings, digests)

    @override
    async def stop(self, name: str, reason: str) -> None:
        """The reason is noted on the object first; a pod is then deleted, a Job is suspended, which ends its pods."""
        for path in self._paths():
            try:
                found = await self._api.get(f"{path}/{name}")
            except NotFound:
                continue
            noted = found["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
            if noted is None and not outcome.ended(found):
                await self._api.patch(f"{path}/{name}", {"metadata": {"annotations": {names.ANNOTATION_STOP: reason}}})
            if path.endswith("/jobs"):
                await self._api.patch(f"{path}/{name}", {"spec": {"suspend": True}})
            else:
                await self._api.patch(f"{path}/{name}", {"spec": {"activeDeadlineSeconds": 1}})

    @override
    async def remove(self, name: str) -> None:
        for path in self._paths():
            try:
                await self._api.patch(f"{path}/{name}", {"metadata": {"labels": {names.LABEL_REMOVED: "true"}}})
            except NotFound:
                continue
        self._steps.pop(name, None)

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
                states[name] = await self._state(name, pod, [pod])
                await self._signs.look(loop, pod)
        for job in jobs:
            name = job["metadata"]["name"]
            state = await self._state(name, job, by_job.get(name, []))
            states[name] = outcome.with_report(state, by_job.get(name, []), self._steps)
        return states

    async def _state(self, name: str, workload: dict[str, Any], own_pods: list[dict[str, Any]]) -> WorkloadState:
        pod = own_pods[-1] if own_pods else None
        of_an_agent = workload["metadata"]["labels"][names.LABEL_ROLE] == "agent"
        if not outcome.ended(workload) and (of_an_agent or not outcome.succeeded(pod)):
            return WorkloadState(name, started_at=outcome.started_at(workload))
        tail = await self._log(pod) if pod is not None else ""
        exit_ = outcome.exit_of(workload, pod, tail, datetime.now(UTC))
        return WorkloadState(name, started_at=outcome.started_at(workload), exit=exit_)

    async def _log(self, pod: dict[str, Any]) -> str:
        path = kube.core(self._namespace, "pods", pod["metadata"]["name"])
        container = pod["spec"]["containers"][0]["name"]
        try:
            return await self._api.text(f"{path}/log", container=container, limitBytes=str(2**20), tailLines="60")
        except (NotFound, kube.KubeError):
            return ""

    def _paths(self) -> tuple[str, str]:
        return kube.core(self._namespace, "pods"), kube.group("batch/v1", self._namespace, "jobs")
