"""A campaign on a table: the shipped policies and the shipped judge, without pods and without a store.

Used by `benchmarks.search`; a test compares it with campaigns of the simulated shell. One experiment at a time, as with
`parallelism: 1`: sessions of five proposals, the next of which opens when the last proposal has left the queue, so it
does not know that one's result. Screens, confirmations, audits and reference runs all count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from benchmarks.tables.data import Position
from benchmarks.tables.history import History
from rloop.api.space import Point, Space
from rloop.decide.statistics.acceptance import Challenger, Incumbent, Keep, More, Phase, Procedure, judge, procedure
from rloop.decide.statistics.estimates import mean, noise, rounded, without_outliers
from rloop_agent.policies.ground import Ground, Record
from rloop_agent.policies.table import POLICIES

PER_SESSION = 5
"""Default of `agent.maxExperiments`."""


class _SpentError(Exception):
    """The budget is used up."""


@dataclass(slots=True)
class Campaign:
    """One campaign."""

    history: History
    budget: int
    policy: str
    rules: Procedure
    space: Space
    task: Point
    incumbent: Point
    side: Incumbent = field(default_factory=lambda: Incumbent(()))
    records: dict[Position, Record] = field(default_factory=dict)
    sessions: int = 0

    def measured(self, point: Point) -> float:
        """One run, if there is one left."""
        if self.history.runs >= self.budget:
            raise _SpentError
        return self.history.run(self.history.table.position(point))

    def session(self, seed: int) -> list[Point]:
        """The proposals of one session."""
        self.sessions += 1
        dice = Random(f"{seed}/table-i{self.sessions:04d}-s1")  # as a session of a campaign called table
        unit = noise(without_outliers(self.side.values), ())[0]
        shown = [_as_shown(one, unit) for one in self.records.values()]
        known = [one.point for one in shown]
        ground = Ground(
            space=self.space,
            frame={},
            centre=self.incumbent,
            results=sum(one.value is not None for one in shown) - 1,
            records=shown,
            goal="Maximize",
        )
        proposals: list[Point] = []
        while len(proposals) < PER_SESSION:
            point = POLICIES[self.policy](ground, known, dice)
            if point is None:
                break
            known.append(point)
            proposals.append(point)
        for point in proposals:
            self.records[self.history.table.position(point)] = Record(point)
        return proposals

    def challenge(self, point: Point) -> None:
        """Run an experiment until the judge keeps or rejects it."""
        challenger = Challenger(self.measured(point))
        self.record(point, challenger)
        while isinstance(verdict := self.verdict(challenger), More):
            for _ in range(verdict.count):
                again = (self.measured(point),)
                if verdict.kind is Phase.CONFIRM:
                    challenger = replace(challenger, confirm=challenger.confirm + again)
                else:
                    challenger = replace(challenger, audit=challenger.audit + again)
                self.record(point, challenger)
            added = tuple(self.measured(self.incumbent) for _ in range(verdict.reference))
            self.side = replace(self.side, values=self.side.values + added)
        fresh = challenger.confirm + challenger.audit
        if isinstance(verdict, Keep):
            self.incumbent, self.side = point, Incumbent(fresh or (verdict.value,))
            self.history.report(self.history.table.position(point), verdict.value)
        elif fresh:
            self.side = replace(self.side, rejected=(*self.side.rejected, fresh))

    def record(self, point: Point, challenger: Challenger) -> None:
        """Note what agents are shown: the mean after the screen, or the screen if there is nothing else."""
        assert challenger.screen is not None
        values = challenger.confirm + challenger.audit or (challenger.screen,)
        runs = 1 + len(challenger.confirm + challenger.audit)
        self.records[self.history.table.position(point)] = Record(point, mean(values), runs)

    def verdict(self, challenger: Challenger) -> object:
        """The judge's next step."""
        return judge(self.rules, goal="Maximize", minimum_gain=0.0, challenger=challenger, incumbent=self.side)


def search(policy: str, history: History, budget: int, seed: int) -> None:
    """One campaign with Standard acceptance, from its baseline to the end of its budget."""
    table, rules = history.table, procedure("Standard", 0.01)
    at = table.any(history.rng)
    task = table.point(at)
    one = Campaign(history, budget, policy, rules, table.space(at), task, task)
    try:
        one.side = Incumbent(tuple(one.measured(task) for _ in range(rules.baseline_runs)))
        one.records[at] = Record(task, mean(one.side.values), rules.baseline_runs)
        history.report(at, mean(one.side.values))
        queue = one.session(seed)
        while queue:
            point = queue.pop(0)
            if not queue:
                queue = one.session(seed)
            one.challenge(point)
    except _SpentError:
        return


def _as_shown(record: Record, unit: float) -> Record:
    return replace(record, value=rounded(record.value, unit) if record.value is not None else None)
