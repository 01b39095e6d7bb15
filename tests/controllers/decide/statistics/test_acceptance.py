"""Whether a gain is real: each verdict once, the promises for any numbers, and the rates in simulation."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from benchmarks.acceptance_model import GAINS, NO_OPS, simulate, upper_bound
from scipy import stats

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
    is_deterministic,
    judge,
    noise,
    procedure,
    rounded,
)
from rloop.decide.statistics.estimates import separation_z

STANDARD = procedure("Standard", 0.01)
ECONOMY = procedure("Economy", 0.01)
PROVISIONAL = procedure("Provisional", 0.01)
NOISY = Incumbent((1.0, 1.2, 0.9, 1.1, 0.8))  # mean 1, SD 0.158
CONSTANT = Incumbent((1.0,) * 5)
GOOD = (0.5, 0.6, 0.55)
AUDITS = (0.5, 0.6, 0.4, 0.55, 0.45, 0.5)


def minimize(
    challenger: Challenger,
    incumbent: Incumbent = NOISY,
    minimum_gain: float = 0.0,
    rules: Procedure = STANDARD,
) -> Verdict:
    return judge(rules, goal="Minimize", minimum_gain=minimum_gain, challenger=challenger, incumbent=incumbent)


def maximize(challenger: Challenger, incumbent: Incumbent, rules: Procedure) -> Verdict:
    return judge(rules, goal="Maximize", minimum_gain=0.0, challenger=challenger, incumbent=incumbent)


# fmt: off
@pytest.mark.parametrize(
    ("challenger", "incumbent", "rules", "expected"),
    [
        pytest.param(Challenger(None), NOISY, STANDARD, More(Phase.SCREEN, 1), id="no run yet: one screen"),
        pytest.param(
            Challenger(None), Incumbent(()), STANDARD, More(Phase.SCREEN, 1, 5),
            id="without any run of the incumbent there is nothing to compare with: it gets some",
        ),
        pytest.param(
            Challenger(0.5), NOISY, STANDARD, More(Phase.CONFIRM, 1, 1),
            id="a good screen is confirmed with one run, and the incumbent gets one too",
        ),
        pytest.param(
            Challenger(0.5), Incumbent((*NOISY.values, *NOISY.values, 1.0, 1.05)), STANDARD,
            More(Phase.CONFIRM, 1, 0), id="an incumbent with twelve runs gets no more",
        ),
        pytest.param(
            Challenger(0.5, GOOD[:2]), NOISY, STANDARD, More(Phase.CONFIRM, 1, 1),
            id="confirmations come one at a time",
        ),
        pytest.param(
            Challenger(0.5, GOOD), NOISY, STANDARD, More(Phase.AUDIT, 6),
            id="after three confirmations all audits start at once",
        ),
        pytest.param(
            Challenger(0.5, GOOD, AUDITS[:4]), NOISY, STANDARD, More(Phase.AUDIT, 2),
            id="audits that are missing are asked for again",
        ),
        pytest.param(
            Challenger(0.5, GOOD[:2]), NOISY, ECONOMY, More(Phase.AUDIT, 2),
            id="Economy audits with two runs after two confirmations",
        ),
        pytest.param(
            Challenger(0.5), CONSTANT, STANDARD, More(Phase.CONFIRM, 1),
            id="in a deterministic task a gain gets one more seed",
        ),
        pytest.param(
            Challenger(0.5, (0.5,)), CONSTANT, STANDARD, Keep(0.5, 0.5, 0.5, 0.5, 38.0, 1),
            id="in a deterministic task a reproduced gain is kept after two runs",
        ),
        pytest.param(
            Challenger(0.5, (0.5,)), Incumbent((1.0,)), STANDARD, Keep(0.5, 0.5, 0.5, 0.5, 38.0, 1),
            id="the incumbent of a deterministic task has one run after its screen",
        ),
        pytest.param(
            Challenger(0.5, (0.6,)), CONSTANT, STANDARD, More(Phase.CONFIRM, 1, 1),
            id="a task that was constant only so far is judged with noise once two gains differ",
        ),
        pytest.param(
            Challenger(0.5, (0.5,)), NOISY, STANDARD, SeedIgnored(0.5, 2),
            id="two equal runs where the incumbent's differ: the seed is ignored",
        ),
        pytest.param(
            Challenger(0.5, (0.5,)), Incumbent((1.0, 0.9, 1.0, 0.8, 0.9)), STANDARD, More(Phase.CONFIRM, 1, 1),
            id="two equal runs of a coarse metric say nothing about the seed",
        ),
        pytest.param(
            Challenger(0.5), Incumbent(NOISY.values, ((1.0, 139.0),)), STANDARD, More(Phase.CONFIRM, 1, 1),
            id="a run of a rejected challenger that diverged hides no later gain",
        ),
        pytest.param(
            Challenger(0.5), Incumbent((1.0,), ((1.0, 139.0),)), STANDARD, More(Phase.CONFIRM, 1, 1),
            id="nor if the incumbent has one run, and so no noise of its own",
        ),
        pytest.param(
            Challenger(0.5), Incumbent((*NOISY.values[:4], 139.0)), STANDARD, More(Phase.CONFIRM, 1, 1),
            id="a run of the incumbent that diverged to the worse hides no gain",
        ),
        pytest.param(
            Challenger(0.5), Incumbent((*NOISY.values[:4], -139.0)), STANDARD, More(Phase.CONFIRM, 1, 1),
            id="nor does one that diverged to the better: it makes no incumbent unbeatable",
        ),
        pytest.param(
            Challenger(0.75), NOISY, PROVISIONAL, Keep(0.75, 0.75, 0.75, 0.25, 0.0, 1, confirmed=False),
            id="Provisional keeps any gain after one run and says that it is unconfirmed",
        ),
    ],
)
def test_verdict(challenger: Challenger, incumbent: Incumbent, rules: Procedure, expected: Verdict) -> None:
    assert minimize(challenger, incumbent, rules=rules) == expected


@pytest.mark.parametrize(
    ("challenger", "incumbent", "minimum_gain", "reason"),
    [
        pytest.param(Challenger(1.1), NOISY, 0, "BelowScreen", id="a worse screen ends it"),
        pytest.param(
            Challenger(0.85), Incumbent(NOISY.values, ((1.0,),) * 6), 0, "BelowScreen",
            id="an incumbent that has beaten many is screened against more strictly",
        ),
        pytest.param(Challenger(0.9, (1.1,)), NOISY, 0, "BelowConfirm", id="a confirmation that disagrees"),
        pytest.param(
            Challenger(0.5, GOOD, (1.2, 1.3, 1.1, 1.2, 1.3, 1.4)), NOISY, 0, "NotBetter",
            id="audits that disagree outweigh the confirmations",
        ),
        pytest.param(
            Challenger(0.5, GOOD, (1.3, 0.2, 1.6, 0.1, 1.5, 0.6)), NOISY, 0, "NotBetter",
            id="a gain within the challenger's own noise is none",
        ),
        pytest.param(
            Challenger(0.5, GOOD, AUDITS), NOISY, 0.6, "BelowMinimumGain", id="a real gain that is too small",
        ),
        pytest.param(
            Challenger(0.8), NOISY, 3.0, "BelowMinimumGain",
            id="a screen that even luck will not carry to the minimum gain costs no further run",
        ),
        pytest.param(Challenger(1.0), CONSTANT, 0, "NotBetter", id="deterministic: an equal value is no gain"),
        pytest.param(
            Challenger(0.9), CONSTANT, 0.2, "BelowMinimumGain", id="deterministic: a gain that is too small",
        ),
        pytest.param(
            Challenger(0.5, (1.0,)), CONSTANT, 0, "NotReproduced",
            id="deterministic: the second seed shows no gain",
        ),
        pytest.param(Challenger(math.inf), NOISY, 0, "NotFinite", id="an infinite value"),
        pytest.param(Challenger(math.nan), NOISY, 0, "NotFinite", id="a value that is no number"),
        pytest.param(Challenger(-1e300), NOISY, 0, "NotFinite", id="a value whose square overflows"),
        pytest.param(
            Challenger(0.5), Incumbent((1.0, math.inf)), 0, "NotFinite", id="an incumbent that diverged",
        ),
    ],
)
def test_rejected(challenger: Challenger, incumbent: Incumbent, minimum_gain: float, reason: str) -> None:
    verdict = minimize(challenger, incumbent, minimum_gain)
    assert isinstance(verdict, Reject)
    assert verdict.reason == reason


# fmt: on
@pytest.mark.parametrize("rules", [STANDARD, ECONOMY])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param((1.008, 0.005, 1.008, 0.005, 1.007), id="half of its runs collapse"),
        pytest.param((1.008, 1.007, 1.009, 0.005, 0.004, 1.006, 1.007, 1.008, 1.009, 1.01), id="a few of them do"),
    ],
)
def test_an_incumbent_of_two_modes_is_replaced_by_what_is_better_than_both(
    values: tuple[float, ...], rules: Procedure
) -> None:
    better = (1.05, 1.03, 1.06, 1.04, 1.05, 1.02, 1.04, 1.06, 1.03, 1.05)
    challenger, incumbent = Challenger(None), Incumbent(values)
    while isinstance(verdict := maximize(challenger, incumbent, rules), More):
        fresh = challenger.confirm + challenger.audit
        if verdict.kind is Phase.SCREEN:
            challenger = Challenger(better[0])
        elif verdict.kind is Phase.CONFIRM:
            challenger = Challenger(better[0], better[1 : len(fresh) + 2])
        else:
            challenger = Challenger(better[0], challenger.confirm, better[len(fresh) + 1 :][: verdict.count])
    assert isinstance(verdict, Keep)


def test_separated_groups_have_the_z_of_the_exact_mann_whitney_test() -> None:
    for worse, better in ((5, 1), (4, 4), (12, 9)):
        high, low = np.arange(better) + 100.0, np.arange(worse)
        tested = stats.mannwhitneyu(high, low, alternative="greater", method="exact")
        assert separation_z(worse, better) == pytest.approx(stats.norm.isf(tested.pvalue))


def test_the_same_screen_passes_against_a_fresh_incumbent() -> None:
    assert isinstance(minimize(Challenger(0.85)), More)


def test_a_kept_value_comes_from_the_nine_runs_after_the_screen() -> None:
    lucky = minimize(Challenger(-5.0, GOOD, AUDITS))
    modest = minimize(Challenger(0.65, GOOD, AUDITS))
    assert lucky == modest
    assert isinstance(lucky, Keep)
    assert lucky.value == pytest.approx(np.mean(GOOD + AUDITS))
    assert lucky.low < lucky.value < lucky.high
    assert (lucky.n, lucky.confirmed) == (9, True)
    assert lucky.gain == pytest.approx(1 - lucky.value)


def test_provisional_wants_the_minimum_gain() -> None:
    verdict = minimize(Challenger(0.9), NOISY, 0.2, PROVISIONAL)
    assert isinstance(verdict, Reject)
    assert verdict.reason == "BelowMinimumGain"


def test_z_is_welchs_and_the_interval_students() -> None:
    fresh = (0.2, 0.9, 0.4, 0.7, 0.5, 0.3, 0.6, 0.8, 0.1)
    verdict = minimize(Challenger(0.55, fresh[:3], fresh[3:]))
    assert isinstance(verdict, Keep)
    tested = stats.ttest_ind(NOISY.values, fresh, equal_var=False, alternative="greater")
    assert verdict.z == pytest.approx(stats.norm.isf(tested.pvalue), rel=1e-9)
    expected = stats.t.interval(0.95, 8, np.mean(fresh), stats.sem(fresh))
    assert (verdict.low, verdict.high) == pytest.approx(expected)


def test_noise_is_pooled_within_groups_and_blind_to_their_level() -> None:
    s, freedom = noise((1.0, 3.0), ((11.0, 13.0), (100.0,), (math.inf, 1.0)))
    assert s == pytest.approx(math.sqrt(2))
    assert freedom == 2
    assert noise((1.0,), ()) == (0.0, 0)


def test_interval_of_few_values() -> None:
    assert interval(()) == (0.0, 0.0)
    assert interval((2.0,)) == (2.0, 2.0)
    assert interval((0.1, 0.1, 0.1)) == (0.1, 0.1)


def test_deterministic_means_all_equal() -> None:
    assert is_deterministic((0.1, 0.1, 0.1))
    assert not is_deterministic((0.1, 0.1, 0.1 + 1e-15))


@pytest.mark.parametrize(
    ("value", "unit", "seen"),
    [
        pytest.param(1.26, 0.2, 1.3, id="to half a unit"),
        pytest.param(1.26, 0.0, 1.26, id="deterministic: as it is"),
        pytest.param(math.inf, 0.2, math.inf, id="infinite: as it is"),
        pytest.param(1.26, math.nan, 1.26, id="no unit: as it is"),
    ],
)
def test_agents_see_rounded_values(value: float, unit: float, seen: float) -> None:
    assert rounded(value, unit) == pytest.approx(seen)


@pytest.mark.parametrize("name", ["Standard", "Economy"])
def test_a_stricter_rate_never_keeps_more(name: Literal["Standard", "Economy"]) -> None:
    rates = (math.nan, 0.0, 1e-12, 1e-4, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.02, 0.05, 0.5, math.inf)
    limits = [procedure(name, rate).keep_z for rate in rates]
    assert limits == sorted(limits, reverse=True)
    assert procedure(name, 0.9) == procedure(name, 0.05)


def test_in_simulation_false_keeps_are_rare_and_most_gains_are_kept() -> None:
    """Wide bands: benchmarks/campaigns/acceptance_model.py measures with more campaigns and other noise."""
    found = simulate(STANDARD, GAINS, "normal", 60, seed=3)
    assert found.false_keeps / found.no_ops < 0.01
    assert found.gains_kept / found.gains > 0.72
    assert sum(found.fake_gains) / 60 < 0.4
    nothing = simulate(STANDARD, NO_OPS, "normal", 60, seed=4)
    assert nothing.false_keeps / nothing.no_ops < 0.006
    assert nothing.extra_runs / nothing.proposals < 0.62


def test_upper_bound_is_clopper_and_pearsons() -> None:
    assert upper_bound(0, 300) == pytest.approx(0.00994, abs=1e-5)
    assert upper_bound(5, 5) == 1.0
