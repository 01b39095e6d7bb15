"""The ping: a Lease with a number that the guard increments and that the operator's patrol answers.

A renewed Lease proves only that one task of the operator is alive. An answered ping proves more: the patrol has listed
every loop, no pass over a loop hangs, the watch has delivered the changes that patrols saw, and a write succeeded.
"""

from __future__ import annotations

from typing import Any

from rloop import names
from rloop.errors import Conflict, NotFound
from rloop_operator.cluster.kube import client

LEASE = "rloop-ping"


class Ping:
    """The Lease, as used by guard and operator."""

    def __init__(self, api: client.Kube, namespace: str) -> None:
        self._api = api
        self._path = client.group("coordination.k8s.io/v1", namespace, "leases")

    async def look(self) -> tuple[int, int]:
        """The numbers of the last ping and of the last answer; zeros if the Lease is missing. Raises KubeError."""
        try:
            found = await self._api.get(f"{self._path}/{LEASE}")
        except NotFound:
            return 0, 0
        annotations: dict[str, str] = found["metadata"].get("annotations", {})
        sent, answered = (annotations.get(one, "0") for one in (names.ANNOTATION_PING, names.ANNOTATION_PING_ANSWER))
        return int(sent), int(answered)

    async def send(self, number: int) -> None:
        """Write the guard's number; the first call creates the Lease. Raises KubeError."""
        annotated = _annotated(names.ANNOTATION_PING, number)
        try:
            await self._api.patch(f"{self._path}/{LEASE}", annotated)
        except NotFound:
            body: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}
            body["metadata"] = {"name": LEASE, **annotated["metadata"]}
            try:
                await self._api.create(self._path, body)
            except Conflict:
                return

    async def answer(self, number: int) -> None:
        """Write the operator's number. Raises KubeError."""
        await self._api.patch(f"{self._path}/{LEASE}", _annotated(names.ANNOTATION_PING_ANSWER, number))


def _annotated(name: str, number: int) -> dict[str, Any]:
    return {"metadata": {"annotations": {name: str(number)}}}
