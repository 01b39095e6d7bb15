"""The canary: a Lease with a number that the guard increments and that the operator's patrol echoes.

A renewed Lease proves only that one task of the operator is alive. An echo proves more: the patrol has listed every
loop, no pass over a loop hangs, the watch has delivered the changes that patrols saw, and a write succeeded.
"""

from __future__ import annotations

from typing import Any

from rloop import names
from rloop.errors import Conflict, NotFound
from rloop_operator.cluster.kube import client

LEASE = "rloop-canary"


class Canary:
    """The Lease, as used by guard and operator."""

    def __init__(self, api: client.Kube, namespace: str) -> None:
        self._api = api
        self._path = client.group("coordination.k8s.io/v1", namespace, "leases")

    async def look(self) -> tuple[int, int]:
        """The number asked and the number echoed; zeros while the Lease does not exist. Raises KubeError."""
        try:
            found = await self._api.get(f"{self._path}/{LEASE}")
        except NotFound:
            return 0, 0
        annotations: dict[str, str] = found["metadata"].get("annotations", {})
        return int(annotations.get(names.ANNOTATION_ASKED, "0")), int(annotations.get(names.ANNOTATION_ECHOED, "0"))

    async def ask(self, number: int) -> None:
        """Write the guard's number; the first call creates the Lease. Raises KubeError."""
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
        """Write the operator's number. Raises KubeError."""
        await self._api.patch(f"{self._path}/{LEASE}", _annotated(names.ANNOTATION_ECHOED, number))


def _annotated(name: str, number: int) -> dict[str, Any]:
    return {"metadata": {"annotations": {name: str(number)}}}
