"""The experiments of an iteration: which they are, whether all have their verdict, and what they gained.

Queries of iteration, ending and cleanup.
"""

from __future__ import annotations

from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import Outcome, ResearchIteration
from rloop.decide.draft import Draft


def experiments_of(draft: Draft, iteration: ResearchIteration) -> list[ResearchExperiment]:
    """All candidates that the iteration's sessions proposed."""
    number = iteration.spec.number
    return [one for one in draft.experiments.values() if one.spec.iteration == number and one.spec.kind == "Candidate"]


def all_terminal(draft: Draft, own: list[ResearchExperiment]) -> bool:
    """Whether all of these have a stored verdict."""
    return all(draft.observed.experiments[one.metadata.name].status.phase in TERMINAL_PHASES for one in own)


def gain(iteration: ResearchIteration, own: list[ResearchExperiment]) -> Outcome | None:
    """The verified result of an iteration with these experiments; None without one."""
    phases = {one.status.phase for one in own}
    if "Accepted" in phases:
        return "Keep"
    supported = any(one.checked == "Supported" for one in iteration.status.reported.findings)
    return "Finding" if supported or "Superseded" in phases else None
