"""Manifests of the workloads, as pure functions of the loop, the workload and the administrator's settings.

Called by the cluster's runtime. Everything here passes Pod Security *restricted*. Only an agent and a relay hold a
token, and that one is for the gateway alone; a verifier holds none and needs no network.
"""

from __future__ import annotations

import json
from typing import Any

from rloop import names
from rloop.actions import Workload
from rloop.api.helpers import VerifierJob
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import ExperimentTemplate
from rloop_operator.cluster import parts
from rloop_operator.cluster.settings import Settings

Manifest = dict[str, Any]
TERMINATION = "/tmp/termination/message"  # noqa: S108 -- a path inside a pod, on an emptyDir of its own


def agent(loop: ResearchLoop, workload: Workload, owner: Manifest, settings: Settings) -> Manifest:
    """The bare Pod of one session's process."""
    policy = loop.spec.agent.policy
    env = {
        "RLOOP_GATEWAY": settings.gateway_url,
        "RLOOP_TOKEN_FILE": "/var/run/secrets/rloop/token",
        "RLOOP_SESSION": workload.session,
        "RLOOP_HEARTBEAT_SECONDS": str(loop.spec.watchdog.heartbeat_seconds),
        "RLOOP_POLICY": policy.name if policy else "",
        "RLOOP_POLICY_SEED": str(policy.seed if policy else 0),
    }
    container = parts.container(
        "agent", settings.agent_image, settings, env=env, mounts=[parts.mount("token", "/var/run/secrets/rloop")]
    )
    spec = parts.pod_spec("rloop-agent", settings, [container], [parts.token_volume()])
    spec["activeDeadlineSeconds"] = _deadline(loop, workload.deadline_seconds)
    return _manifest("Pod", loop, workload, owner) | {"spec": spec}


def experiment(
    loop: ResearchLoop, workload: Workload, owner: Manifest, settings: Settings, digests: Manifest
) -> Manifest:
    """The Job of one attempt at a run: our init container lays the task out, our sidecar relays progress."""
    template = loop.spec.experiment
    place = _place(loop, workload)
    env = {
        "RLOOP_SEED": str(workload.seed),
        "RLOOP_ARTIFACTS": "/rloop/artifacts",
        "RLOOP_CHECKPOINTS": "/rloop/checkpoints",
        "RLOOP_EXPERIMENT": workload.owner,
        "RLOOP_ATTEMPT": str(workload.number),
        "OMP_NUM_THREADS": "1",
    }
    if template.cpu_seconds is not None:
        env["RLOOP_CPU_SECONDS"] = str(template.cpu_seconds)
    env |= {one.name: one.value for one in template.env}
    workspace = [
        parts.mount("workspace", "/rloop/artifacts", sub_path=f"{place}/artifacts"),
        parts.mount("workspace", "/rloop/checkpoints", sub_path=f"{place}/checkpoints"),
    ]
    main = parts.container(
        "experiment", template.image or "", settings, env=env, mounts=[parts.mount("task", "/task"), *workspace]
    )
    main |= {"command": template.command, "workingDir": "/task", "resources": _resources(template)}
    main["imagePullPolicy"] = settings.pull_policy
    unpack = {
        "archives": [
            {"path": f"/rloop/files/{index}/files.tar.gz", "sha256": digest}
            for index, digest in enumerate(digests.values())
        ],
        "target": "/task",
        "empty": ["/rloop/artifacts"],
    }
    files = [parts.mount(f"files-{index}", f"/rloop/files/{index}", read_only=True) for index in range(len(digests))]
    init = parts.ours(
        "unpack", settings, {"RLOOP_UNPACK": json.dumps(unpack)}, [parts.mount("task", "/task"), *files, *workspace[:1]]
    )
    relay_env = {
        "RLOOP_GATEWAY": settings.gateway_url,
        "RLOOP_TOKEN_FILE": "/var/run/secrets/rloop/token",
        "RLOOP_ARTIFACTS": "/rloop/artifacts",
        "RLOOP_EXPERIMENT": workload.owner,
        "RLOOP_RUN": str(workload.run),
        "RLOOP_ATTEMPT": str(workload.number),
    }
    relay = parts.ours(
        "relay",
        settings,
        relay_env,
        [workspace[0] | {"readOnly": True}, parts.mount("token", "/var/run/secrets/rloop")],
    )
    relay["restartPolicy"] = "Always"
    volumes = [parts.token_volume(), {"name": "task", "emptyDir": {}}, _workspace(loop)]
    volumes += [{"name": f"files-{index}", "configMap": {"name": name}} for index, name in enumerate(digests)]
    spec = parts.pod_spec("rloop-experiment", settings, [main], volumes) | {"initContainers": [init, relay]}
    spec |= _placing(template) | _beside(loop) | {"terminationGracePeriodSeconds": template.grace_period_seconds}
    job = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": _deadline(loop, template.active_deadline_seconds),
        "podReplacementPolicy": "Failed",
        "template": {"metadata": {"labels": _labels(loop, workload)}, "spec": spec},
    }
    return _manifest("Job", loop, workload, owner) | {"spec": job}


def verifier(
    loop: ResearchLoop, workload: Workload, owner: Manifest, settings: Settings, code: str, code_sha256: str
) -> Manifest:
    """The Pod of one scoring: a copy of the artifact, the sealed code, no token; its verdict is its last message."""
    evaluation = loop.spec.evaluation
    held_out = (
        evaluation.final_held_out if workload.kind == "final" and evaluation.final_held_out else evaluation.held_out
    )
    job = VerifierJob(
        command=evaluation.command,
        code="/rloop/code",
        code_sha256=code_sha256,
        artifacts="/rloop/artifacts",
        held_out="/rloop/held-out" if held_out else None,
        seed=workload.seed,
        timeout_seconds=evaluation.timeout_seconds,
        report=TERMINATION,
    )
    env = {"RLOOP_VERIFIER_JOB": job.model_dump_json(by_alias=True)}
    mounts = [parts.mount("code", "/rloop/code", read_only=True), parts.mount("artifacts", "/rloop/artifacts")]
    volumes: list[Manifest] = [
        {"name": "code", "emptyDir": {}},
        {"name": "artifacts", "emptyDir": {}},
        {"name": "archive", "configMap": {"name": code}},
        _workspace(loop, read_only=True),
    ]
    if held_out is not None:
        mounts.append(parts.mount("held-out", "/rloop/held-out", read_only=True))
        volumes.append({"name": "held-out"} | _held_out(held_out.model_dump(by_alias=True, exclude_none=True)))
    main = parts.container("verifier", evaluation.image or settings.verifier_image, settings, env=env, mounts=mounts)
    main |= {
        "terminationMessagePath": TERMINATION,
        "resources": _or_small(evaluation.resources.model_dump(exclude_defaults=True)),
    }
    unpack = {
        "archives": [{"path": "/rloop/archive/files.tar.gz", "sha256": code_sha256}],
        "target": "/rloop/code",
        "copy": {"from": "/rloop/run", "to": "/rloop/artifacts", "maxBytes": loop.spec.experiment.max_artifact_bytes},
    }
    place = f"{_place(loop, workload)}/artifacts"
    init_mounts = [
        parts.mount("code", "/rloop/code"),
        parts.mount("artifacts", "/rloop/artifacts"),
        parts.mount("archive", "/rloop/archive", read_only=True),
        parts.mount("workspace", "/rloop/run", sub_path=place, read_only=True),
    ]
    init = parts.ours("unpack", settings, {"RLOOP_UNPACK": json.dumps(unpack)}, init_mounts)
    spec = parts.pod_spec("rloop-verifier", settings, [main], volumes) | {"initContainers": [init]}
    spec["activeDeadlineSeconds"] = _deadline(loop, workload.deadline_seconds)
    spec |= _beside(loop)
    return _manifest("Pod", loop, workload, owner) | {"spec": spec}


def workspace_claim(loop: ResearchLoop, owner: Manifest) -> Manifest:
    """The PersistentVolumeClaim of a loop's workspace; kept when the loop goes, if retention says so."""
    workspace = loop.spec.workspace
    metadata: Manifest = {
        "name": claim_name(loop.metadata.name),
        "labels": names.labels(loop.metadata.name, "workspace"),
    }
    if workspace.retention == "Delete":
        metadata["ownerReferences"] = [owner]
    spec: Manifest = {"accessModes": [workspace.access_mode], "resources": {"requests": {"storage": workspace.size}}}
    if workspace.storage_class_name is not None:
        spec["storageClassName"] = workspace.storage_class_name
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def claim_name(loop: str) -> str:
    """The workspace claim's name."""
    return f"{loop}-workspace"


def _place(loop: ResearchLoop, workload: Workload) -> str:
    """A run's folder on the workspace. A kept workspace may serve a later campaign of the same name: hence the uid."""
    return f"{loop.metadata.uid}/{workload.owner}/r{workload.run}"


def _deadline(loop: ResearchLoop, seconds: int) -> int:
    """What Kubernetes holds it to: it counts waiting too, and does so when the operator, which does not, is down."""
    return loop.spec.experiment.pending_deadline_seconds + seconds


def _beside(loop: ResearchLoop) -> Manifest:
    """A volume that one node at a time can mount keeps all pods that mount it on one node."""
    if loop.spec.workspace.access_mode != "ReadWriteOnce":
        return {}
    together = {names.LABEL_WORKSPACE: claim_name(loop.metadata.name)}
    term = {"labelSelector": {"matchLabels": together}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def _manifest(kind: str, loop: ResearchLoop, workload: Workload, owner: Manifest) -> Manifest:
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "v1",
        "kind": kind,
        "metadata": {"name": workload.name, "labels": _labels(loop, workload), "ownerReferences": [owner]},
    }


def _labels(loop: ResearchLoop, workload: Workload) -> dict[str, str]:
    labels = names.labels(loop.metadata.name, workload.role) | {names.LABEL_OWNER: workload.owner}
    if workload.role == "agent":
        return labels | {names.LABEL_SESSION: workload.session}
    return labels | {names.LABEL_WORKSPACE: claim_name(loop.metadata.name)}


def _workspace(loop: ResearchLoop, *, read_only: bool = False) -> Manifest:
    claim: Manifest = {"claimName": claim_name(loop.metadata.name)}
    if read_only:
        claim["readOnly"] = True
    return {"name": "workspace", "persistentVolumeClaim": claim}


def _held_out(source: Manifest) -> Manifest:
    if "secret" in source:
        return {"secret": {"secretName": source["secret"]}}
    if "configMap" in source:
        return {"configMap": {"name": source["configMap"]}}
    return {"persistentVolumeClaim": {"claimName": source["persistentVolumeClaim"], "readOnly": True}}


def _resources(template: ExperimentTemplate) -> Manifest:
    return _or_small(template.resources.model_dump(exclude_defaults=True))


def _or_small(resources: Manifest) -> Manifest:
    return resources or {"requests": {"cpu": "50m", "memory": "64Mi"}}


def _placing(template: ExperimentTemplate) -> Manifest:
    placing: Manifest = {}
    if template.node_selector:
        placing["nodeSelector"] = template.node_selector
    if template.tolerations:
        placing["tolerations"] = [one.model_dump(by_alias=True, exclude_none=True) for one in template.tolerations]
    if template.runtime_class_name:
        placing["runtimeClassName"] = template.runtime_class_name
    if template.priority_class_name:
        placing["priorityClassName"] = template.priority_class_name
    if template.image_pull_secrets:
        placing["imagePullSecrets"] = [{"name": name} for name in template.image_pull_secrets]
    return placing
