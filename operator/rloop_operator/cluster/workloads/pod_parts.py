"""Parts that all our pods share: a restricted pod spec, a container, a mount, a token for the gateway.

Called by `pod_manifests` and `job_manifests`, which define what runs in the pods.
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
"""Resources of our own containers. The request of 0 is set because the default of a request is the limit."""
RUN_MEMORY = "4Gi"
RUN_MEMORY_PER_GPU_GIB = 64
RUN_DISK_GIB = 10
"""Default limits of a run or a scoring, so that the workload that fills a node is the one that is ended."""


def pod_spec(account: str, settings: Settings, containers: list[Manifest], volumes: list[Manifest]) -> Manifest:
    """A pod spec that passes Pod Security restricted, runs once, and has no API server token."""
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
    """Limit the size of an emptyDir to what the pod's main container may use."""
    if "emptyDir" not in volume:
        return volume
    key = "memory" if volume["emptyDir"].get("medium") == "Memory" else DISK
    size = resources.get("limits", {}).get(key) or resources.get("requests", {})[key]
    return volume | {"emptyDir": volume["emptyDir"] | {"sizeLimit": size}}


def container(name: str, image: str, settings: Settings, *, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container without privileges; /tmp is its home."""
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
    """Text escaped for Kubernetes, which otherwise expands `$(NAME)` and replaces `$$` by `$`."""
    return text.replace("$", "$$")


def ours(command: str, settings: Settings, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container of the sidecar image."""
    made = container(command, settings.sidecar_image, settings, env=env, mounts=mounts)
    made["args"] = [command]
    made["securityContext"] = made["securityContext"] | {"readOnlyRootFilesystem": True}
    return made


def mount(name: str, path: str, *, sub_path: str = "", read_only: bool = False) -> Manifest:
    """A volume mount."""
    made: Manifest = {"name": name, "mountPath": path}
    if sub_path:
        made["subPath"] = sub_path
    if read_only:
        made["readOnly"] = True
    return made


def token_volume() -> Manifest:
    """The only token that our pods may have: for gateway and LLM proxy, short-lived, bound to the pod."""
    token = {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}


def place(workload: Workload) -> str:
    """Folder of a workload's run on the workspace. The pod sees this path among its mounts, so it reveals nothing."""
    return place_of(workload.place)


def place_of(name: str) -> str:
    """Folder of a run on the workspace, by the folder's name (`rloop.names.place`)."""
    return f"runs/{name}"


def deadline(loop: ResearchLoop, seconds: int) -> int:
    """The activeDeadlineSeconds of a workload, which Kubernetes enforces even while the operator is down.

    It includes the pending deadline, because Kubernetes counts waiting too; the operator's own deadline does not.
    """
    return loop.spec.experiment.pending_deadline_seconds + seconds


def beside(loop: ResearchLoop) -> Manifest:
    """Affinity that keeps all pods of a workspace on one node, if only one node at a time can mount its volume."""
    if loop.spec.workspace.access_mode != "ReadWriteOnce":
        return {}
    together = {names.LABEL_WORKSPACE: names.workspace(loop.metadata.name)}
    term = {"labelSelector": {"matchLabels": together}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def metadata(loop: ResearchLoop, workload: Workload, owner: Manifest) -> Manifest:
    """Metadata of the object that represents a workload."""
    return {"name": workload.name, "labels": labels(loop, workload), "ownerReferences": [owner]}


def labels(loop: ResearchLoop, workload: Workload) -> dict[str, str]:
    """Labels of a workload and of its pods."""
    made = names.labels(loop.metadata.name, workload.role) | {names.LABEL_OWNER: workload.owner}
    if workload.role == "agent":
        made |= {names.LABEL_SESSION: workload.session}
    if on_workspace(loop, workload):
        made |= {names.LABEL_WORKSPACE: names.workspace(loop.metadata.name)}
    return made


def on_workspace(loop: ResearchLoop, workload: Workload) -> bool:
    """Whether its pod mounts the workspace: all except an agent with a policy, which writes no transcripts."""
    return workload.role != "agent" or loop.spec.agent.searcher is None


def workspace(loop: ResearchLoop) -> Manifest:
    """The volume of the loop's workspace."""
    return {"name": "workspace", "persistentVolumeClaim": {"claimName": names.workspace(loop.metadata.name)}}


def with_defaults(asked: Manifest, *, memory: str, disk: str) -> Manifest:
    """The requested resources, with defaults for CPU, memory and disk where they are unset."""
    requests, limits = dict(asked.get("requests", {})), dict(asked.get("limits", {}))
    if "cpu" not in {**requests, **limits}:
        requests["cpu"] = "50m"
    for key, request, limit in (("memory", "64Mi", memory), (DISK, "0", disk)):
        if key not in {**requests, **limits}:
            requests[key], limits[key] = request, limit
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def of_run(asked: Manifest, *, gpus: int = 0, disk_bytes: int = 0) -> Manifest:
    """Resources of a run or a scoring. `disk_bytes` is the size of the data that it starts with."""
    memory = f"{RUN_MEMORY_PER_GPU_GIB * gpus}Gi" if gpus else RUN_MEMORY
    disk = RUN_DISK_GIB + -(-disk_bytes // 2**30)
    return with_defaults(asked, memory=memory, disk=f"{disk}Gi")


def placing(template: ExperimentTemplate) -> Manifest:
    """Scheduling and pull secrets of a run's pods, as fields of the pod spec."""
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
