"""Kubernetes Events: one for each transition of a loop, about the loop: `kubectl describe rloop` shows them.

Called by the operator after the status that an event belongs to was written, and by the watchdog about our own pods.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import structlog

from rloop import names
from rloop.actions import Event
from rloop.errors import Conflict, NotFound
from rloop_operator.cluster.kube import client

log = structlog.get_logger("rloop.events")
MESSAGE_MAX = 1024


async def tell(api: client.Kube, namespace: str, loop: str, event: Event) -> None:
    """Write the Event of a transition."""
    log.info("decided", loop=loop, reason=event.reason, object=event.object, message=event.message)
    stored = await api.get(client.objects(namespace, "researchloops", loop))
    unique = f"{event.reason}/{event.object}/{event.message}"
    labels = {names.LABEL_LOOP: loop}
    await write(api, stored, unique, event.type, event.reason, event.message, component="operator", labels=labels)


async def write(
    api: client.Kube,
    about: client.Object,
    unique: str,
    type_: str,
    reason: str,
    message: str,
    *,
    component: str,
    labels: dict[str, str] | None = None,
) -> None:
    """Write an Event about an object. Its name is derived from `unique`; a repetition increases its count.

    If the Event cannot be written (its namespace is gone, or another writer deleted or changed it), this is logged and
    ignored: nothing depends on an Event.
    """
    metadata = about["metadata"]
    namespace, uid = metadata["namespace"], metadata["uid"]
    name = f"{metadata['name']}.{sha256(f'{uid}/{unique}'.encode()).hexdigest()[:12]}"
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: client.Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": namespace,
            "uid": uid,
        },
        "type": type_,
        "reason": reason,
        "message": message[:MESSAGE_MAX],
        "source": {"component": f"researchloop-{component}"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    path = client.core(namespace, "events")
    try:
        try:
            await api.create(path, body)
        except Conflict:
            count = (await api.get(f"{path}/{name}")).get("count", 1) + 1
            await api.patch(f"{path}/{name}", {"lastTimestamp": moment, "count": count})
    except (client.KubeError, NotFound, Conflict) as error:
        log.info("event_not_written", reason=reason, detail=str(error))
