"""The lead: the best candidate that was undecided at the end of the budget, so that a person can decide to continue.

Called by `budget` when it ends the campaign. A lead is no result: it is reported with its evidence and the number of
missing runs.
"""

from __future__ import annotations

from statistics import fmean

from rloop import figures
from rloop.api.experiment import ResearchExperiment
from rloop.api.loop_status import Lead
from rloop.decide.draft import Draft
from rloop.decide.queries import comparison, runs

MEASURED = ("screen", *runs.POST_SCREEN)


def find(draft: Draft) -> Lead | None:
    """The undecided candidate with the largest gain over the best, if it is positive and at least minimumGain."""
    best = draft.status.best
    if best is None:
        return None
    sign = 1 if draft.spec.objective.goal == "Maximize" else -1
    measured = ((one, runs.values(one, MEASURED)) for one in draft.open_candidates())
    leads = [
        Lead(
            experiment=one.metadata.name,
            value=fmean(values),
            gain=sign * (fmean(values) - best.value),
            n=len(values),
            runs_left=_left(draft, one),
        )
        for one, values in measured
        if values
    ]
    lead = max(leads, key=lambda one: one.gain, default=None)
    minimum = float(draft.spec.objective.minimum_gain)
    return lead if lead is not None and lead.gain > 0 and lead.gain >= minimum else None


def told(draft: Draft, lead: Lead) -> str:
    """One sentence for the message about the end."""
    metric, n = draft.spec.objective.metric, figures.counted(lead.n)
    gain = f"gain {draft.number(lead.gain)}{_over(draft)}"
    left = f"at most {lead.runs_left} more of its runs decide"
    return (
        f"{lead.experiment} leads with {metric} {draft.number(lead.value)} over {n}, {gain}, and is undecided: {left}"
    )


def _over(draft: Draft) -> str:
    best = draft.status.best
    return "" if best is None else f" over the incumbent {best.experiment} ({figures.counted(best.n)})"


def _left(draft: Draft, experiment: ResearchExperiment) -> int:
    """Maximum number of further runs that the procedure may request for it."""
    rule = comparison.rule(draft.spec)
    return max(0, 1 + rule.post_screen_runs - len(runs.values(experiment, MEASURED)))
