"""The Kubeflow training operator, for PyTorchJobs only: the one that runs where people train on many machines.

Called by `cluster.install_training_operator`, for tests and people that want it: no other test waits for it. Its
program and its manifests are those of its pinned Go module; ours are only an image without a registry, and a start
that does not wait for what a test has no use for.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from tests.cluster.harness import binaries, control_plane, images, node, paths, workers
from tests.cluster.harness.definitions import wait_for_definitions
from tests.cluster.harness.shell import Failure, run, step, wait, write

CRD = "pytorchjobs.kubeflow.org"
_NAMESPACE = "kubeflow"
_MODULE = "training-operator"

_IMAGE_FILE = """
FROM scratch
COPY training-operator /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
"""

# The parts of upstream's overlay "standalone", without the CRDs of other kinds of jobs: not all of their controllers
# start, and a job of such a kind should be refused at once and not wait for ever.
_PARTS = (
    "manifests/overlays/standalone/namespace.yaml",
    "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
    "manifests/base/rbac/cluster-role-binding.yaml",
    "manifests/base/rbac/role.yaml",
    "manifests/base/rbac/service-account.yaml",
    "manifests/base/webhook",
    "manifests/base/service.yaml",
    "manifests/base/deployment.yaml",
)


def install() -> None:
    """Apply the CRD and the operator and wait until it answers. Again is harmless, and quick."""
    with step(f"the training operator {binaries.version(_MODULE)} answers"):
        _load_image()
        manifests = run(*control_plane.kubectl(), "kustomize", _overlay())
        # On the server's side: the CRD is too large for the annotation that a client would write.
        run(*control_plane.kubectl(), "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
        wait_for_definitions(lambda *words: run(*control_plane.kubectl(), *words), "crd", CRD)
        if not _is_available():
            # It writes its certificate itself, into a Secret that kubelet reads again a minute later. A new pod
            # reads it at once.
            wait("the certificate of the training operator", _has_certificate, seconds=60, every=0.5)
            _ours("delete", "pod", "-l", "control-plane=kubeflow-training-operator", "--grace-period=1")
        _ours("rollout", "status", "deployment/training-operator", "--timeout=120s")
        wait("the webhook of the training operator", _answers, seconds=60, every=0.5)


def image() -> str:
    """The name of its image: another one for each version, of which the node may know several."""
    key = hashlib.sha256(f"{binaries.key(_MODULE)}{_IMAGE_FILE}".encode()).hexdigest()[:12]
    return f"rloop.test/{_MODULE}:{binaries.version(_MODULE)}-{key}"


def _load_image() -> None:
    if image() in node.inside(*workers.ctr(), "images", "list", "-q").split():
        return
    context = _folder() / "image"
    context.mkdir(parents=True, exist_ok=True)
    shutil.copy(binaries.folder(_MODULE) / _MODULE, context)
    images.build(write(context / "Dockerfile", _IMAGE_FILE), image(), {}, context)
    images.load(image())


def _overlay() -> Path:
    """A folder for kustomize, which reads nothing outside of it."""
    folder = _folder() / "overlay"
    shutil.copytree(binaries.folder(_MODULE) / "manifests", folder / "manifests", dirs_exist_ok=True)
    name, _, tag = image().rpartition(":")
    # The first container is the only one. Workers need no init container, masters do: see the flag.
    container = "/spec/template/spec/containers/0"
    changes = [
        {
            "op": "add",
            "path": f"{container}/args",
            "value": ["--enable-scheme=pytorchjob", f"--pytorch-init-container-image={images.BASE}"],
        },
        {"op": "add", "path": f"{container}/imagePullPolicy", "value": "IfNotPresent"},
        {"op": "add", "path": f"{container}/readinessProbe/initialDelaySeconds", "value": 0},
        {"op": "add", "path": f"{container}/readinessProbe/periodSeconds", "value": 1},
    ]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": _NAMESPACE,
        "resources": list(_PARTS),
        "images": [{"name": "ghcr.io/kubeflow/training-v1/training-operator", "newName": name, "newTag": tag}],
        "secretGenerator": [
            {"name": "training-operator-webhook-cert", "options": {"disableNameSuffixHash": True}},
        ],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(changes)}],
    }
    write(folder / "kustomization.yaml", json.dumps(kustomization, indent=1))
    return folder


def _ours(*words: str, stdin: str | None = None) -> str:
    node.check_servers()
    return run(*control_plane.kubectl(), "--namespace", _NAMESPACE, *words, stdin=stdin)


def _is_available() -> bool:
    found: dict[str, Any] = json.loads(_ours("get", "deployment", "training-operator", "-o", "json"))
    status = found["status"]
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(seen and status.get("updatedReplicas") == status.get("availableReplicas") == 1)


def _has_certificate() -> bool:
    return bool(_ours("get", "secret", "training-operator-webhook-cert", "-o", r"jsonpath={.data.tls\.crt}"))


def _answers() -> bool:
    """Whether a job is let in by its webhook: tried without making it."""
    container = {"name": "pytorch", "image": images.BASE}
    worker = {"replicas": 1, "restartPolicy": "Never", "template": {"spec": {"containers": [container]}}}
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "dry-run"},
        "spec": {"pytorchReplicaSpecs": {"Worker": worker}},
    }
    try:
        _ours("create", "--dry-run=server", "-f", "-", stdin=json.dumps(job))
    except Failure:
        return False
    return True


def _folder() -> Path:
    return paths.state() / _MODULE
