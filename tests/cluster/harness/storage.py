"""Volumes: a StorageClass, and folders of the node as volumes of it, made on demand.

Used by `cluster`. No provisioner runs here; static local volumes behave as real disks do (they honour fsGroup,
which hostPath does not), and cost one folder each.
"""

import json
import secrets
import shutil

from tests.cluster.harness import control_plane, paths
from tests.cluster.harness.shell import run

CLASS = "rloop-local"
_LABEL = "rloop.test/volume"


def make_class() -> None:
    """The StorageClass, also for claims that name none."""
    manifest = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }
    run(*control_plane.kubectl(), "apply", "-f", "-", stdin=json.dumps(manifest))


def make_volumes(number: int, size: str) -> list[str]:
    """Make so many empty volumes, and remove those whose claims are gone. Returns the names of the new ones."""
    remove_released()
    names = [f"local-{secrets.token_hex(4)}" for _ in range(number)]
    for name in names:
        (paths.state() / "volumes" / name).mkdir(parents=True)
    manifest = {"apiVersion": "v1", "kind": "List", "items": [_volume(name, size) for name in names]}
    run(*control_plane.kubectl(), "apply", "-f", "-", stdin=json.dumps(manifest))
    return names


def remove_released() -> None:
    """Remove volumes nobody will ever claim again, with what is in them."""
    listed = json.loads(run(*control_plane.kubectl(), "get", "pv", "-l", _LABEL, "-o", "json"))
    for volume in listed["items"]:
        if volume.get("status", {}).get("phase") == "Released":
            name = volume["metadata"]["name"]
            run(*control_plane.kubectl(), "delete", "pv", name, "--wait=false", "--ignore-not-found")
            shutil.rmtree(paths.state() / "volumes" / name, ignore_errors=True)


def _volume(name: str, size: str) -> dict[str, object]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [paths.NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {_LABEL: "local"}},
        "spec": {
            "capacity": {"storage": size},
            # Both, as one node is all nodes: a claim for either is served.
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "local": {"path": str(paths.state() / "volumes" / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
