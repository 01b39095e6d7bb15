"""Where a campaign stands, as questions about its stored objects that more than one part asks.

Used by the decisions, the gateway and the context of sessions, so that all of them mean the same incumbent and the same
demand to pivot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rloop import names
from rloop.api.common import Condition
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import SESSION_OVER, Direction, ResearchIteration, Role, SessionSpec
from rloop.api.loop_status import Clock, ResearchLoopStatus
from rloop.api.researchloop import ResearchLoop, ResearchLoopSpec

NO_EXPLORERS: frozenset[Role] = frozenset({"Check", "Report"})


def kept_number(experiment: ResearchExperiment) -> int:
    """The number of the experiment's keep; 0 if it was not kept (or is the baseline)."""
    verdict = experiment.status.verdict
    return verdict.keep or 0 if verdict is not None else 0


def undecided(experiment: ResearchExperiment) -> bool:
    """Whether the end of the budget withdrew it: a larger budget brings it back."""
    verdict = experiment.status.verdict
    return experiment.status.phase == "Withdrawn" and verdict is not None and verdict.reason == "BudgetExhausted"


def never_tried(experiment: ResearchExperiment) -> bool:
    """Whether it was withdrawn for good before anything of it ran: what it proposed may be proposed again.

    What comes back keeps its place, or two experiments would be the same.
    """
    status = experiment.status
    for_good = status.phase == "Withdrawn" and not undecided(experiment)
    return for_good and not any(run.attempts for run in status.runs)


def incumbent(loop: str, experiments: Mapping[str, ResearchExperiment]) -> ResearchExperiment | None:
    """The experiment with the newest keep; the baseline before the first; None before there is a baseline."""
    best = max(experiments.values(), key=kept_number, default=None)
    return best if best is not None and kept_number(best) else experiments.get(names.baseline(loop))


def directions(iterations: Mapping[str, ResearchIteration]) -> list[Direction]:
    """All admitted directions, oldest first."""
    found = [one for iteration in iterations.values() for one in iteration.status.reported.directions]
    return sorted(found, key=lambda one: (one.at, one.name))


def newest(iterations: Mapping[str, ResearchIteration]) -> int:
    """The number of the newest iteration; 0 before the first."""
    return max((one.spec.number for one in iterations.values()), default=0)


def newest_first(iterations: Mapping[str, ResearchIteration]) -> list[ResearchIteration]:
    """For questions that the newest one with something to say answers."""
    return sorted(iterations.values(), key=lambda one: one.spec.number, reverse=True)


def pivot_demanded(pivots: int, iterations: Mapping[str, ResearchIteration]) -> bool:
    """Whether a direction must pass the gate before any experiment is admitted, `pivots` having been demanded."""
    answered = (one.pivot for it in iterations.values() for one in it.status.reported.directions)
    return pivots > max(answered, default=0)


def finished(loop: ResearchLoop) -> bool:
    """Completion is final: Complete or Failed is True."""
    return any(one.type in ("Complete", "Failed") and one.status == "True" for one in loop.status.conditions)


def may_go_on(stored: ResearchLoop, wanted: ResearchLoop) -> bool:
    """Whether a finished campaign goes on with the wanted spec: it ended for its budget, and has another one now."""
    return _budget_end(stored) is not None and stored.spec.budget != wanted.spec.budget


def edited_since_its_budget_ended(loop: ResearchLoop) -> bool:
    """Whether the campaign ended because its budget was used up, and its spec was edited after that."""
    complete = _budget_end(loop)
    return complete is not None and loop.metadata.generation > complete.observed_generation


def _budget_end(loop: ResearchLoop) -> Condition | None:
    """The condition that says that the campaign is over because its budget was used up."""
    ended = (one for one in loop.status.conditions if one.type == "Complete" and one.status == "True")
    return next((one for one in ended if one.reason == "BudgetExhausted"), None)


def closing(iteration: ResearchIteration) -> bool:
    """Whether it is one of the last, that explore no more: for the report, or for its check."""
    return all(one.role in NO_EXPLORERS for one in iteration.spec.sessions)


def noise(spec: ResearchLoopSpec, status: ResearchLoopStatus) -> float:
    """The difference between two values that says nothing yet, in the metric's unit; 0 before it is known.

    Where the task is deterministic that is `minimumGain`.
    """
    if status.baseline is None:
        return 0.0
    return status.baseline.stddev or float(spec.objective.minimum_gain)


def session_over(loop: ResearchLoop, iteration: ResearchIteration, session: str) -> bool:
    """Whether a session may propose nothing more and call no model: it has ended, or its campaign does not go on.

    That the session itself has said goodbye stands in `reported.finished`.
    """
    ended = all(one.phase in SESSION_OVER for one in iteration.status.sessions if one.name == session)
    reporting = loop.status.ending is not None and not closing(iteration)
    return ended or reporting or finished(loop) or loop.spec.suspend


@dataclass(frozen=True, slots=True)
class Situation:
    """The stored facts of one loop, and the session that asks."""

    loop: ResearchLoop
    iteration: ResearchIteration
    session: SessionSpec
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    hidden: int = 0
    """Candidates that the session is not shown (`rloop.sight`)."""

    @property
    def incumbent(self) -> ResearchExperiment | None:
        """See the function."""
        return incumbent(self.loop.metadata.name, self.experiments)

    @property
    def directions(self) -> list[Direction]:
        """See the function."""
        return directions(self.iterations)

    @property
    def pivot_demanded(self) -> bool:
        """See the function."""
        return pivot_demanded(self.loop.status.pivots, self.iterations)


def active_seconds(clock: Clock, now: datetime) -> float:
    """Wall time while the campaign was neither suspended nor without an operator, in seconds."""
    present = (now - clock.active_since).total_seconds() if clock.active_since is not None else 0.0
    return clock.accumulated_seconds + max(0.0, present)
