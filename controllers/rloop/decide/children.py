"""Metadata of the objects that belong to a campaign: its loop owns them.

Used for each experiment and iteration, by the decisions and by the gateway.
"""

from __future__ import annotations

from rloop import names
from rloop.api.common import API_VERSION, ObjectMeta, OwnerReference
from rloop.api.researchloop import ResearchLoop


def metadata(loop: ResearchLoop, name: str) -> ObjectMeta:
    """Metadata of an object that belongs to the loop."""
    owner = OwnerReference(
        api_version=API_VERSION,
        kind="ResearchLoop",
        name=loop.metadata.name,
        uid=loop.metadata.uid or "unknown",
    )
    return ObjectMeta(
        name=name,
        namespace=loop.metadata.namespace,
        labels={names.LABEL_LOOP: loop.metadata.name},
        owner_references=[owner],
    )
