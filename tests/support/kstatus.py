"""What kstatus says of an object of a kind it does not know: its documented rules, in their order.

GitOps tools (Flux, and others on sigs.k8s.io/cli-utils) decide by these whether a loop is ready.
"""

from __future__ import annotations

from typing import Any


def kstatus(document: dict[str, Any]) -> str:
    """InProgress, Failed, Current or Terminating."""
    metadata, status = document["metadata"], document.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    for one in status.get("conditions", []):
        if one["status"] == "True" and one["type"] in ("Reconciling", "Stalled"):
            return "InProgress" if one["type"] == "Reconciling" else "Failed"
    ready = next((one["status"] for one in status.get("conditions", []) if one["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"
