"""The policy coordinate-search: changes one coordinate of the incumbent at a time, in steps that become shorter.

Called by `rloop_agent.session`. It does not wait for the result of a proposal before it makes the next one: a training
may last longer than a session, and a result moves the centre only when it becomes the incumbent, which takes several
runs and so happens between sessions. The next session starts from the new incumbent.

The step is at first half the range. It is halved each time as many results are known in this frame as it has
coordinates (one sweep), down to 1/64: the effect of shorter steps would be lost in the noise. In a space with one frame
it then restarts with long steps, because no pivot will lead it away. In an integer range a step is at least one; if all
values within the step are known, the nearest untried value is proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from rloop.api.space import Dimension, Point, Scalar
from rloop_agent.policies.ground import Ground, bounds, draw, inside, to_scale, to_value

TRIES = 200
SHORTEST = 6
"""Maximum number of halvings: the shortest step is 1/64 of the range."""


def propose(ground: Ground, known: Sequence[Point], dice: Random) -> Point | None:
    """A point that differs from the centre in one coordinate, one of those that were varied least often so far.

    Returns None if no such point is untried. This is certain if the values are countable; otherwise no untried point
    was found in many draws.
    """
    coordinates = ground.coordinates
    if not coordinates:
        return ground.centre if ground.centre not in known else None
    share = share_of_range(ground.results, len(coordinates), again=not ground.space.structural)
    varied = {dimension.name: _variations(ground, known, dimension) for dimension in coordinates}
    for tried in range(TRIES):
        # If the least varied coordinates have no new value (a list of two values), any coordinate may be chosen.
        fewest = min(varied.values()) if tried < TRIES // 2 else max(varied.values())
        dimension = dice.choice([one for one in coordinates if varied[one.name] <= fewest])
        point = {
            **ground.centre,
            dimension.name: _step(dimension, ground.centre[dimension.name], share, dice),
        }
        if point not in known and point != ground.centre:
            return point
    return _nearest_untried(ground, known, sorted(coordinates, key=lambda one: varied[one.name]), dice)


def _nearest_untried(
    ground: Ground, known: Sequence[Point], coordinates: Sequence[Dimension], dice: Random
) -> Point | None:
    for dimension in coordinates:
        for value in _outward(dimension, ground.centre[dimension.name], dice):
            point = {**ground.centre, dimension.name: value}
            if point not in known and point != ground.centre:
                return point
    return None


def _outward(dimension: Dimension, value: Scalar, dice: Random) -> Iterator[Scalar]:
    """All other values of a coordinate, the nearest first; for a continuous range some random ones."""
    if dimension.values is not None:
        yield from dice.sample(dimension.values, len(dimension.values))
        return
    if not dimension.integer:
        yield from (draw(dimension, dice) for _ in range(TRIES))
        return
    assert dimension.low is not None
    assert dimension.high is not None
    here, low, high = round(float(value)), round(dimension.low), round(dimension.high)
    for distance in range(1, max(here - low, high - here) + 1):
        sides = [one for one in (here - distance, here + distance) if low <= one <= high]
        yield from dice.sample(sides, len(sides))


def share_of_range(results: int, coordinates: int, *, again: bool = False) -> float:
    """Share of a range that the longest step covers; `again`: from the start after the shortest."""
    sweeps = results // coordinates
    return 0.5 ** (1 + (sweeps % SHORTEST if again else min(SHORTEST - 1, sweeps)))


def _variations(ground: Ground, known: Sequence[Point], dimension: Dimension) -> int:
    return sum(_only_change(ground.centre, point) == dimension.name for point in known)


def _only_change(centre: Point, point: Point) -> str | None:
    if set(point) != set(centre):
        return None
    changed = [name for name in centre if point[name] != centre[name]]
    return changed[0] if len(changed) == 1 else None


def _step(dimension: Dimension, value: Scalar, share: float, dice: Random) -> Scalar:
    """A neighbour. In a list of values every other one is a neighbour, because their order has no meaning."""
    if dimension.values is not None or isinstance(value, (str, bool)):
        return draw(dimension, dice)
    low, high = bounds(dimension)
    length = (high - low) * share * dice.uniform(0.5, 1.0)
    here = to_scale(dimension, value)
    there = [position for position in (here - length, here + length) if low <= position <= high]
    # A step of at most half the range fits on at least one side, except for rounding errors.
    found = inside(dimension, to_value(dimension, dice.choice(there or [low, high])))
    return next(_outward(dimension, value, dice)) if dimension.integer and found == value else found
