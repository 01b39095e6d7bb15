"""Shared queries about the stored objects of a campaign.

Used by the decisions, the gateway and the context of sessions, so that all of them agree on the incumbent and on
whether a pivot is demanded.
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
NEXT_SESSION = "the next session opens at "
"""Begins the end of a message of Progressing in a pause. It holds only while an operator runs the campaign."""


def kept_number(experiment: ResearchExperiment) -> int:
    """The number of the experiment's keep; 0 if it was not kept (or is the baseline)."""
    verdict = experiment.status.verdict
    return verdict.keep or 0 if verdict is not None else 0


def undecided(experiment: ResearchExperiment) -> bool:
    """Whether it was withdrawn because the budget was used up. A larger budget continues it."""
    verdict = experiment.status.verdict
    return experiment.status.phase == "Withdrawn" and verdict is not None and verdict.reason == "BudgetExhausted"


def never_tried(experiment: ResearchExperiment) -> bool:
    """Whether it was withdrawn for good before any run started, so that the same may be proposed again.

    An undecided experiment does not count: it can be continued later, and then two experiments would be equal.
    """
    status = experiment.status
    for_good = status.phase == "Withdrawn" and not undecided(experiment)
    return for_good and not any(run.attempts for run in status.runs)


def incumbent(loop: str, experiments: Mapping[str, ResearchExperiment]) -> ResearchExperiment | None:
    """The experiment with the newest keep; the baseline before the first keep; None before the baseline exists."""
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
    """All iterations, newest first, for queries that the newest iteration with relevant data answers."""
    return sorted(iterations.values(), key=lambda one: one.spec.number, reverse=True)


def pivot_demanded(pivots: int, iterations: Mapping[str, ResearchIteration]) -> bool:
    """Whether a direction must be admitted before any experiment. `pivots` is the number of pivots demanded so far."""
    answered = (one.pivot for it in iterations.values() for one in it.status.reported.directions)
    return pivots > max(answered, default=0)


def finished(loop: ResearchLoop) -> bool:
    """Whether Complete or Failed is True. Final, except that a larger budget can continue the campaign."""
    return any(one.type in ("Complete", "Failed") and one.status == "True" for one in loop.status.conditions)


def may_go_on(stored: ResearchLoop, wanted: ResearchLoop) -> bool:
    """Whether a finished campaign continues with the wanted spec: its budget was used up and has been changed."""
    return _budget_end(stored) is not None and stored.spec.budget != wanted.spec.budget


def edited_since_its_budget_ended(loop: ResearchLoop) -> bool:
    """Whether the campaign ended because its budget was used up, and its spec was edited after that."""
    complete = _budget_end(loop)
    return complete is not None and loop.metadata.generation > complete.observed_generation


def _budget_end(loop: ResearchLoop) -> Condition | None:
    """The condition Complete, if the campaign ended because its budget was used up."""
    ended = (one for one in loop.status.conditions if one.type == "Complete" and one.status == "True")
    return next((one for one in ended if one.reason == "BudgetExhausted"), None)


def closing(iteration: ResearchIteration) -> bool:
    """Whether it is one of the last iterations, which write or check the report and explore nothing."""
    return all(one.role in NO_EXPLORERS for one in iteration.spec.sessions)


def noise(spec: ResearchLoopSpec, status: ResearchLoopStatus) -> float:
    """Difference between two values that is still noise, in the metric's unit; 0 before the baseline is measured.

    The standard deviation of the baseline, or `minimumGain` if the task is deterministic.
    """
    if status.baseline is None:
        return 0.0
    return status.baseline.stddev or float(spec.objective.minimum_gain)


def session_over(loop: ResearchLoop, iteration: ResearchIteration, session: str) -> bool:
    """Whether a session may no longer propose or call a model: it has ended, or its campaign has ended or is suspended.

    `reported.finished` shows whether the session itself has called finish.
    """
    ended = all(one.phase in SESSION_OVER for one in iteration.status.sessions if one.name == session)
    reporting = loop.status.ending is not None and not closing(iteration)
    return ended or reporting or finished(loop) or loop.spec.suspend


@dataclass(frozen=True, slots=True)
class Situation:
    """The stored facts of one loop, and the session that sends the request."""

    loop: ResearchLoop
    iteration: ResearchIteration
    session: SessionSpec
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    hidden: int = 0
    """Number of candidates that are hidden from the session (`rloop.session_view.visibility`)."""

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
    """Wall time in seconds, not counting suspensions and time without an operator."""
    present = (now - clock.active_since).total_seconds() if clock.active_since is not None else 0.0
    return clock.accumulated_seconds + max(0.0, present)
