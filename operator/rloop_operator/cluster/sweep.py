"""Finished workloads whose results are stored: kept for an hour, for people to look at, and then deleted.

Called by the operator's patrol. No name is used again by that: its end stands in a status.
"""

from __future__ import annotations

import time

from rloop import names
from rloop_operator.cluster.kube import Kube, core, group

KEEP_SECONDS = 3600


async def sweep(api: Kube, namespace: str) -> None:
    """Delete those of all loops of a namespace. Jobs first: their pods go with them."""
    for path in (group("batch/v1", namespace, "jobs"), core(namespace, "pods")):
        for one in await api.all(path, f"{names.LABEL_LOOP},{names.LABEL_REMOVED}"):
            metadata = one["metadata"]
            if time.time() - int(metadata["labels"][names.LABEL_REMOVED]) > KEEP_SECONDS:
                await api.delete(f"{path}/{metadata['name']}", metadata["uid"])
