"""What a completion is worth, a user's function among it, and the noise of an unreliable judge."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.images.trainer import tasks

from rloop_trainer.inputs.check import BadRecipe
from rloop_trainer.inputs.recipe import Reward
from rloop_trainer.reward import exact_match, judge, noisy
from rloop_trainer.stops import TrainingFailed


def own(folder: Path, function: str, text: str = tasks.REWARD) -> Reward:
    (folder / "own.py").write_text(text)
    return Reward(file="own.py", function=function)


def test_an_exact_match_leaves_white_space_aside(tmp_path: Path) -> None:
    assert judge(Reward(name="exact-match"), tmp_path) is exact_match
    assert [exact_match(said, "15") for said in ("15", " 15\n", "1 5", "15.", "")] == [1, 1, 0, 0, 0]


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    assert judge(own(tmp_path, "reward"), tmp_path)("12", "x") == pytest.approx(2 / 3)


def test_a_file_may_do_what_modules_do(tmp_path: Path) -> None:
    # A dataclass with these annotations looks for its module in sys.modules.
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Weight:\n    value: float = 2.0\n"
        "def reward(completion, answer):\n    return Weight().value\n"
    )
    assert judge(own(tmp_path, "reward", text), tmp_path)("", "") == 2.0


def test_a_file_may_import_the_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_own.py").write_text("WEIGHT = 3.0\n")
    text = "from beside_own import WEIGHT\ndef reward(completion, answer):\n    return WEIGHT\n"
    assert judge(own(tmp_path, "reward", text), tmp_path)("", "") == 3.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        judge(own(tmp_path, "reward", text), tmp_path)
    assert caught.value.lines == [f"reward.file: own.py: cannot be imported: {sentence}"]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("lambda c, a: 1 / 0", 'own.py: reward("7", "15") raised ZeroDivisionError: division by zero'),
        ("lambda c: 0", 'own.py: reward("7", "15") raised TypeError: <lambda>() takes 1 positional argument'),
        ("lambda c, a: None", 'own.py: reward("7", "15") raised TypeError: float() argument must be'),
        ("lambda c, a: exit(0)", 'own.py: reward("7", "15") raised SystemExit: 0'),
        ("lambda c, a: float('nan')", 'own.py: reward("7", "15") returned nan; it must return a finite number'),
    ],
)
def test_a_function_that_fails_ends_the_training(tmp_path: Path, function: str, sentence: str) -> None:
    value = judge(own(tmp_path, "reward", f"reward = {function}"), tmp_path)
    with pytest.raises(TrainingFailed) as caught:
        value("7", "15")
    assert str(caught.value).startswith(sentence)


def test_a_long_completion_is_shortened_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed) as caught:
        judge(own(tmp_path, "wrong"), tmp_path)("x" * 10_000, "15")
    assert len(str(caught.value)) < 200


def drawn(flip: float, seed: int, step: int, rank: int, values: list[float]) -> list[float]:
    answers = [str(value) for value in values]
    rewards = noisy(lambda completion, _: float(completion), flip, seed, rank)
    return rewards(completions=answers, answer=answers, trainer_state=SimpleNamespace(global_step=step), prompts=[])


VALUES = [0.0, 1.0] * 200


@given(st.floats(0, 1), st.integers(0, 2**31 - 1), st.integers(0, 10**6), st.integers(0, 512))
def test_the_noise_of_a_step_is_always_the_same(flip: float, seed: int, step: int, rank: int) -> None:
    found = drawn(flip, seed, step, rank, VALUES)
    assert found == drawn(flip, seed, step, rank, VALUES)
    assert set(found) <= {0.0, 1.0}


def test_the_noise_differs_between_steps_ranks_and_seeds() -> None:
    draws = [drawn(0.3, *place, VALUES) for place in [(1, 5, 0), (2, 5, 0), (1, 6, 0), (1, 5, 1)]]
    assert len({tuple(draw) for draw in draws}) == len(draws)
    turned = [sum(one != value for one, value in zip(draw, VALUES, strict=True)) for draw in draws]
    assert all(80 < count < 160 for count in turned)  # 120 of 400 are meant


def test_only_a_yes_or_no_is_turned_around() -> None:
    assert drawn(1.0, 1, 1, 0, [0.0, 1.0, 0.25, -3.0, 2.0]) == [1.0, 0.0, 0.25, -3.0, 2.0]
    assert drawn(0.0, 1, 1, 0, VALUES) == VALUES
