"""Writes what the campaign has used and reserved, runs its clock, and ends it when nothing is left.

Steps of the chain. The arithmetic is in `accounts`.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.api.experiment import LIVE_RUN
from rloop.api.loop_status import BudgetStatus, Clock
from rloop.campaign_state import active_seconds
from rloop.decide import ending
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts, finding_checks, lead


def account(draft: Draft) -> None:
    """Write what is used; activeSeconds only with another change, because an idle loop should cost no write."""
    turn_clock(draft)
    limit = draft.spec.budget.active_seconds
    if limit is not None:
        accounts.active_for(draft, limit)
    old, new = draft.status.budget, BudgetStatus(used=accounts.spent(draft), blocked_by=accounts.blocked_by(draft))
    same = new.changed(used=new.used.changed(active_seconds=old.used.active_seconds)) == old
    unchanged = same and draft.status == draft.loop.status
    if not unchanged and new != old:
        draft.write(budget=new)


def end(draft: Draft) -> None:
    """Complete the campaign when a limit is reached, nothing runs and nothing queued can be afforded."""
    reached = accounts.exhausted(draft)
    limit = next(iter(reached), None)
    if "activeSeconds" in reached:
        # Sessions end at the limit. A run that has started may finish: what it measures is already paid for.
        for name, iteration in list(draft.iterations.items()):
            if not campaign_state.closing(iteration):
                ending.end_sessions(draft, name, finding_checks.LOOP_FINISHED)
    live = any(run.phase in LIVE_RUN for _, run in draft.moving_runs())
    if live or draft.at_work or draft.suspended:
        return
    queued = any(run.phase == "Queued" for _, run in draft.moving_runs()) or bool(draft.open_candidates())
    if queued and accounts.affordable(draft, accounts.reservation(draft)):
        return
    if limit is None and queued:
        limit = accounts.too_much(draft, accounts.spent(draft), accounts.reservation(draft))
    if limit is None or (limit in ("tokens", "cost") and accounts.may_come_back(draft)):
        return
    why = accounts.unaffordable(draft).get(limit)
    told = f"spec.budget.{limit} is used up" + ("" if why is None else f": {why}")
    if (found := lead.find(draft)) is not None:
        draft.write(lead=found)
        told += f"; {lead.told(draft, found)}; a larger budget continues the campaign"
    ending.end(draft, "BudgetExhausted", told, warning=True)


def turn_clock(draft: Draft) -> None:
    """Start and stop the clock of active seconds. Time without an operator does not count."""
    clock, now = draft.status.clock, draft.now
    down = draft.observed.down_since
    if clock.active_since is not None and down is not None and down < now:
        before = max(0.0, (down - clock.active_since).total_seconds())
        clock = Clock(accumulated_seconds=clock.accumulated_seconds + before, active_since=now)
    running = draft.sealed and not draft.suspended and not draft.finished
    if running and clock.active_since is None:
        clock = clock.changed(active_since=now)
    if not running and clock.active_since is not None:
        clock = Clock(accumulated_seconds=active_seconds(clock, now))
    if clock != draft.status.clock:
        draft.write(clock=clock)
