"""Why a pod cannot start or an object cannot be created, with a remedy: pure functions of the API server's responses.

Called by the cluster's runtime, `states`, `children` and `peer_policy`. Each reason is documented in
docs/troubleshooting.md; none is a failure of the campaign, which waits and continues by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rloop import names
from rloop.errors import Blocked
from rloop.observed import Obstacle
from rloop.reasons import Reason
from rloop_operator.cluster.kube.client import KubeError

Manifest = dict[str, Any]
IMAGE_WAITS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CONTAINER_WAITS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
IMAGE_OF = {
    "experiment": "spec.experiment.image",
    "pytorch": "spec.experiment.image",
    "preflight": "spec.experiment.image",
    "verifier": "spec.evaluation.image, or the chart's images.verifier",
    "agent": "the chart's images.agent",
}


TRAINING_OPERATOR_MISSING = (
    "this cluster does not know PyTorchJobs; install the Kubeflow training operator (v1.9), and the campaign continues"
)
REMEDIES = {
    Reason.QUOTA_EXCEEDED: "raise the quota, or free some",
    Reason.NAMESPACE_TERMINATING: "the namespace is being deleted: apply the loop in another one",
    Reason.POD_NOT_ADMITTED: "the namespace's Pod Security level does not allow the pod",
    Reason.SERVICE_ACCOUNT_MISSING: "add the namespace to the chart's watchNamespaces: the chart then creates it",
    Reason.FORBIDDEN: "add the namespace to the chart's watchNamespaces: the chart then grants the permission",
}


def refusal(error: KubeError, about: str) -> Blocked | None:
    """Why a POST was rejected; None if the error is a transient problem of the API server."""
    told = str(error)
    if error.status not in (400, 403, 422):
        return None
    for sign, reason in (
        ("exceeded quota", Reason.QUOTA_EXCEEDED),
        ("being terminated", Reason.NAMESPACE_TERMINATING),
        ("PodSecurity", Reason.POD_NOT_ADMITTED),
        ("service account", Reason.SERVICE_ACCOUNT_MISSING),
        ("is forbidden: User", Reason.FORBIDDEN),
    ):
        if sign in told:
            return Blocked(reason, about, f"{REMEDIES[reason]} ({told})")
    return Blocked(Reason.NOT_ADMITTED, about, f"the API server rejects it: {told}")


def of_events(told: Sequence[str]) -> tuple[Reason, str] | None:
    """Reason and message from the newest known warning about a pod, a job or a claim; None if no warning is known."""
    for one in reversed(told):
        if "exceeded quota" in one:
            return _known(Reason.QUOTA_EXCEEDED, one[one.index("exceeded quota") :])
        if missing := re.search(r'(secret|configmap|persistentvolumeclaim) "([^"]+)" not found', one):
            kind, name = missing.groups()
            return Reason.INPUTS_MISSING, f'there is no {kind} "{name}" in this namespace; create it'
        if "not found" in one and "storageclass" in one.lower():
            return Reason.STORAGE_CLASS_MISSING, _STORAGE.format(one)
        if "service account" in one or "serviceaccount" in one:
            return _known(Reason.SERVICE_ACCOUNT_MISSING, one)
        if "PodSecurity" in one:
            told_by = one[one.index("violates PodSecurity") :] if "violates PodSecurity" in one else one
            return _known(Reason.POD_NOT_ADMITTED, told_by)
    return None


def _known(reason: Reason, told: str) -> tuple[Reason, str]:
    return reason, f"{REMEDIES[reason]} ({told})"


_STORAGE = "create the StorageClass, or correct spec.workspace and delete the claim, which is still empty ({})"


def of_containers(pod: Manifest) -> Obstacle | None:
    """The obstacle in the pod's own status, if a container does not start."""
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = one.get("state", {}).get("waiting", {})
        if waiting.get("reason") in IMAGE_WAITS:
            where = IMAGE_OF.get(one["name"], "the chart's images.sidecar")
            message = f'image "{one["image"]}" cannot be pulled; push it under this name, or correct it ({where})'
            if where == IMAGE_OF["experiment"]:
                message += ", or delete the loop and apply it with another image"
            return Obstacle(Reason.IMAGE_PULL_FAILED, name, message)
        if waiting.get("reason") in CONTAINER_WAITS:
            return Obstacle(Reason.CONTAINER_NOT_STARTED, name, waiting.get("message") or waiting["reason"])
    return None


def of_pod(pod: Manifest, told: Sequence[str], claim: Manifest | None, claim_told: Sequence[str]) -> Obstacle | None:
    """Why a pod has not begun. `told` and `claim_told` are the warnings about it and about `claim`, its workspace."""
    name = pod["metadata"]["name"]
    if found := of_events(told):
        return Obstacle(found[0], name, found[1])
    conditions = pod.get("status", {}).get("conditions") or []
    unplaced = next((one for one in conditions if one.get("reason") == "Unschedulable"), None)
    if unplaced is None:
        return None
    told_of_volumes = "volume" in unplaced["message"].lower()
    # A claim may also be pending because it waits until the pod is scheduled.
    if claim is not None and claim.get("status", {}).get("phase") == "Pending" and told_of_volumes:
        reason, message = of_events(claim_told) or (Reason.VOLUME_NOT_BOUND, _STORAGE.format(unplaced["message"]))
        return Obstacle(reason, claim["metadata"]["name"], message)
    if claim is not None and claim.get("status", {}).get("phase") == "Lost":
        return Obstacle(Reason.VOLUME_LOST, claim["metadata"]["name"], "its volume is missing; restore that volume")
    reason = Reason.WAITING_FOR_CAPACITY if "Insufficient" in unplaced["message"] else Reason.UNSCHEDULABLE
    return Obstacle(reason, name, unplaced["message"])


def queued(workload: Manifest) -> Obstacle | None:
    """The obstacle if a queue holds back a Job or a PyTorchJob. Kueue does so by suspending it; we do not resume it."""
    spec, metadata = workload["spec"], workload["metadata"]
    suspended = spec.get("suspend") or spec.get("runPolicy", {}).get("suspend")
    if not suspended or names.ANNOTATION_STOP in metadata.get("annotations", {}):
        return None
    queue = metadata["labels"].get(names.LABEL_QUEUE)
    full = f'the queue "{queue}" has no free quota for it yet'
    by = full if queue else "it was suspended by a user: set suspend to false"
    return Obstacle(Reason.QUEUED, metadata["name"], by)


def of_job(job: Manifest, told: Sequence[str]) -> Obstacle | None:
    """Why a Job or a PyTorchJob has no pods yet."""
    found = of_events(told)
    if found is None and told:
        found = Reason.NOT_ADMITTED, told[-1]
    if found is None and job["kind"] == "PyTorchJob" and not job.get("status", {}).get("conditions"):
        found = (
            Reason.TRAINING_OPERATOR_SILENT,
            "no training operator has started it; check that one that handles PyTorchJobs is running",
        )
    return Obstacle(found[0], job["metadata"]["name"], found[1]) if found else None
