"""The ledger of a cluster's campaign: ConfigMaps `<loop>-ledger-NNNN`, each made immutable when full.

Called by the cluster's store. Entries are keyed, so that a repeated append after a crash finds the first one. The
format is that of `rloop.ledger_entry`. An API server does not keep the order of keys, so the hashes give the order.
"""

from __future__ import annotations

from typing import Any

from rloop import ledger_entry, names
from rloop.actions import Append
from rloop.ledger_entry import GENESIS, Ledger
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
    told = _annotation(newest, names.ANNOTATION_GAP) if newest else ""
    text = ledger_entry.following(_head(chunks), loop, entry).text
    annotations = {
        names.ANNOTATION_HEAD: ledger_entry.digest(text),
        **({names.ANNOTATION_GAP: gap} if gap else {}),
    }
    if newest is not None and not newest.get("immutable") and _size(newest) + len(text.encode()) <= CHUNK_BYTES:
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


async def stored(api: client.Kube, namespace: str, loop: str) -> Ledger:
    """The ledger as it is stored, with the parts that are known to be missing."""
    chunks = await _chunks(api, namespace, loop)
    texts = ledger_entry.in_order(text for chunk in chunks for text in chunk.get("data", {}).values())
    return Ledger(texts, _head(chunks), _missing(loop, chunks))


def _gap(loop: str, chunks: list[dict[str, Any]], entry: Append) -> str:
    """The missing chunks: gaps in the numbering, or all if no chunk exists although this entry cannot be the first.

    The first entry of a ledger is the baseline's, unless the user requested a pivot at the same moment.
    """
    if not chunks:
        first = entry.kind == "pivot" or entry.key == f"experiment/{names.baseline(loop)}"
        return "" if first else f"all before {entry.key}"
    return _missing(loop, chunks)


def _missing(loop: str, chunks: list[dict[str, Any]]) -> str:
    """The chunks that gaps in the numbering show, and what the oldest chunk says of a ledger before it."""
    there = {_number(one) for one in chunks}
    missing = [names.ledger(loop, number) for number in range(max(there, default=0)) if number not in there]
    told = [_annotation(one, names.ANNOTATION_GAP) for one in chunks[:1]]
    return ", ".join(dict.fromkeys(one for one in (*missing, *told) if one))


def _number(chunk: dict[str, Any]) -> int:
    return int(chunk["metadata"]["name"].rpartition("-")[2])


async def _chunks(api: client.Kube, namespace: str, loop: str) -> list[dict[str, Any]]:
    selector = f"{names.LABEL_LOOP}={loop},{names.LABEL_ROLE}=ledger"
    found = await api.all(client.core(namespace, "configmaps"), selector)
    return sorted(found, key=lambda one: one["metadata"]["name"])


def _head(chunks: list[dict[str, Any]]) -> str:
    return _annotation(chunks[-1], names.ANNOTATION_HEAD) if chunks else GENESIS


def _annotation(chunk: dict[str, Any], name: str) -> str:
    """An annotation of a chunk; empty if somebody removed it."""
    return str(chunk["metadata"].get("annotations", {}).get(name, ""))


def _size(chunk: dict[str, Any]) -> int:
    return sum(len(key) + len(text.encode()) for key, text in chunk.get("data", {}).items())


def _chunk(
    loop: str, number: int, owner: dict[str, Any], annotations: dict[str, str], data: dict[str, str]
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.ledger(loop, number),
            "labels": names.labels(loop, "ledger"),
            "annotations": annotations,
            "ownerReferences": [client.owner_reference(owner)],
        },
        "data": data,
    }
