"""The Kuhn poker of the example: known values of the game, from the learner's code and from the scorer's."""

import random
from types import ModuleType

import pytest

Modules = dict[str, ModuleType]


def equilibrium(bluff: float) -> dict[str, float]:
    """Kuhn's family of equilibria: the first player bluffs with the jack with probability 0 to 1/3."""
    first = {"J": bluff, "Q": 0, "K": 3 * bluff, "Jpb": 0, "Qpb": bluff + 1 / 3, "Kpb": 1}
    return first | {"Jp": 1 / 3, "Qp": 0, "Kp": 1, "Jb": 0, "Qb": 1 / 3, "Kb": 1}


def in_order(task: Modules, policy: dict[str, float]) -> list[float]:
    return [policy[name] for name in task["kuhn"].INFORMATION_SETS]


def random_policy(task: Modules, seed: int) -> dict[str, float]:
    dice = random.Random(seed)
    return {name: dice.random() for name in task["kuhn"].INFORMATION_SETS}


def test_the_uniform_policy_is_eleven_twelfths_from_an_equilibrium(kuhn_task: Modules) -> None:
    uniform = dict.fromkeys(kuhn_task["kuhn"].INFORMATION_SETS, 0.5)
    assert kuhn_task["score"].nashconv(uniform) == pytest.approx(11 / 12, abs=1e-15)
    assert kuhn_task["kuhn"].nashconv([0.5] * 12) == pytest.approx(11 / 12, abs=1e-15)


@pytest.mark.parametrize("bluff", [0, 0.1, 0.2, 1 / 3])
def test_every_equilibrium_scores_zero(kuhn_task: Modules, bluff: float) -> None:
    policy = equilibrium(bluff)
    assert kuhn_task["score"].nashconv(policy) == pytest.approx(0, abs=1e-15)
    assert kuhn_task["kuhn"].nashconv(in_order(kuhn_task, policy)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("bluff", [0, 0.2, 1 / 3])
def test_the_first_player_loses_one_eighteenth(kuhn_task: Modules, bluff: float) -> None:
    policy = equilibrium(bluff)
    assert kuhn_task["score"].value(policy, policy) == pytest.approx(-1 / 18, abs=1e-15)


def test_an_equilibrium_that_is_left_scores_above_zero(kuhn_task: Modules) -> None:
    assert kuhn_task["score"].nashconv(equilibrium(0.2) | {"Qb": 0.5}) > 0.01


@pytest.mark.parametrize("seed", range(20))
def test_learner_and_scorer_agree_on_random_policies(kuhn_task: Modules, seed: int) -> None:
    policy = random_policy(kuhn_task, seed)
    own = kuhn_task["kuhn"].nashconv(in_order(kuhn_task, policy))
    assert own == pytest.approx(kuhn_task["score"].nashconv(policy), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_is_that_of_the_payoff(kuhn_task: Modules, seed: int) -> None:
    """Compared with differences of the scorer's expected payoff; the payoff is linear in each probability."""
    value = kuhn_task["score"].value
    mine, theirs = random_policy(kuhn_task, seed), random_policy(kuhn_task, seed + 100)
    exact = kuhn_task["kuhn"].payoff_gradient(in_order(kuhn_task, mine), in_order(kuhn_task, theirs))
    for number, name in enumerate(kuhn_task["kuhn"].INFORMATION_SETS):
        high, low = mine | {name: 1.0}, mine | {name: 0.0}
        sides = [(high, theirs), (low, theirs)] if number < 6 else [(theirs, low), (theirs, high)]
        slope = value(*sides[0]) - value(*sides[1])
        assert exact[number] == pytest.approx(slope, abs=1e-12), name


@pytest.mark.parametrize("seed", range(5))
def test_a_mean_of_policies_earns_the_mean_payoff(kuhn_task: Modules, seed: int) -> None:
    """What makes averaging honest: the mean is taken over sequences, not over conditional probabilities."""
    names, score = kuhn_task["kuhn"].INFORMATION_SETS, kuhn_task["score"]
    policies = [random_policy(kuhn_task, seed + offset) for offset in (0, 10)]
    other = random_policy(kuhn_task, seed + 20)
    average = kuhn_task["learner"].Average()
    for policy in policies:
        average.add(in_order(kuhn_task, policy))
    mean = dict(zip(names, average.policy(), strict=True))
    expected = sum(score.value(policy, other) for policy in policies) / 2
    assert score.value(mean, other) == pytest.approx(expected, abs=1e-12)
