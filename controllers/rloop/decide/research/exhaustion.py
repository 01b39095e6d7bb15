"""Ends a campaign with a finite search space: once every point of space.yaml was tried, nothing new can be proposed.

Called by `chain` before an iteration opens, and by `iteration`. Without it a campaign of three points opens empty
iterations and pivots until somebody notices.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.api.experiment import OPEN_RUN
from rloop.api.loop_status import SealedSpace
from rloop.decide import ending
from rloop.decide.draft import Draft


def reached(draft: Draft) -> bool:
    """Whether every point was tried or is the task's own. The gateway rejects each of them as a duplicate."""
    space = _space(draft)
    if space is None:
        return False
    tried = {tuple(sorted(one.spec.point.items())) for one in draft.candidates() if not campaign_state.never_tried(one)}
    return len({*tried, tuple(sorted(space.task.items()))}) >= space.points


def _space(draft: Draft) -> SealedSpace | None:
    return draft.status.sealed.space if draft.status.sealed is not None else None


def end(draft: Draft) -> None:
    """Complete the campaign when all points have their verdict."""
    space = _space(draft)
    if space is None or draft.status.baseline is None or draft.holding or draft.at_work or not reached(draft):
        return
    if draft.open_candidates() or any(run.phase in OPEN_RUN for _, run in draft.moving_runs()):
        return
    told = f"all {space.points} points of space.yaml were tried ({space.extent})"
    remedy = "widen a range or add values or dimensions there, and start a new campaign"
    ending.end(draft, "SpaceExhausted", f"{told[:900]}: {remedy}", warning=True)
