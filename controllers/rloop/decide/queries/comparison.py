"""What the acceptance rule compares: the runs of a challenger and of the incumbent, under the spec's procedure.

Queries of judge, lead and iteration, and of `rloop.verify`, which repeats the decisions: they turn stored objects into
the input of the statistics, and a keep into its verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rloop.api.experiment import ResearchExperiment, Verdict
from rloop.api.researchloop import ResearchLoopSpec
from rloop.decide.draft import Draft
from rloop.decide.queries import runs
from rloop.decide.statistics import acceptance
from rloop.decide.statistics.acceptance import Challenger, Incumbent, Keep, Procedure, procedure


def concluding(draft: Draft) -> bool:
    """Whether final runs of the incumbent are open. Until they are done it stays the incumbent."""
    return draft.incumbent is not None and runs.any_open(draft.incumbent, ("final",))


def rule(spec: ResearchLoopSpec) -> Procedure:
    """The acceptance procedure that the spec requests."""
    evaluation = spec.evaluation
    return procedure(evaluation.acceptance, float(evaluation.false_keep_rate))


def challenger(experiment: ResearchExperiment) -> Challenger:
    """The values of a candidate's runs."""
    screen = runs.values(experiment, ("screen",))
    return Challenger(
        screen=screen[0] if screen else None,
        confirm=runs.values(experiment, ("confirm",)),
        audit=runs.values(experiment, ("audit",)),
    )


def incumbent(
    experiment: ResearchExperiment, compared: Mapping[int, float], experiments: Iterable[ResearchExperiment]
) -> Incumbent:
    """The incumbent's side of the comparison: its runs by number, and the challengers of `experiments` it has beaten.

    Its noise comes from both. Nothing is compared with an incumbent after the next keep, so at any later time the
    challengers it has beaten are those that counted at that keep.
    """
    rejected = (
        runs.values(one, runs.POST_SCREEN)
        for one in experiments
        if one.status.phase == "Rejected"
        and one.status.verdict is not None
        and one.status.verdict.compared_with == experiment.metadata.name
    )
    return Incumbent(values=tuple(compared.values()), rejected=tuple(group for group in rejected if group))


def judgement(spec: ResearchLoopSpec, candidate: ResearchExperiment, against: Incumbent) -> acceptance.Verdict:
    """The acceptance rule's answer for a candidate."""
    return acceptance.judge(
        rule(spec),
        goal=spec.objective.goal,
        minimum_gain=float(spec.objective.minimum_gain),
        challenger=challenger(candidate),
        incumbent=against,
    )


def kept(
    spec: ResearchLoopSpec, keep: Keep, compared_with: str, compared: Iterable[int], *, number: int, at: datetime
) -> Verdict:
    """The verdict of a keep."""
    return Verdict(
        reason="Kept",
        compared_with=compared_with,
        compared_runs=list(compared),
        value=keep.value,
        low=keep.low,
        high=keep.high,
        gain=keep.gain,
        z=finite(keep.z),
        n=keep.n,
        keep=number,
        unconfirmed=spec.evaluation.acceptance == "Provisional",
        at=at,
    )


def finite(value: float) -> float | None:
    """None for an infinite z (a comparison without noise): JSON has no infinity."""
    return value if abs(value) < float("inf") else None
