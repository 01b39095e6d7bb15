"""Decides whether a gain is real: more runs, keep, or reject. Pure arithmetic on verified values.

Called by judge for each challenger with new results, and by baseline and conclusion for noise and intervals. It exists
because keep-if-better keeps noise: of 100 proposals without any effect it keeps about four, and the value that it then
reports is 2.5 standard deviations too good.

A challenger is screened with one run, confirmed one run at a time, and audited with fresh runs. The screen and the
confirmations can only reject a challenger, so they need no correction for repeated looks and may use all its runs. A
keep is decided by Welch's test (Welch 1947, degrees of freedom after Satterthwaite 1946) over the runs after the screen
alone: the run that selected a challenger is never part of its value (winner's curse). A fresh incumbent was selected
too, so its mean is a little too good; therefore challengers request more runs of it. The screen threshold rises with
the number of challengers an incumbent has beaten: where gains have become rare, runs are better spent on new proposals.

A single wild run decides nothing (docs/adr/0011): outliers of the incumbent count as their neighbours, the spread of
rejected challengers is bounded by the incumbent's own, and a challenger whose every run is better than each of the
incumbent's has at least the z of the exact Mann-Whitney test.

Units: values and gains are in the metric's unit, z in normal standard deviations. A gain is positive when better. No
function raises for any numbers; a value that is not finite or beyond 1e150 rejects the challenger with NotFinite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import nan, sqrt
from typing import Final, Literal

from rloop.api.curves import LARGEST
from rloop.decide.statistics.estimates import (
    Z_LIMIT,
    bounded_noise,
    interval,
    is_deterministic,
    mean,
    noise,
    normal_quantile,
    rounded,
    separation_z,
    without_outliers,
)
from rloop.decide.statistics.procedures import Acceptance, Procedure, procedure

__all__ = [
    "Acceptance",
    "Challenger",
    "Incumbent",
    "Keep",
    "More",
    "Phase",
    "Procedure",
    "Reject",
    "SeedIgnored",
    "Verdict",
    "interval",
    "is_deterministic",
    "judge",
    "noise",
    "procedure",
    "rounded",
]

TIE_CHANCE: Final = 0.05
"""Equal runs count as an ignored seed only if their probability, given the metric's coarseness, is below this."""


class Phase(StrEnum):
    """Kinds of a challenger's runs."""

    SCREEN = "screen"
    CONFIRM = "confirm"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Challenger:
    """Verified values of a candidate's finished runs, each the mean of its repeats, in order."""

    screen: float | None
    confirm: tuple[float, ...] = ()
    audit: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The incumbent's side of the comparison."""

    values: tuple[float, ...]
    """Its runs after the screen, or the baseline's, plus the reference runs added since."""
    rejected: tuple[tuple[float, ...], ...] = ()
    """Runs after the screen, one tuple for each challenger that had some and was beaten by this incumbent. Their spread
    adds to the noise within a bound, and their number raises the screen threshold; their level is never used.
    """


@dataclass(frozen=True, slots=True)
class More:
    """Start `count` runs of this kind, and `reference` further runs of the incumbent."""

    kind: Phase
    count: int
    reference: int = 0


@dataclass(frozen=True, slots=True)
class Keep:
    """The challenger becomes the incumbent."""

    value: float
    """Mean of its runs after the screen (Provisional: the one run)."""
    low: float
    high: float
    """Bounds of the 95 % interval of the value; equal to it for a single run or a deterministic task."""
    gain: float
    z: float
    n: int
    """Number of runs in `value`."""
    confirmed: bool = True
    """False for Provisional: shown, never claimed as a result."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The challenger is rejected."""

    value: float
    """Mean of the runs from which the gain was computed; NaN for NotFinite."""
    gain: float
    z: float
    n: int
    """Number of these runs."""
    reason: str


@dataclass(frozen=True, slots=True)
class SeedIgnored:
    """All `n` runs gave this value, although the incumbent's differ: the candidate fixes its seed."""

    value: float
    n: int


Verdict = More | Keep | Reject | SeedIgnored


def judge(
    rules: Procedure,
    *,
    goal: Literal["Minimize", "Maximize"],
    minimum_gain: float,
    challenger: Challenger,
    incumbent: Incumbent,
) -> Verdict:
    """The next step for a challenger, given all its finished runs. The same facts give the same verdict."""
    if not incumbent.values:
        return More(Phase.SCREEN, 1 if challenger.screen is None else 0, max(1, rules.baseline_runs))
    if challenger.screen is None:
        return More(Phase.SCREEN, 1)
    fresh = challenger.confirm + challenger.audit
    runs = (challenger.screen, *fresh)
    if not all(abs(value) <= LARGEST for value in runs + incumbent.values):  # NaN fails every comparison
        return Reject(nan, 0.0, 0.0, len(runs), "NotFinite")
    sign = 1.0 if goal == "Maximize" else -1.0
    incumbent = replace(incumbent, values=without_outliers(incumbent.values))
    reference = mean(incumbent.values)
    first = sign * (challenger.screen - reference)
    if rules.provisional:
        if (reason := _too_little(first, minimum_gain)) is not None:
            return Reject(challenger.screen, first, 0.0, 1, reason)
        return Keep(challenger.screen, challenger.screen, challenger.screen, first, 0.0, 1, confirmed=False)
    constant = is_deterministic(incumbent.values)
    if constant and all(is_deterministic(group) for group in incumbent.rejected):
        again = sign * (fresh[0] - reference) if len(fresh) == 1 else None
        verdict = _reproduce(challenger.screen, fresh, first, again, minimum_gain)
        if verdict is not None:
            return verdict
    elif not constant and _seed_ignored(runs, incumbent):
        return SeedIgnored(challenger.screen, len(runs))
    if challenger.audit:
        missing = rules.post_screen_runs - len(fresh)
        if missing > 0:
            return More(Phase.AUDIT, missing)
        return _final(rules, sign, minimum_gain, fresh, incumbent)
    return _gate(rules, sign, minimum_gain, challenger, incumbent)


def _reproduce(
    screen: float, fresh: tuple[float, ...], first: float, again: float | None, minimum_gain: float
) -> Verdict | None:
    """Judge while the task is deterministic so far: a gain counts once a second seed reproduces it.

    `again` is the second run's gain while it is the last run. Returns None if that run differs but is a gain too: the
    task was constant only so far (a success rate that was always 0), and the procedure for noise decides.
    """
    if (reason := _too_little(first, minimum_gain)) is not None:
        return Reject(screen, first, 0.0, 1, reason)
    if not fresh:
        return More(Phase.CONFIRM, 1)
    if all(value == screen for value in fresh):
        return Keep(screen, screen, screen, first, Z_LIMIT, len(fresh))
    if again is not None and _too_little(again, minimum_gain) is not None:
        return Reject(fresh[0], again, 0.0, 1, "NotReproduced")
    return None


def _gate(rules: Procedure, sign: float, minimum_gain: float, challenger: Challenger, incumbent: Incumbent) -> Verdict:
    """Screen and confirmations: they can reject a challenger early, never keep it."""
    confirm = challenger.confirm
    assert challenger.screen is not None
    runs = (challenger.screen, *confirm)
    # The challenger's own spread counts without a bound: another frame may be ten times as noisy as the incumbent's.
    s, df = bounded_noise(incumbent.values, incumbent.rejected, confirm)
    error = s * sqrt(1 / len(runs) + 1 / len(incumbent.values))
    value = mean(runs)
    gain = sign * (value - mean(incumbent.values))
    z = _or_separated(normal_quantile(gain, error, df), sign, runs, incumbent)
    steps = len(rules.confirm_zs)
    if confirm:
        limit = rules.confirm_zs[min(len(confirm), steps) - 1]
        reason = "BelowConfirm"
    else:
        beaten = sum(1 for group in incumbent.rejected if group)
        limit = rules.screen_z + min(rules.patience_limit_z, rules.patience_z * beaten)
        reason = "BelowScreen"
    if z < limit:
        return Reject(value, gain, z, len(runs), reason)
    if gain + 2 * error < minimum_gain:  # out of reach even with lucky further runs
        return Reject(value, gain, z, len(runs), "BelowMinimumGain")
    if len(confirm) < steps:
        return More(Phase.CONFIRM, 1, int(len(incumbent.values) < rules.incumbent_runs))
    if (missing := rules.post_screen_runs - len(confirm)) > 0:
        return More(Phase.AUDIT, missing)
    return _final(rules, sign, minimum_gain, confirm, incumbent)


def _or_separated(z: float, sign: float, runs: tuple[float, ...], incumbent: Incumbent) -> float:
    """The t test's z, or the rank test's if every run is better than each of the incumbent's and that z is larger.

    The t test charges the incumbent's spread to the challenger too. If that spread comes from two modes, z stays low
    even for a challenger that beats both. The rank test is used at its extreme only: at every step it would let more
    proposals without effect through (docs/adr/0011).
    """
    if min(sign * value for value in runs) > max(sign * value for value in incumbent.values):
        return max(z, separation_z(len(incumbent.values), len(runs)))
    return z


def _final(
    rules: Procedure, sign: float, minimum_gain: float, fresh: tuple[float, ...], incumbent: Incumbent
) -> Verdict:
    """Welch's test over the runs after the screen; the value and its interval come from them alone."""
    value = mean(fresh)
    gain = sign * (value - mean(incumbent.values))
    n, m = len(fresh), len(incumbent.values)
    a = noise(fresh, ())[0] ** 2 / n
    # A single run has no spread: use the challenger's, plus the other known spreads within its bound.
    s, df = noise(incumbent.values, ()) if m > 1 else bounded_noise(fresh, incumbent.rejected)
    b = s**2 / m
    if a + b > 0:
        share = a / (a + b)  # as shares, so that small variances do not underflow when squared
        df_welch = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / max(df, 1))
    else:
        df_welch = 1.0
    z = _or_separated(normal_quantile(gain, sqrt(a + b), df_welch), sign, fresh, incumbent)
    if (reason := _too_little(gain, minimum_gain)) is not None:
        return Reject(value, gain, z, n, reason)
    if z < rules.keep_z:
        return Reject(value, gain, z, n, "NotBetter")
    low, high = interval(fresh)
    return Keep(value, low, high, gain, z, n)


def _too_little(gain: float, minimum_gain: float) -> str | None:
    """Reason why a gain does not count, whatever the noise, or None. NaN counts as no gain."""
    if not gain > 0:
        return "NotBetter"
    return "BelowMinimumGain" if gain < minimum_gain else None


def _seed_ignored(runs: tuple[float, ...], incumbent: Incumbent) -> bool:
    """Whether equal runs mean that the candidate fixes its seed, rather than that the metric is coarse.

    The probability that two runs of the incumbent are equal is estimated as (ties + 1/2) / (pairs + 1); that of n equal
    runs of the challenger by chance is this share to the power n - 1. With five different baseline values two equal
    runs are enough; for a success rate out of ten episodes more are needed.
    """
    if len(runs) < 2 or any(value != runs[0] for value in runs):
        return False
    values = incumbent.values
    pairs = len(values) * (len(values) - 1) / 2
    ties = sum(a == b for i, a in enumerate(values) for b in values[:i])
    return bool(((ties + 0.5) / (pairs + 1)) ** (len(runs) - 1) < TIE_CHANCE)
