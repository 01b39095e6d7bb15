"""The reward of a completion: an exact match or a user's function, and the noise of an unreliable judge.

Created by `rloop_trainer.run`; called by TRL with the noise, and by `rloop_trainer.models.export` without.
"""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rloop.api.reading.wording import shown
from rloop_trainer.inputs.check import BadRecipe
from rloop_trainer.inputs.recipe import Reward
from rloop_trainer.stops import TrainingFailed

Judge = Callable[[str, str], float]


def judge(reward: Reward, task: Path) -> Judge:
    """A function of completion and answer. Raises BadRecipe if the user's file cannot be imported."""
    if reward.file is None or reward.function is None:
        return exact_match
    path = task / reward.file
    spec = importlib.util.spec_from_file_location("rloop_trainer_reward", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module there
    sys.path.insert(0, str(path.parent))  # like a script, it may import files beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a user's file does
        raise BadRecipe([f"reward.file: {reward.file}: cannot be imported: {type(error).__name__}: {error}"]) from None
    return _guarded(getattr(module, reward.function), f"{reward.file}: {reward.function}")


def exact_match(completion: str, answer: str) -> float:
    """1 if both are equal except for surrounding white space, else 0."""
    return float(completion.strip() == answer.strip())


def _guarded(function: Callable[[str, str], Any], name: str) -> Judge:
    def guarded(completion: str, answer: str) -> float:
        call = f"{name}({shown(completion)}, {shown(answer)})"
        try:
            value = float(function(completion, answer))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a user's function does
            raise TrainingFailed(f"{call} raised {type(error).__name__}: {error}") from None
        if not math.isfinite(value):
            raise TrainingFailed(f"{call} returned {value}; it must return a finite number")
        return value

    return guarded


def noisy(judge: Judge, flip: float, seed: int, rank: int) -> Callable[..., list[float]]:
    """A reward function for TRL. Flips depend only on seed, step and rank, so that a resumed run repeats them."""

    def rewards(completions: Sequence[str], answer: Sequence[str], trainer_state: Any, **_: Any) -> list[float]:
        values = [judge(completion, right) for completion, right in zip(completions, answer, strict=True)]
        if flip == 0:
            return values
        chance = random.Random(f"{seed}:{trainer_state.global_step}:{rank}")
        flips = [chance.random() < flip for _ in values]
        return [1 - value if turned and value in (0, 1) else value for value, turned in zip(values, flips, strict=True)]

    return rewards
