"""Continues a campaign that ended because its budget was used up, when the budget is raised.

Second step of the chain. Everything that the end withdrew because of the budget comes back, regardless of its kind
(docs/adr/0027).
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.api.experiment import ExperimentDisplay, Run
from rloop.decide import ending
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts, finding_checks


def reopen(draft: Draft) -> None:
    """Revoke Complete=BudgetExhausted if the spec was edited since and pays for another session and run."""
    if not campaign_state.edited_since_its_budget_ended(draft.loop) or not draft.sealed:
        return
    if accounts.exhausted(draft) or not accounts.affordable(draft, accounts.reservation(draft)):
        return
    draft.condition("Complete", "False", "InProgress")
    draft.write(lead=None)
    undecided = 0
    for name, one in list(draft.experiments.items()):
        runs = [_queued(run) for run in one.status.runs]
        if campaign_state.undecided(one) and not any(run.phase == "Failed" for run in runs):
            undecided += one.spec.kind == "Candidate"
            draft.write_experiment(
                name, runs=runs, phase="Queued", verdict=None, folded=False, display=ExperimentDisplay()
            )
        elif one.status.phase == "Accepted" and runs != one.status.runs:  # its reference and final runs
            draft.write_experiment(name, runs=runs)
    _close_report(draft)
    left = f"{undecided} undecided experiment{'' if undecided == 1 else 's'}"
    draft.tell("BudgetRaised", f"the budget was raised: the campaign continues with {left}")


def _queued(run: Run) -> Run:
    """Requeue a run that the end withdrew while it waited for its first or next attempt. Its earlier attempts stay."""
    waits = run.phase == "Withdrawn" and run.reason == "BudgetExhausted"
    return run.changed(phase="Queued", reason=None) if waits else run


def _close_report(draft: Draft) -> None:
    """Settle the report of this end, so that the next end does not consider its sessions its own."""
    for name, one in list(draft.iterations.items()):
        if campaign_state.closing(one) and one.status.phase == "Open":
            ending.end_sessions(draft, name, finding_checks.LOOP_FINISHED)
            ending.settle(draft, name)
