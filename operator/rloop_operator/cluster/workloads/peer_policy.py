"""Creates the NetworkPolicy that lets only the workers of the same training reach each other.

Called by the cluster's runtime for a PyTorchJob with several workers. The chart's NetworkPolicies allow no traffic
between pods of loops, and no static policy can say "the pods of the same run": so each such training gets its own.
"""

from __future__ import annotations

from typing import Any

from rloop import names
from rloop.errors import Conflict
from rloop_operator.cluster.kube import client, obstacles

Manifest = dict[str, Any]
GROUP = "networking.k8s.io/v1"


def workers(workload: Manifest) -> int:
    """The number of pods that a workload's manifest asks for."""
    count: int = workload["spec"].get("pytorchReplicaSpecs", {}).get("Worker", {}).get("replicas", 1)
    return count


def policy(workload: Manifest) -> Manifest:
    """The NetworkPolicy of a workload's pods, with the workload's name, labels (except the queue) and owner."""
    pods = {"podSelector": {"matchLabels": {names.LABEL_WORKLOAD: workload["metadata"]["name"]}}}
    spec = pods | {"policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [pods]}], "egress": [{"to": [pods]}]}
    kept = {key: workload["metadata"][key] for key in ("name", "labels", "ownerReferences")}
    kept["labels"] = {key: value for key, value in kept["labels"].items() if key != names.LABEL_QUEUE}
    return {"apiVersion": GROUP, "kind": "NetworkPolicy", "metadata": kept, "spec": spec}


async def allow(api: client.Kube, namespace: str, workload: Manifest) -> None:
    """Create the policy, before the workload itself: its workers connect at once. Raises Blocked, KubeError."""
    body = policy(workload)
    try:
        await api.create(client.group(GROUP, namespace, "networkpolicies"), body)
    except Conflict:
        return  # created by an earlier try
    except client.KubeError as error:
        raise obstacles.refusal(error, body["metadata"]["name"]) or error from error


async def hand_over(api: client.Kube, namespace: str, workload: client.Object) -> None:
    """Make the stored workload the policy's owner, so that the two are deleted together. Raises NotFound, KubeError."""
    path = client.group(GROUP, namespace, "networkpolicies", workload["metadata"]["name"])
    await api.patch(path, {"metadata": {"ownerReferences": [client.owner_reference(workload)]}})
