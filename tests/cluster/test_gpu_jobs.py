"""The GPU job that docs/gpu-jobs.md shows, on a real API server: a queue holds it, two nodes take it, another waits.

The training operator and the scheduler are real too. The nodes are fake, so nothing is mounted, pulled or trained; and
what Kueue would do to a job, the test does.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster import tiny
from tests.cluster.campaign import Campaign
from tests.cluster.conftest import POOL
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.fake_nodes import FAKE
from tests.cluster.waiting import until
from tests.contract.cluster_shell import Kubernetes, opened
from tests.contract.shells import ended, run
from tests.operator.cluster.golden import page

from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import EnvVar, PyTorchJob

GPUS = "nvidia.com/gpu"
KUEUE = "kueue"
# No image here has torchrun. The one of the second pod says what it was told, the first one's waits for it.
TORCHRUN = """#!/bin/sh
if [ "$NODE_RANK" = 0 ]; then exec sleep 600; fi
echo "$*"
exit 1
"""
pytestmark = pytest.mark.usefixtures("training_operator")


def volume(namespace: str, of: str, size: str) -> dict[str, Any]:
    """A volume that all nodes can mount, kept for this claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{of}"},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "shared",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": of},
            "nfs": {"server": "192.0.2.1", "path": "/"},
        },
    }


def claim(name: str, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "shared",
            "resources": {"requests": {"storage": size}},
        },
    }


@pytest.fixture
def campaign(cluster: Cluster, namespace: str, release: str) -> Iterator[Campaign]:
    """The page's campaign, of one run at a time, on nodes that are not there yet."""
    if not cluster.own:
        pytest.skip("makes nodes and volumes, which only a cluster of ours lets us")
    found = Campaign(cluster, namespace, "gpus")
    spec = page.spec()
    experiment = spec["experiment"]
    experiment["nodeSelector"] |= {POOL: namespace}
    experiment["tolerations"] += [{"key": FAKE, "operator": "Exists"}]
    spec["experiment"] = {"job": None} | experiment
    volumes = [volume(namespace, "gpus-workspace", "500Gi"), volume(namespace, "base-models", "500Gi")]
    cluster.apply(*volumes)
    found.apply(claim("base-models", "500Gi"), *tiny.manifests(cluster, "gpus", parallelism=1, **spec))
    yield found
    cluster.kubectl("delete", "pv", *(one["metadata"]["name"] for one in volumes), "--wait=false")


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[list[str]]:
    """Names of fake nodes, filled in by the test; they go with it."""
    names: list[str] = []
    yield names
    if names:
        cluster.remove_fake_nodes(names)


def job_of(campaign: Campaign, run: int) -> dict[str, Any]:
    """The PyTorchJob of the first attempt at a run of the baseline, with who wrote which field."""
    words = ("pytorchjob", f"{campaign.name}-b01-r{run}-a1", "-n", campaign.namespace, "--show-managed-fields")
    found: dict[str, Any] = campaign.cluster.get(*words)
    return found


def suspend(campaign: Campaign, job: dict[str, Any], *, value: bool) -> None:
    """What Kueue does to a job, by its own name."""
    patch = json.dumps({"spec": {"runPolicy": {"suspend": value}}})
    words = ("patch", "pytorchjob", job["metadata"]["name"], "-n", campaign.namespace, "--type=merge", "-p", patch)
    campaign.cluster.kubectl(*words, f"--field-manager={KUEUE}")


def writers_of_suspend(job: dict[str, Any]) -> set[str]:
    """Who set it to what it is now. On a new job whoever made it, as the CRD has a default."""
    fields = job["metadata"]["managedFields"]
    policies = {one["manager"]: one["fieldsV1"].get("f:spec", {}).get("f:runPolicy", {}) for one in fields}
    return {manager for manager, policy in policies.items() if "f:suspend" in policy}


def workers(campaign: Campaign, run: int) -> list[dict[str, Any]]:
    pods = campaign.children("pods", "run")
    name = f"{campaign.name}-b01-r{run}-a1"
    return [pod for pod in pods if pod["metadata"]["labels"]["rloop.dev/workload"] == name]


def phases(campaign: Campaign) -> list[list[str]]:
    """Of the attempts at each run that was begun."""
    [baseline] = campaign.children("rexp")
    runs = baseline.get("status", {}).get("runs", [])
    return [[one["phase"] for one in run["attempts"]] for run in runs if run.get("attempts")]


def progress(campaign: Campaign) -> tuple[str, str]:
    condition = campaign.condition("Progressing")
    return condition.get("status", ""), condition.get("reason", "")


@pytest.mark.parametrize("release", [releases.QUICK], indirect=True, ids=[""])
def test_a_job_of_two_nodes_is_queued_then_placed_and_the_next_one_waits(campaign: Campaign, nodes: list[str]) -> None:
    cluster = campaign.cluster
    until(campaign, "a job", lambda: campaign.children("pytorchjobs"))
    job = job_of(campaign, 1)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"

    suspend(campaign, job, value=True)
    until(campaign, "told that it is queued", lambda: progress(campaign) == ("True", "Queued"))
    assert 'the queue "research" has no free quota' in campaign.condition("Progressing")["message"]
    until(campaign, "no worker", lambda: not workers(campaign, 1))
    assert writers_of_suspend(job_of(campaign, 1)) == {KUEUE}

    labels = {POOL: campaign.namespace, **page.spec()["experiment"]["nodeSelector"]}
    nodes += cluster.add_fake_nodes(2, labels, {GPUS: "8", "cpu": "96", "memory": "1Ti"})
    suspend(campaign, job, value=False)
    until(campaign, "both workers run", lambda: phases(campaign) == [["Running"]])
    placed = workers(campaign, 1)
    assert sorted(pod["spec"]["nodeName"] for pod in placed) == sorted(nodes)
    for pod in placed:
        [main] = pod["spec"]["containers"]
        assert main["resources"]["limits"][GPUS] == "8"
    job = job_of(campaign, 1)
    assert writers_of_suspend(job) == {KUEUE}
    assert job["spec"]["runPolicy"]["suspend"] is False

    campaign.patch({"spec": {"parallelism": 2}})
    until(campaign, "told that it waits", lambda: progress(campaign) == ("True", "WaitingForCapacity"))
    assert f"2 Insufficient {GPUS}" in campaign.condition("Progressing")["message"]
    assert phases(campaign) == [["Running"], ["Pending"]]
    assert [pod["spec"].get("nodeName") for pod in workers(campaign, 2)] == [None, None]


@pytest.mark.parametrize("file", sorted(page.GOLDEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_api_server_takes_the_golden_manifests_and_knows_each_field(
    cluster: Cluster, namespace: str, file: Path
) -> None:
    words = ("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(file))
    assert cluster.kubectl(*words).count("created (server dry run)") == 2


def under_torchrun(shell: Kubernetes) -> ResearchLoop:
    """The shell's loop, with eight ranks in each of two pods and a torchrun in the task's folder."""
    changes: dict[str, Any] = {
        "py_torch_job": PyTorchJob(replicas=2, proc_per_node=8),
        "env": [EnvVar(name="PATH", value="/task:/usr/local/bin:/usr/bin:/bin")],
        "preflight": ["sh", "-c", 'echo "$1" > torchrun && chmod +x torchrun', "sh", TORCHRUN],
    }
    experiment = shell.loop.spec.experiment.model_copy(update=changes)
    return shell.loop.model_copy(update={"spec": shell.loop.spec.model_copy(update={"experiment": experiment})})


def test_torchrun_is_told_which_of_the_pods_it_is_in(cluster: Cluster, namespace: str) -> None:
    async def test() -> None:
        async with opened(cluster, namespace, gateway=False, workers=2) as shell:
            await shell.behave("demo-e1", "ok")
            await shell.runtime.start(under_torchrun(shell), run("demo-e1"))
            failed = await ended(shell, "demo-e1-r1-a1")
            assert failed.code == 1
            assert failed.log_tail.split() == [
                "--nnodes=2",
                "--node-rank=1",
                "--nproc-per-node=8",
                "--master-addr=demo-e1-r1-a1-worker-0",
                "--master-port=23456",
                "--max-restarts=0",
                "--no-python",
                "sh",
                "run.sh",
            ]

    asyncio.run(test())
