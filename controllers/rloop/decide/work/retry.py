"""Decides whether a run whose attempt failed gets another one.

Called by attempt, and by verification when an artifact was lost before it was scored.
"""

from __future__ import annotations

from rloop import names
from rloop.api.experiment import Attempt, ResearchExperiment, Reservation, Run
from rloop.decide.draft import Draft
from rloop.decide.queries import certain_failure
from rloop.decide.queries.accounts import overdrawn
from rloop.decide.queries.runs import counted_failures, how_it_ended, last_words
from rloop.observed import PENDING_DEADLINE

INFRASTRUCTURE_LIMIT = 20
"""Attempts of one run that may be lost without a fault of the candidate before the run fails."""
LOST_LIMIT = 5
"""Attempts in a row, lost without a reason, that fail a run: one that kills its own supervisor looks like that."""


def retried_or_failed(draft: Draft, experiment: ResearchExperiment, run: Run, failed: Attempt) -> Run:
    """The run with another attempt after this one failed, or the run itself as failed."""
    name = names.attempt(experiment.metadata.name, run.number, failed.number)
    told, words = f"{name}: {how_it_ended(failed)}", last_words(failed)
    if draft.ended:
        return run.changed(phase="Withdrawn", reason="LoopFinished")
    # Attempts that never started are dropped: waiting may take days, and must not make the status grow.
    begun = [one for one in run.attempts if one.reason != PENDING_DEADLINE]
    lost = len(begun) - counted_failures(begun)
    if lost > INFRASTRUCTURE_LIMIT:
        return run.changed(phase="Failed", reason="InfrastructureFailing")
    if len(begun) >= LOST_LIMIT and all(one.reason == "Lost" for one in begun[-LOST_LIMIT:]):
        draft.tell("RunFailed", f"{told}, {LOST_LIMIT} times in a row", about=experiment.metadata.name, warning=True)
        return run.changed(phase="Failed", reason="Lost")
    limit = 0 if run.kind == "smoke" else draft.spec.experiment.backoff_limit  # the agent waits for the result
    certain = certain_failure.certainly(failed.reason, failed.exit_code, failed.log_tail)
    if certain is not None or counted_failures(run.attempts) > limit:
        why = f"; not retried: {certain}" if certain is not None else ""
        draft.tell("RunFailed", f"{told}{why}{words}", about=experiment.metadata.name, warning=True)
        return run.changed(phase="Failed", reason=failed.reason)
    next_try = run.changed(attempts=[*begun, Attempt(number=failed.number + 1)])
    draft.write_run(experiment.metadata.name, next_try)
    if overdrawn(draft):
        return _unpaid(draft, experiment, run, told)
    draft.tell("AttemptFailed", f"{told}; it is retried", about=experiment.metadata.name, warning=True)
    return next_try


def _unpaid(draft: Draft, experiment: ResearchExperiment, run: Run, told: str) -> Run:
    """The run back in the queue, because the budget does not pay for another attempt.

    This is no failure of what it measures. It no longer counts among the runs, but what its attempts used stays spent.
    """
    if run.kind == "smoke":
        return run.changed(phase="Failed", reason="BudgetExhausted")  # nobody waits for it later
    told = f"{told}; it is retried once the budget allows it"
    draft.tell("AttemptFailed", told, about=experiment.metadata.name, warning=True)
    return run.changed(phase="Queued", reservation=Reservation(runs=0))
