"""What acceptance promises for any numbers: symmetry, scale, order, totality, and that it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.curves import LARGEST
from rloop.decide.statistics.acceptance import (
    Challenger,
    Incumbent,
    Keep,
    More,
    Phase,
    Procedure,
    Reject,
    SeedIgnored,
    Verdict,
    interval,
    judge,
    noise,
    procedure,
    rounded,
)
from rloop.decide.statistics.estimates import OTHERS_VARIANCE_MAX, OUTLIER_RANGES, bounded_noise, without_outliers

STANDARD = procedure("Standard", 0.01)
ECONOMY = procedure("Economy", 0.01)
PROVISIONAL = procedure("Provisional", 0.01)


def minimize(
    challenger: Challenger, incumbent: Incumbent, minimum_gain: float = 0.0, rules: Procedure = STANDARD
) -> Verdict:
    return judge(rules, goal="Minimize", minimum_gain=minimum_gain, challenger=challenger, incumbent=incumbent)


values = st.integers(-64, 64).map(lambda whole: whole / 16)  # exact when shifted or doubled
challengers = st.builds(
    Challenger,
    screen=st.none() | values,
    confirm=st.lists(values, max_size=3).map(tuple),
    audit=st.just(()),
) | st.builds(
    Challenger,
    screen=values,
    confirm=st.lists(values, min_size=3, max_size=3).map(tuple),
    audit=st.lists(values, max_size=6).map(tuple),
)
incumbents = st.builds(
    Incumbent,
    values=st.lists(values, min_size=1, max_size=12).map(tuple),
    rejected=st.lists(st.lists(values, max_size=9).map(tuple), max_size=4).map(tuple),
)
procedures = st.sampled_from([STANDARD, ECONOMY, PROVISIONAL, procedure("Standard", 0.002)])
gains = st.integers(0, 32).map(lambda whole: whole / 16)


def moved(challenger: Challenger, incumbent: Incumbent, scale: float, shift: float) -> tuple[Challenger, Incumbent]:
    def all_of(group: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(scale * value + shift for value in group)

    screen = None if challenger.screen is None else scale * challenger.screen + shift
    return (
        Challenger(screen, all_of(challenger.confirm), all_of(challenger.audit)),
        Incumbent(all_of(incumbent.values), tuple(all_of(group) for group in incumbent.rejected)),
    )


def outline(verdict: Verdict) -> tuple[object, ...]:
    """What does not depend on the metric's unit."""
    match verdict:
        case More():
            return ("More", verdict.kind, verdict.count, verdict.reference)
        case Keep():
            return ("Keep", verdict.n, verdict.confirmed, pytest.approx(verdict.z, abs=1e-6))
        case Reject():
            return ("Reject", verdict.n, verdict.reason, pytest.approx(verdict.z, abs=1e-6))
        case SeedIgnored():
            return ("SeedIgnored", verdict.n)


@given(procedures, challengers, incumbents, gains)
def test_minimize_mirrors_maximize(
    rules: Procedure, challenger: Challenger, incumbent: Incumbent, minimum_gain: float
) -> None:
    down = minimize(challenger, incumbent, minimum_gain, rules)
    other, against = moved(challenger, incumbent, -1.0, 0.0)
    up = judge(rules, goal="Maximize", minimum_gain=minimum_gain, challenger=other, incumbent=against)
    assert outline(down) == outline(up)


@given(
    rules=procedures,
    challenger=challengers,
    incumbent=incumbents,
    minimum_gain=gains,
    scale=st.sampled_from([0.25, 1.0, 1024.0]),
    shift=st.integers(-1000, 1000),
)
def test_unit_and_origin_of_the_metric_do_not_matter(
    rules: Procedure,
    challenger: Challenger,
    incumbent: Incumbent,
    minimum_gain: float,
    scale: float,
    shift: int,
) -> None:
    other, against = moved(challenger, incumbent, scale, shift)
    assert outline(minimize(challenger, incumbent, minimum_gain, rules)) == outline(
        minimize(other, against, minimum_gain * scale, rules)
    )


@given(data=st.data(), rules=procedures, challenger=challengers, incumbent=incumbents)
def test_the_order_within_a_phase_does_not_matter(
    data: st.DataObject, rules: Procedure, challenger: Challenger, incumbent: Incumbent
) -> None:
    other = Challenger(
        challenger.screen,
        tuple(data.draw(st.permutations(challenger.confirm))),
        tuple(data.draw(st.permutations(challenger.audit))),
    )
    against = replace(incumbent, values=tuple(data.draw(st.permutations(incumbent.values))))
    assert outline(minimize(challenger, incumbent, rules=rules)) == outline(minimize(other, against, rules=rules))


usable = st.floats(-LARGEST, LARGEST)


@given(
    data=st.data(),
    own=st.lists(values, min_size=2, max_size=12),
    others=st.lists(st.lists(values, min_size=2, max_size=9), min_size=1, max_size=4),
    wild=usable,
)
def test_one_wild_run_of_another_group_changes_the_noise_by_a_bounded_factor(
    data: st.DataObject, own: list[float], others: list[list[float]], wild: float
) -> None:
    """Of the variance at most 1 + 9 (runs of its group - 1) / (own runs - 1); never above nine times the own one."""
    before, _ = bounded_noise(own, others)
    group = data.draw(st.sampled_from(others))
    factor = math.sqrt(1 + OTHERS_VARIANCE_MAX * (len(group) - 1) / (len(own) - 1))
    group[data.draw(st.integers(0, len(group) - 1))] = wild
    after, _ = bounded_noise(own, others)
    assert before / factor <= after * (1 + 1e-9)
    assert after <= before * factor * (1 + 1e-9)
    assert after <= math.sqrt(OTHERS_VARIANCE_MAX) * noise(own, ())[0] * (1 + 1e-9)


@given(
    data=st.data(),
    others=st.lists(values, min_size=3, max_size=11).filter(lambda group: len(set(group)) > 1),
    wild=usable,
)
def test_one_wild_run_of_the_incumbent_moves_its_mean_by_a_bounded_step(
    data: st.DataObject, others: list[float], wild: float
) -> None:
    reach = (max(others) - min(others)) * (OUTLIER_RANGES + 1)
    place = data.draw(st.integers(0, len(others)))
    kept = without_outliers([*others[:place], wild, *others[place:]])
    assert kept[:place] + kept[place + 1 :] == tuple(others) or abs(wild - others[0]) <= reach
    assert min(others) - reach <= kept[place] <= max(others) + reach


any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(
    rules=procedures,
    goal=st.sampled_from(["Minimize", "Maximize"]),
    minimum_gain=any_float,
    challenger=st.builds(
        Challenger,
        screen=st.none() | any_float,
        confirm=st.lists(any_float, max_size=4).map(tuple),
        audit=st.lists(any_float, max_size=8).map(tuple),
    ),
    incumbent=st.builds(
        Incumbent,
        values=st.lists(any_float, max_size=4).map(tuple),
        rejected=st.lists(st.lists(any_float, max_size=3).map(tuple), max_size=3).map(tuple),
    ),
)
def test_no_number_raises_and_no_answer_is_infinite(
    rules: Procedure,
    goal: Literal["Minimize", "Maximize"],
    minimum_gain: float,
    challenger: Challenger,
    incumbent: Incumbent,
) -> None:
    verdict = judge(rules, goal=goal, minimum_gain=minimum_gain, challenger=challenger, incumbent=incumbent)
    if isinstance(verdict, Keep):
        told = (verdict.value, verdict.low, verdict.high, verdict.gain, verdict.z)
        assert all(map(math.isfinite, told))
    elif isinstance(verdict, Reject):
        assert math.isfinite(verdict.gain)
        assert math.isfinite(verdict.z)
    together = (*challenger.confirm, *incumbent.values)
    noise(together, incumbent.rejected)
    interval(together)
    rounded(minimum_gain, challenger.screen or 0.0)


@given(data=st.data(), rules=procedures, first=st.lists(values, min_size=1, max_size=5), minimum_gain=gains)
def test_judging_makes_progress_and_ends(
    data: st.DataObject, rules: Procedure, first: list[float], minimum_gain: float
) -> None:
    challenger, incumbent = Challenger(None), Incumbent(tuple(first))
    seen: list[Phase] = []
    while isinstance(verdict := minimize(challenger, incumbent, minimum_gain, rules), More):
        assert verdict.count >= 1
        fresh = tuple(data.draw(values) for _ in range(verdict.count))
        seen += [verdict.kind] * verdict.count
        added = tuple(data.draw(values) for _ in range(verdict.reference))
        incumbent = replace(incumbent, values=incumbent.values + added)
        match verdict.kind:
            case Phase.SCREEN:
                challenger = replace(challenger, screen=fresh[0])
            case Phase.CONFIRM:
                challenger = replace(challenger, confirm=challenger.confirm + fresh)
            case Phase.AUDIT:
                challenger = replace(challenger, audit=challenger.audit + fresh)
    assert seen == sorted(seen, key=list(Phase).index)
    assert len(seen) <= 10
    assert len(incumbent.values) <= 12
    if isinstance(verdict, Keep) and not rules.provisional:
        reproduced = verdict.n == 1 and challenger.confirm == (challenger.screen,)
        assert verdict.n == rules.post_screen_runs or reproduced
