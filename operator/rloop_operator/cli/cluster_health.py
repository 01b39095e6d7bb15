"""Whether an operator works on a loop in a cluster, as far as a user's rights let it be told.

Called by the cluster's source for `rloop status`. Two signs are used: the operators' Leases, and what of the loop the
operator has written. A wall clock judges here, with a wide margin, because nothing is decided by it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rloop.errors import NotFound
from rloop_operator.cli import words
from rloop_operator.cli.source import Operator
from rloop_operator.cluster import kube

LEASE = "rloop-operator"
SILENT_SECONDS = 60.0
"""An operator renews its Lease every few seconds."""
UNSEEN_SECONDS = 15.0
"""So long a new loop, or an edit of one, may wait before that means anything."""
LEASES = "/apis/coordination.k8s.io/v1/leases"


async def leases(api: kube.Kube) -> list[kube.Object] | None:
    """The Leases of all operators; None where the user may not list them."""
    try:
        return await api.all(LEASES, fields=f"metadata.name={LEASE}")
    except NotFound:
        return None
    except kube.KubeError as error:
        if error.status != 403:
            raise
        return None


def operator(loop: kube.Object, found: list[kube.Object] | None, now: datetime) -> Operator:
    """Who works on the loop."""
    status, metadata = loop.get("status", {}), loop["metadata"]
    if any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in status.get("conditions", [])):
        return Operator(alive=False, told="none is needed, the campaign is over")
    alive, told = _by_leases(found, now)
    wrote = _wrote(metadata)
    age = (now - datetime.fromisoformat(metadata["creationTimestamp"])).total_seconds()
    if wrote is None and age > UNSEEN_SECONDS:
        told = f"none has looked at this loop in the {words.duration(age)} since it was created ({told}); "
        told += f'does one serve namespace "{metadata["namespace"]}"? helm list -A'
        return Operator(alive=False, told=told)
    seen, generation = status.get("observedGeneration", 0), metadata.get("generation", 1)
    if wrote is not None:
        told += f"; last wrote {words.duration((now - wrote).total_seconds())} ago"
    if wrote is not None and seen < generation:
        told += f"; it has not taken in the newest edit of the spec yet (generation {generation}, it has seen {seen})"
    return Operator(alive, told)


def _by_leases(found: list[kube.Object] | None, now: datetime) -> tuple[bool, str]:
    if found is None:
        return True, f'unknown: to tell, the right to list Leases is needed (name "{LEASE}")'
    if not found:
        return False, f'none in this cluster: there is no Lease "{LEASE}"; install the chart, helm/rloop'
    silent = {one["metadata"]["namespace"]: _silence(one, now) for one in found}
    live = [namespace for namespace, seconds in silent.items() if seconds <= SILENT_SECONDS]
    if live:
        return True, f"alive in namespace {', '.join(live)}"
    namespace, seconds = min(silent.items(), key=lambda one: one[1])
    told = f"not working: the one in namespace {namespace} has been silent for {words.duration(seconds)}"
    return False, f"{told}; kubectl -n {namespace} get pods"


def _silence(lease: kube.Object, now: datetime) -> float:
    renewed = lease.get("spec", {}).get("renewTime")
    return (now - datetime.fromisoformat(renewed)).total_seconds() if renewed else float("inf")


def _wrote(metadata: dict[str, Any]) -> datetime | None:
    """When the status was written last, as the API server noted it."""
    moments = [
        datetime.fromisoformat(one["time"])
        for one in metadata.get("managedFields", [])
        if one.get("subresource") == "status" and "time" in one
    ]
    return max(moments, default=None)
