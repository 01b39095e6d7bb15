"""Authenticates callers in a cluster: TokenReview gives a token's pod, the pod's labels give its loop and owner.

Called by the gateway and by the LLM proxy. The labels are trusted only if the named owner exists and belongs to the
named loop; an agent's pod must also have that owner in its ownerReferences.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from typing_extensions import override

from rloop import names
from rloop.actions import Role
from rloop.errors import NotFound, Refused
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.workloads.pod_parts import AUDIENCE
from rloop_operator.ports import Caller, Identity

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
CACHE_SECONDS = 10.0
"""Seconds before a token is looked up again. Short, so that a deleted pod soon loses its permissions."""
KEPT_MAX = 4096
PARALLEL_UNKNOWN = 4
"""Maximum concurrent lookups of tokens that were not valid before, to limit the load on the API server."""
UNKNOWN_BURST, UNKNOWN_PER_SECOND = 60.0, 10.0
"""Limit of unknown tokens from one address. Many pods may share it, and all call at once after a gateway restart."""
TOKEN = re.compile(r"[\w-]+(\.[\w-]+){2}", re.ASCII)
"""Format of the tokens that the API server issues: JSON Web Tokens."""


class Rates:
    """Rate limit of unknown tokens, one token bucket for each address."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        """Address -> (fill level of its bucket, time of that level); longest unused first."""

    def spend(self, peer: str) -> bool:
        """Whether the address may send one more unknown token now; if so, counts it."""
        now = self._clock()
        left, at = self._left.pop(peer, (UNKNOWN_BURST, now))
        left = min(UNKNOWN_BURST, left + (now - at) * UNKNOWN_PER_SECOND)
        while len(self._left) >= KEPT_MAX:
            self._left.pop(next(iter(self._left)))
        self._left[peer] = (max(left - 1, 0.0) if left >= 1 else left, now)
        return left >= 1


class KubeIdentity(Identity):
    """Identity by TokenReview."""

    def __init__(
        self,
        api: client.Kube,
        roles: tuple[Role, ...] = ("agent", "run"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._roles = roles
        """Accepted roles. A caller with another role is unknown to this process."""
        self._clock = clock
        self._cache: dict[bytes, tuple[float, Caller | None]] = {}
        """Hash of a token -> (time of its lookup, caller); oldest first."""
        self._looking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._valid: dict[bytes, None] = {}
        """Hashes of tokens that were valid at their last lookup, newest last. They are exempt from the limit."""
        self._reviews = Rates(clock)
        self._unknown = asyncio.Semaphore(PARALLEL_UNKNOWN)

    @override
    async def caller(self, token: str, peer: str = "") -> Caller | None:
        if not TOKEN.fullmatch(token):
            return None
        key, now = sha256(token.encode()).digest(), self._clock()
        while self._cache and now - next(iter(self._cache.values()))[0] >= CACHE_SECONDS:
            self._cache.pop(next(iter(self._cache)))
        if key in self._cache:
            return self._cache[key][1]
        if key not in self._looking:
            known = key in self._valid
            if not known and not self._reviews.spend(peer):
                raise Refused(
                    "Busy", "too many requests with unknown tokens from this address: try again in a few seconds"
                )
            self._looking[key] = asyncio.create_task(self._look_up(key, token, known=known))
        return await asyncio.shield(self._looking[key])

    async def _look_up(self, key: bytes, token: str, *, known: bool) -> Caller | None:
        """Look the token up and cache the result. Concurrent requests with the same token wait for this lookup."""
        try:
            if known:
                caller = await self._look(token)
            else:
                async with self._unknown:
                    caller = await self._look(token)
        finally:
            del self._looking[key]
        self._valid.pop(key, None)
        if caller is not None:
            self._valid[key] = None
        for kept in (self._cache, self._valid):
            while len(kept) >= KEPT_MAX:
                kept.pop(next(iter(kept)))
        self._cache[key] = (self._clock(), caller)
        return caller

    async def _look(self, token: str) -> Caller | None:
        status = await review(self._api, token)
        if not status.get("authenticated"):
            return None
        user = status["user"]
        pod_name = (user.get("extra", {}).get(POD_NAME) or [""])[0]
        if not pod_name:
            return None
        namespace = user["username"].split(":")[2]
        try:
            pod = await self._api.get(client.core(namespace, "pods", pod_name))
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
            holder = await self._api.get(client.objects(namespace, plural, owner))
        except NotFound:
            return None
        references = pod["metadata"].get("ownerReferences", [])
        if role == "agent" and holder["metadata"]["uid"] not in [one["uid"] for one in references]:
            return None
        if holder["spec"]["loopName"] != loop:
            return None
        return Caller(pod["metadata"]["name"], role, loop, owner, labels.get(names.LABEL_SESSION, ""), namespace)


async def review(api: client.Kube, token: str) -> dict[str, Any]:
    """The status of a TokenReview of this token. Raises KubeError."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    status: dict[str, Any] = (await api.create("/apis/authentication.k8s.io/v1/tokenreviews", body))["status"]
    return status
