"""The cluster's runtime: workloads as Pods, Jobs and PyTorchJobs, created with one POST and never applied again.

Called by reconcile through `rloop_operator.ports.Runtime`. Running workloads and their results are not remembered but
read from the API server. A finished workload is deleted as soon as its result is stored, because it counts against
quotas and its pod blocks the deletion of a claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from typing_extensions import override

from rloop import names
from rloop.actions import Workload
from rloop.api.experiment import Attempt, ResearchExperiment, Verification
from rloop.api.iteration import SESSION_OVER, ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Blocked, Conflict, NotFound, Unstartable
from rloop.observed import Obstacle, WorkloadState
from rloop.reasons import Reason
from rloop_operator.cluster.kube import children, client, obstacles
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.workloads import (
    container_status,
    job_manifests,
    outcome,
    peer_policy,
    pod_manifests,
    pod_parts,
)
from rloop_operator.cluster.workloads.life_signs import OperatorSigns
from rloop_operator.cluster.workloads.states import ClaimMissing, States
from rloop_operator.ports import Runtime
from rloop_operator.task_files import files_digest

log = structlog.get_logger("rloop.runtime")
NO_PROVIDER = "spec.agent.llm needs a language model provider, but none is configured: set the chart's llm.providers"


class KubeRuntime(Runtime):
    """The runtime of one namespace."""

    def __init__(self, store: KubeStore, settings: Settings, signs: OperatorSigns) -> None:
        self._store = store
        self._api = store.api
        self._namespace = store.namespace
        self._settings = settings
        self._signs = signs
        self._states = States(store.api, store.namespace)
        self._steps: dict[str, outcome.Step] = {}
        """Workload -> its step and when it last changed, by the same clock as the signs of life."""

    @override
    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        holder = await self._holder(workload)
        if _over(holder, workload):
            log.info("over", name=workload.name)  # its pod may be deleted, but its name is never reused
            return
        if workload.role == "agent" and loop.spec.agent.llm is not None and not self._settings.llm_proxy_url:
            raise Blocked(Reason.PROVIDER_UNKNOWN, workload.name, NO_PROVIDER)
        if pod_parts.on_workspace(loop, workload):
            await self._ensure_workspace(loop)
        if workload.role == "run" and workload.number > 1:
            await self._check_alone(workload)
        path, body = await self._manifest(loop, workload, holder)
        apart = self._settings.network_policies and peer_policy.workers(body) > 1
        if apart:
            await peer_policy.allow(self._api, self._namespace, body)
        try:
            stored = await children.create(self._api, path, body)
            if apart:
                await peer_policy.hand_over(self._api, self._namespace, stored)
        except Conflict:
            log.info("exists", name=workload.name)
        except NotFound as error:
            if path != self._states.pytorch_jobs or await self._states.knows_pytorch_jobs():
                raise
            raise Blocked(
                Reason.TRAINING_OPERATOR_MISSING, workload.name, obstacles.TRAINING_OPERATOR_MISSING
            ) from error
        if path == self._states.pytorch_jobs:
            self._states.made_pytorch_job()

    async def _holder(self, workload: Workload) -> ResearchIteration | ResearchExperiment:
        if workload.role == "agent":
            return await self._store.get(ResearchIteration, workload.owner)
        return await self._store.get(ResearchExperiment, workload.owner)

    async def _ensure_workspace(self, loop: ResearchLoop) -> None:
        path = client.core(self._namespace, "persistentvolumeclaims")
        try:
            stored = await self._api.get(f"{path}/{names.workspace(loop.metadata.name)}")
        except NotFound:
            # Read again: whoever corrected spec.workspace, and then deleted the claim, must not get the old one back.
            now = await self._store.get(ResearchLoop, loop.metadata.name)
            owner = client.owner_reference(now.model_dump(by_alias=True))
            await children.create(self._api, path, pod_manifests.workspace_claim(now, owner))
            return
        # A claim kept from an earlier campaign of this name is reused: each campaign has its own folders on it.
        ours = stored["metadata"].get("labels", {}).get(names.LABEL_LOOP) == loop.metadata.name
        if not ours or stored["metadata"].get("deletionTimestamp"):
            raise children.taken("PersistentVolumeClaim", stored)

    async def _manifest(
        self, loop: ResearchLoop, workload: Workload, holder: ResearchIteration | ResearchExperiment
    ) -> tuple[str, dict[str, Any]]:
        owner = client.owner_reference(holder.model_dump(by_alias=True))
        if workload.role == "agent":
            await self._store.files(
                names.task(loop.metadata.name)
            )  # may raise Blocked: sessions without them only wait
            return self._states.pods, pod_manifests.agent(loop, workload, owner, self._settings)
        if workload.role == "verification":
            name = names.evaluation(loop.metadata.name)
            digest = files_digest(await self._store.files(name))
            return self._states.pods, pod_manifests.verifier(loop, workload, owner, self._settings, name, digest)
        wanted = names.task(loop.metadata.name)
        digests = {wanted: files_digest(await self._store.files(wanted))}
        if isinstance(holder, ResearchExperiment) and holder.spec.files:
            try:
                digests[workload.owner] = files_digest(await self._store.files(workload.owner))
            except NotFound as error:
                told = f'the ConfigMap "{workload.owner}" with the files of the experiment was deleted or replaced'
                raise Unstartable(f"{told}; the files cannot be restored") from error
        attempt = job_manifests.Attempt(loop, workload, self._settings, digests)
        replicas = loop.spec.experiment.py_torch_job
        if replicas is None:
            return self._states.jobs, job_manifests.job(attempt, owner)
        return self._states.pytorch_jobs, job_manifests.pytorch_job(attempt, replicas, owner)

    async def _check_alone(self, workload: Workload) -> None:
        """Raise Blocked while a pod of an earlier attempt at the run is alive: it may use GPUs, and writes to the same
        folders as the new one.
        """
        run = f"{workload.owner}-r{workload.run}-"
        selector = f"{names.LABEL_OWNER}={workload.owner},{names.LABEL_ROLE}=run"
        for pod in await self._api.all(self._states.pods, selector):
            of = pod["metadata"]["labels"].get(names.LABEL_WORKLOAD, "")
            over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
            if of.startswith(run) and of != workload.name and not over:
                raise Blocked(
                    Reason.WAITING_FOR_CAPACITY,
                    workload.name,
                    f"the pod {pod['metadata']['name']} is still terminating",
                )

    @override
    async def stop(self, name: str, reason: str) -> None:
        """Store the reason on the object, then end it. A Pod gets a deadline of one second. A Job is suspended and a
        PyTorchJob gets that deadline (its `suspend` belongs to queues): that deletes their pods, so their log tail
        is stored first.

        A workload that was not taken up yet is deleted: it never began, and may be created again under its name.
        """
        for path in self._paths():
            try:
                found = await self._api.get(f"{path}/{name}")
            except NotFound:
                continue
            noted = found["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
            # A Job is stopped in each pass until it ends. Once the reason is stored, its pods need not be listed.
            own_pods = [] if noted is not None and path == self._states.jobs else await self._states.pods_of(found)
            if noted is None and not outcome.ended(found):
                notes = {names.ANNOTATION_STOP: reason}
                if path != self._states.pods:
                    tail = await self._states.log_tail(outcome.decisive(own_pods))
                    notes[names.ANNOTATION_LAST_WORDS] = tail[-container_status.TAIL :]
                await self._api.patch(f"{path}/{name}", {"metadata": {"annotations": notes}})
            if not outcome.taken_up(found, own_pods):
                await self._api.delete(f"{path}/{name}", found["metadata"]["uid"])
                continue
            spec: dict[str, Any] = {"activeDeadlineSeconds": 1}
            if path == self._states.jobs:
                spec = {"suspend": True}
            elif path == self._states.pytorch_jobs:
                spec = {"runPolicy": spec}
            await self._api.patch(f"{path}/{name}", {"spec": spec})

    @override
    async def remove(self, name: str) -> None:
        """Delete it, unless it still runs. A bare pod that has ended gets no grace period: nothing runs in it."""
        for path in self._paths():
            try:
                found = await self._api.get(f"{path}/{name}")
            except NotFound:
                continue
            own_pods = await self._states.pods_of(found)
            well = outcome.succeeded(found, own_pods)
            if not well and not outcome.ended(found) and not outcome.disrupted(found, own_pods):
                log.warning("not_removed", workload=name, why="it has not ended")
                return
            grace = 0 if path == self._states.pods else None
            await self._api.delete(f"{path}/{name}", found["metadata"]["uid"], grace_seconds=grace)
        self._steps.pop(name, None)

    @override
    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        states: dict[str, WorkloadState] = {}
        for workload, own_pods in await self._states.all(loop):
            name = workload["metadata"]["name"]
            try:
                state = await self._states.state(loop, workload, own_pods)
            except ClaimMissing as missing:
                if missing.going:
                    # No kubelet starts a pod with such a claim, and a pod that is scheduled blocks its deletion.
                    await self._unmake(workload)
                    continue
                # It was deleted while pods wait for it, for example as the remedy for a wrong StorageClass.
                await self._ensure_workspace(await self._store.get(ResearchLoop, loop))
                state = WorkloadState(name, started_at=outcome.waits_since(workload, datetime.now(UTC)), started=False)
            if state.obstacle is not None and state.obstacle.reason == Reason.INPUTS_MISSING:
                state = replace(state, obstacle=await self._inputs(loop, state.obstacle))
            if workload["kind"] == "Pod":
                await self._signs.look(loop, own_pods[0])
            else:
                state = outcome.with_report(state, own_pods, self._steps, self._signs.monotonic())
            states[name] = state
        return states

    async def _unmake(self, workload: dict[str, Any]) -> None:
        """Delete a workload that has not begun. A status stores its intent, so it is created again under its name."""
        metadata = workload["metadata"]
        path = {"Pod": self._states.pods, "Job": self._states.jobs, "PyTorchJob": self._states.pytorch_jobs}
        log.warning("made_anew", workload=metadata["name"], why="the workspace claim is being deleted")
        await self._api.delete(f"{path[workload['kind']]}/{metadata['name']}", metadata["uid"])

    async def _inputs(self, loop: str, missing: Obstacle) -> Obstacle:
        """The obstacle of missing inputs. Missing sealed files are created again, and the kubelet finds them."""
        for name in (names.task(loop), names.evaluation(loop)):
            if f'"{name}"' in missing.message:
                try:
                    await self._store.files(name)
                except Blocked as error:
                    return Obstacle(error.reason, error.about, error.message)
        return missing

    def _paths(self) -> tuple[str, ...]:
        known = (self._states.pytorch_jobs,) if self._states.may_know_pytorch_jobs() else ()
        return self._states.pods, self._states.jobs, *known


def _over(holder: ResearchIteration | ResearchExperiment, workload: Workload) -> bool:
    """Whether the stored status says that the workload has ended or was replaced by a later one."""
    if isinstance(holder, ResearchIteration):
        sessions = [one for one in holder.status.sessions if one.name == workload.session]
        return any(one.phase in SESSION_OVER or one.attempt > workload.number for one in sessions)
    run = next((one for one in holder.status.runs if one.number == workload.run), None)
    if run is None:
        return False
    tries: Sequence[Attempt | Verification] = run.attempts if workload.role == "run" else run.verifications
    own = [one for one in tries if one.number == workload.number]
    if own:
        return own[0].phase in ("Succeeded", "Failed")
    return any(one.number > workload.number for one in tries)
