"""Fake nodes are to the scheduler what real ones are, and no concern of anybody who does not ask for them."""

from typing import Any

from tests.cluster import pods
from tests.cluster.conftest import POOL
from tests.cluster.harness import paths
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.fake_nodes import EXIT_CODE, FAKE
from tests.cluster.waiting import wait_for

GPUS = "nvidia.com/gpu"


def gpu_pod(name: str, pool: str, *, tolerant: bool = True, exit_code: int | None = None) -> dict[str, Any]:
    """A pod that wants eight GPUs of a pool."""
    main = pods.container("main", "rloop.test/nowhere:1", ["train"], resources={"limits": {GPUS: "8"}})
    tolerations = [{"key": FAKE, "operator": "Exists"}] if tolerant else []
    manifest = pods.pod(name, main, nodeSelector={POOL: pool}, tolerations=tolerations)
    manifest["metadata"]["annotations"] = {} if exit_code is None else {EXIT_CODE: str(exit_code)}
    return manifest


def status(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("pod", name, "-n", namespace)
    return {"node": found["spec"].get("nodeName"), **found["status"]}


def why_unscheduled(cluster: Cluster, namespace: str, name: str) -> str:
    """What the scheduler says of a pod that it has looked at in vain."""

    def said() -> list[str]:
        conditions = status(cluster, namespace, name).get("conditions", [])
        return [c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]

    wait_for(said, lambda: cluster.kubectl("describe", "pod", name, "-n", namespace), seconds=30, pause=0.2)
    return said()[0]


def test_gpus_are_given_once_and_the_next_pod_waits(cluster: Cluster, namespace: str, gpu_pool: str) -> None:
    for name in ("first", "second"):
        pods.create(cluster, namespace, gpu_pod(name, gpu_pool))
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=30s", f"pod/{name}")
    seen = [status(cluster, namespace, name) for name in ("first", "second")]
    assert [one["phase"] for one in seen] == ["Running", "Running"]
    assert len({one["node"] for one in seen}) == 2
    pods.create(cluster, namespace, gpu_pod("third", gpu_pool))
    assert f"2 Insufficient {GPUS}" in why_unscheduled(cluster, namespace, "third")
    # What ends makes room.
    cluster.kubectl("-n", namespace, "delete", "pod", "first")
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=30s", "pod/third")


def test_a_pod_ends_as_its_annotation_says(cluster: Cluster, namespace: str, gpu_pool: str) -> None:
    for code, phase in ((0, "Succeeded"), (3, "Failed")):
        name = f"code-{code}"
        pods.create(cluster, namespace, gpu_pod(name, gpu_pool, exit_code=code))
        ended = pods.finish(cluster, namespace, name, seconds=30)["status"]
        assert ended["phase"] == phase
        assert [c["state"]["terminated"]["exitCode"] for c in ended["containerStatuses"]] == [code]


def test_no_pod_comes_to_a_fake_node_unasked(cluster: Cluster, namespace: str, gpu_pool: str) -> None:
    pods.create(cluster, namespace, gpu_pod("stranger", gpu_pool, tolerant=False))
    assert "node(s) had untolerated taint(s)" in why_unscheduled(cluster, namespace, "stranger")


def test_the_real_node_is_left_alone_and_the_fake_ones_go(cluster: Cluster, namespace: str) -> None:
    before = cluster.get("node", paths.NODE_NAME)
    names = cluster.add_fake_nodes(1, {POOL: namespace}, {GPUS: "8"})
    pods.create(cluster, namespace, gpu_pod("fake", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=30s", "pod/fake")
    pods.succeed(cluster, namespace, pods.pod("real", pods.container("main", cluster.base_image, ["id"])))
    assert f"uid={pods.UID}" in pods.log(cluster, namespace, "real")
    cluster.remove_fake_nodes(names)
    after = cluster.get("node", paths.NODE_NAME)
    assert after["status"]["nodeInfo"] == before["status"]["nodeInfo"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert cluster.kubectl("get", "nodes", "-l", f"{POOL}={namespace}", "-o", "name") == ""
    assert cluster.kubectl("-n", namespace, "get", "pods", "-o", "name").split() == ["pod/real"]
