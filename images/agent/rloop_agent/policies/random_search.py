"""The policy random-search: independent draws in the frame.

Called by `rloop_agent.session`. It is the baseline: a better search must beat it at the same number of experiments. It
uses no results, so it never waits for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rloop.api.space import Point
from rloop_agent.policies.ground import Ground, draw, points

FEW = 4096
"""Frames up to this size are enumerated, so that the last point is found; in larger ones, maximum number of draws."""


def used_up(ground: Ground, known: Sequence[Point]) -> bool:
    """Whether the frame is small enough to be enumerated, and all its points are known."""
    return ground.space.points(ground.frame) <= FEW and all(point in known for point in points(ground))


def propose(ground: Ground, known: Sequence[Point], dice: Random) -> Point | None:
    """A point of the frame that is not known yet, or None if none was found."""
    if ground.space.points(ground.frame) <= FEW:
        left = [point for point in points(ground) if point not in known]
        return dice.choice(left) if left else None
    for _ in range(FEW):
        point = dict(ground.centre)
        for dimension in ground.coordinates:
            point[dimension.name] = draw(dimension, dice)
        if point not in known:
            return point
    return None
