"""The working copy that the steps of one decision write to, and the decision that comes out of it.

Made by `rloop.decide.chain`, handed from step to step. Steps change it through `write_*` only, so that a decision holds
exactly the objects that differ from the stored ones. From outside, `decide` stays a pure function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rloop import names, standing
from rloop.actions import Action, Event
from rloop.api.common import Condition, ConditionStatus
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment, Run
from rloop.api.iteration import SESSION_OVER, ResearchIteration, SessionStatus
from rloop.api.loop_status import RECENT_LIMIT, ResearchLoopStatus, Used
from rloop.api.researchloop import ResearchLoopSpec
from rloop.decide.runs import OPEN
from rloop.digits import number
from rloop.observed import Observed


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and the statuses to be written: actions first, then objects, the loop last, then events."""

    actions: tuple[Action, ...]
    experiments: tuple[ResearchExperiment, ...]
    """Those whose status differs from the stored one."""
    iterations: tuple[ResearchIteration, ...]
    status: ResearchLoopStatus | None
    """The loop's new status; None if it stays as it is."""
    events: tuple[Event, ...]
    look_again: float | None = None
    """Seconds until the next pass is needed even if no event arrives; None if only an event can change anything."""


class Draft:
    """See the module."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.now = observed.now
        self.loop = observed.loop
        self.spec: ResearchLoopSpec = observed.loop.spec
        self.name = observed.loop.metadata.name
        self.status = observed.loop.status
        self.experiments = dict(observed.experiments)
        self.iterations = dict(observed.iterations)
        self.actions: list[Action] = []
        self.events: list[Event] = []
        # A long campaign is mostly history: what may still move is found once, what is derived is kept until it moves.
        self._moving = {name for name, one in self.experiments.items() if _moves(one)}
        self._incumbent: ResearchExperiment | None = None
        self._incumbent_known = False
        self.used: Used | None = None
        """What is spent and reserved: kept here by `budget`, gone when an experiment or the clock is written."""
        self._look_again_at: datetime | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> ResearchExperiment | None:
        """The untouched task as an experiment, once it exists."""
        return self.experiments.get(names.baseline(self.name))

    @property
    def keeps(self) -> int:
        """Keeps so far, the baseline not counted."""
        return 0 if self.incumbent is None else standing.kept_number(self.incumbent)

    @property
    def incumbent(self) -> ResearchExperiment | None:
        """The experiment with the newest keep; the baseline before the first; None before there is a baseline."""
        if not self._incumbent_known:
            self._incumbent = standing.incumbent(self.name, self.experiments)
            self._incumbent_known = True
        return self._incumbent

    @property
    def generation(self) -> int:
        """Keeps plus pivots."""
        return self.keeps + self.status.pivots

    @property
    def at_work(self) -> bool:
        """Whether a session is not over."""
        return any(one.phase not in SESSION_OVER for it in self.iterations.values() for one in it.status.sessions)

    @property
    def pivot_demanded(self) -> bool:
        """Whether a direction must pass the gate before any experiment is admitted."""
        return standing.pivot_demanded(self.status.pivots, self.iterations)

    @property
    def finished(self) -> bool:
        """Completion is final: Complete or Failed is True."""
        return self.is_true("Complete") or self.is_true("Failed")

    @property
    def ended(self) -> bool:
        """Nothing is measured any more: finished, or but for its report."""
        return self.finished or self.status.ending is not None

    @property
    def suspended(self) -> bool:
        """The user asked to suspend."""
        return self.spec.suspend

    @property
    def holding(self) -> bool:
        """Nothing new starts now: suspended, or the operator is about to end in order."""
        return self.suspended or self.observed.draining

    @property
    def sealed(self) -> bool:
        """The loop is Accepted and its task frozen."""
        return self.status.sealed is not None and self.is_true("Accepted")

    def candidates(self) -> list[ResearchExperiment]:
        """What agents proposed, in order of their proposal."""
        return _in_order(self.experiments.values())

    def open_candidates(self) -> list[ResearchExperiment]:
        """Candidates without a verdict."""
        moving = _in_order(self.moving())
        return [one for one in moving if one.status.phase not in TERMINAL_PHASES]

    def runs(self) -> Iterator[tuple[ResearchExperiment, Run]]:
        """All runs of all experiments."""
        for experiment in list(self.experiments.values()):
            for run in experiment.status.runs:
                yield experiment, run

    def moving(self) -> list[ResearchExperiment]:
        """What a decision may still change: all experiments but those that are history."""
        return [self.experiments[name] for name in sorted(self._moving)]

    def moving_runs(self) -> list[tuple[ResearchExperiment, Run]]:
        """All runs of these."""
        return [(one, run) for one in self.moving() for run in one.status.runs]

    def number(self, value: float) -> str:
        """A measured value or a difference of such, with the digits that the campaign's noise leaves meaning to."""
        return number(value, standing.noise(self.spec, self.status))

    def is_true(self, condition: str) -> bool:
        """Whether the condition is there and True."""
        for one in self.status.conditions:
            if one.type == condition:
                return one.status == "True"
        return False

    # -- time ------------------------------------------------------------------------------------------------------
    # All comparisons with the clock are made here, so that none can be forgotten in `Decision.look_again`.

    def passed(self, moment: datetime) -> bool:
        """Whether the moment has come; if not, the loop is looked at again then."""
        if self.now >= moment:
            return True
        if self._look_again_at is None or moment < self._look_again_at:
            self._look_again_at = moment
        return False

    def older(self, age_seconds: float, limit_seconds: float) -> bool:
        """Whether something of this age has reached the limit; if not, the loop is looked at again then."""
        return self.passed(self.now + timedelta(seconds=limit_seconds - age_seconds))

    # -- writing ---------------------------------------------------------------------------------------------------

    def write_experiment(self, name: str, **changes: Any) -> None:
        """Change fields of an experiment's status."""
        one = self.experiments[name]
        self.experiments[name] = one.model_copy(update={"status": one.status.model_copy(update=changes)})
        self._moving.add(name)
        self._incumbent_known = False
        self.used = None

    def write_run(self, experiment: str, run: Run) -> None:
        """Replace the run of that number, or add it."""
        runs = [one for one in self.experiments[experiment].status.runs if one.number != run.number]
        self.write_experiment(experiment, runs=sorted([*runs, run], key=lambda one: one.number))

    def write_iteration(self, name: str, **changes: Any) -> None:
        """Change fields of an iteration's status."""
        one = self.iterations[name]
        self.iterations[name] = one.model_copy(update={"status": one.status.model_copy(update=changes)})

    def write_session(self, iteration: str, session: SessionStatus) -> None:
        """Replace the session of that name."""
        sessions = self.iterations[iteration].status.sessions
        self.write_iteration(iteration, sessions=[session if one.name == session.name else one for one in sessions])

    def write(self, **changes: Any) -> None:
        """Change fields of the loop's status."""
        if any(getattr(self.status, field) != value for field, value in changes.items()):
            self.status = self.status.model_copy(update=changes)
            self.used = None

    def condition(
        self, type_: str, status: ConditionStatus, reason: str, message: str = "", *, generation: int | None = None
    ) -> None:
        """Set a condition; its transition time moves only with its status. `generation`: of the spec it speaks of."""
        generation = self.loop.metadata.generation if generation is None else generation
        old = next((one for one in self.status.conditions if one.type == type_), None)
        told = (status, reason, message, generation)
        if old is not None and (old.status, old.reason, old.message, old.observed_generation) == told:
            return
        moved = old is None or old.status != status
        new = Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=self.now if moved or old is None else old.last_transition_time,
            observed_generation=generation,
        )
        others = [one for one in self.status.conditions if one.type != type_]
        self.write(conditions=sorted([*others, new], key=lambda one: one.type))

    def act(self, action: Action) -> None:
        """Add an action."""
        self.actions.append(action)

    def tell(self, reason: str, message: str, *, about: str | None = None, warning: bool = False) -> None:
        """Add an event."""
        self.events.append(Event("Warning" if warning else "Normal", reason, message[:1024], about or self.name))

    def evidence(self, sentence: str) -> None:
        """Note what the watchdog did and why, newest last."""
        watchdog = self.status.watchdog
        kept = [*watchdog.evidence, sentence[:1024]][-RECENT_LIMIT:]
        self.write(watchdog=watchdog.model_copy(update={"evidence": kept}))

    def decision(self) -> Decision:
        """What came out: only what differs from the stored objects."""
        stored = self.observed
        return Decision(
            actions=tuple(self.actions),
            experiments=tuple(
                one
                for name, one in self.experiments.items()
                if one is not stored.experiments.get(name) and one.status != stored.experiments[name].status
            ),
            iterations=tuple(
                one
                for name, one in self.iterations.items()
                if one is not stored.iterations.get(name) and one.status != stored.iterations[name].status
            ),
            status=self.status if self.status is not self.loop.status and self.status != self.loop.status else None,
            events=tuple(self.events),
            look_again=None if self._look_again_at is None else (self._look_again_at - self.now).total_seconds(),
        )


def _moves(experiment: ResearchExperiment) -> bool:
    """Whether it has no verdict yet, a run of it is open (an incumbent's, say), or one it was withdrawn from ends."""
    if experiment.status.phase not in TERMINAL_PHASES:
        return True
    for run in experiment.status.runs:
        if run.phase in OPEN or (run.phase == "Withdrawn" and run.attempts and run.attempts[-1].finished_at is None):
            return True
    return False


def _in_order(experiments: Iterable[ResearchExperiment]) -> list[ResearchExperiment]:
    """The candidates among them, in order of their proposal."""
    found = [one for one in experiments if one.spec.kind == "Candidate"]
    return sorted(found, key=lambda one: (one.spec.iteration, one.spec.session or "", one.spec.sequence))
