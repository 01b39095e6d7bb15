"""Finished workloads whose results are stored: kept for an hour, for people to look at, and then deleted.

Called by the operator's patrol. No name is used again by that: its end stands in a status.
"""

from __future__ import annotations

import time

from rloop import names
from rloop.errors import NotFound
from rloop_operator.cluster.kube import Kube, core, group

KEEP_SECONDS = 3600


async def sweep(api: Kube, namespace: str) -> None:
    """Delete those of all loops of a namespace. Jobs first: their pods go with them."""
    jobs = group("batch/v1", namespace, "jobs"), group("kubeflow.org/v1", namespace, "pytorchjobs")
    for path in (*jobs, core(namespace, "pods")):
        try:
            found = await api.all(path, f"{names.LABEL_LOOP},{names.LABEL_REMOVED}")
        except NotFound:  # no training operator
            continue
        for one in found:
            metadata = one["metadata"]
            if time.time() - int(metadata["labels"][names.LABEL_REMOVED]) > KEEP_SECONDS:
                await api.delete(f"{path}/{metadata['name']}", metadata["uid"])
