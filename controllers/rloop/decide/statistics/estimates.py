"""Estimates from a few values: mean, noise, interval, and how improbable a gain is.

Called by acceptance, context, and through acceptance by baseline and conclusion. Separate from acceptance.py because
these are textbook formulas that take no decision. Imports only scipy.special: its scalar functions take a microsecond,
while scipy.stats takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import comb, fsum, isfinite, sqrt
from typing import Final

from scipy.special import ndtri, stdtr, stdtrit

from rloop.api.curves import LARGEST

Z_LIMIT: Final = 38.0
"""The largest |z|: beyond it the probability underflows a double, and JSON has no infinity."""
OTHERS_VARIANCE_MAX: Final = 9.0
"""Largest variance with which another group counts in the noise, as a multiple of the own variance."""
OTHERS_VARIANCE_WILD: Final = 100.0
"""A group with more than this multiple of the own variance does not count at all."""
OUTLIER_RANGES: Final = 10.0
"""An outlier is further than this many ranges of its group's other values from the nearest of them."""
OUTLIER_GROUP_MIN: Final = 4
"""Smaller groups have no outliers: the range of two values is often small by chance."""


def noise(values: Sequence[float], groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation between runs, pooled within groups, and its degrees of freedom; (0, 0) if unknown.

    Only differences within a group count, never those between challengers, which differ in level. A group with a value
    that is not finite or beyond LARGEST is left out.
    """
    square, freedom = 0.0, 0
    for group in (values, *groups):
        more, degrees = _squares(group)
        square, freedom = square + more, freedom + degrees
    return (sqrt(square / freedom), freedom) if freedom else (0.0, 0)


def bounded_noise(
    own: Sequence[float], others: Iterable[Sequence[float]], unbounded: Sequence[float] = ()
) -> tuple[float, int]:
    """`noise` with a bound: another group counts with at most nine times the own variance, beyond 100 times not at all.

    A run that diverged says nothing about the own noise; pooled without a bound it would hide every later gain. If the
    own group has no spread (fewer than two values), there is nothing to compare with, and no other group counts.
    `unbounded` always counts in full.
    """
    square, freedom = _squares(own)
    variance = square / freedom if freedom else 0.0
    for group in others if freedom else ():
        more, degrees = _squares(group)
        if more <= OTHERS_VARIANCE_WILD * variance * degrees:
            square += min(more, OTHERS_VARIANCE_MAX * variance * degrees)
            freedom += degrees
    more, degrees = _squares(unbounded)
    square, freedom = square + more, freedom + degrees
    return (sqrt(square / freedom), freedom) if freedom else (0.0, 0)


def _squares(group: Sequence[float]) -> tuple[float, int]:
    """Sum of squared deviations and degrees of freedom; (0, 0) for a group without a usable spread."""
    if len(group) < 2 or not all(abs(value) <= LARGEST for value in group):
        return (0.0, 0)
    middle = mean(group)
    return fsum((value - middle) * (value - middle) for value in group), len(group) - 1


def without_outliers(values: Sequence[float]) -> tuple[float, ...]:
    """The values, with the lowest or the highest replaced by its neighbour if it is an outlier.

    Otherwise a run that diverged (-138 among values near 0.7) would dominate mean and noise as long as the group is
    compared with. A value within ten ranges of the others stays, so one value moves the mean by at most eleven ranges
    of the others over n. A group whose other values are all equal stays unchanged, because it has no scale.
    """
    if len(values) < OUTLIER_GROUP_MIN:
        return tuple(values)
    first, second, *_, last_but_one, last = sorted(values)
    low = second if second - first > OUTLIER_RANGES * (last - second) > 0 else first
    high = last_but_one if last - last_but_one > OUTLIER_RANGES * (last_but_one - first) > 0 else last
    return tuple(min(max(value, low), high) for value in values)


def separation_z(worse: int, better: int) -> float:
    """Normal quantile of the exact Mann-Whitney test if each of the better runs is above all of the worse ones.

    Without any effect this has the probability 1 / C(worse + better, better) (Mann & Whitney 1947).
    """
    return min(Z_LIMIT, -float(ndtri(1 / comb(worse + better, better))))


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean. One value: both ends are the value. No value: (0, 0)."""
    if not values:
        return (0.0, 0.0)
    middle = mean(values)
    s, freedom = noise(values, ())
    if freedom == 0 or s == 0 or not isfinite(s):
        return (middle, middle)
    half = float(stdtrit(freedom, (1 + level) / 2)) * s / sqrt(len(values))
    return (middle - half, middle + half)


def is_deterministic(baseline_values: Sequence[float]) -> bool:
    """Whether all runs are equal. A single run always is, so callers pass at least two."""
    return all(value == baseline_values[0] for value in baseline_values)


def rounded(value: float, unit: float) -> float:
    """The value as shown to agents, rounded to half a unit of noise (the Ladder, Blum & Hardt 2015).

    Differences within the noise would only teach an agent to fit the held-out data. A unit that is 0 (deterministic) or
    not finite leaves the value unchanged.
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
    # The lower tail keeps its precision where the upper one is rounded to 1.
    z = -float(ndtri(stdtr(freedom, -abs(gain) / error)))
    z = min(z, Z_LIMIT)
    return z if gain >= 0 else -z
