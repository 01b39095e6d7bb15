"""The campaign as an Optuna study, and the way back from a trial to a point.

Used by the policies that ask an optimiser, `tpe` and `cma_es`. A session is a new process, so the study is built again
from the records for each proposal: the same records and the same random generator give the same proposal.

What the study is told:

- an experiment with a value: the mean of its runs;
- a failed one: the worst value so far, because its neighbourhood should be avoided;
- one without a value yet, from this session too: a running trial, near which the sampler proposes nothing more
  (constant liar).

Optuna is imported late: that takes a second or more on a busy machine, and other policies do not need it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from rloop.api.space import Dimension, Point, Scalar
from rloop_agent.policies import random_search
from rloop_agent.policies.ground import Ground, Record, draw, inside

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

ENOUGH = 10
"""Results from which a frame is searched by its own results only. Optuna's TPE draws at random below this number."""
ASKS = 16
"""Number of proposals that are asked for until one is new."""
TRIES = 100


@dataclass(frozen=True, slots=True)
class Axis:
    """A coordinate as the optimiser sees it: a range, or the numbers of the values of a list.

    A list of three or more numbers is ordered by size, in whatever order it is written. Other lists have no order.
    """

    dimension: Dimension
    values: Sequence[Scalar] = ()
    """The values of a list, in the optimiser's order."""
    ordered: bool = True

    def of(self, value: Scalar) -> float:
        """The value in the optimiser's terms."""
        if self.values:
            return next(number for number, one in enumerate(self.values) if same(one, value))
        return float(value)

    def value(self, told: float) -> Scalar:
        """The inverse of `of`, rounded to a value that the space admits."""
        return self.values[int(told)] if self.values else inside(self.dimension, told)

    @property
    def distribution(self) -> BaseDistribution:
        """The axis in Optuna's terms."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values:
            last = len(self.values) - 1
            return IntDistribution(0, last) if self.ordered else CategoricalDistribution(range(last + 1))
        low, high = self.dimension.low, self.dimension.high
        assert low is not None
        assert high is not None
        if self.dimension.integer:
            return IntDistribution(math.ceil(low), math.floor(high), log=self.dimension.log)
        return FloatDistribution(low, high, log=self.dimension.log)


def axis(dimension: Dimension) -> Axis:
    """The axis of a dimension."""
    if dimension.values is None:
        return Axis(dimension)
    numbers = [one for one in dimension.values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if len(numbers) == len(dimension.values) > 2:
        return Axis(dimension, sorted(numbers))
    return Axis(dimension, dimension.values, ordered=False)


def same(one: Scalar, other: Scalar) -> bool:
    """Equality that tells 1 from True."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def relevant(ground: Ground) -> list[Record]:
    """The records of the frame; while these are few, of all frames in which its coordinates exist."""
    own = [one for one in ground.records if ground.space.frame_of(one.point) == ground.frame]
    if sum(one.value is not None for one in own) >= ENOUGH:
        return own
    names = {dimension.name for dimension in ground.coordinates}
    return [one for one in ground.records if names <= set(one.point)]


def told(ground: Ground) -> Iterator[tuple[Point, float]]:
    """Points and the values that an optimiser is told, oldest first."""
    records = relevant(ground)
    values = [one.value for one in records if one.value is not None]
    worst = (max if ground.goal == "Minimize" else min)(values, default=0.0)
    for one in records:
        if one.value is not None or one.failed:
            yield one.point, one.value if one.value is not None else worst


def study(ground: Ground, known: Sequence[Point], sampler: BaseSampler) -> Study:
    """A study in memory that has been told everything."""
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(sampler=sampler, direction="minimize" if ground.goal == "Minimize" else "maximize")
    axes = [axis(dimension) for dimension in ground.coordinates]
    distributions = {one.dimension.name: one.distribution for one in axes}

    def trial(point: Point, state: TrialState, value: float | None = None) -> FrozenTrial:
        params = {one.dimension.name: one.of(point[one.dimension.name]) for one in axes}
        return optuna.create_trial(state=state, params=params, distributions=distributions, value=value)

    ended = list(told(ground))
    made.add_trials([trial(point, TrialState.COMPLETE, value) for point, value in ended])
    here = [point for point in known if ground.space.frame_of(point) == ground.frame]
    done = {frozenset(point.items()) for point, _ in ended}
    made.add_trials([trial(point, TrialState.RUNNING) for point in here if frozenset(point.items()) not in done])
    return made


def asked(ground: Ground, made: Study) -> Point:
    """The study's next point. It is a running trial from then on."""
    axes = [axis(dimension) for dimension in ground.coordinates]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns of what it may change later; its version is locked
        trial = made.ask({one.dimension.name: one.distribution for one in axes})
    return {**ground.centre, **{one.dimension.name: one.value(trial.params[one.dimension.name]) for one in axes}}


def first_new(ground: Ground, known: Sequence[Point], dice: Random, ask: Callable[[], Point]) -> Point | None:
    """The first of some proposals that is not known, else a neighbour of the last one, else any untried point.

    A repeated point would be refused as a duplicate. Samplers repeat points when they have converged, so what is
    searched next is the neighbourhood of the repeated point.
    """
    if random_search.used_up(ground, known):
        return None
    point = ground.centre
    for _ in range(ASKS):
        point = ask()
        if point not in known:
            return point
    for _ in range(TRIES):
        dimension = dice.choice(ground.coordinates)
        near = {**point, dimension.name: draw(dimension, dice)}
        if near not in known:
            return near
    return random_search.propose(ground, known, dice)
