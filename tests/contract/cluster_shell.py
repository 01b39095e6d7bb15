"""The cluster's shell on a real API server and kubelet, in a namespace of a test's own.

What the chart brings is there, except the operator: the test itself does what that would do.
"""

import asyncio
import contextlib
import hashlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import yaml
from tests.cluster import release
from tests.cluster.harness.cluster import Cluster
from tests.contract.tasks import EVALUATION, TASK
from tests.support.builders import experiment as build_experiment
from tests.support.builders import loop as build_loop
from tests.support.builders import run

from rloop import names
from rloop.actions import Workload
from rloop.api.common import ObjectMeta
from rloop.api.experiment import ChangedFile, ResearchExperiment
from rloop.api.iteration import ResearchIteration, ResearchIterationSpec, SessionSpec
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop.errors import Conflict
from rloop_operator.beats import Sight
from rloop_operator.cluster.access.identity import KubeIdentity
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.workloads.life_signs import GatewaySigns, OperatorSigns
from rloop_operator.cluster.workloads.pod_parts import AUDIENCE
from rloop_operator.cluster.workloads.runtime import KubeRuntime
from rloop_operator.ports import File, Files, Runtime

PAUSE_SECONDS = 0.2
NOWHERE = "http://127.0.0.1:9"
"""A gateway that never answers: an agent goes on trying, and so lives as long as a test needs it."""
SOURCES = {"task-files": TASK, "evaluation-files": EVALUATION}
"""ConfigMaps that the loop names."""
OPERATOR = ("StatefulSet", "rloop-operator")


class KubeShell:
    """The cluster's shell, whatever answers its requests."""

    def __init__(self, api: client.Kube, namespace: str, loop: ResearchLoop, gateway: str) -> None:
        self.loop = loop
        self.identity = KubeIdentity(api)
        self.gateway_signs = GatewaySigns(api)
        self.signs = OperatorSigns(api, namespace, Sight(time.monotonic, math.inf))
        self._api, self._namespace = api, namespace
        self._settings = _settings(namespace, gateway)
        self.reopened()

    def reopened(self) -> Runtime:
        self.store = KubeStore(self._api, self._namespace)
        self.runtime = KubeRuntime(self.store, self._settings, self.signs)
        return self.runtime

    async def behave(self, experiment: str, behaviour: str) -> None:
        content = behaviour.encode()
        changed = ChangedFile(path="behaviour", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        built = build_experiment(experiment, files=[changed])
        metadata = children.metadata(self.loop, experiment)
        await self.store.create(ResearchExperiment(metadata=metadata, spec=built.spec))
        await self.store.put_files("demo", experiment, {"behaviour": File(content)})

    async def record(self, experiment: str) -> None:
        """The end of its first attempt stands in a status."""
        stored = await self.store.get(ResearchExperiment, experiment)
        done = run("screen", "Verifying")
        await self.store.apply_status(
            stored.model_copy(update={"status": stored.status.model_copy(update={"runs": [done]})})
        )

    async def begin(self, workload: Workload) -> None:
        """Start an agent of an iteration that stands in the store."""
        session = SessionSpec(name=workload.session, max_rounds=1, session_seconds=60, max_experiments=1)
        spec = ResearchIterationSpec(loop_name="demo", number=1, generation=0, pivots=0, sessions=[session])
        with contextlib.suppress(Conflict):
            metadata = children.metadata(self.loop, workload.owner)
            await self.store.create(ResearchIteration(metadata=metadata, spec=spec))
        await self.runtime.start(self.loop, workload)


class Kubernetes(KubeShell):
    """The cluster's shell, with real pods."""

    def __init__(self, cluster: Cluster, api: client.Kube, namespace: str, loop: ResearchLoop, gateway: str) -> None:
        super().__init__(api, namespace, loop, gateway)
        self._cluster = cluster

    async def pass_time(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)

    def _kubectl(self, *words: str) -> str:
        return self._cluster.kubectl("-n", self._namespace, *words)

    def _pod(self, name: str) -> dict[str, Any] | None:
        selector = f"{names.LABEL_WORKLOAD}={name}"
        found = self._cluster.get("pods", "-n", self._namespace, "-l", selector)["items"]
        found += [one for one in self._cluster.get("pods", "-n", self._namespace)["items"] if _name(one) == name]
        return found[0] if found else None

    def lose(self, name: str) -> None:
        """As when a node is gone: the pod is forgotten, and says nothing more."""
        pod = self._pod(name)
        assert pod is not None
        self._kubectl("delete", "pod", _name(pod), "--grace-period=0", "--force")

    def runs(self, name: str) -> bool:
        pod = self._pod(name)
        statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
        return any("running" in one["state"] for one in statuses)

    def ledger(self) -> list[str]:
        selector = f"{names.LABEL_LOOP}=demo,{names.LABEL_ROLE}=ledger"
        chunks = self._cluster.get("configmaps", "-n", self._namespace, "-l", selector)["items"]
        return [key.replace(".", "/") for chunk in sorted(chunks, key=_name) for key in sorted(chunk["data"])]

    def token(self, name: str) -> str:
        """A token as the pod's own: for the gateway, and bound to the pod."""
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}")
        return self._kubectl("create", "token", "rloop-agent", f"--audience={AUDIENCE}", *bound).strip()

    def others(self) -> list[str]:
        """Tokens of nobody's: made up, of an account without a pod, and for another server."""
        account = ("create", "token", "rloop-agent")
        return ["", "wrong", self._kubectl(*account, f"--audience={AUDIENCE}").strip(), self._kubectl(*account).strip()]


def _name(obj: dict[str, Any]) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _settings(namespace: str, gateway: str) -> Settings:
    images = {name: f"{release.PREFIX}{name}:{release.TAG}" for name in release.IMAGES}
    return Settings(
        namespace=namespace,
        pod="contract",
        watched=(namespace,),
        gateway_url=gateway,
        llm_proxy_url="",
        agent_image=images["agent"],
        verifier_image=images["verifier"],
        sidecar_image=images["sidecar"],
        pull_policy="IfNotPresent",
        run_as_user=65532,
        network_policies=True,
        patrol_seconds=60.0,
    )


def config_map(namespace: str, name: str, files: Files) -> dict[str, Any]:
    """A user's files, as `spec.task` and `spec.evaluation.code` name them."""
    data = {path: file.content.decode() for path, file in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def kube_loop(namespace: str, image: str, storage_class: str | None = None, workers: int = 0) -> ResearchLoop:
    """The loop of the other rows, with what only a cluster needs."""
    workspace: dict[str, Any] = {"size": "1Gi"}
    if storage_class:
        workspace["storageClassName"] = storage_class
    job: dict[str, Any] = {"experiment__job": None, "experiment__pyTorchJob": {"replicas": workers}} if workers else {}
    loop = build_loop(
        **job,
        experiment__command=["sh", "run.sh"],
        experiment__gracePeriodSeconds=1,
        experiment__image=image,
        task={"configMap": {"name": "task-files"}},
        evaluation__code={"configMap": {"name": "evaluation-files"}},
        workspace=workspace,
    )
    return loop.model_copy(update={"metadata": ObjectMeta(name="demo", namespace=namespace)})


def _install(cluster: Cluster, namespace: str, own: str, *, gateway: bool) -> list[dict[str, Any]]:
    """Everything of the chart but the operator; without a gateway only what is in the loop's own namespace."""
    values = ("crds.install=false", f"watchNamespaces={{{namespace}}}", f"images.tag={release.TAG}")
    words = ("template", "rloop", str(release.CHART), "-n", own, *(f"--set={value}" for value in values))
    rendered = [one for one in yaml.safe_load_all(release.helm(cluster, *words)) if one]
    wanted = [one for one in rendered if (one["kind"], _name(one)) != OPERATOR]
    if not gateway:
        wanted = [one for one in wanted if one["metadata"].get("namespace") == namespace]
    cluster.apply(*wanted)
    return [one for one in wanted if "namespace" not in one["metadata"]]


def _gateway(cluster: Cluster, own: str) -> str:
    cluster.kubectl("-n", own, "rollout", "status", "--timeout=90s", "statefulset/rloop-gateway")
    return f"http://{cluster.get('service', 'rloop-gateway', '-n', own)['spec']['clusterIP']}:8080"


@contextlib.asynccontextmanager
async def opened(cluster: Cluster, namespace: str, *, gateway: bool, workers: int = 0) -> AsyncIterator[Kubernetes]:
    """A fresh shell in the namespace, which goes with all that is in it; its loop stored and sealed.

    Its runs are PyTorchJobs if they have a number of workers.
    """
    if workers:
        cluster.install_training_operator()
    release.load_images(cluster)
    release.apply_definitions(cluster)
    own = f"{namespace}-gateway"
    if gateway:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own}})
    everywhere = _install(cluster, namespace, own, gateway=gateway)
    cluster.make_volumes(1)
    cluster.apply(*(config_map(namespace, name, files) for name, files in SOURCES.items()))
    try:
        url = _gateway(cluster, own) if gateway else NOWHERE
        async with client.connected(cluster.kubeconfig) as api:
            loop = kube_loop(namespace, cluster.base_image, cluster.storage_class, workers)
            shell = Kubernetes(cluster, api, namespace, loop, url)
            shell.loop = await shell.store.create(shell.loop)
            await shell.store.seal(shell.loop)
            yield shell
    finally:
        if gateway:
            cluster.kubectl("delete", "namespace", own, "--wait=false")
        for one in everywhere:
            cluster.kubectl("delete", one["kind"], _name(one), "--ignore-not-found")
