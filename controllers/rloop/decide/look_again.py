"""When a loop is looked at again although no event arrives: for changes that no watch reports, and for lost events.

Last step of the chain. The moments of deadlines, pauses and budgets are noted where they are compared with the clock
(`Draft.passed`, `Draft.older`); here are the states that end without an event. A suspended or finished loop without
workloads has none of them, and costs nothing.
"""

from __future__ import annotations

from datetime import timedelta

from rloop.actions import Stop
from rloop.decide.draft import Draft

QUICK_SECONDS = 5.0
"""For what usually ends soon."""
SLOW_SECONDS = 60.0
"""For what has not ended for a long time, and for a lost event."""


def plan(draft: Draft) -> None:
    """Note the latest moment of the next pass."""
    for state in draft.observed.workloads.values():
        if state.exit is None and not state.started:
            # Why it waits is said by Events, volumes and quotas, which are not watched.
            draft.older(0, _interval((draft.now - state.started_at).total_seconds()))
        elif state.ending:
            draft.older(0, QUICK_SECONDS)
        else:
            draft.older(0, SLOW_SECONDS)
    if any(isinstance(one, Stop) for one in draft.actions):
        draft.older(0, QUICK_SECONDS)
    if draft.observed.obstacles or (draft.observed.problems and not draft.finished):
        draft.older(0, _interval(_troubled_seconds(draft)))
    if not draft.finished and not draft.suspended:
        draft.older(0, SLOW_SECONDS)


def _interval(waited_seconds: float) -> float:
    """A tenth of the time that it has lasted, within bounds: soon noticed at first, cheap in the end."""
    return min(SLOW_SECONDS, max(QUICK_SECONDS, waited_seconds / 10))


def _troubled_seconds(draft: Draft) -> float:
    """Seconds since a condition says that something prevents the campaign from going on."""
    told = {("Accepted", "False"), ("Degraded", "True")}
    since = [one.last_transition_time for one in draft.status.conditions if (one.type, one.status) in told]
    return (draft.now - min(since, default=draft.now)) / timedelta(seconds=1)
