"""The conclusion: the target counts as met only when fresh runs of the incumbent confirm it.

When the incumbent's mean over its runs after the screen meets the target, it gets five fresh runs, scored on the final
held-out data if there is any. A miss is recorded and the campaign continues; the second miss ends it.
"""

from __future__ import annotations

from statistics import fmean

from rloop import figures
from rloop.actions import Append
from rloop.api.experiment import MAX_RUNS, ResearchExperiment, Run
from rloop.api.loop_status import Final
from rloop.decide import ending
from rloop.decide.draft import Draft
from rloop.decide.queries import runs
from rloop.decide.statistics.acceptance import interval

FINAL_RUNS = 5
MISSES_MAX = 2


def conclude(draft: Draft) -> None:
    """Request the final runs of an incumbent that meets the target, and draw the conclusion when they are done."""
    best, incumbent = draft.status.best, draft.incumbent
    if best is None or incumbent is None or draft.spec.objective.target is None or best.unconfirmed:
        return
    final = _final(incumbent)
    if _recorded(draft, incumbent) or not (final or _meets(draft, best.value)):
        return
    count = min(FINAL_RUNS - len(final), MAX_RUNS - len(incumbent.status.runs))
    if count > 0:
        name = incumbent.metadata.name
        draft.write_experiment(name, runs=runs.add(incumbent, "final", count, draft.run_seed))
        draft.tell(
            "Concluding",
            f"{name} meets the target with {draft.number(best.value)} over {figures.counted(best.n)}; "
            f"{count} fresh runs will confirm it or not",
            about=name,
        )
    elif not runs.any_open(incumbent, ("final",)):
        _draw(draft, incumbent)


def _final(incumbent: ResearchExperiment) -> list[Run]:
    """Its final runs. A withdrawn one shows nothing, so it is no miss."""
    return [run for run in runs.of_kind(incumbent, "final") if run.phase != "Withdrawn"]


def _meets(draft: Draft, value: float) -> bool:
    objective = draft.spec.objective
    assert objective.target is not None
    target = float(objective.target)
    return value <= target if objective.goal == "Minimize" else value >= target


def _recorded(draft: Draft, incumbent: ResearchExperiment) -> bool:
    final = draft.status.final
    return final is not None and final.experiment == incumbent.metadata.name


def _draw(draft: Draft, incumbent: ResearchExperiment) -> None:
    name = incumbent.metadata.name
    best = draft.status.best
    assert best is not None
    found = runs.values(incumbent, ("final",))
    asked = len(_final(incumbent))
    if not found:
        told = f"none of the {asked} final runs of {name} could be scored"
        ending.end(draft, "TargetNotConfirmed", told, warning=True)
        return
    value = fmean(found)
    low, high = interval(found)
    met = len(found) == asked and _meets(draft, value)
    draft.write(
        final=Final(experiment=name, value=value, low=low, high=high, n=len(found), gap=value - best.value, met=met),
        misses=draft.status.misses + (not met),
    )
    draft.act(
        Append(
            f"conclusion/{name}",
            "conclusion",
            {"experiment": name, "value": value, "n": len(found), "met": met},
        )
    )
    objective = draft.spec.objective
    told = f"{objective.metric} {draft.number(value)} over {len(found)} fresh runs of {name}, target {objective.target}"
    if met:
        baseline = draft.status.baseline
        reason = "TargetMetByBaseline" if baseline is not None and baseline.experiment == name else "TargetMet"
        ending.end(draft, reason, told)
    elif draft.status.misses >= MISSES_MAX:
        ending.end(draft, "TargetNotConfirmed", f"{told}; missed {draft.status.misses} times", warning=True)
    else:
        draft.tell("TargetMissed", f"{told}; the campaign continues", warning=True)
