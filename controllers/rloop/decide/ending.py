"""Writes that end an experiment, a session, an iteration or the whole campaign, shared by several decisions.

Used by baseline, budget, cleanup, conclusion, exhaustion, judge, plateau, reopen and smoke. Takes no decisions.
"""

from __future__ import annotations

from rloop.api.experiment import Verdict
from rloop.api.loop_status import Ending
from rloop.campaign_state import active_seconds
from rloop.decide.draft import Draft
from rloop.decide.queries import iteration_work, runs


def withdraw_experiment(draft: Draft, name: str, reason: str, message: str) -> None:
    """Withdraw an experiment: its queued and live runs end, and its verdict gives the reason."""
    ended = runs.withdrawn(draft.experiments[name], reason)
    verdict = Verdict(reason=reason, message=message, at=draft.now)
    draft.write_experiment(name, runs=ended, phase="Withdrawn", verdict=verdict)


def end_sessions(draft: Draft, iteration: str, reason: str) -> None:
    """End the iteration's sessions in progress. `cleanup` stops their workloads, which no record needs any more."""
    for session in draft.iterations[iteration].status.sessions:
        if session.phase in ("Pending", "Running"):
            draft.write_session(iteration, session.changed(phase="Finished", reason=reason, finished_at=draft.now))


def end(draft: Draft, reason: str, message: str, *, warning: bool = False) -> None:
    """End the campaign with a result. It is Complete once its report is written (`report`)."""
    now = active_seconds(draft.status.clock, draft.now)
    generation = draft.loop.metadata.generation
    draft.write(ending=Ending(reason=reason, message=message, active_seconds=now, generation=generation))
    draft.tell(reason, message, warning=warning)


def fail(draft: Draft, reason: str, message: str) -> None:
    """End the campaign as Failed: it cannot continue, and a person must act."""
    draft.condition("Failed", "True", reason, message[:4096])
    draft.tell(reason, message, warning=True)


def settle(draft: Draft, name: str) -> None:
    """Settle an iteration that the end of the campaign cut short. Without a result it is Neutral, not Stale."""
    iteration = draft.iterations[name]
    outcome = iteration_work.gain(iteration, iteration_work.experiments_of(draft, iteration)) or "Neutral"
    draft.write_iteration(name, phase="Settled", outcome=outcome, settled_at=draft.now)
