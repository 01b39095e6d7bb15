"""The working copy that the steps of one decision write to, and the resulting decision.

Created by `rloop.decide.chain` and passed from step to step. Steps change it through `write_*` only, so that a decision
contains exactly the objects that differ from the stored ones. From outside, `decide` stays a pure function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rloop import campaign_state, names
from rloop.actions import Action, Event
from rloop.api.common import Condition, ConditionStatus
from rloop.api.experiment import OPEN_RUN, TERMINAL_PHASES, ResearchExperiment, Run
from rloop.api.iteration import SESSION_OVER, ResearchIteration, SessionStatus
from rloop.api.loop_status import RECENT_LIMIT, ResearchLoopStatus, Used
from rloop.api.researchloop import ResearchLoopSpec
from rloop.digits import number
from rloop.observed import Observed


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions and statuses to write, in this order: actions, objects, the loop, events."""

    actions: tuple[Action, ...]
    experiments: tuple[ResearchExperiment, ...]
    """Experiments whose status differs from the stored one, those without a keep first, then in order of the keeps.

    They are written one by one. A keep is written after everything it was compared with, so that a crash between two
    writes never leaves a keep whose comparison cannot be repeated.
    """
    iterations: tuple[ResearchIteration, ...]
    status: ResearchLoopStatus | None
    """The loop's new status; None if it is unchanged."""
    events: tuple[Event, ...]
    look_again: float | None = None
    """Seconds until the next pass is needed even if no event arrives; None if only an event can change anything."""


class Draft:
    """The working copy of one decision; see the module."""

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
        # Most of a long campaign is history: what may still change is found once, and derived values are cached.
        self._moving = {name for name, one in self.experiments.items() if _moves(one)}
        self._incumbent: ResearchExperiment | None = None
        self._incumbent_known = False
        self.used: Used | None = None
        """Used and reserved amounts, cached by `budget`; reset when an experiment or the loop's status is written."""
        self._look_again_at: datetime | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> ResearchExperiment | None:
        """The unchanged task as an experiment; None until it exists."""
        return self.experiments.get(names.baseline(self.name))

    def run_seed(self, experiment: str, run: int) -> int:
        """The seed of a new run."""
        return names.seed(self.observed.seed_keys.runs, self.loop.metadata.uid, experiment, run)

    def scoring_seed(self, experiment: str, run: int, number: int) -> int:
        """The seed of a new scoring."""
        return names.seed(self.observed.seed_keys.scorings, self.loop.metadata.uid, experiment, run, "v", number)

    def place(self, experiment: str, run: Run) -> str:
        """Name of the run's folder on the workspace."""
        return names.place(self.loop.metadata.uid, experiment, run.number, run.seed)

    @property
    def keeps(self) -> int:
        """Number of keeps so far, without the baseline."""
        return 0 if self.incumbent is None else campaign_state.kept_number(self.incumbent)

    @property
    def incumbent(self) -> ResearchExperiment | None:
        """The experiment with the newest keep; the baseline before the first keep; None before the baseline exists."""
        if not self._incumbent_known:
            self._incumbent = campaign_state.incumbent(self.name, self.experiments)
            self._incumbent_known = True
        return self._incumbent

    @property
    def generation(self) -> int:
        """Number of keeps plus number of pivots."""
        return self.keeps + self.status.pivots

    @property
    def at_work(self) -> bool:
        """Whether a session is not over."""
        return any(one.phase not in SESSION_OVER for it in self.iterations.values() for one in it.status.sessions)

    @property
    def pivot_demanded(self) -> bool:
        """Whether a direction must be admitted before any experiment."""
        return campaign_state.pivot_demanded(self.status.pivots, self.iterations)

    @property
    def finished(self) -> bool:
        """Whether Complete or Failed is True."""
        return self.is_true("Complete") or self.is_true("Failed")

    @property
    def ended(self) -> bool:
        """Whether nothing is measured any more: finished, or only the report is missing."""
        return self.finished or self.status.ending is not None

    @property
    def suspended(self) -> bool:
        """Whether the user requested a suspension."""
        return self.spec.suspend

    @property
    def holding(self) -> bool:
        """Whether nothing new may start: suspended, or the operator is shutting down."""
        return self.suspended or self.observed.draining

    @property
    def sealed(self) -> bool:
        """Whether the loop is Accepted and its task frozen."""
        return self.status.sealed is not None and self.is_true("Accepted")

    def candidates(self) -> list[ResearchExperiment]:
        """All proposals of agents, in order of proposal."""
        return _in_order(self.experiments.values())

    def open_candidates(self) -> list[ResearchExperiment]:
        """Candidates without a verdict, in order of proposal."""
        moving = _in_order(self.moving())
        return [one for one in moving if one.status.phase not in TERMINAL_PHASES]

    def runs(self) -> Iterator[tuple[ResearchExperiment, Run]]:
        """All runs of all experiments."""
        for experiment in list(self.experiments.values()):
            for run in experiment.status.runs:
                yield experiment, run

    def moving(self) -> list[ResearchExperiment]:
        """The experiments that a decision may still change: all except history."""
        return [self.experiments[name] for name in sorted(self._moving)]

    def moving_runs(self) -> list[tuple[ResearchExperiment, Run]]:
        """All runs of the moving experiments."""
        return [(one, run) for one in self.moving() for run in one.status.runs]

    def number(self, value: float) -> str:
        """A measured value or difference as text, with the digits that are significant given the campaign's noise."""
        return number(value, campaign_state.noise(self.spec, self.status))

    def is_true(self, condition: str) -> bool:
        """Whether the condition exists and is True."""
        for one in self.status.conditions:
            if one.type == condition:
                return one.status == "True"
        return False

    # -- time ------------------------------------------------------------------------------------------------------
    # All comparisons with the clock are made here, so that none can be forgotten in `Decision.look_again`.

    def passed(self, moment: datetime) -> bool:
        """Whether the moment has come. If not, the next pass is due then at the latest."""
        if self.now >= moment:
            return True
        if self._look_again_at is None or moment < self._look_again_at:
            self._look_again_at = moment
        return False

    def older(self, age_seconds: float, limit_seconds: float) -> bool:
        """Whether an age has reached the limit. If not, the next pass is due then at the latest."""
        return self.passed(self.now + timedelta(seconds=limit_seconds - age_seconds))

    # -- writing ---------------------------------------------------------------------------------------------------

    def write_experiment(self, name: str, **changes: Any) -> None:
        """Change fields of an experiment's status."""
        one = self.experiments[name]
        self.experiments[name] = one.changed(status=one.status.changed(**changes))
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
        self.iterations[name] = one.changed(status=one.status.changed(**changes))

    def write_session(self, iteration: str, session: SessionStatus) -> None:
        """Replace the session of that name."""
        sessions = self.iterations[iteration].status.sessions
        self.write_iteration(iteration, sessions=[session if one.name == session.name else one for one in sessions])

    def write(self, **changes: Any) -> None:
        """Change fields of the loop's status."""
        if any(getattr(self.status, field) != value for field, value in changes.items()):
            self.status = self.status.changed(**changes)
            self.used = None

    def condition(
        self, type_: str, status: ConditionStatus, reason: str, message: str = "", *, generation: int | None = None
    ) -> None:
        """Set a condition. Its transition time changes only with its status. `generation`: of the spec it refers to."""
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
        """Record an action of the watchdog and its reason, newest last."""
        watchdog = self.status.watchdog
        kept = [*watchdog.evidence, sentence[:1024]][-RECENT_LIMIT:]
        self.write(watchdog=watchdog.changed(evidence=kept))

    def decision(self) -> Decision:
        """The resulting decision: only what differs from the stored objects."""
        stored = self.observed
        return Decision(
            actions=tuple(self.actions),
            experiments=tuple(
                sorted(
                    (
                        one
                        for name, one in self.experiments.items()
                        if one is not stored.experiments.get(name) and one.status != stored.experiments[name].status
                    ),
                    key=campaign_state.kept_number,
                )
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
    """Whether a decision may still change the experiment.

    True if it has no verdict yet, a run of it is open (for example of an incumbent), or the attempt of a withdrawn run
    has not ended.
    """
    if experiment.status.phase not in TERMINAL_PHASES:
        return True
    for run in experiment.status.runs:
        ending = run.phase == "Withdrawn" and run.attempts and run.attempts[-1].finished_at is None
        if ending or run.phase in OPEN_RUN:
            return True
    return False


def _in_order(experiments: Iterable[ResearchExperiment]) -> list[ResearchExperiment]:
    """The candidates among them, in order of proposal."""
    found = [one for one in experiments if one.spec.kind == "Candidate"]
    return sorted(found, key=lambda one: (one.spec.iteration, one.spec.session or "", one.spec.sequence))
