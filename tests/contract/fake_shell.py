"""The cluster's shell on the fake API server: pods begin and end as their experiment behaves, and run nothing.

So the promises of store, runtime, identity and signs of life are checked without a cluster. What only real programs,
admission or controllers show is left to the rows of the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.contract.cluster_shell import NOWHERE, SOURCES, KubeShell, config_map, kube_loop
from tests.support.fake_kubernetes import FakeKubernetes, Object
from tests.support.kubernetes_objects import merged
from typing_extensions import override

from rloop import names
from rloop.api.helpers import ProgressRequest, curves_of
from rloop_operator.cluster.access.identity import POD_NAME, POD_UID, KubeIdentity
from rloop_operator.cluster.kube import client
from rloop_operator.ports import Caller

NAMESPACE = "mine"
PODS, JOBS = client.core(NAMESPACE, "pods"), client.group("batch/v1", NAMESPACE, "jobs")
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:rloop-agent"
MOMENT = "2026-01-01T00:00:00Z"
TIMES = {"startedAt": MOMENT, "finishedAt": MOMENT}


class Faked(KubeShell):
    """The cluster's shell, with a controller and a kubelet that only write down what the real ones would."""

    def __init__(self, fake: FakeKubernetes, api: client.Kube) -> None:
        super().__init__(api, NAMESPACE, kube_loop(NAMESPACE, "python"), NOWHERE)
        self._now = 0.0
        self.identity = KubeIdentity(api, clock=lambda: self._now)
        self._fake = fake
        self._fake.faults["GET .*/log$"] = lambda: (200, "it went wrong")
        self._behaviour: dict[str, str] = {}
        self._made: set[str] = set()
        """Jobs whose pod was made: there is no second one."""

    @override
    async def behave(self, experiment: str, behaviour: str) -> None:
        await super().behave(experiment, behaviour)
        self._behaviour[experiment] = behaviour

    async def pass_time(self) -> None:
        await asyncio.sleep(0)
        self._now += 1
        for job in self._fake.stored(JOBS):
            self._control(job)
        for pod in self._fake.stored(PODS):
            await self._run(pod)

    def _control(self, job: Object) -> None:
        """One pod for each Job; it goes when the Job is suspended, and its end is the Job's."""
        name = job["metadata"]["name"]
        pod = self._fake.objects.get(f"{PODS}/{name}-x")
        if job["spec"].get("suspend"):
            self._fake.objects.pop(f"{PODS}/{name}-x", None)
        elif name not in self._made:
            self._made.add(name)
            template = job["spec"]["template"]
            self._fake.put(f"{PODS}/{name}-x", merged(template, {"metadata": {"name": f"{name}-x"}}))
        elif pod is None or "phase" not in pod.get("status", {}):
            self._state(f"{JOBS}/{name}", conditions=[{"type": "Failed", "status": "True"}])
        elif pod["status"]["phase"] != "Running":
            type_ = "Complete" if pod["status"]["phase"] == "Succeeded" else "Failed"
            self._state(f"{JOBS}/{name}", conditions=[{"type": type_, "status": "True"}])

    async def _run(self, pod: Object) -> None:
        """A pod begins, and ends as its experiment behaves or when its deadline is over."""
        name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase")
        behaviour = self._behaviour.get(pod["metadata"]["labels"][names.LABEL_OWNER], "sleep")
        if phase is None:
            self._container(pod, "Running", {"running": {"startedAt": MOMENT}})
        elif phase != "Running":
            return
        elif pod["spec"].get("activeDeadlineSeconds") == 1:
            self._container(pod, "Failed", {"terminated": {"exitCode": 143, **TIMES}})
        elif behaviour == "ok":
            curves = curves_of({"loss": [(1, 0.75)]})
            report = ProgressRequest(run=1, attempt=1, step=1, claims={"loss": 0.5}, curves=curves)
            await self.gateway_signs.progress(Caller(name, "run", "demo", "demo-e1", "", NAMESPACE), report)
            self._container(pod, "Succeeded", {"terminated": {"exitCode": 0, **TIMES}})
        elif behaviour == "fail":
            self._container(pod, "Failed", {"terminated": {"exitCode": 3, **TIMES}})

    def _container(self, pod: Object, phase: str, state: Object) -> None:
        statuses = [{"name": pod["spec"]["containers"][0]["name"], "state": state}]
        self._state(f"{PODS}/{pod['metadata']['name']}", phase=phase, startTime=MOMENT, containerStatuses=statuses)

    def _state(self, path: str, **status: Any) -> None:
        self._fake.put(path, merged(self._fake.objects[path], {"status": status}))

    def lose(self, name: str) -> None:
        del self._fake.objects[f"{PODS}/{name}-x"]

    def runs(self, name: str) -> bool:
        pods = [self._fake.objects.get(f"{PODS}/{name}{suffix}", {}) for suffix in ("", "-x")]
        return any(pod.get("status", {}).get("phase") == "Running" for pod in pods)

    def ledger(self) -> list[str]:
        chunks = [
            one
            for one in self._fake.stored(client.core(NAMESPACE, "configmaps"))
            if one["metadata"].get("labels") == names.labels("demo", "ledger")
        ]
        return [key.replace(".", "/") for chunk in chunks for key in sorted(chunk["data"])]

    def token(self, name: str) -> str:
        """A token as the pod's own."""
        uid = self._fake.objects[f"{PODS}/{name}"]["metadata"]["uid"]
        return self._issued("an.agents.token", {POD_NAME: [name], POD_UID: [uid]})

    def others(self) -> list[str]:
        """Tokens of nobody's: made up, and of an account without a pod."""
        return ["", "wrong", "made.up.token", self._issued("an.accounts.token", {})]

    def _issued(self, token: str, extra: Object) -> str:
        user: Object = {"username": ACCOUNT, "extra": extra}
        self._fake.tokens[token] = {"authenticated": True, "user": user}
        return token


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Faked]:
    """A fresh shell, its loop stored and sealed."""
    fake = FakeKubernetes()
    for name, files in SOURCES.items():
        fake.put(client.core(NAMESPACE, "configmaps", name), config_map(NAMESPACE, name, files))
    async with fake.connected() as api:
        shell = Faked(fake, api)
        shell.loop = await shell.store.create(shell.loop)
        await shell.store.seal(shell.loop)
        yield shell
