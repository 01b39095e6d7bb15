"""Changes the status of a stored object, as the part that owns it would."""

from __future__ import annotations

from typing import Any

from rloop_operator.ports import Store


async def restate(store: Store, kind: Any, name: str, **changes: object) -> None:
    """Read it, and write it with these fields of its status."""
    found = await store.get(kind, name)
    await store.apply_status(found.model_copy(update={"status": found.status.model_copy(update=changes)}))
