"""What all our pods have in common: a restricted pod, a container, a mount, a token for the gateway.

Called by `pods` and `attempts`, which say what runs in them.
"""

from __future__ import annotations

from typing import Any

from rloop import names
from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import ExperimentTemplate
from rloop_operator.cluster.settings import Settings

Manifest = dict[str, Any]
AUDIENCE = "rloop-gateway"
TOKEN_SECONDS = 3600
DISK = "ephemeral-storage"
SMALL: Manifest = {
    "requests": {"cpu": "20m", "memory": "64Mi", DISK: "0"},
    "limits": {"memory": "512Mi", DISK: "1Gi"},
}
"""Of our own containers. A request of 0 stands there because without one Kubernetes takes the limit for it."""
RUN_MEMORY = "4Gi"
RUN_MEMORY_PER_GPU_GIB = 64
RUN_DISK_GIB = 10
"""Limits of a run or a scoring whose spec has none: whoever fills a node is the one that ends."""


def pod_spec(account: str, settings: Settings, containers: list[Manifest], volumes: list[Manifest]) -> Manifest:
    """A pod's spec that passes Pod Security restricted, runs once, and has no token of the API server."""
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}, *volumes]
    resources = containers[0]["resources"]
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.run_as_user,
            "runAsGroup": settings.run_as_user,
            "fsGroup": settings.run_as_user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": [_bounded(one, resources) for one in volumes],
    }


def _bounded(volume: Manifest, resources: Manifest) -> Manifest:
    """A volume of the pod's own may hold what the pod's main container may use."""
    if "emptyDir" not in volume:
        return volume
    key = "memory" if volume["emptyDir"].get("medium") == "Memory" else DISK
    size = resources.get("limits", {}).get(key) or resources.get("requests", {})[key]
    return volume | {"emptyDir": volume["emptyDir"] | {"sizeLimit": size}}


def container(name: str, image: str, settings: Settings, *, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container without any right; /tmp is its home."""
    variables = {"HOME": "/tmp", "TMPDIR": "/tmp", "USER": "rloop"} | env  # noqa: S108 -- an emptyDir of the pod's own
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.pull_policy,
        "env": [{"name": key, "value": literal(value)} for key, value in variables.items()],
        "resources": SMALL,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [mount("tmp", "/tmp"), mount("shm", "/dev/shm"), *mounts],  # noqa: S108 -- as above
    }


def literal(text: str) -> str:
    """Text that Kubernetes hands on as it is: it would put variables in the place of `$(NAME)`, and `$` of `$$`."""
    return text.replace("$", "$$")


def ours(command: str, settings: Settings, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container of the sidecar's image."""
    made = container(command, settings.sidecar_image, settings, env=env, mounts=mounts)
    made["args"] = [command]
    made["securityContext"] = made["securityContext"] | {"readOnlyRootFilesystem": True}
    return made


def mount(name: str, path: str, *, sub_path: str = "", read_only: bool = False) -> Manifest:
    """A volume's place in a container."""
    made: Manifest = {"name": name, "mountPath": path}
    if sub_path:
        made["subPath"] = sub_path
    if read_only:
        made["readOnly"] = True
    return made


def token_volume() -> Manifest:
    """The one token a pod of ours may hold: for the gateway, short-lived, bound to the pod."""
    token = {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}


def claim_name(loop: str) -> str:
    """The workspace claim's name."""
    return f"{loop}-workspace"


def place(loop: ResearchLoop, workload: Workload) -> str:
    """The folder of a workload's run on the workspace."""
    return place_of(loop, workload.owner, workload.run)


def place_of(loop: ResearchLoop, experiment: str, run: int) -> str:
    """A run's folder on the workspace. A kept workspace may serve a later campaign of the same name: hence the uid."""
    return f"{loop.metadata.uid}/{experiment}/r{run}"


def deadline(loop: ResearchLoop, seconds: int) -> int:
    """What Kubernetes holds it to: it counts waiting too, and does so when the operator, which does not, is down."""
    return loop.spec.experiment.pending_deadline_seconds + seconds


def beside(loop: ResearchLoop) -> Manifest:
    """A volume that one node at a time can mount keeps all pods that mount it on one node."""
    if loop.spec.workspace.access_mode != "ReadWriteOnce":
        return {}
    together = {names.LABEL_WORKSPACE: claim_name(loop.metadata.name)}
    term = {"labelSelector": {"matchLabels": together}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def metadata(loop: ResearchLoop, workload: Workload, owner: Manifest) -> Manifest:
    """Of the object that stands for a workload."""
    return {"name": workload.name, "labels": labels(loop, workload), "ownerReferences": [owner]}


def labels(loop: ResearchLoop, workload: Workload) -> dict[str, str]:
    """Labels of a workload, and of its pods."""
    made = names.labels(loop.metadata.name, workload.role) | {names.LABEL_OWNER: workload.owner}
    if workload.role == "agent":
        made |= {names.LABEL_SESSION: workload.session}
    if on_workspace(loop, workload):
        made |= {names.LABEL_WORKSPACE: claim_name(loop.metadata.name)}
    return made


def on_workspace(loop: ResearchLoop, workload: Workload) -> bool:
    """Whether its pod mounts the workspace: a policy writes no transcripts."""
    return workload.role != "agent" or loop.spec.agent.policy is None


def workspace(loop: ResearchLoop) -> Manifest:
    """The volume of the loop's workspace."""
    return {"name": "workspace", "persistentVolumeClaim": {"claimName": claim_name(loop.metadata.name)}}


def with_defaults(asked: Manifest, *, memory: str, disk: str) -> Manifest:
    """Resources as asked for, and a bound for memory and disk where nothing is said of them."""
    requests, limits = dict(asked.get("requests", {})), dict(asked.get("limits", {}))
    if "cpu" not in {**requests, **limits}:
        requests["cpu"] = "50m"
    for key, request, limit in (("memory", "64Mi", memory), (DISK, "0", disk)):
        if key not in {**requests, **limits}:
            requests[key], limits[key] = request, limit
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def of_run(asked: Manifest, *, gpus: int = 0, disk_bytes: int = 0) -> Manifest:
    """Resources of a run or a scoring; `disk_bytes` is what it is given to begin with."""
    memory = f"{RUN_MEMORY_PER_GPU_GIB * gpus}Gi" if gpus else RUN_MEMORY
    disk = RUN_DISK_GIB + -(-disk_bytes // 2**30)
    return with_defaults(asked, memory=memory, disk=f"{disk}Gi")


def placing(template: ExperimentTemplate) -> Manifest:
    """Where a run's pods may go, and who vouches for their images."""
    chosen: Manifest = {}
    if template.node_selector:
        chosen["nodeSelector"] = template.node_selector
    if template.tolerations:
        chosen["tolerations"] = [one.model_dump(by_alias=True, exclude_none=True) for one in template.tolerations]
    if template.runtime_class_name:
        chosen["runtimeClassName"] = template.runtime_class_name
    if template.priority_class_name:
        chosen["priorityClassName"] = template.priority_class_name
    if template.image_pull_secrets:
        chosen["imagePullSecrets"] = [{"name": name} for name in template.image_pull_secrets]
    return chosen
