"""The policy cma-es: covariance matrix adaptation, by the package `cmaes`.

Called by `rloop_agent.session`. A session is a new process, and an optimiser's state is nowhere stored: it is computed
again from the results, told in their order, one population after the other. So a campaign of many sessions searches as
one long run would, and results of other origin (an earlier policy, a pivot) are told like its own.

It begins around the task's own values. When it has converged, or has repeated one point for a whole population, it
restarts around the best result with twice the population and wide steps. Ranges and lists of numbers are its
coordinates. Lists without an order are left to `tpe`, by one proposal that has both parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from rloop.api.space import Point, Scalar
from rloop_agent.policies import tpe, trials
from rloop_agent.policies.ground import Ground
from rloop_agent.policies.trials import Axis

if TYPE_CHECKING:
    import numpy as np
    from cmaes import CMA
    from numpy.typing import NDArray

STEP = 0.25
"""First standard deviation, as a share of the range."""
LARGEST = 4
"""The population is doubled at most to this multiple."""
NARROW = 0.01
"""Standard deviation of a population, as a share of the range, below which it has converged."""


def propose(ground: Ground, known: Sequence[Point], dice: Random) -> Point | None:
    """A new point of the frame, or None if none was found."""
    if not ground.coordinates:
        return ground.centre if ground.centre not in known else None
    seed = dice.getrandbits(32)
    scales = [Scale(one) for one in map(trials.axis, ground.coordinates) if one.ordered]
    unordered = len(scales) < len(ground.coordinates)
    study = trials.study(ground, known, tpe.sampler(seed)) if unordered else None
    optimiser = replayed(ground, scales, seed) if scales else None

    def ask() -> Point:
        point = trials.asked(ground, study) if study is not None else dict(ground.centre)
        if optimiser is not None:
            position = optimiser.ask()
            point |= {one.name: one.value(float(at)) for one, at in zip(scales, position, strict=True)}
        return point

    return trials.first_new(ground, known, dice, ask)


class Scale:
    """An axis between 0 and 1; each value of a discrete one has an equal part."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self.name = axis.dimension.name
        low, high = (0.0, len(axis.values) - 1.0) if axis.values else (axis.dimension.low, axis.dimension.high)
        assert low is not None
        assert high is not None
        self._log = axis.dimension.log and not axis.values
        self._half = 0.5 if axis.values or axis.dimension.integer else 0.0
        low, high = low - self._half, high + self._half
        self._low, self._high = (math.log(low), math.log(high)) if self._log else (low, high)

    def of(self, value: Scalar) -> float:
        """The position of a value."""
        told = self._axis.of(value)
        return ((math.log(told) if self._log else told) - self._low) / (self._high - self._low)

    def value(self, position: float) -> Scalar:
        """The value at a position."""
        told = self._low + min(max(position, 0.0), 1.0) * (self._high - self._low)
        told = math.exp(told) if self._log else told
        return self._axis.value(min(round(told), len(self._axis.values) - 1) if self._axis.values else told)


def replayed(ground: Ground, scales: Sequence[Scale], seed: int) -> CMA:
    """The optimiser in the state to which the results have brought it."""
    import numpy as np

    sign = 1.0 if ground.goal == "Minimize" else -1.0
    results = [
        (np.array([one.of(point[one.name]) for one in scales]), sign * value) for point, value in trials.told(ground)
    ]
    best = results[0] if results else (np.array([one.of(ground.centre[one.name]) for one in scales]), math.inf)
    optimiser = started(best[0], seed)
    population = first = optimiser.population_size
    batch: list[tuple[NDArray[np.float64], float]] = []
    for result in results:
        best = min(best, result, key=lambda one: one[1])
        batch.append(result)
        if len(batch) == optimiser.population_size:
            spread = float(np.max(np.std([position for position, _ in batch], axis=0)))
            optimiser.tell(batch)
            batch = []
            if spread < NARROW or optimiser.should_stop():
                population = min(2 * population, LARGEST * first)
                optimiser = started(best[0], seed, population)
    return optimiser


def started(mean: NDArray[np.float64], seed: int, population: int | None = None) -> CMA:
    """A fresh optimiser around a position."""
    import numpy as np
    from cmaes import CMA

    bounds = np.tile([0.0, 1.0], (len(mean), 1))
    return CMA(mean=mean, sigma=STEP, bounds=bounds, seed=seed, population_size=population)
