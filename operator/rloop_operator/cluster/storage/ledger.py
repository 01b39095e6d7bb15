"""The ledger of a cluster's campaign: hash-chained ConfigMaps `<loop>-ledger-NNNN`, each made immutable when full.

Called by the cluster's store. Entries are keyed, so that a repeated append after a crash finds the first one.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from rloop import names
from rloop.actions import Append
from rloop_operator.cluster.kube import children, client

CHUNK_BYTES = 512 * 1024


async def append(api: client.Kube, namespace: str, loop: str, entry: Append) -> str:
    """Append the entry unless its key is stored already. Raises Conflict if another writer appended meanwhile.

    Returns a sentence about missing chunks, once for each gap; otherwise an empty string.
    """
    chunks = await _chunks(api, namespace, loop)
    key = entry.key.replace("/", ".")
    if any(key in chunk.get("data", {}) for chunk in chunks):
        return ""
    newest = chunks[-1] if chunks else None
    gap = _gap(loop, chunks, entry)
    told = newest["metadata"]["annotations"].get(names.ANNOTATION_GAP, "") if newest else ""
    document = {"kind": entry.kind, "key": entry.key, "body": entry.body, "previous": _head(chunks)}
    text = json.dumps(document, sort_keys=True)
    annotations = {
        names.ANNOTATION_HEAD: sha256(text.encode()).hexdigest(),
        **({names.ANNOTATION_GAP: gap} if gap else {}),
    }
    if newest is not None and not newest.get("immutable") and _size(newest) + len(text) <= CHUNK_BYTES:
        metadata = {"resourceVersion": newest["metadata"]["resourceVersion"], "annotations": annotations}
        path = client.core(namespace, "configmaps", newest["metadata"]["name"])
        await api.patch(path, {"metadata": metadata, "data": {key: text}})
    else:
        if newest is not None and not newest.get("immutable"):
            path = client.core(namespace, "configmaps", newest["metadata"]["name"])
            version = newest["metadata"]["resourceVersion"]
            await api.patch(path, {"metadata": {"resourceVersion": version}, "immutable": True})
        owner = await api.get(client.objects(namespace, "researchloops", loop))
        number = _number(newest) + 1 if newest is not None else 0
        made = _chunk(loop, number, owner, annotations, {key: text})
        await children.create(api, client.core(namespace, "configmaps"), made)
    if gap in ("", told):
        return ""
    return f"parts of the ledger were deleted ({gap}); the campaign continues; their content is also in its experiments"


def _gap(loop: str, chunks: list[dict[str, Any]], entry: Append) -> str:
    """The missing chunks: gaps in the numbering, or all if no chunk exists although this entry cannot be the first.

    The first entry of a ledger is the baseline's, unless the user requested a pivot at the same moment.
    """
    if not chunks:
        first = entry.kind == "pivot" or entry.key == f"experiment/{names.baseline(loop)}"
        return "" if first else f"all before {entry.key}"
    there = {_number(one) for one in chunks}
    missing = [f"{loop}-ledger-{number:04d}" for number in range(max(there)) if number not in there]
    lost = [*missing, chunks[0]["metadata"]["annotations"].get(names.ANNOTATION_GAP, "")]
    return ", ".join(dict.fromkeys(one for one in lost if one))


def _number(chunk: dict[str, Any]) -> int:
    return int(chunk["metadata"]["name"].rpartition("-")[2])


async def _chunks(api: client.Kube, namespace: str, loop: str) -> list[dict[str, Any]]:
    selector = f"{names.LABEL_LOOP}={loop},{names.LABEL_ROLE}=ledger"
    found = await api.all(client.core(namespace, "configmaps"), selector)
    return sorted(found, key=lambda one: one["metadata"]["name"])


def _head(chunks: list[dict[str, Any]]) -> str:
    return chunks[-1]["metadata"]["annotations"][names.ANNOTATION_HEAD] if chunks else ""


def _size(chunk: dict[str, Any]) -> int:
    return sum(len(key) + len(text) for key, text in chunk.get("data", {}).items())


def _chunk(
    loop: str, number: int, owner: dict[str, Any], annotations: dict[str, str], data: dict[str, str]
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{loop}-ledger-{number:04d}",
            "labels": names.labels(loop, "ledger"),
            "annotations": annotations,
            "ownerReferences": [client.owner_reference(owner)],
        },
        "data": data,
    }
