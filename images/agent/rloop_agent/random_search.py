"""The policy random-search: independent draws in the frame.

Called by `rloop_agent.session`. It is the honest baseline: whatever claims to search better must beat it at
the same number of experiments. It looks at no result, so nothing is gained by waiting for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rloop.api.space import Point
from rloop_agent.ground import Ground, draw

TRIES = 200
"""Draws until a frame counts as exhausted. The last of 50 points is still found in 98 of 100 cases."""


def propose(ground: Ground, known: Sequence[Point], dice: Random) -> Point | None:
    """A point of the frame that is not known yet, or None if none was found."""
    for _ in range(TRIES):
        point = dict(ground.centre)
        for dimension in ground.coordinates:
            point[dimension.name] = draw(dimension, dice)
        if point not in known:
            return point
    return None
