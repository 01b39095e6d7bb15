"""Estimates from a few values: mean, noise, interval, and how improbable a gain is.

Called by acceptance, and through it by baseline, conclusion and context. Apart from acceptance.py because
these are textbook formulas that take no decision. scipy.special alone: its scalar functions take a
microsecond, while scipy.stats takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum, isfinite, sqrt
from typing import Final

from scipy.special import ndtri, stdtr, stdtrit

Z_LIMIT: Final = 38.0
"""The largest |z|: beyond it a double has no probability left, and JSON has no infinity."""
LARGEST: Final = 1e150
"""Squares of larger values overflow."""


def noise(values: Sequence[float], groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation between runs, pooled within groups, and its degrees of freedom; (0, 0) if unknown.

    Only differences inside a group count, never those between challengers, which differ in level. A group
    with a value that is not finite is left out.
    """
    square, freedom = 0.0, 0
    for group in (values, *groups):
        if len(group) > 1 and all(abs(value) <= LARGEST for value in group):
            middle = mean(group)
            square += fsum((value - middle) * (value - middle) for value in group)
            freedom += len(group) - 1
    return (sqrt(square / freedom), freedom) if freedom else (0.0, 0)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean. One value has none: both ends are the value. No value: (0, 0)."""
    if not values:
        return (0.0, 0.0)
    middle = mean(values)
    s, freedom = noise(values, ())
    if freedom == 0 or s == 0 or not isfinite(s):
        return (middle, middle)
    half = float(stdtrit(freedom, (1 + level) / 2)) * s / sqrt(len(values))
    return (middle - half, middle + half)


def is_deterministic(baseline_values: Sequence[float]) -> bool:
    """Whether no run differs from another. One run cannot differ; callers ask with at least two."""
    return all(value == baseline_values[0] for value in baseline_values)


def rounded(value: float, unit: float) -> float:
    """The value that an agent sees: to half a unit of noise (the Ladder, Blum & Hardt 2015).

    Differences inside the noise would only teach it to fit the held-out data. A unit of 0 (deterministic)
    or one that is no number leaves the value as it is.
    """
    step = unit / 2
    if not (step > 0 and isfinite(step) and isfinite(value) and isfinite(value / step)):
        return value
    return round(value / step) * step


def mean(values: Sequence[float]) -> float:
    """Mean that is exact for equal values and does not depend on their order."""
    low = min(values)
    try:
        return low + fsum(value - low for value in values) / len(values)
    except (OverflowError, ValueError):  # infinities, or a sum beyond the largest double
        return sum(values) / len(values)


def normal_quantile(gain: float, error: float, freedom: float) -> float:
    """Normal quantile with the probability of Student's t = gain / error; bounded by Z_LIMIT."""
    if error <= 0:
        return Z_LIMIT if gain > 0 else -Z_LIMIT if gain < 0 else 0.0
    # The lower tail keeps its digits where the upper one is rounded to 1.
    z = -float(ndtri(stdtr(freedom, -abs(gain) / error)))
    z = min(z, Z_LIMIT)
    return z if gain >= 0 else -z
