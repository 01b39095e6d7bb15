"""Nodes that are not there, with as many GPUs as a test likes: kwok plays their kubelet.

Called by `cluster.add_fake_nodes`, for tests of what needs many nodes: the scheduler, the quotas and our operator are
real and cannot tell, only no container runs. kwok is a server of the node, started with the first fake node, and
looks after nodes with the label FAKE only.
"""

import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.harness import binaries, control_plane, node, paths
from tests.cluster.harness.shell import run, wait

FAKE = "rloop.test/fake"
"""The label and the taint (NoSchedule) of all fake nodes: pods of tests that did not ask for them never come here."""
EXIT_CODE = "rloop.test/exit-code"
"""The annotation of a pod whose containers are to end with this code at once; without it they run until deleted."""

# Addresses for measuring networks, which nobody has: what is sent to a fake pod reaches nobody.
_POD_NETWORK = "198.18.0.1/16"
_NODE_ADDRESS = "198.19.0.1"

_CAPACITY = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "200"}
_PODS = Path(__file__).with_name("fake_pods.yaml")


def add(number: int, labels: Mapping[str, str], capacity: Mapping[str, str]) -> list[str]:
    """Make so many nodes, ready to run pods, and return their names."""
    _start()
    names = [f"fake-{secrets.token_hex(4)}" for _ in range(number)]
    manifest = {"apiVersion": "v1", "kind": "List", "items": [_node(name, labels, capacity) for name in names]}
    _kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    _kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"node/{name}" for name in names))
    # A controller takes this taint away when it has seen that they are ready.
    wait("the fake nodes", lambda: _are_open(names), seconds=60)
    return names


def remove(*names: str) -> None:
    """Remove fake nodes and the pods that were on them."""
    for name in names:
        # At once, as nothing runs; by itself the cluster would miss the node first, for a minute.
        pods = ("pods", "--all-namespaces", f"--field-selector=spec.nodeName={name}")
        _kubectl("delete", *pods, "--grace-period=0", "--force", "--wait=false")
    _kubectl("delete", "nodes", *names, "--ignore-not-found")


def _start() -> None:
    node.check_servers()
    folder = paths.state() / "kwok"
    if folder.exists():
        return
    file = folder / "pods.yaml"
    folder.mkdir()
    # The checkout may go before the cluster does.
    shutil.copy(_PODS, file)
    node.serve(
        "kwok",
        binaries.folder("kwok") / "kwok",
        f"--config={file}",
        f"--kubeconfig={paths.kubeconfig()}",
        f"--manage-nodes-with-label-selector={FAKE}",
        f"--cidr={_POD_NETWORK}",
        f"--node-ip={_NODE_ADDRESS}",
        # It would only say that it is healthy.
        "--node-port=0",
    )


def _node(name: str, labels: Mapping[str, str], capacity: Mapping[str, str]) -> dict[str, object]:
    standard = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    has = {**_CAPACITY, **capacity}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**standard, FAKE: "true", **labels}},
        "spec": {"taints": [{"key": FAKE, "value": "true", "effect": "NoSchedule"}]},
        "status": {"capacity": has, "allocatable": has},
    }


def _are_open(names: list[str]) -> bool:
    node.check_servers()
    found: dict[str, Any] = json.loads(_kubectl("get", "nodes", *names, "-o", "json"))
    # One object is given as itself.
    return all(len(item["spec"]["taints"]) == 1 for item in found.get("items", [found]))


def _kubectl(*words: str, stdin: str | None = None) -> str:
    return run(*control_plane.kubectl(), *words, stdin=stdin)
