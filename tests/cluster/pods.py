"""Pods as the tests of this folder need them: builders of manifests, and waiting for an end.

Everything built here passes Pod Security restricted, as everything that the operator makes has to.
"""

import time
from typing import Any

from tests.cluster.harness.cluster import Cluster

UID = 65532


def container(name: str, image: str, command: list[str], **more: Any) -> dict[str, Any]:
    """One container; the image is there already, and never asked for elsewhere unless missing."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": context,
        **more,
    }


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod that runs once, without a token of the API server's."""
    context = {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": context,
            "containers": list(containers),
            **spec,
        },
    }


def create(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> None:
    """Create an object in a namespace."""
    cluster.apply({**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}})


def finish(cluster: Cluster, namespace: str, name: str, *, seconds: float = 60) -> dict[str, Any]:
    """Wait until a pod has ended, and return it. Its log comes with the error if it does not."""
    end = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = cluster.get("pod", name, "-n", namespace)
        if found["status"].get("phase") in {"Succeeded", "Failed"}:
            return found
        if time.monotonic() > end:
            raise AssertionError(cluster.kubectl("describe", "pod", name, "-n", namespace))
        time.sleep(0.2)


def succeed(cluster: Cluster, namespace: str, manifest: dict[str, Any], *, seconds: float = 60) -> dict[str, Any]:
    """Create a pod, wait for its end, and insist that it has succeeded."""
    create(cluster, namespace, manifest)
    name = manifest["metadata"]["name"]
    ended = finish(cluster, namespace, name, seconds=seconds)
    if ended["status"]["phase"] != "Succeeded":
        raise AssertionError(log(cluster, namespace, name) + cluster.kubectl("describe", "pod", name, "-n", namespace))
    return ended


def log(cluster: Cluster, namespace: str, name: str) -> str:
    """What a pod's containers have said."""
    return cluster.kubectl("logs", name, "-n", namespace, "--all-containers")
