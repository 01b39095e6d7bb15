"""Creates the children of a loop: one POST under a fixed name, never applied again.

Called by the cluster's store, ledger and runtime. A name used by a foreign object, a quota and a terminating namespace
are obstacles of the campaign, not errors.
"""

from __future__ import annotations

from rloop.errors import Blocked, Conflict
from rloop.reasons import Reason
from rloop_operator.cluster.kube import obstacles
from rloop_operator.cluster.kube.client import Kube, KubeError, Object


async def create(api: Kube, path: str, body: Object) -> Object:
    """POST it. Raises Conflict if it exists and is ours, Blocked if the name is taken or the server rejects it."""
    name = body["metadata"]["name"]
    try:
        return await api.create(path, body)
    except Conflict:
        stored = await api.get(f"{path}/{name}")
        check_ours(body["kind"], stored, body["metadata"])
        raise
    except KubeError as error:
        refused = obstacles.refusal(error, name)
        if refused is None:
            raise
        raise refused from error


def check_ours(kind: str, stored: Object, wanted: Object) -> None:
    """Raise Blocked if the stored object has other owners than the wanted metadata."""
    if _owners(stored["metadata"]) != _owners(wanted):
        raise taken(kind, stored)


def taken(kind: str, stored: Object) -> Blocked:
    """The obstacle for a foreign object under our name."""
    name = stored["metadata"]["name"]
    if stored["metadata"].get("deletionTimestamp"):
        told = f"an older {kind} of this name is still being deleted; the campaign continues afterwards"
        return Blocked(Reason.BEING_DELETED, name, told)
    if kind.startswith("Research") and not stored.get("status"):
        return Blocked(Reason.RESTORED_WITHOUT_STATUS, name, f"a {kind} of this name was restored from a backup")
    told = f"a {kind} of this name exists and is not this campaign's; delete it, or rename one of the two"
    return Blocked(Reason.NAME_TAKEN, name, told)


def _owners(metadata: Object) -> list[str]:
    return [one["uid"] for one in metadata.get("ownerReferences", [])]
