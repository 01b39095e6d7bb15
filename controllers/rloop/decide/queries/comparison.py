"""What the acceptance rule compares: the runs of a challenger and of the incumbent, under the spec's procedure.

Queries of judge, lead and iteration: they turn stored objects into the input of the statistics.
"""

from __future__ import annotations

from rloop.api.experiment import ResearchExperiment
from rloop.decide.draft import Draft
from rloop.decide.queries import runs
from rloop.decide.statistics.acceptance import Challenger, Incumbent, Procedure, procedure


def concluding(draft: Draft) -> bool:
    """Whether final runs of the incumbent are open. Until they are done it stays the incumbent."""
    return draft.incumbent is not None and runs.any_open(draft.incumbent, ("final",))


def rule(draft: Draft) -> Procedure:
    """The acceptance procedure that the spec requests."""
    evaluation = draft.spec.evaluation
    return procedure(evaluation.acceptance, float(evaluation.false_keep_rate))


def challenger(experiment: ResearchExperiment) -> Challenger:
    """The values of a candidate's runs."""
    screen = runs.values(experiment, ("screen",))
    return Challenger(
        screen=screen[0] if screen else None,
        confirm=runs.values(experiment, ("confirm",)),
        audit=runs.values(experiment, ("audit",)),
    )


def incumbent(draft: Draft, experiment: ResearchExperiment) -> Incumbent:
    """The incumbent's side of the comparison. Its noise comes from its own runs and its rejected challengers'."""
    rejected = (
        runs.values(one, runs.POST_SCREEN)
        for one in draft.experiments.values()
        if one.status.phase == "Rejected"
        and one.status.verdict is not None
        and one.status.verdict.compared_with == experiment.metadata.name
    )
    return Incumbent(values=runs.incumbent_values(experiment), rejected=tuple(group for group in rejected if group))
