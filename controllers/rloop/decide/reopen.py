"""A larger budget goes on: a campaign that ended because its budget was used up is opened again when that is raised.

Second step of the chain. What the end withdrew undecided comes back with the runs it has (docs/adr/0027).
"""

from __future__ import annotations

from rloop import standing
from rloop.api.experiment import ExperimentDisplay, ResearchExperiment, Run
from rloop.decide import budget
from rloop.decide.draft import Draft


def reopen(draft: Draft) -> None:
    """Take Complete=BudgetExhausted back if the spec was edited since and pays for at least one more run."""
    if not standing.edited_since_its_budget_ended(draft.loop) or not draft.sealed:
        return
    if budget.exhausted(draft) or not budget.affordable(draft, budget.reservation(draft)):
        return
    draft.condition("Complete", "False", "InProgress")
    draft.write(lead=None)
    back = [one for one in draft.candidates() if _comes_back(one)]
    for one in back:
        runs = [_queued(run) for run in one.status.runs]
        name = one.metadata.name
        draft.write_experiment(name, runs=runs, phase="Queued", verdict=None, folded=False, display=ExperimentDisplay())
    told = f"the budget was raised: the campaign goes on, with {len(back)} undecided experiments"
    draft.tell("BudgetRaised", told)


def _comes_back(one: ResearchExperiment) -> bool:
    verdict = one.status.verdict
    return (
        one.status.phase == "Withdrawn"
        and verdict is not None
        and verdict.reason == "BudgetExhausted"
        and all(run.phase == "Done" or (run.phase == "Withdrawn" and not run.attempts) for run in one.status.runs)
    )


def _queued(run: Run) -> Run:
    """A run that the end withdrew before it started."""
    return run.model_copy(update={"phase": "Queued", "reason": None}) if run.phase == "Withdrawn" else run
