"""The ledger of a cluster's campaign: hash-chained ConfigMaps `<loop>-ledger-NNNN`, each closed when it is full.

Called by the cluster's store. Entries are keyed, so that a second append after a crash finds the first.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from rloop import names
from rloop.actions import Append
from rloop_operator.cluster import children, kube

CHUNK_BYTES = 512 * 1024


async def append(api: kube.Kube, namespace: str, loop: str, entry: Append) -> None:
    """Append once. Raises Conflict if somebody else appended meanwhile: decide again."""
    chunks = await _chunks(api, namespace, loop)
    key = entry.key.replace("/", ".")
    if any(key in chunk.get("data", {}) for chunk in chunks):
        return
    newest = chunks[-1] if chunks else None
    document = {"kind": entry.kind, "key": entry.key, "body": entry.body, "previous": _head(chunks)}
    text = json.dumps(document, sort_keys=True)
    if newest is not None and _size(newest) + len(text) <= CHUNK_BYTES:
        metadata = {
            "resourceVersion": newest["metadata"]["resourceVersion"],
            "annotations": {names.ANNOTATION_HEAD: sha256(text.encode()).hexdigest()},
        }
        path = kube.core(namespace, "configmaps", newest["metadata"]["name"])
        await api.patch(path, {"metadata": metadata, "data": {key: text}})
        return
    if newest is not None:
        path = kube.core(namespace, "configmaps", newest["metadata"]["name"])
        await api.patch(
            path, {"metadata": {"resourceVersion": newest["metadata"]["resourceVersion"]}, "immutable": True}
        )
    owner = await api.get(kube.objects(namespace, "researchloops", loop))
    await children.create(api, kube.core(namespace, "configmaps"), _chunk(loop, len(chunks), owner, key, text))


async def _chunks(api: kube.Kube, namespace: str, loop: str) -> list[dict[str, Any]]:
    selector = f"{names.LABEL_LOOP}={loop},{names.LABEL_ROLE}=ledger"
    found = await api.all(kube.core(namespace, "configmaps"), selector)
    return sorted(found, key=lambda one: one["metadata"]["name"])


def _head(chunks: list[dict[str, Any]]) -> str:
    return chunks[-1]["metadata"]["annotations"][names.ANNOTATION_HEAD] if chunks else ""


def _size(chunk: dict[str, Any]) -> int:
    return sum(len(key) + len(text) for key, text in chunk.get("data", {}).items())


def _chunk(loop: str, number: int, owner: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{loop}-ledger-{number:04d}",
            "labels": names.labels(loop, "ledger"),
            "annotations": {names.ANNOTATION_HEAD: sha256(text.encode()).hexdigest()},
            "ownerReferences": [kube.owner_reference(owner)],
        },
        "data": {key: text},
    }
