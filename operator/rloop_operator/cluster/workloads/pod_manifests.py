"""Manifests of sessions, scorings and the workspace, as pure functions of loop, workload and administrator's settings.

Called by the cluster's runtime; manifests of runs are in `job_manifests`. All pods pass Pod Security *restricted*. Only
agents and relays have a token, valid only for gateway and LLM proxy; a verifier has no token and needs no network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rloop import names
from rloop.actions import Workload
from rloop.api.agent import AgentEnvVar
from rloop.api.helpers import VerifierJob
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.workloads import pod_parts

Manifest = dict[str, Any]
TRANSCRIPTS = "/rloop/transcripts"
TERMINATION = "/tmp/termination/message"  # noqa: S108 -- a path inside a pod, on an emptyDir of its own


def agent(loop: ResearchLoop, workload: Workload, owner: Manifest, settings: Settings) -> Manifest:
    """The bare Pod of one process of a session: our agent image or the user's own, with the same permissions."""
    policy, image = loop.spec.agent.searcher, loop.spec.agent.image
    env = {
        "RLOOP_GATEWAY": settings.gateway_url,
        "RLOOP_TOKEN_FILE": "/var/run/secrets/rloop/token",
        "RLOOP_SESSION": workload.session,
        "RLOOP_HEARTBEAT_SECONDS": str(loop.spec.watchdog.heartbeat_seconds),
    }
    if policy is not None:
        env |= {"RLOOP_POLICY": policy.name, "RLOOP_POLICY_SEED": str(policy.seed)}
    if loop.spec.agent.llm is not None:
        env |= {"RLOOP_LLM_PROXY": f"{settings.llm_proxy_url}/v1", "RLOOP_LLM_MODEL": loop.spec.agent.llm.model}
    mounts, volumes = [pod_parts.mount("token", "/var/run/secrets/rloop")], [pod_parts.token_volume()]
    if pod_parts.on_workspace(loop, workload):
        env["RLOOP_TRANSCRIPTS"] = TRANSCRIPTS
        place = f"{loop.metadata.uid}/transcripts/{workload.session}"
        mounts.append(pod_parts.mount("workspace", TRANSCRIPTS, sub_path=place))
        volumes.append(pod_parts.workspace(loop))
    container = pod_parts.container("agent", image or settings.agent_image, settings, env=env, mounts=mounts)
    if asked := loop.spec.agent.resources.model_dump(exclude_defaults=True):
        small = pod_parts.SMALL["limits"]
        container["resources"] = pod_parts.with_defaults(asked, memory=small["memory"], disk=small[pod_parts.DISK])
    # Before ours, so that none of ours can be replaced.
    container["env"] = [*_own_variables(loop.spec.agent.env), *container["env"]]
    if loop.spec.agent.command is not None:
        container["command"] = [pod_parts.literal(word) for word in loop.spec.agent.command]
    spec = pod_parts.pod_spec("rloop-agent", settings, [container], volumes)
    spec["activeDeadlineSeconds"] = pod_parts.deadline(loop, workload.deadline_seconds)
    if pod_parts.on_workspace(loop, workload):
        spec |= pod_parts.beside(loop)
    return _pod(loop, workload, owner, spec)


def _own_variables(asked: Sequence[AgentEnvVar]) -> list[Manifest]:
    """The variables of `agent.env`: values, and keys of Secrets, which only the kubelet reads."""
    return [
        {"name": one.name, "valueFrom": {"secretKeyRef": one.secret_key_ref.model_dump()}}
        if one.secret_key_ref is not None
        else {"name": one.name, "value": pod_parts.literal(one.value or "")}
        for one in asked
    ]


def verifier(
    loop: ResearchLoop, workload: Workload, owner: Manifest, settings: Settings, code: str, code_sha256: str
) -> Manifest:
    """The Pod of one scoring: a copy of the artifact, sealed code, no token. The verdict is its termination message."""
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
    mounts = [pod_parts.mount("code", "/rloop/code", read_only=True), pod_parts.mount("artifacts", "/rloop/artifacts")]
    volumes: list[Manifest] = [
        {"name": "code", "emptyDir": {}},
        {"name": "artifacts", "emptyDir": {}},
        {"name": "archive", "configMap": {"name": code}},
        pod_parts.workspace(loop),
    ]
    if held_out is not None:
        mounts.append(pod_parts.mount("held-out", "/rloop/held-out", read_only=True))
        volumes.append({"name": "held-out"} | _held_out(held_out.model_dump(by_alias=True, exclude_none=True)))
    main = pod_parts.container(
        "verifier", evaluation.image or settings.verifier_image, settings, env=env, mounts=mounts
    )
    main |= {
        "terminationMessagePath": TERMINATION,
        "resources": pod_parts.of_run(
            evaluation.resources.model_dump(exclude_defaults=True),
            gpus=evaluation.resources.gpus,
            disk_bytes=loop.spec.experiment.max_artifact_bytes,
        ),
    }
    unpack = {
        "archives": [{"path": "/rloop/archive/files.tar.gz", "sha256": code_sha256}],
        "target": "/rloop/code",
        "copy": {
            "from": "/rloop/run/artifacts",
            "to": "/rloop/artifacts",
            "maxBytes": loop.spec.experiment.max_artifact_bytes,
        },
    }
    # The run's folder, not only its artifacts: if it is empty (a new volume), the container reports a missing artifact.
    place = pod_parts.place(workload)
    init_mounts = [
        pod_parts.mount("code", "/rloop/code"),
        pod_parts.mount("artifacts", "/rloop/artifacts"),
        pod_parts.mount("archive", "/rloop/archive", read_only=True),
        pod_parts.mount("workspace", "/rloop/run", sub_path=place, read_only=True),
    ]
    init = pod_parts.ours("unpack", settings, {"RLOOP_UNPACK": json.dumps(unpack)}, init_mounts)
    spec = pod_parts.pod_spec("rloop-verifier", settings, [main], volumes) | {"initContainers": [init]}
    spec["activeDeadlineSeconds"] = pod_parts.deadline(loop, workload.deadline_seconds)
    spec |= pod_parts.beside(loop)
    return _pod(loop, workload, owner, spec)


def workspace_claim(loop: ResearchLoop, owner: Manifest) -> Manifest:
    """The PersistentVolumeClaim of a loop's workspace. It outlives the loop unless retention is Delete."""
    workspace = loop.spec.workspace
    metadata: Manifest = {
        "name": names.workspace(loop.metadata.name),
        "labels": names.labels(loop.metadata.name, "workspace"),
    }
    if workspace.retention == "Delete":
        metadata["ownerReferences"] = [owner]
    spec: Manifest = {"accessModes": [workspace.access_mode], "resources": {"requests": {"storage": workspace.size}}}
    if workspace.storage_class_name is not None:
        spec["storageClassName"] = workspace.storage_class_name
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _held_out(source: Manifest) -> Manifest:
    if "secret" in source:
        return {"secret": {"secretName": source["secret"]}}
    if "configMap" in source:
        return {"configMap": {"name": source["configMap"]}}
    return {"persistentVolumeClaim": {"claimName": source["persistentVolumeClaim"], "readOnly": True}}


def _pod(loop: ResearchLoop, workload: Workload, owner: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_parts.metadata(loop, workload, owner), "spec": spec}
