"""Who calls in a cluster: a token's pod, by TokenReview, and that pod's controller.

Called by the gateway and by the LLM proxy. A pod's labels are believed only where its owner is an object of this very
loop.
"""

from __future__ import annotations

import time
from typing import Any

from typing_extensions import override

from rloop import names
from rloop.actions import Role
from rloop.errors import NotFound
from rloop_operator.cluster import kube
from rloop_operator.cluster.parts import AUDIENCE
from rloop_operator.ports import Caller, Identity

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
CACHE_SECONDS = 10.0
"""A token is looked up again after this, so that a deleted pod loses its rights soon."""


class KubeIdentity(Identity):
    """Callers by TokenReview."""

    def __init__(self, api: kube.Kube, roles: tuple[Role, ...] = ("agent", "run")) -> None:
        self._api = api
        self._roles = roles
        """Whoever has another is nobody here."""
        self._cache: dict[str, tuple[float, Caller | None]] = {}

    @override
    async def caller(self, token: str) -> Caller | None:
        now = time.monotonic()
        self._cache = {key: kept for key, kept in self._cache.items() if now - kept[0] < CACHE_SECONDS}
        if token not in self._cache:
            self._cache[token] = (now, await self._look(token))
        return self._cache[token][1]

    async def _look(self, token: str) -> Caller | None:
        if not token:
            return None  # the API server calls it a bad request
        status = await review(self._api, token)
        if not status.get("authenticated"):
            return None
        user = status["user"]
        pod_name = (user.get("extra", {}).get(POD_NAME) or [""])[0]
        if not pod_name:
            return None
        namespace = user["username"].split(":")[2]
        try:
            pod = await self._api.get(kube.core(namespace, "pods", pod_name))
        except NotFound:
            return None
        if pod["metadata"]["uid"] != (user["extra"].get(POD_UID) or [""])[0]:
            return None
        return await self._caller(pod, namespace)

    async def _caller(self, pod: dict[str, Any], namespace: str) -> Caller | None:
        labels = pod["metadata"].get("labels", {})
        role, owner, loop = (labels.get(key, "") for key in (names.LABEL_ROLE, names.LABEL_OWNER, names.LABEL_LOOP))
        if role not in self._roles or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return None
        plural = "researchiterations" if role == "agent" else "researchexperiments"
        try:
            holder = await self._api.get(kube.objects(namespace, plural, owner))
        except NotFound:
            return None
        references = pod["metadata"].get("ownerReferences", [])
        if role == "agent" and holder["metadata"]["uid"] not in [one["uid"] for one in references]:
            return None
        if holder["spec"]["loopName"] != loop:
            return None
        return Caller(pod["metadata"]["name"], role, loop, owner, labels.get(names.LABEL_SESSION, ""), namespace)


async def review(api: kube.Kube, token: str) -> dict[str, Any]:
    """What the API server says of a token. Raises KubeError."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    status: dict[str, Any] = (await api.create("/apis/authentication.k8s.io/v1/tokenreviews", body))["status"]
    return status
