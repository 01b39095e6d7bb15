"""The input of a policy, and how one value is drawn.

Used by the policies; created by `rloop_agent.session`. Draws depend on no name and no position: if the dimensions of a
task are renamed and its values shuffled, the search has the same success.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Literal

from rloop.api.space import Dimension, Frame, Point, Scalar, Space


@dataclass(frozen=True, slots=True)
class Record:
    """An experiment of the campaign, or its baseline."""

    point: Point
    value: float | None = None
    """Mean of its verified runs; None if there is no value (yet)."""
    runs: int = 0
    """Number of finished runs."""
    failed: bool = False
    """It ended without a value, because it crashed or was invalid."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The frame to search, the point around which to search, and everything that is known of the campaign."""

    space: Space
    frame: Frame
    centre: Point
    """The incumbent's coefficients where they exist in this frame, defaults elsewhere."""
    results: int = 0
    """Number of experiments of this frame whose value was known when the session started."""
    records: Sequence[Record] = ()
    """The baseline and all experiments that the session may see, of all frames, oldest first."""
    goal: Literal["Minimize", "Maximize"] = "Minimize"
    """Which values are better."""

    @property
    def coordinates(self) -> list[Dimension]:
        """The dimensions that may vary: those that exist in the frame and are not part of it."""
        return [dimension for dimension in self.space.existing(self.frame) if not dimension.structural]


Policy = Callable[[Ground, Sequence[Point], Random], Point | None]
"""(ground, known points, random generator) -> the next point, or None if no new one was found. Pure."""


def structural_values(space: Space, frame: Frame) -> Point | None:
    """The frame with typed values, or None if it is not a frame of this space."""
    if set(frame) != {dimension.name for dimension in space.structural}:
        return None
    point: Point = {}
    for dimension in space.structural:
        found = [value for value in dimension.values or [] if str(value) == frame[dimension.name]]
        if not found:
            return None
        point[dimension.name] = found[0]
    return point


def centre(space: Space, frame: Frame, incumbent: Point) -> Point:
    """The point of `frame` that differs least from the incumbent."""
    point = structural_values(space, frame)
    assert point is not None, f"not a frame of this space: {frame}"
    for dimension in space.existing(frame):
        if not dimension.structural:
            value = incumbent.get(dimension.name)
            point[dimension.name] = value if dimension.admits(value) and value is not None else default(dimension)
    return point


def default(dimension: Dimension) -> Scalar:
    """The default in the type that `admits` expects: `values: [1.0, 2.0]` may have `default: 1`."""
    alike = [value for value in dimension.values or [] if value == dimension.default]
    same = [value for value in alike if type(value) is type(dimension.default)]
    return (same or alike or [dimension.default])[0]


def points(ground: Ground) -> Iterator[Point]:
    """All points of the frame; only for frames whose ranges are all integer."""
    choices = [_values(dimension) for dimension in ground.coordinates]
    for values in product(*choices):
        yield {**ground.centre, **{one.name: value for one, value in zip(ground.coordinates, values, strict=True)}}


def _values(dimension: Dimension) -> Sequence[Scalar]:
    if dimension.values is not None:
        return dimension.values
    assert dimension.low is not None
    assert dimension.high is not None
    return range(math.ceil(dimension.low), math.floor(dimension.high) + 1)


def draw(dimension: Dimension, dice: Random) -> Scalar:
    """Any value: uniform among values, uniform in a range, uniform in the logarithm of a logarithmic range."""
    if dimension.values is not None:
        return dice.choice(dimension.values)
    low, high = bounds(dimension)
    if dimension.integer and not dimension.log:
        # Half a step more at each end; otherwise rounding would give the ends half their share.
        low, high = low - 0.5, high + 0.5
    return inside(dimension, to_value(dimension, dice.uniform(low, high)))


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Both ends of a range, on the scale on which it is searched."""
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.log:
        return math.log(dimension.low), math.log(dimension.high)
    return dimension.low, dimension.high


def to_scale(dimension: Dimension, value: float) -> float:
    """Converts a value to the scale on which it is searched."""
    return math.log(value) if dimension.log else value


def to_value(dimension: Dimension, position: float) -> float:
    """Converts a position on that scale back to a value."""
    return math.exp(position) if dimension.log else position


def inside(dimension: Dimension, value: float) -> Scalar:
    """The nearest value that the space admits, rounded to be readable."""
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        low, high = math.ceil(dimension.low), math.floor(dimension.high)
        return min(max(round(value), low), high) if low <= high else dimension.default
    # Four digits are finer than any noise, and 0.03162 is easier to compare than 0.03162277660168379.
    span = dimension.high - dimension.low
    scale = min(span, abs(value)) if dimension.log else span
    rounded = round(value, 4 - math.floor(math.log10(scale)))
    return float(min(max(rounded, dimension.low), dimension.high))
