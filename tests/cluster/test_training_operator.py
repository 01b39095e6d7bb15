"""The training operator of the test cluster runs jobs as our operator will make them: workers only, restricted."""

from typing import Any

import pytest
from tests.cluster import pods
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.shell import Failure

pytestmark = pytest.mark.usefixtures("training_operator")

# Number 0 waits for a word of number 1, as a rendezvous of processes does.
CODE = """
import os, socket, time
name, number = os.environ["RENDEZVOUS"], os.environ["NUMBER"]
if number == "0":
    with socket.create_server(("", 29500)) as server:
        print(server.accept()[0].recv(99).decode())
else:
    for _ in range(100):
        try:
            socket.create_connection((name, 29500), 2).sendall(b"number 1 has found number 0")
            break
        except OSError:
            time.sleep(0.2)
"""


def job(name: str, image: str, *, container: str = "pytorch") -> dict[str, Any]:
    """A job of two workers."""
    number = {"fieldRef": {"fieldPath": "metadata.labels['training.kubeflow.org/replica-index']"}}
    env = [{"name": "RENDEZVOUS", "value": f"{name}-worker-0"}, {"name": "NUMBER", "valueFrom": number}]
    pod = pods.pod(name, pods.container(container, image, ["python3", "-c", CODE], env=env))["spec"]
    # The job says it instead.
    del pod["restartPolicy"]
    worker = {"replicas": 2, "restartPolicy": "Never", "template": {"spec": pod}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {"runPolicy": {"cleanPodPolicy": "None"}, "pytorchReplicaSpecs": {"Worker": worker}},
    }


def test_two_restricted_workers_find_each_other_and_the_job_succeeds(cluster: Cluster, namespace: str) -> None:
    pods.create(cluster, namespace, job("pair", cluster.base_image))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Succeeded", "--timeout=60s", "pytorchjob/pair")
    assert pods.log(cluster, namespace, "pair-worker-0").strip() == "number 1 has found number 0"
    replicas = cluster.get("pytorchjob", "pair", "-n", namespace)["status"]["replicaStatuses"]
    assert replicas["Worker"]["succeeded"] == 2


def test_its_webhook_refuses_what_it_would_not_run(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Failure, match="pytorch"):
        pods.create(cluster, namespace, job("wrong", cluster.base_image, container="another-name"))


def test_jobs_of_other_kinds_are_not_known(cluster: Cluster, namespace: str) -> None:
    other = {**job("other", cluster.base_image), "kind": "TFJob"}
    with pytest.raises(Failure, match='no matches for kind "TFJob"'):
        pods.create(cluster, namespace, other)


def test_installing_again_changes_nothing(cluster: Cluster) -> None:
    if not cluster.own:
        pytest.skip("installs nothing in a given cluster")
    words = ("pods", "-n", "kubeflow", "-l", "control-plane=kubeflow-training-operator")
    before = [item["metadata"]["uid"] for item in cluster.get(*words)["items"]]
    cluster.install_training_operator()
    assert [item["metadata"]["uid"] for item in cluster.get(*words)["items"]] == before
    assert len(before) == 1
