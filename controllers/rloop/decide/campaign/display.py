"""The columns of `kubectl get` as short strings, because a column cannot round values like 0.016658888555555557.

A late step of a decision, because it summarizes what the other steps wrote. Only people read these strings.
"""

from __future__ import annotations

from rloop.api.experiment import ExperimentDisplay
from rloop.api.loop_status import LoopDisplay, Used
from rloop.api.researchloop import Budget
from rloop.decide.draft import Draft
from rloop.decide.queries.provider_waits import WAITED
from rloop.reasons import needs_person


def show(draft: Draft) -> None:
    """Write the strings of the loop, and of each experiment that has a verdict."""
    best = draft.status.best
    draft.write(
        display=LoopDisplay(
            phase=_phase(draft),
            best=draft.number(best.value) + ("?" if best.unconfirmed else "") if best is not None else "",
            gain=draft.number(best.gain) if best is not None else "",
            budget=_budget(draft.spec.budget, draft.status.budget.used),
        )
    )
    for one in draft.moving():
        verdict = one.status.verdict
        if verdict is None:
            continue
        display = ExperimentDisplay(
            value=draft.number(verdict.value) if verdict.value is not None else "",
            gain=draft.number(verdict.gain) if verdict.gain is not None else "",
        )
        if display != one.status.display:
            draft.write_experiment(one.metadata.name, display=display)


def _phase(draft: Draft) -> str:
    """`Iterating`, `Complete:TargetMet`: the phase, and the most important reason."""
    phase = draft.status.phase
    by_type = {one.type: one for one in draft.status.conditions}
    accepted = by_type.get("Accepted")
    if accepted is not None and accepted.status == "False" and not draft.finished:
        return f"{phase}:{accepted.reason}"
    for type_ in ("Failed", "Complete", "Degraded"):
        if draft.is_true(type_):
            return f"{phase}:{by_type[type_].reason}"
    for type_ in ("Suspended", "NeedsAttention"):
        if draft.is_true(type_):
            return f"{phase}:{type_}"
    progressing = by_type.get("Progressing")
    if progressing is not None and (progressing.reason == WAITED or not needs_person(progressing.reason)):
        return f"{phase}:{progressing.reason}"
    return f"{phase}:PivotRequired" if draft.is_true("PlateauDetected") else phase


def _budget(budget: Budget, used: Used) -> str:
    """`97/200 runs`: usage of the limit that is closest to its end."""
    limits = [
        (used.runs, budget.runs, "runs"),
        (used.experiments, budget.experiments, "experiments"),
        (used.active_seconds, budget.active_seconds, "s"),
        (used.cpu_seconds, budget.cpu_seconds, "CPU s"),
        (used.gpu_seconds, budget.gpu_seconds, "GPU s"),
        (used.tokens, budget.tokens, "tokens"),
        (used.cost, float(budget.cost) if budget.cost is not None else None, "cost"),
    ]
    shares = [
        (spent / limit if limit else 1.0, spent, limit, noun) for spent, limit, noun in limits if limit is not None
    ]
    if not shares:
        return f"{used.runs} runs"
    _, spent, limit, noun = max(shares, key=lambda one: one[0])
    return f"{round(spent, 0 if limit >= 100 else 2):.10g}/{limit:.10g} {noun}"
