"""When a training is given up, and what is said of it."""

from typing import Any

import pytest

from rloop_trainer.stops import PATIENCE, TrainingFailed, look

Logs = dict[str, Any]


def still(reward: float) -> Logs:
    return {"loss": 0.0, "reward": reward, "frac_reward_zero_std": 1.0}


def lively(reward: float) -> Logs:
    return {"loss": 0.1, "reward": reward, "frac_reward_zero_std": 0.75}


def judged(history: list[Logs], best: float | None = 1.0) -> str:
    """What is said after the last of these steps; "" if the training goes on."""
    try:
        look(len(history), history[-1], history, best=best)
    except TrainingFailed as failure:
        return str(failure)
    return ""


@pytest.mark.parametrize(
    ("name", "value"), [("loss", float("nan")), ("loss", float("-inf")), ("grad_norm", float("inf"))]
)
def test_a_loss_that_is_no_number(name: str, value: float) -> None:
    assert judged([lively(0.5), {**lively(0.5), name: value}]) == (
        f"step 2: {name} is {value}: the training has diverged; lower grpo.learning_rate, or give it grpo.warmup_steps"
    )


NOTHING = "step 50: for 50 steps all completions of a group had the same reward (mean 0), so that there was no training"


def test_nothing_to_learn_from() -> None:
    assert judged([still(0.0)] * (PATIENCE - 1)) == ""
    assert judged([still(0.0)] * PATIENCE).startswith(NOTHING)
    assert judged([still(0.0)] * (PATIENCE - 1), best=None) == ""
    assert judged([still(0.0)] * PATIENCE, best=None).startswith(NOTHING)
    assert judged([still(0.0)] * (PATIENCE - 1) + [lively(0.1)]) == ""
    assert judged([still(0.0)] * PATIENCE + [lively(0.1)] + [still(0.0)] * (PATIENCE - 1)) == ""


@pytest.mark.parametrize(
    ("history", "best", "goes_on"),
    [
        ([still(1.0)] * PATIENCE, 1.0, True),  # solved from the start
        ([still(1.0)] * PATIENCE, None, False),  # nobody knows that 1 is the best
        ([lively(0.2)] * 10 + [still(0.9)] * PATIENCE, 1.0, True),  # has learned what it could
        ([lively(0.2)] * 10 + [still(3.5)] * PATIENCE, None, True),
        ([lively(0.4)] * 10 + [still(0.1)] * PATIENCE, 1.0, False),  # collapsed
        ([lively(0.4)] * 10 + [still(0.1)] * PATIENCE, None, False),
        ([{"frac_reward_zero_std": None, "reward": 0.5}] * PATIENCE, 1.0, True),  # not measured
    ],
)
def test_to_stand_still_at_the_end_is_no_failure(history: list[Logs], best: float | None, goes_on: bool) -> None:
    assert (judged(history, best) == "") == goes_on
