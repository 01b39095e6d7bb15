"""Schedules the next pass over a loop if no event arrives: for changes that no watch reports, and for lost events.

Last step of the chain. Deadlines, pauses and budgets are noted where they are compared with the clock (`Draft.passed`,
`Draft.older`); this module covers the states that end without an event. A suspended or finished loop without workloads
has no such states, and costs nothing.
"""

from __future__ import annotations

from datetime import timedelta

from rloop.actions import Stop
from rloop.decide.draft import Draft

QUICK_SECONDS = 5.0
"""Interval for states that usually end soon."""
SLOW_SECONDS = 60.0
"""Interval for states that have lasted for a long time, and for lost events."""


def plan(draft: Draft) -> None:
    """Note when the next pass is due at the latest."""
    for state in draft.observed.workloads.values():
        if state.exit is None and not state.started:
            # The reasons for the wait are in Events, volumes and quotas, which are not watched.
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
    """A tenth of the time waited so far, within bounds: reacts quickly at first, and is cheap for long waits."""
    return min(SLOW_SECONDS, max(QUICK_SECONDS, waited_seconds / 10))


def _troubled_seconds(draft: Draft) -> float:
    """Seconds since a condition first reported that something blocks the campaign."""
    told = {("Accepted", "False"), ("Degraded", "True")}
    since = [one.last_transition_time for one in draft.status.conditions if (one.type, one.status) in told]
    return (draft.now - min(since, default=draft.now)) / timedelta(seconds=1)
