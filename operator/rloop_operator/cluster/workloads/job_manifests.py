"""Manifests of the attempts at runs: a pod template in a Job or a PyTorchJob.

Called by the cluster's runtime. The user's image and command are not changed: our init container unpacks the task, a
second init container runs the preflight, our sidecar relays progress. Our init container rejects a pod that replaces
another pod of the same attempt, so nothing runs twice, regardless of what created the pod.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rloop import names
from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import ExperimentTemplate, PyTorchJob, Volume
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.workloads import pod_parts

Manifest = dict[str, Any]
REPLICA_INDEX = "training.kubeflow.org/replica-index"
"""Label of a PyTorchJob's pod with its worker number."""
MAIN = "experiment"
MAIN_OF_PYTORCHJOB = "pytorch"
"""Container name that the training operator requires."""
MASTER_PORT = 23456
"""The default of the training operator, so that it does not add another port."""
ARTIFACTS = "/rloop/artifacts"
CHECKPOINTS = "/rloop/checkpoints"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Inputs of an attempt's manifest."""

    loop: ResearchLoop
    workload: Workload
    settings: Settings
    digests: dict[str, str]
    """Name of a ConfigMap -> digest of its files: the task's, then the experiment's, which overwrite them."""


def job(attempt: Attempt, owner: Manifest) -> Manifest:
    """A Job with one pod."""
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": pod_parts.deadline(attempt.loop, attempt.workload.deadline_seconds),
        "podReplacementPolicy": "Failed",
        "template": _pod(attempt, MAIN, []),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(attempt, owner), "spec": spec}


def pytorch_job(attempt: Attempt, replicas: PyTorchJob, owner: Manifest) -> Manifest:
    """A PyTorchJob with workers only, and torchrun's variables set by us.

    With a Master the training operator injects a container that Pod Security *restricted* rejects. After a failure
    running pods are deleted; ended pods are kept, to be read.
    """
    worker = {
        "replicas": replicas.replicas,
        "restartPolicy": "Never",
        "template": _pod(attempt, MAIN_OF_PYTORCHJOB, _torchrun(attempt.workload.name, replicas)),
    }
    spec = {
        "runPolicy": {
            "activeDeadlineSeconds": pod_parts.deadline(attempt.loop, attempt.workload.deadline_seconds),
            "cleanPodPolicy": "Running",
        },
        "pytorchReplicaSpecs": {"Worker": worker},
    }
    return {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": _metadata(attempt, owner), "spec": spec}


def _metadata(attempt: Attempt, owner: Manifest) -> Manifest:
    metadata = pod_parts.metadata(attempt.loop, attempt.workload, owner)
    if queue := attempt.loop.spec.experiment.queue_name:
        metadata["labels"][names.LABEL_QUEUE] = queue
    return metadata


def _torchrun(name: str, job: PyTorchJob) -> list[Manifest]:
    """The variables that torchrun sets, https://docs.pytorch.org/docs/stable/elastic/run.html. With several processes
    per pod only those that its launcher needs: the launcher sets the others for each process.
    """
    address = [_value("MASTER_ADDR", f"{name}-worker-0"), _value("MASTER_PORT", str(MASTER_PORT))]
    index = _field("RANK", f"metadata.labels['{REPLICA_INDEX}']")
    if job.proc_per_node > 1:
        return [*address, index | {"name": "NODE_RANK"}]
    return [
        *address,
        _value("WORLD_SIZE", str(job.replicas)),
        index,
        index | {"name": "GROUP_RANK"},
        _value("LOCAL_RANK", "0"),
        _value("LOCAL_WORLD_SIZE", "1"),
    ]


def _command(template: ExperimentTemplate) -> list[str]:
    """The user's command. With several processes per pod torchrun starts it; every image with torch has torchrun."""
    job, own = template.py_torch_job, [pod_parts.literal(word) for word in template.command]
    if job is None or job.proc_per_node == 1:
        return own
    return [
        "torchrun",
        f"--nnodes={job.replicas}",
        "--node-rank=$(NODE_RANK)",
        f"--nproc-per-node={job.proc_per_node}",
        "--master-addr=$(MASTER_ADDR)",
        "--master-port=$(MASTER_PORT)",
        "--max-restarts=0",
        "--no-python",
        *own,
    ]


def _pod(attempt: Attempt, main_name: str, ranks: list[Manifest]) -> Manifest:
    """The pod template. `ranks` are variables that only the ranks of a training get."""
    loop, workload, settings = attempt.loop, attempt.workload, attempt.settings
    template = loop.spec.experiment
    place = pod_parts.place(workload)
    workspace = [
        pod_parts.mount("workspace", ARTIFACTS, sub_path=f"{place}/artifacts"),
        pod_parts.mount("workspace", CHECKPOINTS, sub_path=f"{place}/checkpoints"),
    ]
    mounts = [pod_parts.mount("task", "/task"), *workspace, *(_mount(one) for one in template.volumes)]
    env = _environment(attempt)
    main = pod_parts.container(main_name, template.image or "", settings, env=env, mounts=mounts)
    main |= {"workingDir": "/task", "resources": _resources(template)}
    before = [_unpack(attempt, place, workspace[0])]
    if template.preflight is not None:
        command = [pod_parts.literal(word) for word in template.preflight]
        env_of_it = [*main["env"], *_number_of_ranks(template), *_hidden_gpus(template)]
        small = {"resources": _resources_without_gpus(template), "env": env_of_it}
        before.append(main | {"name": "preflight", "command": command} | small)
    main |= {"command": _command(template), "env": [*main["env"], *ranks]}
    volumes = [pod_parts.token_volume(), {"name": "task", "emptyDir": {}}, pod_parts.workspace(loop)]
    volumes += [{"name": f"files-{index}", "configMap": {"name": name}} for index, name in enumerate(attempt.digests)]
    volumes += [_volume(one) for one in template.volumes]
    spec = pod_parts.pod_spec("rloop-experiment", settings, [main], volumes)
    spec["initContainers"] = [*before, _relay(attempt, workspace[0])]
    spec |= pod_parts.placing(template) | pod_parts.beside(loop)
    spec["terminationGracePeriodSeconds"] = template.grace_period_seconds
    labels = pod_parts.labels(loop, workload) | {names.LABEL_WORKLOAD: workload.name}
    return {"metadata": {"labels": labels}, "spec": spec}


def _environment(attempt: Attempt) -> dict[str, str]:
    template, workload = attempt.loop.spec.experiment, attempt.workload
    env = {
        "RLOOP_SEED": str(workload.seed),
        "RLOOP_ARTIFACTS": ARTIFACTS,
        "RLOOP_CHECKPOINTS": CHECKPOINTS,
        "RLOOP_EXPERIMENT": workload.owner,
        "RLOOP_ATTEMPT": str(workload.number),
        **dict.fromkeys(names.THREAD_VARIABLES, str(template.threads)),
    }
    if workload.kind == "smoke":
        env["RLOOP_SMOKE"] = "1"
    if template.cpu_seconds is not None:
        env["RLOOP_CPU_SECONDS"] = str(template.cpu_seconds)
    return env | {one.name: one.value for one in template.env}


def _unpack(attempt: Attempt, place: str, artifacts: Manifest) -> Manifest:
    """Our init container: unpacks the task's files and the experiment's over them, and rejects a replacement pod."""
    archives = [
        {"path": f"/rloop/files/{index}/files.tar.gz", "sha256": digest}
        for index, digest in enumerate(attempt.digests.values())
    ]
    once = f"/rloop/fence/a{attempt.workload.number}"
    told = {"archives": archives, "target": "/task", "empty": [ARTIFACTS], "once": once}
    files = [
        pod_parts.mount(f"files-{index}", f"/rloop/files/{index}", read_only=True) for index in range(len(archives))
    ]
    fence = pod_parts.mount("workspace", "/rloop/fence", sub_path=f"{place}/fence")
    mounts = [pod_parts.mount("task", "/task"), *files, artifacts, fence]
    made = pod_parts.ours("unpack", attempt.settings, {"RLOOP_UNPACK": json.dumps(told)}, mounts)
    made["env"] += [_field("RLOOP_POD", "metadata.uid")]
    if attempt.loop.spec.experiment.py_torch_job is not None:
        made["env"] += [_field("RLOOP_WORKER", f"metadata.labels['{REPLICA_INDEX}']")]
    return made


def _relay(attempt: Attempt, artifacts: Manifest) -> Manifest:
    """Our native sidecar, the only container with a token."""
    workload = attempt.workload
    env = {
        "RLOOP_GATEWAY": attempt.settings.gateway_url,
        "RLOOP_TOKEN_FILE": "/var/run/secrets/rloop/token",
        "RLOOP_ARTIFACTS": ARTIFACTS,
        "RLOOP_EXPERIMENT": workload.owner,
        "RLOOP_RUN": str(workload.run),
        "RLOOP_ATTEMPT": str(workload.number),
    }
    mounts = [artifacts | {"readOnly": True}, pod_parts.mount("token", "/var/run/secrets/rloop")]
    return pod_parts.ours("relay", attempt.settings, env, mounts) | {"restartPolicy": "Always"}


def _resources(template: ExperimentTemplate) -> Manifest:
    return pod_parts.of_run(template.resources.model_dump(exclude_defaults=True), gpus=template.resources.gpus)


def _resources_without_gpus(template: ExperimentTemplate) -> Manifest:
    """Resources of the preflight, without GPUs because it only looks at files.

    They do not increase the pod's request, because the preflight ends before the main container starts.
    """
    asked = template.resources.model_dump(exclude_defaults=True)
    kept = {kind: {key: value for key, value in one.items() if "/" not in key} for kind, one in asked.items()}
    return pod_parts.of_run({kind: one for kind, one in kept.items() if one}, gpus=template.resources.gpus)


def _hidden_gpus(template: ExperimentTemplate) -> list[Manifest]:
    """Variables that hide the GPUs from the preflight. CUDA images request all GPUs of the node from NVIDIA's runtime,
    so a container without GPUs in its resources would get them all, including those of other workloads.
    """
    return [_value("NVIDIA_VISIBLE_DEVICES", "void")] if template.resources.gpus else []


def _number_of_ranks(template: ExperimentTemplate) -> list[Manifest]:
    """Variable with the number of ranks for the preflight, which is not a rank: a batch is divided among the ranks."""
    job = template.py_torch_job
    return [] if job is None else [_value("WORLD_SIZE", str(job.ranks))]


def _mount(volume: Volume) -> Manifest:
    return pod_parts.mount(f"user-{volume.name}", volume.mount_path, read_only=True)


def _volume(volume: Volume) -> Manifest:
    made: Manifest = {"name": f"user-{volume.name}"}
    if volume.persistent_volume_claim is not None:
        return made | {"persistentVolumeClaim": {"claimName": volume.persistent_volume_claim, "readOnly": True}}
    if volume.config_map is not None:
        return made | {"configMap": {"name": volume.config_map}}
    return made | {"hostPath": {"path": volume.host_path, "type": "Directory"}}


def _value(name: str, value: str) -> Manifest:
    return {"name": name, "value": value}


def _field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
