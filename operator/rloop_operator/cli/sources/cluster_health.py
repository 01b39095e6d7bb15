"""Determine whether an operator works on a loop in a cluster, as far as the user's permissions allow.

Called by the cluster's source for `rloop status`. Two signs are used: the operators' Leases, and the operator's writes
to the loop's status. Ages use the wall clock with a wide margin, because no decision depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rloop.errors import NotFound
from rloop_operator.cli.sources.source import Operator
from rloop_operator.cli.terminal import words
from rloop_operator.cluster.kube import client, served_namespaces

LEASE = "rloop-operator"
SILENT_SECONDS = 60.0
"""Seconds without a renewal after which an operator counts as silent; it renews its Lease every few seconds."""
UNSEEN_SECONDS = 15.0
"""Seconds that a new loop may wait before it counts as not served."""
SHOWN = 5
"""Maximum number of served namespaces that a message names."""
LEASES = "/apis/coordination.k8s.io/v1/leases"


async def leases(api: client.Kube) -> list[client.Object] | None:
    """The Leases of all operators; None if the user is not permitted to list them."""
    try:
        return await api.all(LEASES, fields=f"metadata.name={LEASE}")
    except NotFound:
        return None
    except client.KubeError as error:
        if error.status != 403:
            raise
        return None


def operator(loop: client.Object, found: list[client.Object] | None, now: datetime) -> Operator:
    """The state of the operator of this loop."""
    status, metadata = loop.get("status", {}), loop["metadata"]
    if any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in status.get("conditions", [])):
        return Operator(alive=False, told="not needed: the campaign has ended")
    alive, told = _by_leases(found, metadata["namespace"], now)
    wrote = _wrote(metadata)
    age = (now - datetime.fromisoformat(metadata["creationTimestamp"])).total_seconds()
    if wrote is None and age > UNSEEN_SECONDS:
        told = f"no operator has reconciled this loop in the {words.duration(age)} since it was created ({told})"
        told += f'; check that one serves namespace "{metadata["namespace"]}": helm list -A' if alive else ""
        return Operator(alive=False, told=told)
    seen, generation = status.get("observedGeneration", 0), metadata.get("generation", 1)
    if wrote is not None:
        told += f"; last wrote {words.duration((now - wrote).total_seconds())} ago"
    if wrote is not None and seen < generation:
        told += f"; it has not reconciled the latest edit of the spec yet (generation {generation}, observed {seen})"
    return Operator(alive, told)


def _by_leases(found: list[client.Object] | None, namespace: str, now: datetime) -> tuple[bool, str]:
    """Whether an operator serves the namespace, and an explanation from the Leases."""
    if found is None:
        return True, f'unknown: permission to list Leases is required (name "{LEASE}")'
    if not found:
        return False, f'no operator in this cluster: there is no Lease "{LEASE}"; install the chart, helm/rloop'
    live = {
        one["metadata"]["namespace"]: served_namespaces.read(one)
        for one in found
        if _silence(one, now) <= SILENT_SECONDS
    }
    # An operator that has just started has not published its namespaces yet; assume that it serves this one.
    serving = [home for home, said in live.items() if said is None or said.serves(namespace)]
    if serving:
        return True, f"alive in namespace {', '.join(serving)}"
    for home, said in live.items():
        if said is not None and namespace in said.failing:
            return (
                False,
                f'the operator in namespace {home} cannot serve namespace "{namespace}": {said.failing[namespace]}',
            )
    if live:
        theirs = [f"the operator in {home} serves {_listed(said.namespaces)}" for home, said in live.items() if said]
        remedy = "add it to the chart's watchNamespaces and run helm upgrade"
        return False, f'no operator serves namespace "{namespace}": {"; ".join(theirs)}; {remedy}'
    home, seconds = min(((one["metadata"]["namespace"], _silence(one, now)) for one in found), key=lambda one: one[1])
    told = f"not working: the operator in namespace {home} has been silent for {words.duration(seconds)}"
    return False, f"{told}; kubectl -n {home} get pods"


def _listed(namespaces: Sequence[str]) -> str:
    shown = ", ".join(namespaces[:SHOWN]) or "no namespace"
    return shown + (f" and {len(namespaces) - SHOWN} more" if len(namespaces) > SHOWN else "")


def _silence(lease: client.Object, now: datetime) -> float:
    renewed = lease.get("spec", {}).get("renewTime")
    return (now - datetime.fromisoformat(renewed)).total_seconds() if renewed else float("inf")


def _wrote(metadata: dict[str, Any]) -> datetime | None:
    """The last write of the status according to managedFields; None if it was never written."""
    moments = [
        datetime.fromisoformat(one["time"])
        for one in metadata.get("managedFields", [])
        if one.get("subresource") == "status" and "time" in one
    ]
    return max(moments, default=None)
