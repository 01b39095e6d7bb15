"""The canary: a Lease on which the guard asks, and the operator answers out of its real work.

A renewed Lease shows that one task of the operator lives. An echo shows more: since the guard asked, the patrol has
listed every loop, no pass over a loop hangs, the watch has delivered what the patrol saw change, and a write arrived.
"""

from __future__ import annotations

from typing import Any

from rloop import names
from rloop.errors import Conflict, NotFound
from rloop_operator.cluster import kube

LEASE = "rloop-canary"


class Canary:
    """The Lease, for both sides."""

    def __init__(self, api: kube.Kube, namespace: str) -> None:
        self._api = api
        self._path = kube.group("coordination.k8s.io/v1", namespace, "leases")

    async def look(self) -> tuple[int, int]:
        """Asked and echoed; zeros while there is none. Raises KubeError."""
        try:
            found = await self._api.get(f"{self._path}/{LEASE}")
        except NotFound:
            return 0, 0
        annotations: dict[str, str] = found["metadata"].get("annotations", {})
        return int(annotations.get(names.ANNOTATION_ASKED, "0")), int(annotations.get(names.ANNOTATION_ECHOED, "0"))

    async def ask(self, number: int) -> None:
        """Ask; the first question makes the Lease. Raises KubeError."""
        annotated = _annotated(names.ANNOTATION_ASKED, number)
        try:
            await self._api.patch(f"{self._path}/{LEASE}", annotated)
        except NotFound:
            body: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}
            body["metadata"] = {"name": LEASE, **annotated["metadata"]}
            try:
                await self._api.create(self._path, body)
            except Conflict:
                return

    async def echo(self, number: int) -> None:
        """Answer. Raises KubeError."""
        await self._api.patch(f"{self._path}/{LEASE}", _annotated(names.ANNOTATION_ECHOED, number))


def _annotated(name: str, number: int) -> dict[str, Any]:
    return {"metadata": {"annotations": {name: str(number)}}}
