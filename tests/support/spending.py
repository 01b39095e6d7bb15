"""What the LLM proxy writes of a session, for tests in which no proxy runs.

Used by tests/sim and by the tests of the gateway: as the proxy does, it reads, changes its own entry and tries again.
"""

from __future__ import annotations

from typing import Any

from rloop.api.iteration import ResearchIteration, SessionUsage
from rloop.errors import Conflict
from rloop_operator.ports import Store


async def spend(store: Store, iteration: str, session: str, **usage: Any) -> None:
    """Replace the session's entry."""
    new = SessionUsage(session=session, **usage)
    while True:
        stored = await store.get(ResearchIteration, iteration)
        reported = stored.status.reported
        others = [one for one in reported.usage if one.session != session]
        changed = reported.model_copy(update={"usage": [*others, new]})
        status = stored.status.model_copy(update={"reported": changed})
        try:
            await store.apply_status(stored.model_copy(update={"status": status}))
        except Conflict:
            continue
        return
