"""No object of ours carries what a deployment tool takes for its own mark: it would prune or overwrite the object.

Argo CD takes objects by label `app.kubernetes.io/instance` or by annotation, Flux and Helm by theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.cluster.test_golden import EXPERIMENT, SETTINGS, accepted, owner
from tests.operator.cluster.test_tenants import put_loop, running
from tests.support.fake_kubernetes import FakeKubernetes, Request

from rloop import names
from rloop.actions import Append, Workload
from rloop.decide import children
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage import ledger
from rloop_operator.cluster.watchdog.ping import Ping
from rloop_operator.cluster.workloads import job_manifests, pod_manifests

NAMESPACE = "research"
MARKS = (
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "applyset.kubernetes.io/",
    "config.k8s.io/owning-inventory",
    "kapp.k14s.io/",
    "objectset.rio.cattle.io/",
    "kubectl.kubernetes.io/last-applied-configuration",
)
"""Keys, or how keys begin, of labels and annotations by which tools know what is theirs."""
MANAGED_BY = "app.kubernetes.io/managed-by"


def marks(document: Any) -> Iterator[str]:
    """The marks in a manifest, also in the templates inside it."""
    if isinstance(document, dict):
        for kind in ("labels", "annotations", "matchLabels"):
            found = document.get(kind) or {}
            yield from (key for key in found if key.startswith(MARKS))
            if found.get(MANAGED_BY) in ("Helm", "argocd", "flux"):
                yield MANAGED_BY
        for value in document.values():
            yield from marks(value)
    elif isinstance(document, list):
        for value in document:
            yield from marks(value)


MARKED = {key + ("x" if key.endswith("/") else ""): "kuhn-selfplay" for key in MARKS} | {MANAGED_BY: "Helm"}


def test_what_is_looked_for_is_found() -> None:
    assert sorted(marks({"items": [{"metadata": {"labels": MARKED}}]})) == sorted(MARKED)


def test_nothing_that_is_written_for_a_marked_loop_carries_a_mark(home: Path) -> None:
    async def test() -> list[Request]:
        fake = FakeKubernetes()
        put_loop(fake, NAMESPACE)
        loop = fake.objects[client.objects(NAMESPACE, "researchloops", "demo")]
        loop["metadata"] |= {"labels": MARKED, "annotations": MARKED}
        async with running(fake, home, NAMESPACE) as now:
            await Ping(now.lease._api, "rloop-system").send(1)
            await now.until(lambda: now.jobs(NAMESPACE) != [])
            await ledger.append(now.lease._api, NAMESPACE, "demo", Append("demo/pivot", "pivot", {}))
            await now.operator.namespaces.loops()
        return [one for one in fake.written if one.method != "DELETE"]

    written = asyncio.run(test())
    kinds = {one.body["kind"] for one in written if one.method == "POST"}
    assert kinds >= {"ResearchExperiment", "ConfigMap", "PersistentVolumeClaim", "Job", "Event", "Lease"}
    # managedFields then tell the operator's writes from a person's and from those of other tools.
    assert {one.query.get("fieldManager") for one in written} == {"rloop-operator"}
    found = {one.path: list(marks(one.body)) for one in written}
    assert {path: one for path, one in found.items() if one} == {}


@pytest.mark.parametrize("job", [{"job": {}}, {"pyTorchJob": {"replicas": 2}}])
def test_no_manifest_of_a_marked_loop_carries_a_mark(job: dict[str, Any]) -> None:
    """Those of pods that the fake never gets to."""
    loop = accepted({"experiment": {**job, "image": "trainer:1", "command": ["./train"]}})
    metadata = loop.metadata.model_copy(update={"labels": MARKED, "annotations": MARKED})
    loop = loop.model_copy(update={"metadata": metadata})
    by = owner("experiment", EXPERIMENT)
    run = Workload(names.attempt(EXPERIMENT, 1, 1), "run", EXPERIMENT, 300, run=1, seed=7, kind="screen")
    scoring = Workload(
        names.verification(EXPERIMENT, 1, 1), "verification", EXPERIMENT, 300, run=1, seed=7, kind="final"
    )
    session = Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 60, session="demo-i0001-s1")
    attempt = job_manifests.Attempt(loop, run, SETTINGS, {})
    torch = loop.spec.experiment.py_torch_job
    made = [
        job_manifests.job(attempt, by) if torch is None else job_manifests.pytorch_job(attempt, torch, by),
        pod_manifests.agent(loop, session, by, SETTINGS),
        pod_manifests.verifier(loop, scoring, by, SETTINGS, "demo-evaluation", "a" * 64),
        pod_manifests.workspace_claim(loop, by),
        {"metadata": children.metadata(loop, names.baseline("demo")).model_dump(by_alias=True)},
    ]
    assert list(marks(made)) == []
    assert all(one["metadata"]["name"] for one in made)
