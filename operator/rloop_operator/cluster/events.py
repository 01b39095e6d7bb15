"""Kubernetes Events: one for each transition, on the loop, so that `kubectl describe rloop` tells the whole story.

Called by the operator after the status that an event belongs to was written.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

import structlog

from rloop import names
from rloop.actions import Event
from rloop.errors import Conflict
from rloop_operator.cluster import kube

log = structlog.get_logger("rloop.events")


async def tell(api: kube.Kube, namespace: str, loop: str, event: Event, now: datetime) -> None:
    """Write the Event; its name is made from what it says, so that a repeated one is the same."""
    log.info("decided", loop=loop, reason=event.reason, object=event.object, message=event.message)
    stored = await api.get(kube.objects(namespace, "researchloops", loop))
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = sha256(f"{event.reason}/{event.object}/{event.message}".encode()).hexdigest()[:12]
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{loop}.{unique}", "namespace": namespace, "labels": {names.LABEL_LOOP: loop}},
        "involvedObject": {
            "apiVersion": stored["apiVersion"],
            "kind": stored["kind"],
            "name": loop,
            "namespace": namespace,
            "uid": stored["metadata"]["uid"],
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": "researchloop-operator"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    try:
        await api.create(kube.core(namespace, "events"), body)
    except (Conflict, kube.KubeError) as error:
        log.info("event_not_written", reason=event.reason, detail=str(error))
